#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/io.h"
#include "base/result.h"
#include "store/log.h"
#include "store/store.h"
#include "store/store_paths.h"
#include "store/stored_counts.h"

namespace spanloom::store {

struct ManifestSegment {
    uint64_t id = 0;
    std::string tenant;
    uint64_t hour = 0;
    uint64_t spans = 0;
    uint64_t bytes = 0;
    std::optional<Keeping> kept = std::nullopt;  // none: in recent/

    Area area() const { return kept ? Area::kKept : Area::kRecent; }
    std::string path() const { return segment_path(area(), tenant, {hour, id}); }
};

struct ManifestChange {
    std::vector<ManifestSegment> added;
    std::vector<uint64_t> removed;
    std::vector<DecisionsFile> decisions_added;
    std::vector<uint64_t> decisions_removed;
    std::vector<CountsFile> counts_added;
    std::vector<uint64_t> counts_removed;
    LogPosition log_position;  // 0: as before
};

struct ManifestState {
    std::map<uint64_t, ManifestSegment> segments;
    std::map<uint64_t, DecisionsFile> decisions;
    std::map<uint64_t, CountsFile> counts;
    LogPosition log_position;
    uint64_t next_id = 1;
};

// What reading a manifest found.
struct ManifestReading {
    ManifestState state;
    bool is_missing = false;
    std::vector<std::string> damage;
    std::vector<std::string> notes;
};

// A manifest that says just this.
std::string encode_manifest(const ManifestState& state);

// Reads docs/format/manifest.md; any bytes are safe.
ManifestReading read_manifest(std::string_view bytes);

// Which segments there are, durably. Used under the store's manifest lock.
class Manifest {
  public:
    // Reads and writes it anew. What was found is in `reading`, but for its state.
    static Result<std::unique_ptr<Manifest>> open(Io& io, ManifestReading& reading);

    const ManifestState& state() const { return state_; }
    uint64_t take_id() { return state_.next_id++; }
    // A file with this number lies about.
    void avoid_id(uint64_t id) { state_.next_id = std::max(state_.next_id, id + 1); }
    // All of it is durable, or an error. After an error it may still be on disk until repair()
    // succeeds: files that the change names must stay.
    Result<void> commit(const ManifestChange& change);
    bool is_certain() const { return is_certain_; }
    // Writes what state() says, where that is not certain.
    Result<void> repair();

  private:
    explicit Manifest(Io& io) : io_(io) {}
    Result<void> rewrite(const ManifestState& state);

    Io& io_;
    ManifestState state_;
    std::unique_ptr<WritableFile> file_;
    uint64_t bytes_ = 0;
    uint64_t bytes_rewritten_ = 0;
    bool is_certain_ = true;
};

}  // namespace spanloom::store
