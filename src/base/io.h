#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"

namespace spanloom {

// A file being written, on from its end or (Io::overwrite) its start. One thread at a time.
class WritableFile {
  public:
    virtual ~WritableFile() = default;
    // All pieces, in order, or an error; after an error the file's tail is unknown.
    virtual Result<void> append(std::span<const std::string_view> pieces) = 0;
    // What was appended is on disk. After an error the descriptor must not be synced again: the
    // kernel may have dropped the pages (PostgreSQL's "fsyncgate").
    virtual Result<void> sync() = 0;
    Result<void> append(std::string_view bytes) { return append(std::span(&bytes, 1)); }
};

// A file that does not change any more. Any thread.
class ReadableFile {
  public:
    virtual ~ReadableFile() = default;
    virtual uint64_t size() const = 0;
    // Exactly `size` bytes from `offset`; fewer is an error.
    virtual Result<Blob> read(uint64_t offset, size_t size) const = 0;
    // A hint: these bytes are read soon, so that the disk may begin with them now. Does not wait.
    virtual void foresee(uint64_t /*offset*/, size_t /*size*/) const {}
};

// Held while the object lives; released by the kernel when the process dies.
class FileLock {
  public:
    virtual ~FileLock() = default;
};

struct DiskSpace {
    uint64_t total_bytes = 0;
    uint64_t free_bytes = 0;
};

// The file system below one directory of ours, handed in so that tests can tear, fill and break it.
// Paths are relative to that directory, '/' between parts. Thread-safe.
class Io {
  public:
    virtual ~Io() = default;
    virtual Result<std::unique_ptr<WritableFile>> create(const std::string& path) = 0;
    // A file that is there, to be written once more from its start: what is not reached stays.
    virtual Result<std::unique_ptr<WritableFile>> overwrite(const std::string& path) = 0;
    virtual Result<std::unique_ptr<ReadableFile>> open(const std::string& path) = 0;
    // The whole of a small file (manifest, configuration).
    virtual Result<Blob> read_all(const std::string& path) = 0;
    virtual Result<void> rename(const std::string& from, const std::string& to) = 0;
    virtual Result<void> remove(const std::string& path) = 0;
    // Creates the directory and those above it.
    virtual Result<void> make_directory(const std::string& path) = 0;
    // Makes creations, renames and removals in the directory durable.
    virtual Result<void> sync_directory(const std::string& path) = 0;
    // Names of the files in the directory, sorted; an absent directory is empty.
    virtual Result<std::vector<std::string>> list(const std::string& path) = 0;
    virtual Result<DiskSpace> space() = 0;
    // The file, which does not change any more, under a name in another place, durably but for the
    // name. Where both are on one file system it is the same file there (a hard link), else its
    // bytes are copied. True: linked. `to` must not exist.
    virtual Result<bool> copy_to(const std::string& from, Io& target, const std::string& to);
    // kAlreadyExists where another process holds it.
    virtual Result<std::unique_ptr<FileLock>> lock(const std::string& path) = 0;
};

// The real file system, below `root` (created where absent).
Result<std::unique_ptr<Io>> open_posix_io(const std::string& root);

}  // namespace spanloom
