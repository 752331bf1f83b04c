#include "base/text.h"
#include "http/message.h"

namespace spanloom::http {
namespace {

// More than any client of ours sends; what follows is ignored.
constexpr size_t kParametersMax = 1000;

}  // namespace

Query Query::parse(std::string_view text) {
    Query query;
    while (!text.empty() && query.parameters_.size() < kParametersMax) {
        const size_t end = text.find('&');
        const std::string_view part = text.substr(0, end);
        text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
        if (part.empty()) continue;
        const size_t equals = part.find('=');
        std::string name = decode_percent(part.substr(0, equals), true);
        std::string value;
        if (equals != std::string_view::npos) value = decode_percent(part.substr(equals + 1), true);
        query.parameters_.emplace_back(std::move(name), std::move(value));
    }
    return query;
}

std::string_view Query::get(std::string_view name) const {
    for (const auto& [key, value] : parameters_) {
        if (key == name) return value;
    }
    return {};
}

bool Query::has(std::string_view name) const {
    for (const auto& [key, value] : parameters_) {
        if (key == name) return true;
    }
    return false;
}

std::vector<std::string_view> Query::all(std::string_view name) const {
    std::vector<std::string_view> values;
    for (const auto& [key, value] : parameters_) {
        if (key == name) values.push_back(value);
    }
    return values;
}

}  // namespace spanloom::http
