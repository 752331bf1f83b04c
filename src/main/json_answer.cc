#include "main/json_answer.h"

#include "main/terminal.h"

namespace spanloom {

tl::unexpected<Error> unexpected_answer() {
    return fail(ErrorCode::kInternal, "the server's answer is not JSON: is it spanloom?");
}

Result<simdjson::dom::element> parse_answer(simdjson::dom::parser& parser,
                                            const std::string& body) {
    simdjson::dom::element root;
    if (parser.parse(body).get(root)) return unexpected_answer();
    return root;
}

std::string text_of(const simdjson::dom::element& object, const char* key) {
    std::string_view value;
    return object[key].get(value) ? "" : printable(value);
}

uint64_t number_of(const simdjson::dom::element& object, const char* key) {
    uint64_t value = 0;
    return object[key].get(value) ? 0 : value;
}

}  // namespace spanloom
