#include "base/io.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

namespace spanloom {
namespace {

class Descriptor {
  public:
    explicit Descriptor(int fd) : fd_(fd) {}
    Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    Descriptor(const Descriptor&) = delete;
    Descriptor& operator=(const Descriptor&) = delete;
    Descriptor& operator=(Descriptor&&) = delete;
    ~Descriptor() {
        if (fd_ >= 0) close(fd_);
    }
    int get() const { return fd_; }

  private:
    int fd_;
};

tl::unexpected<Error> system_error(std::string_view what, const std::string& path) {
    const int cause = errno;
    ErrorCode code = ErrorCode::kInternal;
    if (cause == ENOENT) code = ErrorCode::kNotFound;
    if (cause == ENOSPC || cause == EDQUOT) code = ErrorCode::kResourceExhausted;
    if (cause == EMFILE || cause == ENFILE) code = ErrorCode::kUnavailable;
    if (cause == EACCES || cause == EPERM || cause == EROFS) code = ErrorCode::kPermissionDenied;
    return fail(code, "cannot {} {}: {}", what, path, std::strerror(cause));
}

class PosixWritableFile final : public WritableFile {
  public:
    PosixWritableFile(int fd, std::string path) : fd_(fd), path_(std::move(path)) {}

    Result<void> append(std::span<const std::string_view> pieces) override {
        std::vector<iovec> vectors;
        vectors.reserve(pieces.size());
        for (std::string_view piece : pieces) {
            if (!piece.empty()) vectors.push_back({const_cast<char*>(piece.data()), piece.size()});
        }
        size_t first = 0;
        while (first < vectors.size()) {
            const int count = static_cast<int>(std::min<size_t>(vectors.size() - first, 512));
            ssize_t written = writev(fd_.get(), vectors.data() + first, count);
            if (written < 0) {
                if (errno == EINTR) continue;
                return system_error("write", path_);
            }
            first = advance(vectors, first, static_cast<size_t>(written));
        }
        return {};
    }

    Result<void> sync() override {
        if (fdatasync(fd_.get()) != 0) return system_error("sync", path_);
        return {};
    }

  private:
    static size_t advance(std::vector<iovec>& vectors, size_t first, size_t written) {
        while (written > 0 && written >= vectors[first].iov_len)
            written -= vectors[first++].iov_len;
        if (written > 0) {
            vectors[first].iov_base = static_cast<char*>(vectors[first].iov_base) + written;
            vectors[first].iov_len -= written;
        }
        return first;
    }

    Descriptor fd_;
    std::string path_;
};

class PosixReadableFile final : public ReadableFile {
  public:
    PosixReadableFile(int fd, uint64_t size, std::string path)
        : fd_(fd), size_(size), path_(std::move(path)) {}

    uint64_t size() const override { return size_; }

    Result<Blob> read(uint64_t offset, size_t size) const override {
        if (offset > size_ || size > size_ - offset)
            return fail(ErrorCode::kDataLoss,
                        "{} ends at {} bytes, but {} bytes at {} were asked for", path_, size_,
                        size, offset);
        Blob blob = Blob::allocate(size);
        size_t done = 0;
        while (done < size) {
            ssize_t n = pread(fd_.get(), blob.mutable_data() + done, size - done,
                              static_cast<off_t>(offset + done));
            if (n < 0 && errno == EINTR) continue;
            if (n < 0) return system_error("read", path_);
            if (n == 0)
                return fail(ErrorCode::kDataLoss, "{} became shorter while it was read", path_);
            done += static_cast<size_t>(n);
        }
        return blob;
    }

    void foresee(uint64_t offset, size_t size) const override {
        (void)posix_fadvise(fd_.get(), static_cast<off_t>(offset), static_cast<off_t>(size),
                            POSIX_FADV_WILLNEED);
    }

  private:
    Descriptor fd_;
    uint64_t size_;
    std::string path_;
};

class PosixFileLock final : public FileLock {
  public:
    explicit PosixFileLock(Descriptor fd) : fd_(std::move(fd)) {}

  private:
    Descriptor fd_;
};

class PosixIo final : public Io {
  public:
    explicit PosixIo(std::string root) : root_(std::move(root)) {}

    Result<std::unique_ptr<WritableFile>> create(const std::string& path) override {
        const std::string full = full_path(path);
        int fd = ::open(full.c_str(), O_CREAT | O_TRUNC | O_WRONLY | O_APPEND | O_CLOEXEC, 0644);
        if (fd < 0) return system_error("create", full);
        return std::make_unique<PosixWritableFile>(fd, full);
    }

    Result<std::unique_ptr<WritableFile>> overwrite(const std::string& path) override {
        const std::string full = full_path(path);
        int fd = ::open(full.c_str(), O_WRONLY | O_CLOEXEC);
        if (fd < 0) return system_error("open", full);
        return std::make_unique<PosixWritableFile>(fd, full);
    }

    Result<std::unique_ptr<ReadableFile>> open(const std::string& path) override {
        TRY_ASSIGN(auto file, open_file(path));
        return std::unique_ptr<ReadableFile>(std::move(file));
    }

    Result<Blob> read_all(const std::string& path) override {
        TRY_ASSIGN(auto file, open_file(path));
        return file->read(0, file->size());
    }

    Result<void> rename(const std::string& from, const std::string& to) override {
        if (::rename(full_path(from).c_str(), full_path(to).c_str()) != 0)
            return system_error("rename", full_path(from));
        return {};
    }

    Result<void> remove(const std::string& path) override {
        if (unlink(full_path(path).c_str()) != 0) return system_error("remove", full_path(path));
        return {};
    }

    Result<void> make_directory(const std::string& path) override {
        std::error_code cause;
        std::filesystem::create_directories(full_path(path), cause);
        if (cause)
            return fail(ErrorCode::kPermissionDenied, "cannot create the directory {}: {}",
                        full_path(path), cause.message());
        return {};
    }

    Result<void> sync_directory(const std::string& path) override {
        const std::string full = full_path(path);
        Descriptor fd(::open(full.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        if (fd.get() < 0) return system_error("open the directory", full);
        if (fsync(fd.get()) != 0) return system_error("sync the directory", full);
        return {};
    }

    Result<std::vector<std::string>> list(const std::string& path) override {
        std::vector<std::string> names;
        const std::string full = full_path(path);
        DIR* directory = opendir(full.c_str());
        if (directory == nullptr) {
            if (errno == ENOENT) return names;
            return system_error("list", full);
        }
        while (const dirent* entry = readdir(directory)) {
            if (std::string_view(entry->d_name) != "." && std::string_view(entry->d_name) != "..")
                names.emplace_back(entry->d_name);
        }
        closedir(directory);
        std::sort(names.begin(), names.end());
        return names;
    }

    Result<bool> copy_to(const std::string& from, Io& target, const std::string& to) override {
        const auto* other = dynamic_cast<PosixIo*>(&target);
        if (other == nullptr) return Io::copy_to(from, target, to);
        if (link(full_path(from).c_str(), other->full_path(to).c_str()) == 0) return true;
        // Another file system, one without links, or a file with too many of them.
        if (errno == EXDEV || errno == EPERM || errno == EMLINK || errno == EOPNOTSUPP)
            return Io::copy_to(from, target, to);
        return system_error("link to " + other->full_path(to) + " the file", full_path(from));
    }

    Result<DiskSpace> space() override {
        struct statvfs info{};
        if (statvfs(root_.c_str(), &info) != 0) return system_error("measure the disk of", root_);
        return DiskSpace{info.f_blocks * info.f_frsize, info.f_bavail * info.f_frsize};
    }

    Result<std::unique_ptr<FileLock>> lock(const std::string& path) override {
        const std::string full = full_path(path);
        Descriptor fd(::open(full.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0644));
        if (fd.get() < 0) return system_error("open", full);
        if (flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
            if (errno == EWOULDBLOCK)
                return fail(ErrorCode::kAlreadyExists, "{} is locked by another process", full);
            return system_error("lock", full);
        }
        return std::make_unique<PosixFileLock>(std::move(fd));
    }

  private:
    std::string full_path(const std::string& path) const {
        return path.empty() ? root_ : root_ + "/" + path;
    }

    Result<std::unique_ptr<PosixReadableFile>> open_file(const std::string& path) const {
        const std::string full = full_path(path);
        int fd = ::open(full.c_str(), O_RDONLY | O_CLOEXEC);
        if (fd < 0) return system_error("open", full);
        struct stat info{};
        if (fstat(fd, &info) != 0) {
            auto error = system_error("inspect", full);
            close(fd);
            return error;
        }
        return std::make_unique<PosixReadableFile>(fd, static_cast<uint64_t>(info.st_size), full);
    }

    std::string root_;
};

}  // namespace

Result<bool> Io::copy_to(const std::string& from, Io& target, const std::string& to) {
    constexpr uint64_t kPieceBytes = 1U << 20;
    TRY_ASSIGN(const auto source, open(from));
    TRY_ASSIGN(auto file, target.create(to));
    for (uint64_t at = 0; at < source->size(); at += kPieceBytes) {
        const auto size = static_cast<size_t>(std::min(kPieceBytes, source->size() - at));
        TRY_ASSIGN(const Blob piece, source->read(at, size));
        TRY(file->append(piece.view()));
    }
    TRY(file->sync());
    return false;
}

Result<std::unique_ptr<Io>> open_posix_io(const std::string& root) {
    auto io = std::make_unique<PosixIo>(root);
    TRY(io->make_directory(""));
    return std::unique_ptr<Io>(std::move(io));
}

}  // namespace spanloom
