#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string_view>

#include "base/text.h"
#include "store/segment_text_table.h"

namespace spanloom::store {

// The texts of one column while rows come: each once, as long as they repeat. Columns that hardly
// ever do (ids of orders and messages) are only lined up. One thread.
class ColumnTexts {
  public:
    TextTable table;

    uint32_t code_of(std::string_view text) {
        if (last_ != TextTable::kNone && are_equal_texts(last_text_, text)) return last_;
        if (is_plain_) return append(text);
        if (recent_ == nullptr) recent_ = std::make_unique<Recent>();
        // The few values that take turns are found without a hash of the whole text.
        const uint64_t sketch = sketch_of(text);
        Known& known = (*recent_)[(sketch * 0x9e3779b97f4a7c15U) >> (64 - kRecentBits)];
        if (known.sketch != sketch || known.code == TextTable::kNone ||
            !are_equal_texts(known.text, text)) {
            const uint32_t code = look_up(text);
            return know(known, sketch, code, table.text(code));
        }
        last_text_ = known.text;
        return last_ = known.code;
    }

  private:
    static constexpr uint32_t kRecentBits = 5;
    static constexpr uint32_t kTrial = 2048;  // texts after which it is decided
    struct Known {
        uint64_t sketch = 0;
        uint32_t code = TextTable::kNone;
        std::string_view text;  // the table's
    };
    using Recent = std::array<Known, size_t{1} << kRecentBits>;

    static uint64_t sketch_of(std::string_view text) {
        const size_t size = text.size();
        uint64_t first = 0;
        uint64_t last = 0;
        if (size >= 8) {
            std::memcpy(&first, text.data(), 8);
            std::memcpy(&last, text.data() + size - 8, 8);
        } else if (size > 0) {
            std::memcpy(&first, text.data(), size);
        }
        return first ^ (last << 23 | last >> 41) ^ size << 56;
    }

    // From what is at hand: what was just written would be waited for.
    uint32_t know(Known& known, uint64_t sketch, uint32_t code, std::string_view text) {
        known = {sketch, code, text};
        last_text_ = text;
        return last_ = code;
    }

    uint32_t look_up(std::string_view text) {
        ++lookups_;
        const uint64_t hash = hash64(text);
        const uint32_t code = table.find(text, hash);
        if (code != TextTable::kNone) return code;
        if (++inserts_ == kTrial) is_plain_ = uint64_t{inserts_} * 16 > uint64_t{lookups_} * 15;
        if (is_valid_utf8(text)) return table.insert(text, hash);
        return table.intern(replace_invalid_utf8(text));
    }

    uint32_t append(std::string_view text) {
        last_ = is_valid_utf8(text) ? table.append(text) : table.append(replace_invalid_utf8(text));
        last_text_ = table.text(last_);
        return last_;
    }

    uint32_t last_ = TextTable::kNone;
    std::string_view last_text_;  // the table's
    bool is_plain_ = false;
    uint32_t lookups_ = 0;
    uint32_t inserts_ = 0;
    std::unique_ptr<Recent> recent_;
};

}  // namespace spanloom::store
