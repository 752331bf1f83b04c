#include "send/request_json.h"

#include <algorithm>

#include "base/json_writer.h"
#include "otlp/batch.h"
#include "otlp/json.h"

namespace spanloom::send {

Result<std::string> request_json(const Pieces& request) {
    Blob bytes = Blob::allocate(request.size());
    uint8_t* to = bytes.mutable_data();
    for (const std::string_view part : request.parts())
        to = std::copy(part.begin(), part.end(), to);
    TRY_ASSIGN(const Batch batch, otlp::decode(std::move(bytes)));
    std::string text;
    JsonWriter out(text);
    otlp::write_traces_json(out, batch, otlp::JsonForm::kOtlp);
    return text;
}

}  // namespace spanloom::send
