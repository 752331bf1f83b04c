#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "store/log_format.h"

namespace spanloom::store {

// The requests one after the other, compressed; "" where that saves too little.
std::string pack_requests(std::span<const LogRequest> requests);

// The requests of a pack: views into `bytes`, which was unpacked.
struct UnpackedRequests {
    Blob bytes;
    std::vector<LogRequest> requests;
};
// kDataLoss: not a pack, or one of more than kLogPackBytesMax.
Result<UnpackedRequests> unpack_requests(std::string_view pack);

// Says of each group whether it is packed. Packing takes CPU that decoding and merging want too, so
// it is for disks that hold up everything else: both ways are timed on large groups, and packing is
// used while it is much the faster one. One thread.
class LogPackingChoice {
  public:
    // Whether a group of so many bytes is packed.
    bool next(uint64_t bytes);
    // How long the last one took to pack, to write and to sync.
    void took(uint64_t bytes, uint64_t ns);

  private:
    std::optional<double> plain_ns_;  // a byte, of the newest groups
    std::optional<double> packed_ns_;
    uint64_t groups_ = 0;  // large ones
    bool is_packed_ = false;
};

}  // namespace spanloom::store
