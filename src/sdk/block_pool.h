#pragma once

#include <cstddef>
#include <cstdint>

namespace spanloom::sdk {

// Memory for spans that outgrow their own storage, in sizes of 4 KiB times a power of two. Blocks
// that are given back are kept (up to 1 MiB in all) and handed out again, so that a program whose
// spans are large allocates nothing after its first ones. Thread-safe. `got`: the block's size.
uint8_t* take_block(size_t bytes, size_t& got) noexcept;
void give_block(uint8_t* block, size_t bytes) noexcept;

// Around a fork, so that the child finds no lock taken.
void lock_blocks() noexcept;
void unlock_blocks() noexcept;

}  // namespace spanloom::sdk
