// The filter as gRPC carries it (jaeger.expression.v1.Call): written as the JSON that HTTP carries,
// so that both mean the same.
#include <array>
#include <string>

#include "api/jaeger_filter.h"
#include "base/json_writer.h"
#include "send/proto_reader.h"

namespace spanloom::api {
namespace {

using send::ProtoReader;

constexpr int kDepthMax = 65;  // what is deeper is refused when the JSON is read

tl::unexpected<Error> malformed(std::string_view what) {
    return fail(ErrorCode::kInvalidArgument, "malformed filter: {}", what);
}

// A message of strings: field 1 has the first of the names, and so on.
Result<void> write_texts(JsonWriter& json, std::string_view message,
                         std::array<std::string_view, 2> names) {
    json.begin_object();
    ProtoReader reader(message);
    while (reader.next()) {
        const uint32_t field = reader.field();
        if (field >= 1 && field <= names.size() && !names[field - 1].empty())
            json.field(names[field - 1], reader.bytes());
    }
    json.end_object();
    if (reader.is_damaged()) return malformed("it ends early");
    return {};
}

Result<void> write_list(JsonWriter& json, std::string_view message) {
    std::string_view type;
    json.begin_object().key("values").begin_array();
    ProtoReader reader(message);
    while (reader.next()) {
        if (reader.field() == 1) json.string(reader.bytes());
        if (reader.field() == 2) type = reader.bytes();
    }
    json.end_array().field("type", type).end_object();
    if (reader.is_damaged()) return malformed("it ends early");
    return {};
}

Result<void> write_call(JsonWriter& json, std::string_view message, int depth);

Result<void> write_expression(JsonWriter& json, std::string_view message, int depth) {
    json.begin_object();
    ProtoReader reader(message);
    while (reader.next()) {
        switch (reader.field()) {
            case 1:
                TRY(write_texts(json.key("attr"), reader.bytes(), {"key", "level"}));
                break;
            case 2:
                TRY(write_texts(json.key("field"), reader.bytes(), {"name", "level"}));
                break;
            case 3:
                TRY(write_texts(json.key("nested"), reader.bytes(), {"level", ""}));
                break;
            case 4:
                TRY(write_texts(json.key("scalar"), reader.bytes(), {"value", "type"}));
                break;
            case 5:
                TRY(write_list(json.key("list"), reader.bytes()));
                break;
            case 6:
                TRY(write_call(json.key("call"), reader.bytes(), depth + 1));
                break;
            default:
                return malformed("it has a term that is not known here");
        }
    }
    json.end_object();
    if (reader.is_damaged()) return malformed("it ends early");
    return {};
}

Result<void> write_call(JsonWriter& json, std::string_view message, int depth) {
    if (depth > kDepthMax) return malformed("it is nested too deeply");
    std::string_view op;
    json.begin_object().key("args").begin_array();
    ProtoReader reader(message);
    while (reader.next()) {
        if (reader.field() == 1) op = reader.bytes();
        if (reader.field() == 2) TRY(write_expression(json, reader.bytes(), depth));
    }
    json.end_array().field("op", op).end_object();
    if (reader.is_damaged()) return malformed("it ends early");
    return {};
}

}  // namespace

Result<store::Predicate> parse_jaeger_filter_message(std::string_view call) {
    std::string text;
    JsonWriter json(text);
    TRY(write_call(json, call, 0));
    return parse_jaeger_filter(text);
}

}  // namespace spanloom::api
