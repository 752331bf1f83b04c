#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"

// How the values of one column block become bytes (docs/format/segment.md, "Bodies"). Encoding
// picks the smallest form for the values at hand. Decoding trusts nothing: sizes and counts are
// checked before anything is allocated. Level 0 leaves out everything that needs zstd.
namespace spanloom::store {

// Most bytes that one decoded block may take: what one block may cost a reader.
constexpr size_t kBlockBytesMax = 256U << 20;
// A compressed part says how large it will be; more than this ratio is not believed (nor written).
constexpr size_t kExpansionMax = 4096;

// What earlier blocks of a column have shown: a form that lost is tried again ever more rarely.
class FormTrial {
  public:
    bool is_due() {
        if (rest_ == 0) return true;
        --rest_;
        return false;
    }
    void note(bool won) {
        losses_ = won ? 0 : std::min(losses_ + 1, 4);
        rest_ = (1 << losses_) - 1;
    }

  private:
    int losses_ = 0;
    int rest_ = 0;
};
struct EncodeTrials {
    FormTrial dictionary;
    FormTrial planes;
    FormTrial widths;
    FormTrial patterns;  // of texts
};

// `trials` may be left out; then every form is tried.
void encode_integers(std::span<const int64_t> values, int zstd_level, std::string& out,
                     EncodeTrials* trials = nullptr);
Result<void> decode_integers(std::string_view body, size_t count, std::vector<int64_t>& out);
// Those of the `count` integers that are at these places, ascending.
Result<void> decode_integers_at(std::string_view body, size_t count,
                                std::span<const uint32_t> places, std::vector<int64_t>& out);

// Doubles keep every bit, also those of a NaN.
void encode_doubles(std::span<const double> values, int zstd_level, std::string& out);
Result<void> decode_doubles(std::string_view body, size_t count, std::vector<double>& out);
// Those of the `count` doubles that are at these places, ascending.
Result<void> decode_doubles_at(std::string_view body, size_t count,
                               std::span<const uint32_t> places, std::vector<double>& out);

// Texts in order; those that come again may be there once, and `codes` say which is where.
struct TextList {
    Blob storage;
    std::vector<std::string_view> texts;
    std::vector<uint32_t> codes;  // empty: each text is at its own place
};
void encode_texts(std::span<const std::string_view> texts, int zstd_level, std::string& out,
                  EncodeTrials* trials = nullptr);
// End to end, whatever they look like.
void encode_joined_texts(std::span<const std::string_view> texts, int zstd_level, std::string& out);
// Where the patterns of a column are, for lists that refer to them.
struct PatternSource {
    std::function<Result<std::shared_ptr<const TextList>>()> patterns;
    // The patterns' numbers, from a body of integers.
    std::function<Result<void>(std::string_view body, std::vector<int64_t>& codes)> codes;
    // By position, which texts must be put together; the others may be empty. Empty: all must.
    std::span<const uint8_t> wanted;
};
// Each text at its own place. `owner` of the body is kept instead of a copy, where that is enough.
Result<TextList> decode_texts(std::string_view body, size_t count, const Blob& owner = {},
                              const PatternSource* source = nullptr);
// The same, with codes where these are shorter.
Result<TextList> decode_coded_texts(std::string_view body, size_t count, const Blob& owner,
                                    const PatternSource* source);
// Of `count` texts those at these places, ascending, in this order. The source's `wanted` is not
// looked at.
Result<TextList> decode_texts_at(std::string_view body, size_t count,
                                 std::span<const uint32_t> places, const Blob& owner,
                                 PatternSource source);

// Any bytes: compressed where it pays.
void encode_bytes(std::string_view bytes, int zstd_level, std::string& out);
Result<Blob> decode_bytes(std::string_view body);
// Without a copy where they lie in the body as they are.
Result<Blob> decode_bytes_in_place(const Blob& body);

}  // namespace spanloom::store
