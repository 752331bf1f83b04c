#include <atomic>
#include <cstdlib>
#include <cstring>
#include <new>

#include "spanloom/span_context.h"

namespace spanloom::detail {

struct TextBlock {
    std::atomic<uint32_t> references = 1;
    uint32_t size = 0;
    const char* text() const noexcept { return reinterpret_cast<const char*>(this + 1); }
};

SharedText::SharedText(std::string_view text) noexcept {
    if (text.empty()) return;
    void* memory = std::malloc(sizeof(TextBlock) + text.size());
    if (memory == nullptr) return;
    block_ = new (memory) TextBlock;
    block_->size = static_cast<uint32_t>(text.size());
    std::memcpy(static_cast<void*>(block_ + 1), text.data(), text.size());
}

void SharedText::acquire(TextBlock* block) noexcept {
    block->references.fetch_add(1, std::memory_order_relaxed);
}

void SharedText::release(TextBlock* block) noexcept {
    if (block->references.fetch_sub(1, std::memory_order_acq_rel) == 1) std::free(block);
}

std::string_view SharedText::text_of(const TextBlock* block) noexcept {
    return {block->text(), block->size};
}

}  // namespace spanloom::detail
