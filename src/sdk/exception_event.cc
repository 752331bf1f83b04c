#include "sdk/exception_event.h"

#include <cstdlib>
#include <typeinfo>

#include <cxxabi.h>

namespace spanloom::detail {
namespace {

std::string demangled(const std::type_info& type) {
    int status = 0;
    char* name = abi::__cxa_demangle(type.name(), nullptr, nullptr, &status);
    std::string text = status == 0 && name != nullptr ? name : type.name();
    std::free(name);
    return text;
}

}  // namespace

ExceptionEvent::ExceptionEvent(const std::exception& exception, AttributeList given) noexcept {
    describe(exception);
    fill(given);
}

ExceptionEvent::ExceptionEvent(AttributeList given) noexcept {
    const std::exception_ptr current = std::current_exception();
    if (current == nullptr) return;
    try {
        std::rethrow_exception(current);
    } catch (const std::exception& exception) {
        describe(exception);
    } catch (...) {
        const std::type_info* type = abi::__cxa_current_exception_type();
        try {
            if (type != nullptr) type_ = demangled(*type);
        } catch (...) {  // out of memory: an exception without a name is still one
        }
    }
    fill(given);
}

void ExceptionEvent::describe(const std::exception& exception) noexcept {
    try {
        type_ = demangled(typeid(exception));
        if (const char* what = exception.what(); what != nullptr) message_ = what;
    } catch (...) {  // out of memory
    }
}

void ExceptionEvent::fill(AttributeList given) noexcept {
    all_[count_++] = {"exception.type", type_};
    all_[count_++] = {"exception.message", message_};
    for (const Attribute& attribute : given) {
        if (count_ < all_.size()) all_[count_++] = attribute;
    }
}

}  // namespace spanloom::detail
