#include "main/server_reply.h"

#include <algorithm>
#include <string_view>

#include <fmt/format.h>
#include <simdjson.h>

#include "base/text.h"
#include "main/terminal.h"

namespace spanloom {

std::string error_text(const std::string& body) {
    simdjson::dom::parser parser;
    simdjson::dom::element error;
    std::string_view message;
    if (!parser.parse(body).get(error) && !error["message"].get(message) && !message.empty()) {
        std::string text = printable(message);
        int64_t at = 0;
        if (!error["pos"].get(at)) text = fmt::format("column {} of the query: {}", at + 1, text);
        std::string_view hint;
        if (!error["hint"].get(hint) && !hint.empty()) text += "; " + printable(hint);
        return text;
    }
    return printable(body.substr(0, std::min<size_t>(body.find('\n'), 300)));
}

Result<HttpReply> accept_only_success(Result<HttpReply> reply) {
    if (reply && reply->status != 200)
        return fail(reply->status == 404 ? ErrorCode::kNotFound : ErrorCode::kInvalidArgument, "{}",
                    error_text(reply->body));
    return reply;
}

}  // namespace spanloom
