#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/io.h"
#include "base/random.h"

namespace spanloom {

// What a call to MemoryIo is about to do.
enum class IoCall : uint8_t {
    kCreate,
    kOverwrite,
    kOpen,
    kRename,
    kRemove,
    kMakeDirectory,
    kSyncDirectory,
    kList,
    kLock,
    kAppend,
    kSync,
    kRead,
};

// A file system in memory that fails as real ones do, for tests. It keeps apart what programs see
// and what a loss of power leaves: bytes appended but not synced may be lost, torn or zero, bytes
// overwritten but not synced new or old page by page, names
// created, renamed or removed without a sync of their directory may be as before. A failed sync
// loses the bytes for good although the next sync succeeds. Thread-safe.
class MemoryIo final : public Io {
  public:
    MemoryIo();
    ~MemoryIo() override;

    // ---- faults
    // Asked before each call; an error is what the call returns. kAppend then still writes half.
    void set_fault(std::function<std::optional<Error>(IoCall, const std::string& path)> fault);
    // Bytes that all files may have together; beyond it appends fail with kResourceExhausted after
    // writing what fits.
    void set_capacity(uint64_t bytes);
    // From the call with this number on (counting calls that change something, from 1) everything
    // fails: the power is gone. 0: never.
    void crash_at(uint64_t call);
    uint64_t changes() const;
    bool has_crashed() const;
    // The machine starts again: what was not synced is as `random` decides, locks are free, no
    // faults, and no file that was open before works any more.
    void restart(Random& random);
    void flip_bit(const std::string& path, uint64_t bit);
    void write_file(const std::string& path, std::string_view bytes);  // durable at once
    std::string read_file(const std::string& path) const;              // "" where absent
    std::vector<std::string> files() const;                            // every path, sorted

    // ---- Io
    Result<std::unique_ptr<WritableFile>> create(const std::string& path) override;
    Result<std::unique_ptr<WritableFile>> overwrite(const std::string& path) override;
    Result<std::unique_ptr<ReadableFile>> open(const std::string& path) override;
    Result<Blob> read_all(const std::string& path) override;
    Result<void> rename(const std::string& from, const std::string& to) override;
    Result<void> remove(const std::string& path) override;
    Result<void> make_directory(const std::string& path) override;
    Result<void> sync_directory(const std::string& path) override;
    Result<std::vector<std::string>> list(const std::string& path) override;
    Result<DiskSpace> space() override;
    Result<std::unique_ptr<FileLock>> lock(const std::string& path) override;

  private:
    struct State;
    class Writer;
    class Reader;
    class Lock;
    std::shared_ptr<State> state_;
};

}  // namespace spanloom
