#include "traceql/error.h"

#include <algorithm>
#include <vector>

namespace spanloom::traceql {
namespace {

// Words longer than this are not compared: no name of the language is.
constexpr size_t kWordBytesMax = 32;
// A caret line shows at most this much of the query on either side.
constexpr size_t kCaretContextBytes = 80;

char lower(char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
}

size_t edit_distance(std::string_view a, std::string_view b) {
    std::vector<size_t> row(b.size() + 1);
    for (size_t j = 0; j <= b.size(); ++j)
        row[j] = j;
    for (size_t i = 1; i <= a.size(); ++i) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b.size(); ++j) {
            const size_t above = row[j];
            const size_t replace = diagonal + (lower(a[i - 1]) == lower(b[j - 1]) ? 0 : 1);
            row[j] = std::min({above + 1, row[j - 1] + 1, replace});
            diagonal = above;
        }
    }
    return row[b.size()];
}

// Moves to the left until a UTF-8 sequence starts.
size_t align_left(std::string_view text, size_t at) {
    while (at > 0 && at < text.size() && (static_cast<unsigned char>(text[at]) & 0xc0) == 0x80)
        --at;
    return at;
}

}  // namespace

std::string QueryError::text() const {
    std::string out = fmt::format("parse error at line {}, col {}: {}", line, column, message);
    if (!hint.empty()) out += " (" + hint + ")";
    return out;
}

std::string QueryError::with_caret(std::string_view query) const {
    const size_t at = std::min(from, query.size());
    size_t begin = at == 0 ? 0 : query.rfind('\n', at - 1);
    begin = begin == std::string_view::npos ? 0 : (at == 0 ? 0 : begin + 1);
    size_t end = std::min(query.find('\n', at), query.size());
    if (at - begin > kCaretContextBytes) begin = align_left(query, at - kCaretContextBytes);
    if (end - at > kCaretContextBytes) end = align_left(query, at + kCaretContextBytes);
    std::string out = text() + "\n  " + std::string(query.substr(begin, end - begin)) + "\n  ";
    for (size_t i = begin; i < at; ++i) {
        if ((static_cast<unsigned char>(query[i]) & 0xc0) == 0x80) continue;
        out += query[i] == '\t' ? '\t' : ' ';
    }
    out.append(std::max<size_t>(1, std::min(to, end) - std::min(at, std::min(to, end))), '^');
    return out;
}

QueryError error_at(std::string_view query, size_t from, size_t to, std::string message,
                    std::string hint) {
    QueryError error;
    error.from = std::min(from, query.size());
    error.to = std::max(std::min(to, query.size()), error.from);
    error.message = std::move(message);
    error.hint = std::move(hint);
    for (size_t i = 0; i < error.from; ++i) {
        if (query[i] == '\n') {
            ++error.line;
            error.column = 1;
        } else if ((static_cast<unsigned char>(query[i]) & 0xc0) != 0x80) {
            ++error.column;
        }
    }
    return error;
}

std::string_view nearest_name(std::string_view written, const std::string_view* candidates,
                              size_t count) {
    if (written.size() < 2 || written.size() > kWordBytesMax) return {};
    std::string_view best;
    size_t best_distance = written.size() <= 4    ? 1
                           : written.size() <= 8  ? 2
                           : written.size() <= 12 ? 3
                                                  : 4;
    ++best_distance;
    for (size_t i = 0; i < count; ++i) {
        const size_t distance = edit_distance(written, candidates[i]);
        if (distance >= best_distance) continue;
        best_distance = distance;
        best = candidates[i];
    }
    return best;
}

}  // namespace spanloom::traceql
