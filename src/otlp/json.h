#pragma once

#include <cstdint>
#include <string_view>

#include "base/json_writer.h"
#include "otlp/batch.h"
#include "otlp/view.h"

// OTLP as JSON text. Reading it is json_to_protobuf in otlp/batch.h.
namespace spanloom::otlp {

// How ids and enumerations look. In both, 64-bit numbers are strings and defaults are left out.
enum class JsonForm : uint8_t {
    kOtlp,    // OTLP/JSON and Jaeger v3: hexadecimal ids, enumerations as numbers
    kProto3,  // plain proto3 JSON, as Tempo answers: base64 ids, enumerations by name
};

enum class ValueForm : uint8_t {
    kTagged,  // {"intValue":"5"}
    kPlain,   // 5; lists and maps as ordinary JSON, bytes as base64
};

void append_value_json(JsonWriter& out, const ValueView& value,
                       ValueForm form = ValueForm::kTagged);
// Where everything is text: a string as it is, others as plain JSON; bytes are base64 without the
// quotes of JSON.
std::string plain_text(const ValueView& value);
// [{"key":..,"value":{..}},..]
void append_attributes_json(JsonWriter& out, const Repeated<AttributeView>& attributes);
void append_span_json(JsonWriter& out, const SpanView& span, JsonForm form);
// The list that "resourceSpans" (Tempo v1: "batches") holds: every accepted span of the batch,
// under the resources and scopes it came with.
void append_resource_spans_json(JsonWriter& out, const Batch& batch, JsonForm form);
// {"resourceSpans":[..]}
void write_traces_json(JsonWriter& out, const Batch& batch, JsonForm form);

}  // namespace spanloom::otlp
