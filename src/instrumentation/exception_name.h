#pragma once

#include <cstdlib>
#include <exception>
#include <memory>
#include <string>
#include <typeinfo>

#include <cxxabi.h>

namespace spanloom::instrumentation {

// "std::runtime_error": what error.type says of an exception.
inline std::string exception_name(const std::exception& exception) {
    const char* const mangled = typeid(exception).name();
    int status = 0;
    const std::unique_ptr<char, decltype(&std::free)> name(
        abi::__cxa_demangle(mangled, nullptr, nullptr, &status), &std::free);
    return name == nullptr ? mangled : name.get();
}

}  // namespace spanloom::instrumentation
