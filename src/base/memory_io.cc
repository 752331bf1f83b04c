#include "base/memory_io.h"

#include <algorithm>
#include <set>
#include <utility>

namespace spanloom {
namespace {

constexpr size_t kPageBytes = 512;

// Bytes that lie at an offset of a file's image on disk.
struct Extent {
    size_t offset = 0;
    std::string bytes;
};

struct Inode {
    std::string bytes;                // as programs see it
    size_t durable_bytes = 0;         // of them, on disk, but for what was overwritten since
    std::vector<Extent> overwritten;  // what the disk may still have, in the order of writing
    // Ranges that a failed sync dropped: the disk has what it had, or zeros.
    std::vector<Extent> lost;

    void write(size_t offset, std::string_view what) {
        const size_t over = std::min(what.size(), bytes.size() - offset);
        if (over > 0) overwritten.push_back({offset, bytes.substr(offset, over)});
        bytes.replace(offset, over, what);
    }
    void sync() {
        overwritten.clear();
        durable_bytes = bytes.size();
    }
    void lose_unsynced() {
        lost.insert(lost.end(), overwritten.begin(), overwritten.end());
        lost.push_back({durable_bytes, std::string(bytes.size() - durable_bytes, '\0')});
        sync();
    }
};
using Names = std::map<std::string, std::shared_ptr<Inode>>;

// One change to the names of a directory.
struct NameChange {
    std::string path;
    std::shared_ptr<Inode> inode;  // none: the name goes
    std::string old_path;          // goes too (a rename is one change); "" for none
};

std::string parent_of(const std::string& path) {
    const size_t slash = path.rfind('/');
    return slash == std::string::npos ? "" : path.substr(0, slash);
}

void apply(Names& names, const NameChange& change) {
    if (change.inode) {
        names[change.path] = change.inode;
    } else {
        names.erase(change.path);
    }
    if (!change.old_path.empty()) names.erase(change.old_path);
}

// What a loss of power leaves of a file.
void lose_power(Inode& inode, Random& random) {
    const size_t unsynced = inode.bytes.size() - inode.durable_bytes;
    const size_t durable = inode.durable_bytes;
    switch (random.below(4)) {
        case 0:
            inode.bytes.resize(durable);
            break;
        case 1:
            inode.bytes.resize(durable + random.below(unsynced + 1));
            break;
        case 2:
            // The size reached the disk, some pages did not.
            for (size_t at = durable; at < inode.bytes.size(); at += kPageBytes) {
                const size_t size = std::min(kPageBytes, inode.bytes.size() - at);
                if (random.below(2) == 0) inode.bytes.replace(at, size, size, '\0');
            }
            break;
        default:
            break;
    }
    const auto put_back = [&](size_t offset, std::string_view old) {
        if (offset >= inode.bytes.size()) return;
        const size_t size = std::min(old.size(), inode.bytes.size() - offset);
        inode.bytes.replace(offset, size, old.substr(0, size));
    };
    for (const Extent& extent : inode.overwritten) {
        for (size_t at = 0; at < extent.bytes.size();) {
            const size_t offset = extent.offset + at;
            const size_t size = kPageBytes - offset % kPageBytes;
            if (random.below(2) == 0)
                put_back(offset, std::string_view(extent.bytes).substr(at, size));
            at += size;
        }
    }
    for (const Extent& extent : inode.lost)
        put_back(extent.offset, extent.bytes);
    inode.lost.clear();
    inode.sync();
}

}  // namespace

struct MemoryIo::State {
    mutable std::mutex mutex;
    Names names;
    Names durable_names;
    std::map<std::string, std::vector<NameChange>> unsynced;  // by directory
    std::set<std::string> directories;
    std::set<std::string> locks;
    std::function<std::optional<Error>(IoCall, const std::string&)> fault;
    uint64_t capacity = UINT64_MAX;
    uint64_t used = 0;
    uint64_t changes = 0;
    uint64_t crash_at = 0;
    bool crashed = false;
    uint64_t boot = 0;  // files opened in an earlier one are dead

    Result<void> enter(IoCall call, const std::string& path) {
        const bool is_change = call != IoCall::kOpen && call != IoCall::kList &&
                               call != IoCall::kRead && call != IoCall::kLock &&
                               call != IoCall::kOverwrite;
        if (is_change && ++changes == crash_at) crashed = true;
        if (crashed) return fail(ErrorCode::kInternal, "no power at {}", path);
        if (!fault) return {};
        if (auto error = fault(call, path)) return tl::unexpected(std::move(*error));
        return {};
    }
    void change(const NameChange& one) {
        apply(names, one);
        unsynced[parent_of(one.path)].push_back(one);
        count_used();
    }
    void count_used() {
        used = 0;
        for (const auto& [path, inode] : names)
            used += inode->bytes.size();
    }
    // How many of the bytes were written: as many as the limit says and there is room for.
    size_t write_some(Inode& inode, size_t offset, std::string_view bytes, size_t limit) {
        const size_t over = inode.bytes.size() - offset;
        const uint64_t room = over + (capacity - std::min(used, capacity));
        const size_t size = std::min<uint64_t>({bytes.size(), limit, room});
        inode.write(offset, bytes.substr(0, size));
        used += size - std::min(size, over);
        return size;
    }
};

class MemoryIo::Writer final : public WritableFile {
  public:
    // Writes on from `offset`.
    Writer(std::shared_ptr<State> state, std::shared_ptr<Inode> inode, std::string path,
           size_t offset)
        : state_(std::move(state)),
          inode_(std::move(inode)),
          path_(std::move(path)),
          offset_(offset) {
        boot_ = state_->boot;
    }

    Result<void> append(std::span<const std::string_view> pieces) override {
        std::lock_guard lock(state_->mutex);
        size_t all = 0;
        for (std::string_view piece : pieces)
            all += piece.size();
        size_t limit = all;
        const bool was_crashed = state_->crashed || boot_ != state_->boot;
        Result<void> entered = state_->enter(IoCall::kAppend, path_);
        if (!entered) limit = was_crashed ? 0 : std::min(limit, all / 2);
        size_t written = 0;
        for (std::string_view piece : pieces) {
            const size_t size =
                state_->write_some(*inode_, offset_ + written, piece, limit - written);
            written += size;
            if (size < piece.size()) break;
        }
        offset_ += written;
        if (!entered) return entered;
        if (boot_ != state_->boot) return fail(ErrorCode::kInternal, "{} is of before", path_);
        if (written < all)
            return fail(ErrorCode::kResourceExhausted, "cannot write {}: no space left on device",
                        path_);
        return {};
    }

    Result<void> sync() override {
        std::lock_guard lock(state_->mutex);
        const bool was_crashed = state_->crashed || boot_ != state_->boot;
        if (boot_ != state_->boot) return fail(ErrorCode::kInternal, "{} is of before", path_);
        Result<void> entered = state_->enter(IoCall::kSync, path_);
        if (!entered) {
            if (!was_crashed && !state_->crashed) inode_->lose_unsynced();
            return entered;
        }
        inode_->sync();
        return {};
    }

  private:
    std::shared_ptr<State> state_;
    std::shared_ptr<Inode> inode_;
    std::string path_;
    size_t offset_ = 0;
    uint64_t boot_ = 0;
};

class MemoryIo::Reader final : public ReadableFile {
  public:
    Reader(std::shared_ptr<State> state, std::shared_ptr<Inode> inode, std::string path)
        : state_(std::move(state)), inode_(std::move(inode)), path_(std::move(path)) {
        size_ = inode_->bytes.size();
    }
    uint64_t size() const override { return size_; }
    Result<Blob> read(uint64_t offset, size_t size) const override {
        std::lock_guard lock(state_->mutex);
        TRY(state_->enter(IoCall::kRead, path_));
        if (offset > size_ || size > size_ - offset || offset + size > inode_->bytes.size())
            return fail(ErrorCode::kDataLoss,
                        "{} ends at {} bytes, but {} bytes at {} were asked for", path_, size_,
                        size, offset);
        return Blob::copy_of(std::string_view(inode_->bytes).substr(offset, size));
    }

  private:
    std::shared_ptr<State> state_;
    std::shared_ptr<Inode> inode_;
    std::string path_;
    uint64_t size_ = 0;
};

class MemoryIo::Lock final : public FileLock {
  public:
    Lock(std::shared_ptr<State> state, std::string path)
        : state_(std::move(state)), path_(std::move(path)) {
        boot_ = state_->boot;
    }
    ~Lock() override {
        std::lock_guard lock(state_->mutex);
        if (boot_ == state_->boot) state_->locks.erase(path_);
    }

  private:
    std::shared_ptr<State> state_;
    std::string path_;
    uint64_t boot_ = 0;
};

MemoryIo::MemoryIo() : state_(std::make_shared<State>()) {}
MemoryIo::~MemoryIo() = default;

void MemoryIo::set_fault(
    std::function<std::optional<Error>(IoCall, const std::string& path)> fault) {
    std::lock_guard lock(state_->mutex);
    state_->fault = std::move(fault);
}

void MemoryIo::set_capacity(uint64_t bytes) {
    std::lock_guard lock(state_->mutex);
    state_->capacity = bytes;
}

void MemoryIo::crash_at(uint64_t call) {
    std::lock_guard lock(state_->mutex);
    state_->crash_at = call;
}

uint64_t MemoryIo::changes() const {
    std::lock_guard lock(state_->mutex);
    return state_->changes;
}

bool MemoryIo::has_crashed() const {
    std::lock_guard lock(state_->mutex);
    return state_->crashed;
}

void MemoryIo::restart(Random& random) {
    std::lock_guard lock(state_->mutex);
    for (const auto& [directory, changes] : state_->unsynced) {
        // File systems journal names in order: some first ones made it.
        const size_t count = random.below(changes.size() + 1);
        for (size_t i = 0; i < count; ++i)
            apply(state_->durable_names, changes[i]);
    }
    state_->unsynced.clear();
    state_->names = state_->durable_names;
    std::set<Inode*> seen;
    for (const auto& [path, inode] : state_->names) {
        if (seen.insert(inode.get()).second) lose_power(*inode, random);
    }
    state_->count_used();
    state_->locks.clear();
    state_->fault = nullptr;
    state_->crash_at = 0;
    state_->crashed = false;
    state_->changes = 0;
    ++state_->boot;
}

void MemoryIo::flip_bit(const std::string& path, uint64_t bit) {
    std::lock_guard lock(state_->mutex);
    std::string& bytes = state_->names.at(path)->bytes;
    bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << (bit % 8)));
}

void MemoryIo::write_file(const std::string& path, std::string_view bytes) {
    std::lock_guard lock(state_->mutex);
    auto inode = std::make_shared<Inode>();
    inode->bytes = bytes;
    inode->durable_bytes = bytes.size();
    state_->names[path] = inode;
    state_->durable_names[path] = inode;
    state_->count_used();
}

std::string MemoryIo::read_file(const std::string& path) const {
    std::lock_guard lock(state_->mutex);
    const auto found = state_->names.find(path);
    return found == state_->names.end() ? "" : found->second->bytes;
}

std::vector<std::string> MemoryIo::files() const {
    std::lock_guard lock(state_->mutex);
    std::vector<std::string> paths;
    for (const auto& [path, inode] : state_->names)
        paths.push_back(path);
    return paths;
}

Result<std::unique_ptr<WritableFile>> MemoryIo::create(const std::string& path) {
    std::lock_guard lock(state_->mutex);
    TRY(state_->enter(IoCall::kCreate, path));
    const std::string parent = parent_of(path);
    if (!parent.empty() && !state_->directories.contains(parent))
        return fail(ErrorCode::kNotFound, "cannot create {}: its directory is absent", path);
    auto inode = std::make_shared<Inode>();
    state_->change({path, inode, ""});
    return std::make_unique<Writer>(state_, std::move(inode), path, 0);
}

Result<std::unique_ptr<WritableFile>> MemoryIo::overwrite(const std::string& path) {
    std::lock_guard lock(state_->mutex);
    TRY(state_->enter(IoCall::kOverwrite, path));
    const auto found = state_->names.find(path);
    if (found == state_->names.end())
        return fail(ErrorCode::kNotFound, "cannot open {}: no such file", path);
    return std::make_unique<Writer>(state_, found->second, path, 0);
}

Result<std::unique_ptr<ReadableFile>> MemoryIo::open(const std::string& path) {
    std::lock_guard lock(state_->mutex);
    TRY(state_->enter(IoCall::kOpen, path));
    const auto found = state_->names.find(path);
    if (found == state_->names.end())
        return fail(ErrorCode::kNotFound, "cannot open {}: no such file", path);
    return std::make_unique<Reader>(state_, found->second, path);
}

Result<Blob> MemoryIo::read_all(const std::string& path) {
    TRY_ASSIGN(auto file, open(path));
    return file->read(0, file->size());
}

Result<void> MemoryIo::rename(const std::string& from, const std::string& to) {
    std::lock_guard lock(state_->mutex);
    TRY(state_->enter(IoCall::kRename, from));
    const auto found = state_->names.find(from);
    if (found == state_->names.end())
        return fail(ErrorCode::kNotFound, "cannot rename {}: no such file", from);
    const std::shared_ptr<Inode> inode = found->second;
    if (parent_of(from) == parent_of(to)) {
        state_->change({to, inode, from});
        return {};
    }
    state_->change({to, inode, ""});
    state_->change({from, nullptr, ""});
    return {};
}

Result<void> MemoryIo::remove(const std::string& path) {
    std::lock_guard lock(state_->mutex);
    TRY(state_->enter(IoCall::kRemove, path));
    if (!state_->names.contains(path))
        return fail(ErrorCode::kNotFound, "cannot remove {}: no such file", path);
    state_->change({path, nullptr, ""});
    return {};
}

Result<void> MemoryIo::make_directory(const std::string& path) {
    std::lock_guard lock(state_->mutex);
    TRY(state_->enter(IoCall::kMakeDirectory, path));
    // Directories themselves are always durable here; the names in them are not.
    for (std::string part = path; !part.empty(); part = parent_of(part))
        state_->directories.insert(part);
    return {};
}

Result<void> MemoryIo::sync_directory(const std::string& path) {
    std::lock_guard lock(state_->mutex);
    TRY(state_->enter(IoCall::kSyncDirectory, path));
    for (const NameChange& change : state_->unsynced[path])
        apply(state_->durable_names, change);
    state_->unsynced.erase(path);
    return {};
}

Result<std::vector<std::string>> MemoryIo::list(const std::string& path) {
    std::lock_guard lock(state_->mutex);
    TRY(state_->enter(IoCall::kList, path));
    std::set<std::string> names;
    const std::string prefix = path.empty() ? "" : path + "/";
    const auto add = [&](const std::string& full) {
        if (full.size() <= prefix.size() || !full.starts_with(prefix)) return;
        const std::string rest = full.substr(prefix.size());
        names.insert(rest.substr(0, rest.find('/')));
    };
    for (const auto& [full, inode] : state_->names)
        add(full);
    for (const std::string& full : state_->directories)
        add(full);
    return std::vector<std::string>(names.begin(), names.end());
}

Result<DiskSpace> MemoryIo::space() {
    std::lock_guard lock(state_->mutex);
    if (state_->capacity == UINT64_MAX) return DiskSpace{1ULL << 40, 1ULL << 39};
    return DiskSpace{state_->capacity, state_->capacity - std::min(state_->used, state_->capacity)};
}

Result<std::unique_ptr<FileLock>> MemoryIo::lock(const std::string& path) {
    std::lock_guard lock(state_->mutex);
    TRY(state_->enter(IoCall::kLock, path));
    if (!state_->locks.insert(path).second)
        return fail(ErrorCode::kAlreadyExists, "{} is locked by another process", path);
    return std::make_unique<Lock>(state_, path);
}

}  // namespace spanloom
