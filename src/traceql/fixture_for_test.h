#pragma once

#include <charconv>
#include <map>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "otlp/batch.h"
#include "otlp/json.h"
#include "store/engine_fixture.h"

// Traces as text, for tests (test/traceql/README.md), and every way in which a store can hold them.
namespace spanloom::traceql {

constexpr uint64_t kFixtureNs = store::kNow;  // ms of fixtures count from here

// One span as a request of its own.
struct FixtureSpan {
    std::string name;
    std::string span_id;
    Batch batch;
};

inline Batch decoded_bytes(std::string_view bytes) {
    auto batch = otlp::decode(Blob::copy_of(bytes));
    REQUIRE(batch.has_value());
    return std::move(*batch);
}

inline Batch decoded(const std::string& json) {
    const auto bytes = otlp::json_to_protobuf(json);
    REQUIRE_MESSAGE(bytes.has_value(), json);
    return decoded_bytes(bytes->view());
}

class Fixture {
  public:
    static Fixture parse(const std::string& text) {
        Fixture fixture;
        std::istringstream lines(text);
        std::string line;
        while (std::getline(lines, line)) {
            const std::vector<std::string> words = split(line);
            if (words.empty() || words[0][0] == '#') continue;
            if (words[0] == "trace") {
                fixture.finish();
                fixture.trace_ = fmt::format("{:0>32}", words[1]);
            } else if (words[0] == "span") {
                fixture.finish();
                fixture.begin(words);
            } else {
                fixture.child(words);
            }
        }
        fixture.finish();
        return fixture;
    }

    // A request in OTLP JSON, whose spans all have different names.
    static Fixture parse_json(const std::string& json) {
        Fixture fixture;
        const Batch all = decoded(json);
        for (const SpanRef& ref : all.spans) {
            const otlp::SpanView span = all.span(ref);
            fixture.spans_.push_back(
                {std::string(span.name), span.span_id.hex(), request_of(all, ref)});
            ++fixture.names_[span.span_id.hex()];
        }
        return fixture;
    }

    const std::vector<FixtureSpan>& spans() const { return spans_; }
    // The name of a span by its id; spans that share one are told apart by the name in the answer.
    std::string name_of(const SpanId& id, const std::string& name) const {
        for (const FixtureSpan& span : spans_) {
            if (span.span_id == id.hex() && (span.name == name || names_.at(id.hex()) == 1))
                return span.name;
        }
        return "?" + id.hex();
    }

  private:
    // A request with one span of another: requests of equal bytes would be taken for resends.
    static Batch request_of(const Batch& all, const SpanRef& ref) {
        const ScopeRef& scope = all.scopes[ref.scope];
        const std::string_view resource = all.at(all.resources[scope.resource].message);
        const std::string of_scope =
            message(1, all.at(scope.message)) + message(2, all.at(ref.message));
        return decoded_bytes(message(1, message(1, resource) + message(2, of_scope)));
    }

    // A field of a protobuf message that holds a message.
    static std::string message(uint32_t field, std::string_view bytes) {
        std::string out(1, static_cast<char>(field << 3 | 2));
        size_t size = bytes.size();
        for (; size >= 0x80; size >>= 7)
            out += static_cast<char>((size & 0x7f) | 0x80);
        out += static_cast<char>(size);
        return out.append(bytes);
    }

    // At blanks outside quotes and brackets.
    static std::vector<std::string> split(const std::string& line) {
        std::vector<std::string> words;
        std::string word;
        bool is_quoted = false;
        int depth = 0;
        for (const char c : line) {
            if (c == '"') is_quoted = !is_quoted;
            if (c == '[') ++depth;
            if (c == ']') --depth;
            if (c == ' ' && !is_quoted && depth == 0) {
                if (!word.empty()) words.push_back(word);
                word.clear();
            } else {
                word += c;
            }
        }
        if (!word.empty()) words.push_back(word);
        return words;
    }

    static std::string value_json(const std::string& text) {
        if (text[0] == '"') return R"({"stringValue":)" + text + "}";
        if (text == "true" || text == "false") return R"({"boolValue":)" + text + "}";
        if (text[0] == '[') {
            std::string out;
            std::string inner = text.substr(1, text.size() - 2);
            std::istringstream parts(inner);
            std::string part;
            while (std::getline(parts, part, ','))
                out += (out.empty() ? "" : ",") + value_json(part);
            return R"({"arrayValue":{"values":[)" + out + "]}}";
        }
        const bool is_double = text.find_first_of(".e") != std::string::npos;
        return (is_double ? R"({"doubleValue":)" : R"({"intValue":)") + text + "}";
    }

    static void append(std::string& list, const std::string& item) {
        if (!list.empty()) list += ',';
        list += item;
    }
    static std::string attribute(const std::string& key, const std::string& value) {
        return R"({"key":")" + key + R"(","value":)" + value_json(value) + "}";
    }

    void begin(const std::vector<std::string>& words) {
        is_open_ = true;
        name_ = shown_name_ = words[1];
        span_id_ = fmt::format("{:016x}", spans_.size() + 1);
        start_ms_ = static_cast<double>(spans_.size());
        double duration_ms = 10;
        std::string fields;
        for (size_t i = 2; i < words.size(); ++i) {
            const size_t equals = words[i].find('=');
            const std::string key = words[i].substr(0, equals);
            const std::string value = words[i].substr(equals + 1);
            if (key == "parent") {
                append(fields, R"("parentSpanId":")" + id_of(value) + '"');
            } else if (key == "id") {
                span_id_ = id_of(value);
            } else if (key == "start") {
                start_ms_ = std::stod(value);
            } else if (key == "dur") {
                duration_ms = std::stod(value);
            } else if (key == "name") {
                shown_name_ = value.substr(1, value.size() - 2);
            } else if (key == "kind") {
                constexpr std::string_view kKinds[] = {"unspecified", "internal", "server",
                                                       "client",      "producer", "consumer"};
                for (size_t kind = 0; kind < 6; ++kind) {
                    if (kKinds[kind] == value) append(fields, fmt::format(R"("kind":{})", kind));
                }
            } else if (key == "status") {
                status_ = fmt::format(R"("code":{})", value == "error" ? 2 : value == "ok" ? 1 : 0);
            } else if (key == "message") {
                message_ = R"("message":)" + value;
            } else if (key == "state") {
                append(fields, R"("traceState":)" + value);
            } else if (key == "service") {
                append(resource_, attribute("service.name", '"' + value + '"'));
            } else if (key == "scope") {
                const size_t slash = value.find('/');
                scope_ = R"("name":")" + value.substr(0, slash) + '"';
                if (slash != std::string::npos)
                    scope_ += R"(,"version":")" + value.substr(slash + 1) + '"';
            } else if (key.starts_with("span.")) {
                append(attributes_, attribute(key.substr(5), value));
            } else if (key.starts_with("resource.")) {
                append(resource_, attribute(key.substr(9), value));
            } else if (key.starts_with("instrumentation.")) {
                append(scope_attributes_, attribute(key.substr(16), value));
            } else {
                FAIL("unknown word in a fixture: " << words[i]);
            }
        }
        append(fields, R"("startTimeUnixNano":")" + time_text(start_ms_) + '"');
        append(fields, R"("endTimeUnixNano":")" + time_text(start_ms_ + duration_ms) + '"');
        fields_ = fields;
    }

    static std::string time_text(double ms) {
        return std::to_string(kFixtureNs + static_cast<uint64_t>(ms * 1e6 + 0.5));
    }

    // "event NAME at=MS key=value", "link trace=HEX span=HEX key=value"
    void child(const std::vector<std::string>& words) {
        std::string fields;
        std::string attributes;
        for (size_t i = 1; i < words.size(); ++i) {
            const size_t equals = words[i].find('=');
            const std::string key = words[i].substr(0, equals);
            const std::string value =
                equals == std::string::npos ? "" : words[i].substr(equals + 1);
            if (equals == std::string::npos) {
                append(fields, R"("name":")" + key + '"');
            } else if (key == "at") {
                append(fields,
                       R"("timeUnixNano":")" + time_text(start_ms_ + std::stod(value)) + '"');
            } else if (key == "trace") {
                append(fields, fmt::format(R"("traceId":"{:0>32}")", value));
            } else if (key == "span") {
                append(fields, fmt::format(R"("spanId":"{:0>16}")", value));
            } else {
                append(attributes, attribute(key, value));
            }
        }
        append(fields, R"("attributes":[)" + attributes + "]");
        append(words[0] == "event" ? events_ : links_, "{" + fields + "}");
    }

    // A span's name, or "#" and digits for one that is not here.
    std::string id_of(const std::string& name) {
        if (name[0] == '#') return fmt::format("{:0>16}", name.substr(1));
        if (name == name_) return span_id_;
        for (const FixtureSpan& span : spans_) {
            if (span.name == name) return span.span_id;
        }
        FAIL("a fixture names a span that is not there: " << name);
        return {};
    }

    void finish() {
        if (!is_open_) return;
        is_open_ = false;
        std::string status = status_;
        append(status, message_);
        if (message_.empty()) status = status_;
        if (status.starts_with(",")) status.erase(0, 1);
        const std::string json = fmt::format(
            R"({{"resourceSpans":[{{"resource":{{"attributes":[{}]}},)"
            R"("scopeSpans":[{{"scope":{{{}{}"attributes":[{}]}},)"
            R"("spans":[{{"traceId":"{}","spanId":"{}","name":"{}",{},"attributes":[{}],)"
            R"("events":[{}],"links":[{}],"status":{{{}}}}}]}}]}}]}})",
            resource_, scope_, scope_.empty() ? "" : ",", scope_attributes_, trace_, span_id_,
            shown_name_, fields_, attributes_, events_, links_, status);
        spans_.push_back({name_, span_id_, decoded(json)});
        ++names_[span_id_];
        for (std::string* part : {&resource_, &scope_, &scope_attributes_, &attributes_, &events_,
                                  &links_, &status_, &message_})
            part->clear();
    }

    std::vector<FixtureSpan> spans_;
    std::map<std::string, int> names_;  // by id, how many have it
    std::string trace_;
    bool is_open_ = false;
    double start_ms_ = 0;
    std::string name_, shown_name_, span_id_, fields_, status_, message_, resource_, scope_,
        scope_attributes_, attributes_, events_, links_;
};

// The same spans in a store, held in some way.
struct StoredFixture {
    std::string how;
    store::StoreFixture store;
    std::vector<std::shared_ptr<const store::Segment>> segments;
};

inline void send(store::StoreFixture& to, const FixtureSpan& span) {
    REQUIRE(to.send(span.batch).has_value());
}

// The span once more, in a request that differs (by a field that means nothing): the store takes it
// as new.
inline void send_again(store::StoreFixture& to, const FixtureSpan& span, size_t time) {
    std::string bytes(span.batch.bytes.view());
    bytes += {0x78, static_cast<char>(time)};
    REQUIRE(to.send(decoded_bytes(bytes)).has_value());
}

// In one segment in memory; spans of each trace spread over several, some of them sent twice; the
// same as files; and those files merged.
inline std::vector<std::unique_ptr<StoredFixture>> every_store(const Fixture& fixture) {
    std::vector<std::unique_ptr<StoredFixture>> stores;
    for (const std::string_view how : {"memory", "scattered", "flushed", "merged"}) {
        auto stored = std::make_unique<StoredFixture>();
        stored->how = how;
        stored->store.open();
        const size_t parts = how == "memory" ? 1 : 3;
        for (size_t part = 0; part < parts; ++part) {
            for (size_t i = part; i < fixture.spans().size(); i += parts)
                send(stored->store, fixture.spans()[i]);
            if (part > 0) send_again(stored->store, fixture.spans()[0], part);
            REQUIRE((how == "flushed" ? stored->store.store->flush() : stored->store.store->seal())
                        .has_value());
        }
        if (how == "merged") {
            REQUIRE(stored->store.store->flush().has_value());
            REQUIRE(stored->store.store->settle().has_value());
        }
        stored->segments = stored->store.store->snapshot("default");
        REQUIRE(!stored->segments.empty());
        stores.push_back(std::move(stored));
    }
    return stores;
}

}  // namespace spanloom::traceql
