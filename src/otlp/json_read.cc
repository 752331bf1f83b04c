#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <simdjson.h>

#include "base/text.h"
#include "otlp/batch.h"
#include "otlp/json_text.h"
#include "otlp/writer.h"

namespace spanloom::otlp {
namespace {

namespace ondemand = simdjson::ondemand;

// A parser holds memory in proportion to the largest text it has seen: only small ones are kept.
constexpr size_t kSharedParserBytesMax = 1U << 20;

// Converts one request. Fields are written in the order in which they come; protobuf does not mind.
// Each function returns false with the error set.
class Converter {
  public:
    explicit Converter(const DecodeLimits& limits) : depth_max_(std::min(limits.depth_max, 64U)) {}

    Result<Blob> run(std::string_view json) {
        // An empty body is an empty request, as it is in protobuf.
        if (json.empty()) return Blob();
        const Blob text = readable_json(json);
        static thread_local ondemand::parser shared_parser;
        std::unique_ptr<ondemand::parser> own_parser;
        if (text.size() > kSharedParserBytesMax) own_parser = std::make_unique<ondemand::parser>();
        ondemand::parser& parser = own_parser ? *own_parser : shared_parser;
        bytes_.reserve(text.size());
        if (!convert(parser, text))
            return tl::unexpected<Error>(Error{ErrorCode::kInvalidArgument, error_});
        return Blob::copy_of(bytes_);
    }

  private:
    using Value = ondemand::value;
    struct PathPart {
        std::string_view name;  // a literal; empty for an index
        size_t index = 0;
    };

    bool convert(ondemand::parser& parser, const Blob& text) {
        ondemand::document document;
        const simdjson::padded_string_view padded(reinterpret_cast<const char*>(text.data()),
                                                  text.size(), text.size() + Blob::kPadding);
        if (const auto error = parser.iterate(padded).get(document)) return broken(error);
        ondemand::object root;
        if (const auto error = document.get_object().get(root))
            return error == simdjson::INCORRECT_TYPE ? wrong("a JSON object") : broken(error);
        const bool is_good = each_field_of(root, [this](std::string_view key, Value value) {
            if (!is(key, "resourceSpans", "resource_spans")) return true;
            return list("resourceSpans", value, [this](Value item) {
                return message(1, item, &Converter::resource_spans_field);
            });
        });
        if (!is_good) return false;
        if (document.current_location().error() != simdjson::OUT_OF_BOUNDS)
            return refuse("text follows the end of the JSON object");
        return true;
    }

    // ---- errors
    bool refuse(std::string_view what) {
        std::string where;
        for (const PathPart& part : path_) {
            if (part.name.empty()) {
                where += fmt::format("[{}]", part.index);
            } else {
                where += where.empty() ? "" : ".";
                where += part.name;
            }
        }
        error_ = where.empty() ? fmt::format("malformed OTLP/JSON: {}", what)
                               : fmt::format("malformed OTLP/JSON at {}: {}", where, what);
        return false;
    }
    bool wrong(std::string_view wanted) { return refuse(fmt::format("must be {}", wanted)); }
    bool broken(simdjson::error_code error) {
        std::string text = simdjson::error_message(error);
        while (!text.empty() && text.back() == '.')
            text.pop_back();
        if (!text.empty() && text[0] >= 'A' && text[0] <= 'Z' && text.find("JSON") != 0)
            text[0] = static_cast<char>(text[0] - 'A' + 'a');
        return refuse(text);
    }

    // ---- structure
    static bool is(std::string_view key, std::string_view camel, std::string_view snake) {
        return key == camel || key == snake;
    }

    template <typename Visit>
    bool each_field_of(ondemand::object object, Visit visit) {
        for (auto entry : object) {
            ondemand::field field;
            if (const auto error = std::move(entry).get(field)) return broken(error);
            std::string_view key;
            if (const auto error = field.unescaped_key().get(key)) return broken(error);
            Value value = field.value();
            bool is_null = false;
            if (const auto error = value.is_null().get(is_null)) return broken(error);
            if (!is_null && !visit(key, value)) return false;
        }
        return true;
    }

    template <typename Visit>
    bool each_field(Value value, Visit visit) {
        ondemand::object object;
        if (const auto error = value.get_object().get(object))
            return error == simdjson::INCORRECT_TYPE ? wrong("an object") : broken(error);
        return each_field_of(object, visit);
    }

    template <typename Visit>
    bool list(std::string_view name, Value value, Visit visit) {
        path_.push_back({name});
        ondemand::array array;
        if (const auto error = value.get_array().get(array))
            return error == simdjson::INCORRECT_TYPE ? wrong("a list") : broken(error);
        path_.push_back({{}, 0});
        for (auto entry : array) {
            Value item;
            if (const auto error = std::move(entry).get(item)) return broken(error);
            if (!visit(item)) return false;
            ++path_.back().index;
        }
        path_.resize(path_.size() - 2);
        return true;
    }

    using FieldReader = bool (Converter::*)(std::string_view, Value);
    // One object as a nested message.
    bool message(uint32_t field, Value value, FieldReader read) {
        const size_t mark = out_.begin(field);
        bool is_null = false;
        if (const auto error = value.is_null().get(is_null)) return broken(error);
        if (!is_null && !each_field(value, [this, read](std::string_view key, Value inner) {
                return (this->*read)(key, inner);
            }))
            return false;
        out_.end(mark);
        return true;
    }
    bool named_message(std::string_view name, uint32_t field, Value value, FieldReader read) {
        path_.push_back({name});
        if (!message(field, value, read)) return false;
        path_.pop_back();
        return true;
    }
    bool messages(std::string_view name, uint32_t field, Value value, FieldReader read) {
        return list(name, value,
                    [this, field, read](Value item) { return message(field, item, read); });
    }

    // ---- scalars
    bool read_string(Value value, std::string_view& text) {
        const auto error = value.get_string().get(text);
        if (error == simdjson::INCORRECT_TYPE) return wrong("a string");
        return error ? broken(error) : true;
    }
    bool text(std::string_view name, uint32_t field, Value value) {
        path_.push_back({name});
        std::string_view content;
        if (!read_string(value, content)) return false;
        out_.bytes_field(field, content);
        path_.pop_back();
        return true;
    }
    bool id(std::string_view name, uint32_t field, Value value) {
        path_.push_back({name});
        std::string_view digits;
        if (!read_string(value, digits)) return false;
        std::string bytes(digits.size() / 2, '\0');
        if (digits.size() % 2 != 0 ||
            !parse_hex(digits, reinterpret_cast<uint8_t*>(bytes.data()), bytes.size()))
            return refuse("is not hexadecimal (OTLP/JSON writes ids as hexadecimal, not base64)");
        out_.bytes_field(field, bytes);
        path_.pop_back();
        return true;
    }

    // A whole number between the limits, written as a number or as a string.
    template <typename Integer>
    bool read_integer(Value value, Integer& out) {
        constexpr auto kMin = std::numeric_limits<Integer>::min();
        constexpr auto kMax = std::numeric_limits<Integer>::max();
        const auto outside = [this] {
            return wrong(fmt::format("a whole number from {} to {}",
                                     std::numeric_limits<Integer>::min(),
                                     std::numeric_limits<Integer>::max()));
        };
        std::string_view digits;
        if (value.get_string().get(digits) == simdjson::SUCCESS) {
            const char* const end = digits.data() + digits.size();
            const auto parsed = std::from_chars(digits.data(), end, out);
            return parsed.ec == std::errc() && parsed.ptr == end ? true : outside();
        }
        ondemand::number number;
        if (value.get_number().get(number) != simdjson::SUCCESS) return outside();
        if (number.is_uint64()) {
            if (number.get_uint64() > static_cast<uint64_t>(kMax)) return outside();
            out = static_cast<Integer>(number.get_uint64());
        } else if (number.is_int64()) {
            const int64_t whole = number.get_int64();
            if (whole < 0 ? (kMin == 0 || whole < static_cast<int64_t>(kMin))
                          : static_cast<uint64_t>(whole) > static_cast<uint64_t>(kMax))
                return outside();
            out = static_cast<Integer>(whole);
        } else {
            const double real = number.get_double();
            if (real != std::floor(real) || real < static_cast<double>(kMin) ||
                real >= static_cast<double>(kMax))
                return outside();
            out = static_cast<Integer>(real);
        }
        return true;
    }
    bool time(std::string_view name, uint32_t field, Value value) {
        path_.push_back({name});
        uint64_t ns = 0;
        if (!read_integer(value, ns)) return false;
        out_.fixed64_field(field, ns);
        path_.pop_back();
        return true;
    }
    bool count(std::string_view name, uint32_t field, Value value) {
        path_.push_back({name});
        uint32_t number = 0;
        if (!read_integer(value, number)) return false;
        out_.varint_field(field, number);
        path_.pop_back();
        return true;
    }
    bool flags(uint32_t field, Value value) {
        path_.push_back({"flags"});
        uint32_t bits = 0;
        if (!read_integer(value, bits)) return false;
        out_.fixed32_field(field, bits);
        path_.pop_back();
        return true;
    }
    // A number, or one of the names, which count from 0.
    bool enumeration(std::string_view field_name, uint32_t field, Value value,
                     std::initializer_list<std::string_view> names) {
        path_.push_back({field_name});
        std::string_view name;
        int32_t number = 0;
        if (value.get_string().get(name) == simdjson::SUCCESS) {
            const auto* const found = std::find(names.begin(), names.end(), name);
            const auto parsed = parse_int(name);
            if (found == names.end() && (!parsed || *parsed < 0 || *parsed > 1'000'000))
                return refuse(fmt::format("\"{}\" is no name of this field", name.substr(0, 40)));
            number = static_cast<int32_t>(parsed ? *parsed : found - names.begin());
        } else if (!read_integer(value, number)) {
            return false;
        }
        out_.varint_field(field, static_cast<uint64_t>(int64_t{number}));
        path_.pop_back();
        return true;
    }

    // ---- values
    bool double_value(Value value) {
        double number = 0;
        std::string_view name;
        if (value.get_string().get(name) == simdjson::SUCCESS) {
            if (name == "NaN") {
                number = std::numeric_limits<double>::quiet_NaN();
            } else if (name == "Infinity") {
                number = std::numeric_limits<double>::infinity();
            } else if (name == "-Infinity") {
                number = -std::numeric_limits<double>::infinity();
            } else if (const auto parsed = parse_double(name)) {
                number = *parsed;
            } else {
                return wrong("a number, \"NaN\", \"Infinity\" or \"-Infinity\"");
            }
        } else if (value.get_double().get(number) != simdjson::SUCCESS) {
            return wrong("a number that fits 64 bits");
        }
        out_.double_field(4, number);
        return true;
    }
    bool bytes_value(Value value) {
        std::string_view encoded;
        if (!read_string(value, encoded)) return false;
        const auto bytes = parse_base64(encoded);
        if (!bytes) return wrong("base64");
        out_.bytes_field(7, *bytes);
        return true;
    }
    bool container(uint32_t field, Value value, uint32_t depth) {
        const size_t mark = out_.begin(field);
        const auto visit = [this, field, depth](std::string_view key, Value inner) {
            if (key != "values") return true;
            return list("values", inner, [this, field, depth](Value item) {
                return field == 5 ? any_value(1, item, depth + 1) : attribute(1, item, depth + 1);
            });
        };
        if (!each_field(value, visit)) return false;
        out_.end(mark);
        return true;
    }
    bool any_value_field(std::string_view key, Value value, uint32_t depth) {
        if (is(key, "stringValue", "string_value")) {
            std::string_view content;
            if (!read_string(value, content)) return false;
            out_.bytes_field(1, content);
        } else if (is(key, "boolValue", "bool_value")) {
            bool content = false;
            if (value.get_bool().get(content) != simdjson::SUCCESS) return wrong("true or false");
            out_.varint_field(2, content ? 1 : 0);
        } else if (is(key, "intValue", "int_value")) {
            int64_t content = 0;
            if (!read_integer(value, content)) return false;
            out_.varint_field(3, static_cast<uint64_t>(content));
        } else if (is(key, "doubleValue", "double_value")) {
            return double_value(value);
        } else if (is(key, "arrayValue", "array_value")) {
            return container(5, value, depth);
        } else if (is(key, "kvlistValue", "kvlist_value")) {
            return container(6, value, depth);
        } else if (is(key, "bytesValue", "bytes_value")) {
            return bytes_value(value);
        }
        return true;
    }
    // Below the permitted depth nothing is read any more: the one level too many is enough for
    // decode to reject this span, and this one only. So the recursion is bounded too.
    bool any_value(uint32_t field, Value value, uint32_t depth) {
        const size_t mark = out_.begin(field);
        bool is_null = false;
        if (const auto error = value.is_null().get(is_null)) return broken(error);
        if (!is_null && depth <= depth_max_) {
            path_.push_back({"value"});
            if (!each_field(value, [this, depth](std::string_view key, Value inner) {
                    return any_value_field(key, inner, depth);
                }))
                return false;
            path_.pop_back();
        }
        out_.end(mark);
        return true;
    }
    bool attribute(uint32_t field, Value value, uint32_t depth) {
        const size_t mark = out_.begin(field);
        bool is_null = false;
        if (const auto error = value.is_null().get(is_null)) return broken(error);
        if (!is_null && !each_field(value, [this, depth](std::string_view key, Value inner) {
                if (key == "key") return text("key", 1, inner);
                if (key == "value") return any_value(2, inner, depth);
                return true;
            }))
            return false;
        out_.end(mark);
        return true;
    }
    bool attributes(uint32_t field, Value value) {
        return list("attributes", value,
                    [this, field](Value item) { return attribute(field, item, 1); });
    }

    // ---- messages
    bool resource_spans_field(std::string_view key, Value value) {
        if (key == "resource")
            return named_message("resource", 1, value, &Converter::resource_field);
        if (is(key, "scopeSpans", "scope_spans"))
            return messages("scopeSpans", 2, value, &Converter::scope_spans_field);
        if (is(key, "schemaUrl", "schema_url")) return text("schemaUrl", 3, value);
        return true;
    }
    bool resource_field(std::string_view key, Value value) {
        if (key == "attributes") return attributes(1, value);
        if (is_dropped_attributes(key)) return count("droppedAttributesCount", 2, value);
        return true;
    }
    bool scope_spans_field(std::string_view key, Value value) {
        if (key == "scope") return named_message("scope", 1, value, &Converter::scope_field);
        if (key == "spans") return messages("spans", 2, value, &Converter::span_field);
        if (is(key, "schemaUrl", "schema_url")) return text("schemaUrl", 3, value);
        return true;
    }
    bool scope_field(std::string_view key, Value value) {
        if (key == "name") return text("name", 1, value);
        if (key == "version") return text("version", 2, value);
        if (key == "attributes") return attributes(3, value);
        if (is_dropped_attributes(key)) return count("droppedAttributesCount", 4, value);
        return true;
    }
    bool span_field(std::string_view key, Value value) {
        if (is(key, "traceId", "trace_id")) return id("traceId", 1, value);
        if (is(key, "spanId", "span_id")) return id("spanId", 2, value);
        if (is(key, "traceState", "trace_state")) return text("traceState", 3, value);
        if (is(key, "parentSpanId", "parent_span_id")) return id("parentSpanId", 4, value);
        if (key == "name") return text("name", 5, value);
        if (key == "kind")
            return enumeration("kind", 6, value,
                               {"SPAN_KIND_UNSPECIFIED", "SPAN_KIND_INTERNAL", "SPAN_KIND_SERVER",
                                "SPAN_KIND_CLIENT", "SPAN_KIND_PRODUCER", "SPAN_KIND_CONSUMER"});
        if (is(key, "startTimeUnixNano", "start_time_unix_nano"))
            return time("startTimeUnixNano", 7, value);
        if (is(key, "endTimeUnixNano", "end_time_unix_nano"))
            return time("endTimeUnixNano", 8, value);
        if (key == "attributes") return attributes(9, value);
        if (is_dropped_attributes(key)) return count("droppedAttributesCount", 10, value);
        if (key == "events") return messages("events", 11, value, &Converter::event_field);
        if (is(key, "droppedEventsCount", "dropped_events_count"))
            return count("droppedEventsCount", 12, value);
        if (key == "links") return messages("links", 13, value, &Converter::link_field);
        if (is(key, "droppedLinksCount", "dropped_links_count"))
            return count("droppedLinksCount", 14, value);
        if (key == "status") return named_message("status", 15, value, &Converter::status_field);
        if (key == "flags") return flags(16, value);
        return true;
    }
    bool event_field(std::string_view key, Value value) {
        if (is(key, "timeUnixNano", "time_unix_nano")) return time("timeUnixNano", 1, value);
        if (key == "name") return text("name", 2, value);
        if (key == "attributes") return attributes(3, value);
        if (is_dropped_attributes(key)) return count("droppedAttributesCount", 4, value);
        return true;
    }
    bool link_field(std::string_view key, Value value) {
        if (is(key, "traceId", "trace_id")) return id("traceId", 1, value);
        if (is(key, "spanId", "span_id")) return id("spanId", 2, value);
        if (is(key, "traceState", "trace_state")) return text("traceState", 3, value);
        if (key == "attributes") return attributes(4, value);
        if (is_dropped_attributes(key)) return count("droppedAttributesCount", 5, value);
        if (key == "flags") return flags(6, value);
        return true;
    }
    bool status_field(std::string_view key, Value value) {
        if (key == "message") return text("message", 2, value);
        if (key == "code")
            return enumeration("code", 3, value,
                               {"STATUS_CODE_UNSET", "STATUS_CODE_OK", "STATUS_CODE_ERROR"});
        return true;
    }
    static bool is_dropped_attributes(std::string_view key) {
        return is(key, "droppedAttributesCount", "dropped_attributes_count");
    }

    const uint32_t depth_max_;
    std::string bytes_;
    WireWriter out_{bytes_};
    std::vector<PathPart> path_;
    std::string error_;
};

}  // namespace

Result<Blob> json_to_protobuf(std::string_view json, const DecodeLimits& limits) {
    return Converter(limits).run(json);
}

}  // namespace spanloom::otlp
