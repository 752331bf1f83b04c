#pragma once

#include <array>
#include <cstddef>
#include <exception>
#include <string>

#include "spanloom/attribute.h"

namespace spanloom::detail {

// An exception as the attributes of its event: `exception.type` (demangled), `exception.message`,
// and what the caller adds. Lives as long as the event is being written.
class ExceptionEvent {
  public:
    static constexpr size_t kGivenMax = 126;

    ExceptionEvent(const std::exception& exception, AttributeList given) noexcept;
    // Of the exception that is being handled; `is_there` is false where there is none.
    explicit ExceptionEvent(AttributeList given) noexcept;

    bool is_there() const noexcept { return count_ != 0; }
    AttributeList attributes() const noexcept { return {all_.data(), count_}; }

  private:
    void describe(const std::exception& exception) noexcept;
    void fill(AttributeList given) noexcept;

    std::string type_;
    std::string message_;
    std::array<Attribute, 2 + kGivenMax> all_;
    size_t count_ = 0;
};

}  // namespace spanloom::detail
