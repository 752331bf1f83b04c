#include "privacy/redact_otlp.h"

#include <cstdint>

#include "otlp/wire.h"
#include "otlp/writer.h"

namespace spanloom::privacy {
namespace {

using otlp::WireReader;
using otlp::WireWriter;

// Field numbers of opentelemetry/proto/{trace,common,resource}/v1.
namespace span_field {
constexpr uint32_t kTraceState = 3, kName = 5, kAttributes = 9, kEvents = 11, kLinks = 13,
                   kStatus = 15;
}
namespace event_field {
constexpr uint32_t kName = 2, kAttributes = 3;
}
namespace link_field {
constexpr uint32_t kTraceState = 3, kAttributes = 4;
}
namespace value_field {
constexpr uint32_t kString = 1, kInt = 3, kArray = 5, kMap = 6, kBytes = 7;
}
constexpr uint32_t kStatusMessage = 2;
constexpr uint32_t kScopeName = 1, kScopeAttributes = 3;
constexpr uint32_t kResourceAttributes = 1;
constexpr uint32_t kKey = 1, kValue = 2;  // of a KeyValue
constexpr uint32_t kElements = 1;         // of an ArrayValue or KeyValueList
constexpr uint32_t kBytesType = 2;        // wire type: length-delimited
constexpr int kDepthMax = 64;             // deeper values were refused on the way in

std::string_view string_of(std::string_view any_value) {
    WireReader reader(any_value);
    while (reader.next()) {
        if (reader.field() == value_field::kString && reader.wire_type() == kBytesType)
            return reader.bytes();
        reader.skip();
    }
    return {};
}

// One message being copied field by field, some of them changed.
class Rewriter {
  public:
    Rewriter(const Redactor& redactor, std::string& out) : redactor_(redactor), out_(out) {}

    bool span(std::string_view message) {
        statement_ = StatementKind::kSql;
        has_database_ = false;
        find_database(message);
        return fields(message, [&](uint32_t field, std::string_view bytes) {
            switch (field) {
                case span_field::kName:
                    return span_name(bytes);
                case span_field::kTraceState:
                    return text(field, bytes);
                case span_field::kAttributes:
                    return key_value(field, bytes, 0);
                case span_field::kEvents:
                    return nested(field, bytes, event_field::kName, event_field::kAttributes);
                case span_field::kLinks:
                    return nested(field, bytes, link_field::kTraceState, link_field::kAttributes);
                case span_field::kStatus:
                    return nested(field, bytes, kStatusMessage, 0);
                default:
                    return kAsItIs;
            }
        });
    }
    // A message with one text and a list of attributes (0: has none).
    bool simple(std::string_view message, uint32_t text_field, uint32_t attributes_field) {
        return fields(message, [&](uint32_t field, std::string_view bytes) {
            if (field == text_field) return text(field, bytes);
            if (field == attributes_field) return key_value(field, bytes, 0);
            return kAsItIs;
        });
    }

  private:
    // What became of a field: copy it, or it was written (or left out) already.
    enum Outcome : uint8_t { kAsItIs, kDone };

    // Calls `change` for each length-delimited field, and copies what it leaves.
    template <typename Change>
    bool fields(std::string_view message, Change change) {
        bool changed = false;
        WireReader reader(message);
        WireWriter writer(out_);
        while (reader.next()) {
            const uint32_t field = reader.field();
            switch (reader.wire_type()) {
                case 0:
                    writer.varint_field(field, reader.varint());
                    break;
                case 1:
                    writer.fixed64_field(field, reader.fixed64());
                    break;
                case kBytesType: {
                    const std::string_view bytes = reader.bytes();
                    if (change(field, bytes) == kDone) {
                        changed = true;
                    } else {
                        writer.bytes_field(field, bytes);
                    }
                    break;
                }
                default:
                    writer.fixed32_field(field, reader.fixed32());
                    break;
            }
        }
        return changed;
    }

    // Writes a nested message by `write`, and takes it back where that changed nothing.
    template <typename Write>
    Outcome sub_message(uint32_t field, Write write) {
        const size_t before = out_.size();
        WireWriter writer(out_);
        const size_t mark = writer.begin(field);
        if (!write()) {
            out_.resize(before);
            return kAsItIs;
        }
        writer.end(mark);
        return kDone;
    }

    // A statement as a span's name is as telling as in its attribute.
    Outcome span_name(std::string_view name) {
        const bool is_statement =
            has_database_ && (statement_ == StatementKind::kRedis ? name.find(' ') != name.npos
                                                                  : looks_like_sql(name));
        if (!is_statement) return text(span_field::kName, name);
        std::string changed;
        if (!redactor_.redact_text("db.query.text", name, statement_, changed)) return kAsItIs;
        WireWriter(out_).bytes_field(span_field::kName, changed);
        return kDone;
    }
    Outcome text(uint32_t field, std::string_view value) {
        std::string changed;
        if (!redactor_.redact_text("", value, statement_, changed)) return kAsItIs;
        WireWriter(out_).bytes_field(field, changed);
        return kDone;
    }
    Outcome nested(uint32_t field, std::string_view message, uint32_t text_field,
                   uint32_t attributes_field) {
        return sub_message(field, [&] { return simple(message, text_field, attributes_field); });
    }

    void find_database(std::string_view span) {
        WireReader reader(span);
        while (reader.next()) {
            if (reader.field() != span_field::kAttributes || reader.wire_type() != kBytesType) {
                reader.skip();
                continue;
            }
            std::string_view key;
            std::string_view value;
            read_key_value(reader.bytes(), key, value);
            if (key != "db.system.name" && key != "db.system") continue;
            has_database_ = true;
            statement_ = statement_kind(string_of(value));
        }
    }
    static void read_key_value(std::string_view message, std::string_view& key,
                               std::string_view& value) {
        WireReader reader(message);
        while (reader.next()) {
            if (reader.wire_type() != kBytesType) {
                reader.skip();
            } else if (reader.field() == kKey) {
                key = reader.bytes();
            } else if (reader.field() == kValue) {
                value = reader.bytes();
            } else {
                reader.skip();
            }
        }
    }

    Outcome key_value(uint32_t field, std::string_view message, int depth) {
        std::string_view key;
        std::string_view value;
        read_key_value(message, key, value);
        const Redactor::Verdict verdict = redactor_.judge_key(key);
        if (verdict == Redactor::Verdict::kRemove) return kDone;
        return sub_message(field, [&] {
            WireWriter writer(out_);
            std::string new_key;
            bool changed = redactor_.redact_findings(key, "", new_key);
            writer.bytes_field(kKey, changed ? std::string_view(new_key) : key);
            if (verdict == Redactor::Verdict::kChange) {
                replace_value(value);
                return true;
            }
            if (any_value(kValue, key, value, depth) == kDone) {
                changed = true;
            } else {
                writer.bytes_field(kValue, value);
            }
            return changed;
        });
    }
    // The whole value as one text: its own text's replacement, or that of its bytes.
    void replace_value(std::string_view value) {
        const std::string_view string = string_of(value);
        WireWriter writer(out_);
        const size_t mark = writer.begin(kValue);
        writer.bytes_field(value_field::kString,
                           redactor_.replace(string.empty() ? value : string));
        writer.end(mark);
    }

    Outcome any_value(uint32_t field, std::string_view key, std::string_view value, int depth) {
        if (depth > kDepthMax) return kAsItIs;
        WireReader reader(value);
        if (!reader.next()) return kAsItIs;
        if (reader.field() == value_field::kInt && reader.wire_type() == 0)
            return number(field, reader.varint());
        // A value has one field; where a stranger wrote several, each is looked at.
        return sub_message(field, [&] {
            return fields(value, [&](uint32_t type, std::string_view bytes) {
                switch (type) {
                    case value_field::kString:
                    case value_field::kBytes:
                        return value_text(type, key, bytes);
                    case value_field::kArray:
                        return list(type, bytes, [&](std::string_view element) {
                            return any_value(kElements, key, element, depth + 1);
                        });
                    case value_field::kMap:
                        return list(type, bytes, [&](std::string_view entry) {
                            return key_value(kElements, entry, depth + 1);
                        });
                    default:
                        return kAsItIs;
                }
            });
        });
    }
    Outcome value_text(uint32_t type, std::string_view key, std::string_view value) {
        std::string changed;
        if (!redactor_.redact_text(key, value, statement_, changed)) return kAsItIs;
        WireWriter(out_).bytes_field(type, changed);
        return kDone;
    }
    Outcome number(uint32_t field, uint64_t value) {
        if (!redactor_.is_card(static_cast<int64_t>(value))) return kAsItIs;
        return sub_message(field, [&] {
            WireWriter(out_).bytes_field(value_field::kString,
                                         redactor_.replace(std::to_string(value)));
            return true;
        });
    }
    template <typename Element>
    Outcome list(uint32_t type, std::string_view message, Element element) {
        return sub_message(type, [&] {
            return fields(message, [&](uint32_t field, std::string_view bytes) {
                return field == kElements ? element(bytes) : kAsItIs;
            });
        });
    }

    const Redactor& redactor_;
    std::string& out_;
    StatementKind statement_ = StatementKind::kSql;
    bool has_database_ = false;
};

template <typename Rewrite>
bool rewrite(const Redactor& redactor, std::string& out, Rewrite write) {
    const size_t before = out.size();
    Rewriter rewriter(redactor, out);
    if (write(rewriter)) return true;
    out.resize(before);
    return false;
}

}  // namespace

bool redact_span(std::string_view span, const Redactor& redactor, std::string& out) {
    return rewrite(redactor, out, [span](Rewriter& r) { return r.span(span); });
}

bool redact_scope(std::string_view scope, const Redactor& redactor, std::string& out) {
    return rewrite(redactor, out,
                   [scope](Rewriter& r) { return r.simple(scope, kScopeName, kScopeAttributes); });
}

bool redact_resource(std::string_view resource, const Redactor& redactor, std::string& out) {
    return rewrite(redactor, out,
                   [resource](Rewriter& r) { return r.simple(resource, 0, kResourceAttributes); });
}

}  // namespace spanloom::privacy
