#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include <fmt/core.h>
#include <tl/expected.hpp>

namespace spanloom {

// Why something failed, in classes that map one to one onto gRPC codes and HTTP statuses.
enum class ErrorCode : uint8_t {
    kInvalidArgument,    // the caller's input is wrong; the same request will fail again
    kNotFound,           // what was asked for does not exist
    kAlreadyExists,      // it exists, or someone else holds it
    kResourceExhausted,  // a limit or budget is reached
    kUnsupported,        // understood, but not offered here
    kUnavailable,        // try again later
    kDeadlineExceeded,   // took too long
    kCancelled,          // nobody waits for the answer any more
    kDataLoss,           // stored bytes are damaged
    kPermissionDenied,   // not allowed
    kInternal,           // a fault of ours
};

// Stable lower-case name of a code, as metrics and JSON show it.
std::string_view error_code_name(ErrorCode code);
int http_status(ErrorCode code);
int grpc_status(ErrorCode code);

// What failed, which one, why, and what to do about it. The text is for the person who reads it:
// lower case, no full stop.
struct Error {
    ErrorCode code = ErrorCode::kInternal;
    std::string message;
    // Seconds after which a retry makes sense; 0 where the caller may choose.
    uint32_t retry_after_s = 0;
};

template <typename T>
using Result = tl::expected<T, Error>;

template <typename... Args>
tl::unexpected<Error> fail(ErrorCode code, fmt::format_string<Args...> text, Args&&... args) {
    return tl::unexpected<Error>(Error{code, fmt::format(text, std::forward<Args>(args)...)});
}

// Stops the program with a reason. For states that only a fault of ours can reach.
[[noreturn]] void die(const char* condition, const char* file, int line);

}  // namespace spanloom

#define SPANLOOM_CONCAT_INNER(a, b) a##b
#define SPANLOOM_CONCAT(a, b) SPANLOOM_CONCAT_INNER(a, b)

// TRY(expression): leave the function with the error, if there is one.
#define TRY(expression)                                                                \
    do {                                                                               \
        if (auto try_result = (expression); !try_result) [[unlikely]]                  \
            return ::tl::unexpected<::spanloom::Error>(std::move(try_result).error()); \
    } while (false)

// TRY_ASSIGN(declaration, expression): the value, or leave the function with the error.
#define TRY_ASSIGN(declaration, expression) \
    TRY_ASSIGN_INNER(SPANLOOM_CONCAT(try_result_, __LINE__), declaration, expression)
#define TRY_ASSIGN_INNER(result, declaration, expression)                      \
    auto result = (expression);                                                \
    if (!result) [[unlikely]]                                                  \
        return ::tl::unexpected<::spanloom::Error>(std::move(result).error()); \
    declaration = std::move(*result)

#define SPANLOOM_ASSERT(condition)                           \
    do {                                                     \
        if (!(condition)) [[unlikely]]                       \
            ::spanloom::die(#condition, __FILE__, __LINE__); \
    } while (false)
