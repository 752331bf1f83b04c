#include <charconv>
#include <memory>

#include <fmt/format.h>
#include <simdjson.h>

#include "otlp/json_text.h"
#include "receive/zipkin_convert.h"

namespace spanloom {
namespace {

namespace ondemand = simdjson::ondemand;
using ondemand::value;

// A parser holds memory in proportion to the largest text it has seen: only small ones are kept.
constexpr size_t kSharedParserBytesMax = 1U << 20;

// Reads one list. Each function returns false with `fault_` set.
class ZipkinJsonReader {
  public:
    explicit ZipkinJsonReader(uint64_t arrival_ns) : out_(arrival_ns) {}

    Result<Blob> run(std::string_view json) {
        const Blob text = otlp::readable_json(json);
        static thread_local ondemand::parser shared_parser;
        std::unique_ptr<ondemand::parser> own_parser;
        if (text.size() > kSharedParserBytesMax) own_parser = std::make_unique<ondemand::parser>();
        if (!read_list(own_parser ? *own_parser : shared_parser, text))
            return fail(ErrorCode::kInvalidArgument, "malformed Zipkin spans: {}{}{}", where_,
                        where_.empty() ? "" : ": ", fault_);
        return out_.finish();
    }

  private:
    bool refuse(std::string_view fault) {
        fault_ = fault;
        return false;
    }
    bool broken(simdjson::error_code error) { return refuse(simdjson::error_message(error)); }

    bool read_list(ondemand::parser& parser, const Blob& text) {
        ondemand::document document;
        const simdjson::padded_string_view padded(reinterpret_cast<const char*>(text.data()),
                                                  text.size(), text.size() + Blob::kPadding);
        if (const auto error = parser.iterate(padded).get(document)) return broken(error);
        ondemand::array list;
        if (document.get_array().get(list)) return refuse("must be a JSON list");
        size_t index = 0;
        for (auto entry : list) {
            where_ = fmt::format("span {}", index++);
            value item;
            if (const auto error = std::move(entry).get(item)) return broken(error);
            ZipkinSpan span;
            if (!read_span(item, span)) return false;
            out_.add(span);
        }
        where_.clear();
        if (document.current_location().error() != simdjson::OUT_OF_BOUNDS)
            return refuse("text follows the end of the list");
        return true;
    }

    template <typename Visit>
    bool each_field(value of, Visit visit) {
        ondemand::object object;
        if (const auto error = of.get_object().get(object))
            return error == simdjson::INCORRECT_TYPE ? refuse("must be an object") : broken(error);
        for (auto entry : object) {
            ondemand::field field;
            if (const auto error = std::move(entry).get(field)) return broken(error);
            std::string_view key;
            if (const auto error = field.unescaped_key().get(key)) return broken(error);
            value inner = field.value();
            bool is_null = false;
            if (const auto error = inner.is_null().get(is_null)) return broken(error);
            if (!is_null && !visit(key, inner)) return false;
        }
        return true;
    }

    template <typename Visit>
    bool each_element(value of, Visit visit) {
        ondemand::array list;
        if (const auto error = of.get_array().get(list))
            return error == simdjson::INCORRECT_TYPE ? refuse("must be a list") : broken(error);
        for (auto entry : list) {
            value item;
            if (const auto error = std::move(entry).get(item)) return broken(error);
            if (!visit(item)) return false;
        }
        return true;
    }

    bool text(std::string_view name, value from, std::string_view& to) {
        const auto error = from.get_string().get(to);
        if (error == simdjson::INCORRECT_TYPE)
            return refuse(fmt::format("{} must be a string", name));
        return error ? broken(error) : true;
    }

    // Senders that compute in floating point write 1.5e15.
    bool number(std::string_view name, value from, uint64_t& to) {
        const auto wrong = [&] { return refuse(fmt::format("{} must be a whole number", name)); };
        std::string_view digits;
        if (from.get_string().get(digits) == simdjson::SUCCESS) {
            const char* const end = digits.data() + digits.size();
            const auto parsed = std::from_chars(digits.data(), end, to);
            return parsed.ec == std::errc() && parsed.ptr == end ? true : wrong();
        }
        ondemand::number parsed;
        if (from.get_number().get(parsed) != simdjson::SUCCESS) return wrong();
        if (parsed.is_double()) {
            if (!(parsed.get_double() >= 0 && parsed.get_double() < 1.8e19)) return wrong();
            to = static_cast<uint64_t>(parsed.get_double());
            return true;
        }
        if (parsed.is_int64() && parsed.get_int64() < 0) return wrong();
        to = parsed.is_int64() ? static_cast<uint64_t>(parsed.get_int64()) : parsed.get_uint64();
        return true;
    }

    bool flag(std::string_view name, value from, bool& to) {
        return from.get_bool().get(to) == simdjson::SUCCESS
                   ? true
                   : refuse(fmt::format("{} must be true or false", name));
    }

    bool span_id(std::string_view name, value from, SpanId& to) {
        std::string_view digits;
        if (!text(name, from, digits)) return false;
        // Shorter ones are filled up on the left, as Zipkin does.
        const auto wide = TraceId::parse(digits);
        if (!wide || digits.size() > 16)
            return refuse(fmt::format("{} must be 1 to 16 hexadecimal digits", name));
        std::memcpy(to.bytes.data(), wide->bytes.data() + 8, to.bytes.size());
        return true;
    }

    bool trace_id(value from, TraceId& to) {
        std::string_view digits;
        if (!text("traceId", from, digits)) return false;
        const auto id = TraceId::parse(digits);
        if (!id) return refuse("traceId must be 1 to 32 hexadecimal digits");
        to = *id;
        return true;
    }

    bool kind(value from, ZipkinKind& to) {
        std::string_view name;
        if (!text("kind", from, name)) return false;
        if (name == "CLIENT") {
            to = ZipkinKind::kClient;
        } else if (name == "SERVER") {
            to = ZipkinKind::kServer;
        } else if (name == "PRODUCER") {
            to = ZipkinKind::kProducer;
        } else if (name == "CONSUMER") {
            to = ZipkinKind::kConsumer;
        } else {
            return refuse("kind must be CLIENT, SERVER, PRODUCER or CONSUMER");
        }
        return true;
    }

    bool endpoint(value from, ZipkinEndpoint& to) {
        return each_field(from, [this, &to](std::string_view key, value inner) {
            std::string_view content;
            if (key == "serviceName") return text("serviceName", inner, to.service_name);
            if (key == "ipv4" || key == "ipv6") {
                if (!text(key, inner, content)) return false;
                (key == "ipv4" ? to.ipv4 : to.ipv6) = content;
            } else if (key == "port") {
                uint64_t port = 0;
                if (!number("port", inner, port)) return false;
                to.port = port <= 0xffff ? static_cast<uint32_t>(port) : 0;
            }
            return true;
        });
    }

    bool annotation(value from, ZipkinSpan& span) {
        auto& made = span.annotations.emplace_back();
        return each_field(from, [this, &made](std::string_view key, value inner) {
            if (key == "timestamp") return number("annotation timestamp", inner, made.first);
            if (key == "value") return text("annotation value", inner, made.second);
            return true;
        });
    }

    // Values are strings; some senders write numbers and booleans, which are kept as their text.
    bool tag(std::string_view key, value from, ZipkinSpan& span) {
        std::string_view content;
        if (from.get_string().get(content) != simdjson::SUCCESS) {
            content = from.raw_json_token();
            if (content.empty() || content[0] == '{' || content[0] == '[' || content[0] == '"')
                return refuse(fmt::format("tag \"{}\" must be a string", key.substr(0, 40)));
            while (content.ends_with(' ') || content.ends_with('\n') || content.ends_with('\t') ||
                   content.ends_with('\r'))
                content.remove_suffix(1);
        }
        span.tags.emplace_back(key, content);
        return true;
    }

    bool read_span(value from, ZipkinSpan& span) {
        const bool is_good = each_field(from, [this, &span](std::string_view key, value inner) {
            return span_field(key, inner, span);
        });
        if (!is_good) return false;
        if (span.trace_id.is_zero()) return refuse("traceId is missing or all zero");
        if (span.span_id.is_zero()) return refuse("id is missing or all zero");
        return true;
    }

    bool span_field(std::string_view key, value inner, ZipkinSpan& span) {
        if (key == "traceId") return trace_id(inner, span.trace_id);
        if (key == "id") return span_id("id", inner, span.span_id);
        if (key == "parentId") return span_id("parentId", inner, span.parent_span_id);
        if (key == "name") return text("name", inner, span.name);
        if (key == "kind") return kind(inner, span.kind);
        if (key == "timestamp") return number("timestamp", inner, span.timestamp_us);
        if (key == "duration") return number("duration", inner, span.duration_us);
        if (key == "debug") return flag("debug", inner, span.is_debug);
        if (key == "shared") return flag("shared", inner, span.is_shared);
        if (key == "localEndpoint") return endpoint(inner, span.local);
        if (key == "remoteEndpoint") return endpoint(inner, span.remote);
        if (key == "annotations")
            return each_element(inner, [&](value item) { return annotation(item, span); });
        if (key == "tags")
            return each_field(
                inner, [&](std::string_view name, value item) { return tag(name, item, span); });
        return true;
    }

    ZipkinToOtlp out_;
    std::string where_;
    std::string fault_;
};

}  // namespace

Result<Blob> zipkin_json_to_otlp(std::string_view json, uint64_t arrival_ns) {
    return ZipkinJsonReader(arrival_ns).run(json);
}

}  // namespace spanloom
