#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "base/io.h"
#include "base/result.h"
#include "otlp/ids.h"
#include "store/log.h"

namespace spanloom::store {

// Traces that somebody had deleted, as docs/format/deletions.md keeps it.
struct Deletion {
    uint64_t id = 0;
    std::string tenant;
    uint64_t at_ns = 0;       // wall clock
    std::string by;           // who asked, as they say
    std::string reason;       // as they say
    uint64_t query_hash = 0;  // of the query that found them; 0: they were named. Queries of such
                              // requests hold what is to be forgotten, so they are not kept
    uint64_t traces = 0;
    uint64_t spans = 0;         // stored when it was asked for
    LogPosition log_end;        // the log before it may hold some of them
    uint64_t erased_at_ns = 0;  // no file of ours holds them since; 0: some still may
    std::vector<TraceId> ids;   // until they are forgotten
};

constexpr size_t kDeletionTracesMax = 250'000;  // of one deletion; 4 MB
constexpr size_t kDeletionTextBytesMax = 1'000;

std::string encode_deletion(const Deletion& deletion);
// Any bytes are safe. `copy_used`: the first of the two copies is damaged.
Result<Deletion> decode_deletion(std::string_view bytes, bool& copy_used);

using TraceIds = std::unordered_set<TraceId>;

// All deletions, on disk and in memory. Thread-safe.
class Deletions {
  public:
    explicit Deletions(Io& io) : io_(io) {}

    // Reads what is there; what cannot be read is in `damage`, one sentence each.
    Result<void> load(std::vector<std::string>& damage);
    // Durable when it returns; gets its id here.
    Result<Deletion> add(Deletion deletion);
    // Writes a changed record in the place of the one with its id.
    Result<void> update(const Deletion& deletion);
    // Ids that are not to be seen, of a tenant; null where there are none.
    std::shared_ptr<const TraceIds> hidden(std::string_view tenant) const;
    bool has_hidden() const;
    std::vector<Deletion> all() const;      // newest first, without ids
    std::vector<Deletion> pending() const;  // not erased, or not forgotten yet; without ids
    std::optional<Deletion> find(uint64_t id) const;  // with ids

  private:
    Result<void> write(const Deletion& deletion);
    void index();

    Io& io_;
    mutable std::mutex mutex_;
    std::map<uint64_t, Deletion> deletions_;
    std::map<std::string, std::shared_ptr<const TraceIds>, std::less<>> hidden_;
};

}  // namespace spanloom::store
