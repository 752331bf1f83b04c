#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "store/column.h"
#include "store/segment_text_table.h"

// Texts taken apart: what they have in common is a pattern, what differs are numbers and digits
// that lie end to end (docs/format/segment.md, "list of texts").
namespace spanloom::store {

class ByteReader;

// How a list of texts lies in its body.
enum class ListForm : uint8_t { kJoined = 0, kOldPatterns = 1, kColumnPatterns = 2, kPatterns = 3 };

constexpr size_t kPatternsMax = 1024;  // of one list, and of one column

// The patterns of a list or, over all its blocks, of a column. One thread.
class TextPatterns {
  public:
    uint32_t size() const { return table_.size(); }
    std::string_view text(uint32_t pattern) const { return table_.text(pattern); }
    // How many numbers a text of this pattern has.
    uint32_t numbers(uint32_t pattern) const { return numbers_[pattern]; }
    // The pattern's number; TextTable::kNone where there are too many.
    uint32_t intern(std::string_view pattern, uint32_t numbers);

  private:
    TextTable table_;
    std::vector<uint32_t> numbers_;
    uint32_t last_ = TextTable::kNone;  // most texts have the pattern of the one before
};

// Texts as their patterns and what these leave out.
class TakenTexts {
  public:
    void clear();
    // False where the text cannot be kept so; then nothing is added.
    bool add(std::string_view text, TextPatterns& patterns);
    size_t size() const { return texts_.size(); }
    uint32_t pattern(size_t text) const { return texts_[text].pattern; }
    // Bits that a text's numbers and digits take, about.
    uint32_t bits(size_t text) const { return texts_[text].bits; }
    // Whether texts like these promise to be smaller so: they have few patterns.
    bool pays() const { return new_patterns_ * 4 <= texts_.size() + 32; }
    // The same after some of them.
    bool may_pay() const { return new_patterns_ * 2 <= texts_.size() + 32; }
    // Every text once, in order.
    std::vector<uint32_t> all() const;

    // Appends the texts in this order (each as often as it is named): the patterns' numbers by
    // `write_codes`, then everything else.
    void encode(std::span<const uint32_t> order, const TextPatterns& patterns,
                const std::function<void(std::span<const int64_t>, std::string&)>& write_codes,
                int zstd_level, std::string& out) const;

  private:
    struct Taken {
        uint32_t pattern;
        uint32_t first_number;
        uint32_t first_digit;
        uint32_t digits;
        uint32_t bits;
    };

    size_t take(std::string_view rest);

    std::vector<Taken> texts_;
    std::vector<int64_t> numbers_;
    std::string digits_;
    std::string pattern_;  // of the text at hand
    uint32_t numbers_here_ = 0;
    uint32_t bits_here_ = 0;
    std::vector<uint8_t> is_used_;  // by pattern
    size_t new_patterns_ = 0;       // that came with these texts
};

// How marks are written: lists of version 1 and 2, lists of today.
enum class PatternMarks : uint8_t { kOld, kNew };

// Puts texts together again. Texts that are the same for all of a pattern are there once; those
// that are not wanted (by position, where that is given) may be empty.
Result<TextList> read_taken(ByteReader& reader, std::shared_ptr<const TextList> patterns,
                            std::span<const int64_t> codes, PatternMarks marks,
                            std::span<const uint8_t> wanted = {});

}  // namespace spanloom::store
