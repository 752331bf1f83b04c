#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string_view>

namespace spanloom {

// Bytes written once by one owner, then frozen and shared. Copies share the memory; `slice` shares
// it too, so a small slice keeps the whole alive. Readers may run past the end by kPadding bytes
// (never trusting what they find there), as SIMD parsers need. Any thread may read.
class Blob {
  public:
    static constexpr size_t kPadding = 64;

    Blob() = default;

    // `size` bytes for the caller to fill before anyone else sees the Blob.
    static Blob allocate(size_t size) {
        Blob blob;
        blob.owner_ = std::shared_ptr<uint8_t[]>(new uint8_t[size + kPadding]);
        blob.data_ = blob.owner_.get();
        blob.size_ = size;
        std::memset(blob.owner_.get() + size, 0, kPadding);
        return blob;
    }
    static Blob copy_of(std::string_view bytes) {
        Blob blob = allocate(bytes.size());
        if (!bytes.empty()) std::memcpy(blob.mutable_data(), bytes.data(), bytes.size());
        return blob;
    }
    // Bytes owned elsewhere (a mapped file): `owner` keeps them alive. No padding is promised.
    static Blob wrap(std::shared_ptr<const void> owner, const void* data, size_t size) {
        Blob blob;
        blob.foreign_ = std::move(owner);
        blob.data_ = static_cast<const uint8_t*>(data);
        blob.size_ = size;
        return blob;
    }

    const uint8_t* data() const { return data_; }
    // Only for the one that allocated it, before it is shared.
    uint8_t* mutable_data() { return owner_.get(); }
    size_t size() const { return size_; }
    bool empty() const { return size_ == 0; }
    std::string_view view() const { return {reinterpret_cast<const char*>(data_), size_}; }

    // The caller has checked offset + size <= this->size().
    Blob slice(size_t offset, size_t size) const {
        Blob part = *this;
        part.data_ += offset;
        part.size_ = size;
        return part;
    }
    // Gives up the tail: a buffer allocated by an upper bound and then filled less far.
    void shrink(size_t size) { size_ = size; }

  private:
    std::shared_ptr<uint8_t[]> owner_;
    std::shared_ptr<const void> foreign_;
    const uint8_t* data_ = nullptr;
    size_t size_ = 0;
};

}  // namespace spanloom
