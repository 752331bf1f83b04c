#include "store/log_pack.h"

#include <algorithm>
#include <cstring>
#include <memory>

#include <zstd.h>

namespace spanloom::store {
namespace {

constexpr int kLevel = -3;              // a fifth of the bytes at 0.6 CPU seconds a million spans
constexpr size_t kHeadBytes = 24;       // of a request
constexpr double kSavedAtLeast = 0.25;  // of the bytes, else they are written as they came
constexpr uint64_t kLargeGroupBytes = 1 << 20;
constexpr uint64_t kProbeEvery = 32;  // large groups: then the way that is not in use is tried
constexpr double kSlowDisk_ns = 5;    // a byte: 200 MB/s
constexpr double kMuchFaster = 0.7;
constexpr double kNewestWeight = 0.125;

struct FreeZstd {
    void operator()(ZSTD_CCtx* context) const { ZSTD_freeCCtx(context); }
};

std::string head_of(const LogRequest& request) {
    std::string head(kHeadBytes, '\0');
    const auto tenant = static_cast<uint16_t>(request.tenant.size());
    const auto payload = static_cast<uint32_t>(request.payload.size());
    std::memcpy(head.data(), &tenant, 2);
    std::memcpy(head.data() + 4, &payload, 4);
    std::memcpy(head.data() + 8, &request.arrival_ns, 8);
    std::memcpy(head.data() + 16, &request.payload_hash, 8);
    return head;
}

tl::unexpected<Error> damaged() {
    return fail(ErrorCode::kDataLoss, "the pack is damaged");
}

void add_newest(std::optional<double>& average, double value) {
    average = average ? *average + (value - *average) * kNewestWeight : value;
}

}  // namespace

std::string pack_requests(std::span<const LogRequest> requests) {
    uint64_t bytes = 0;
    for (const LogRequest& request : requests)
        bytes += kHeadBytes + request.tenant.size() + request.payload.size();
    const auto limit = static_cast<size_t>(static_cast<double>(bytes) * (1 - kSavedAtLeast));
    std::string packed(limit, '\0');
    const std::unique_ptr<ZSTD_CCtx, FreeZstd> context(ZSTD_createCCtx());
    ZSTD_CCtx_setParameter(context.get(), ZSTD_c_compressionLevel, kLevel);
    ZSTD_CCtx_setPledgedSrcSize(context.get(), bytes);
    ZSTD_outBuffer out{packed.data(), packed.size(), 0};
    const auto add = [&](std::string_view piece, ZSTD_EndDirective directive) {
        ZSTD_inBuffer in{piece.data(), piece.size(), 0};
        const size_t left = ZSTD_compressStream2(context.get(), &out, &in, directive);
        // Some is left where `packed` is full.
        return ZSTD_isError(left) == 0 && in.pos == in.size &&
               (directive != ZSTD_e_end || left == 0);
    };
    for (const LogRequest& request : requests) {
        if (!add(head_of(request), ZSTD_e_continue) || !add(request.tenant, ZSTD_e_continue) ||
            !add(request.payload, ZSTD_e_continue))
            return {};
    }
    if (!add({}, ZSTD_e_end)) return {};
    packed.resize(out.pos);
    return packed;
}

Result<UnpackedRequests> unpack_requests(std::string_view pack) {
    const unsigned long long size = ZSTD_getFrameContentSize(pack.data(), pack.size());
    // The two errors are the greatest numbers.
    if (size == 0 || size > kLogPackBytesMax) return damaged();
    UnpackedRequests unpacked;
    unpacked.bytes = Blob::allocate(size);
    if (ZSTD_decompress(unpacked.bytes.mutable_data(), size, pack.data(), pack.size()) != size)
        return damaged();
    std::string_view left = unpacked.bytes.view();
    while (!left.empty()) {
        if (left.size() < kHeadBytes) return damaged();
        uint16_t tenant = 0;
        uint32_t payload = 0;
        LogRequest request;
        std::memcpy(&tenant, left.data(), 2);
        std::memcpy(&payload, left.data() + 4, 4);
        std::memcpy(&request.arrival_ns, left.data() + 8, 8);
        std::memcpy(&request.payload_hash, left.data() + 16, 8);
        left.remove_prefix(kHeadBytes);
        if (tenant == 0 || tenant > kTenantBytesMax || left.size() < tenant ||
            left.size() - tenant < payload)
            return damaged();
        request.tenant = left.substr(0, tenant);
        request.payload = left.substr(tenant, payload);
        left.remove_prefix(tenant + payload);
        unpacked.requests.push_back(request);
    }
    return unpacked;
}

bool LogPackingChoice::next(uint64_t bytes) {
    const bool is_slow = plain_ns_ && *plain_ns_ > kSlowDisk_ns;
    const bool is_better = is_slow && packed_ns_ && *packed_ns_ < *plain_ns_ * kMuchFaster;
    is_packed_ = is_better;
    if (bytes < kLargeGroupBytes) return is_packed_;
    if (++groups_ % kProbeEvery == 0) is_packed_ = is_better ? false : is_slow;
    return is_packed_;
}

void LogPackingChoice::took(uint64_t bytes, uint64_t ns) {
    if (bytes < kLargeGroupBytes) return;
    add_newest(is_packed_ ? packed_ns_ : plain_ns_,
               static_cast<double>(ns) / static_cast<double>(bytes));
}

}  // namespace spanloom::store
