#include "base/result.h"

#include <array>
#include <cstdio>
#include <cstdlib>

namespace spanloom {
namespace {

struct CodeRow {
    std::string_view name;
    int http;
    int grpc;
};

constexpr std::array<CodeRow, 11> kCodes = {{
    {"invalid_argument", 400, 3},
    {"not_found", 404, 5},
    {"already_exists", 409, 6},
    {"resource_exhausted", 429, 8},
    {"unsupported", 415, 12},
    {"unavailable", 503, 14},
    {"deadline_exceeded", 504, 4},
    {"cancelled", 499, 1},
    {"data_loss", 500, 15},
    {"permission_denied", 403, 7},
    {"internal", 500, 13},
}};

const CodeRow& row(ErrorCode code) {
    return kCodes[static_cast<size_t>(code)];
}

}  // namespace

std::string_view error_code_name(ErrorCode code) {
    return row(code).name;
}
int http_status(ErrorCode code) {
    return row(code).http;
}
int grpc_status(ErrorCode code) {
    return row(code).grpc;
}

void die(const char* condition, const char* file, int line) {
    std::fprintf(stderr, "spanloom: a fault in spanloom itself: %s does not hold (%s:%d)\n",
                 condition, file, line);
    std::abort();
}

}  // namespace spanloom
