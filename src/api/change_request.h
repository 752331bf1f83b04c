#pragma once

#include <charconv>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

#include <simdjson.h>

#include "api/call.h"
#include "store/search.h"

// What requests that change something have in common.
namespace spanloom::api {

// Whether this may be asked for.
Result<void> check_admin(const Call& call);
// The same of what other programs' clients ask for, who send no JSON.
Result<void> check_local(const Call& call);

// A body that is one JSON object. Lives as long as what is read from it.
class JsonBody {
  public:
    static Result<std::unique_ptr<JsonBody>> read(const Call& call) {
        auto body = std::make_unique<JsonBody>();
        TRY_ASSIGN(body->bytes_, call.body());
        if (body->parser_.parse(body->bytes_.view().data(), body->bytes_.size())
                .get_object()
                .get(body->object_) != simdjson::SUCCESS)
            return fail(ErrorCode::kInvalidArgument, "the body must be a JSON object");
        return body;
    }
    std::string_view text(const char* key) const {
        std::string_view value;
        return object_[key].get_string().get(value) == simdjson::SUCCESS ? value
                                                                         : std::string_view();
    }
    bool flag(const char* key) const {
        bool value = false;
        return object_[key].get_bool().get(value) == simdjson::SUCCESS && value;
    }
    // Nanoseconds as a number or a text of digits.
    Result<uint64_t> time(const char* key, uint64_t fallback) const {
        simdjson::dom::element element;
        if (object_[key].get(element) != simdjson::SUCCESS || element.is_null()) return fallback;
        uint64_t number = 0;
        if (element.get_uint64().get(number) == simdjson::SUCCESS) return number;
        const std::string_view digits = text(key);
        const auto [end, problem] =
            std::from_chars(digits.data(), digits.data() + digits.size(), number);
        if (problem != std::errc() || end != digits.data() + digits.size())
            return fail(ErrorCode::kInvalidArgument, "'{}' is not a time in nanoseconds", key);
        return number;
    }
    Result<store::TimeRange> range() const {
        TRY_ASSIGN(const uint64_t from, time("from", 0));
        TRY_ASSIGN(const uint64_t to, time("to", UINT64_MAX));
        return store::TimeRange{from, to};
    }
    const simdjson::dom::object& object() const { return object_; }

  private:
    Blob bytes_;
    simdjson::dom::parser parser_;
    simdjson::dom::object object_;
};

// "5" of If-Match: "5"; 0 of If-None-Match: *; nullopt of If-Match: *.
Result<std::optional<uint64_t>> expected_version(const Call& call);
// The same, but never whatever version there is: who has not seen what is in force must not replace
// it.
Result<uint64_t> seen_version(const Call& call);
// 412: it is another version by now.
http::Response version_conflict(const Error& error);

}  // namespace spanloom::api
