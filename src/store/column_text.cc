#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>

#include "store/column.h"
#include "store/column_part.h"
#include "store/segment_bytes.h"
#include "store/segment_text_table.h"

namespace spanloom::store {
namespace {

enum ListForm : uint8_t { kJoined, kPatterns };

// Marks in a pattern, each standing for a piece of text that is kept as a number or as bytes.
constexpr char kNumberMark = 1;  // decimal digits
constexpr char kHexMark = 2;     // pairs of hexadecimal digits; the next character says how many
constexpr char kUuidMark = 3;    // 8-4-4-4-12 hexadecimal digits
constexpr size_t kMarks = 4;     // characters below this cannot be in a text kept by patterns

constexpr size_t kPatternsMax = 1024;  // of one list
constexpr size_t kNumberDigits = 18;   // fit an int64
constexpr size_t kHexDigitsMin = 8;
constexpr size_t kHexDigitsMax = 200;
constexpr size_t kUuidBytes = 16;

tl::unexpected<Error> damaged(std::string_view what) {
    return fail(ErrorCode::kDataLoss, "{}", what);
}

constexpr uint8_t kNoDigit = 255;
constexpr std::array<uint8_t, 256> digit_table() {
    std::array<uint8_t, 256> table{};
    for (auto& entry : table)
        entry = kNoDigit;
    for (uint8_t i = 0; i < 10; ++i)
        table['0' + i] = i;
    for (uint8_t i = 0; i < 6; ++i)
        table['a' + i] = static_cast<uint8_t>(10 + i);
    return table;
}
constexpr std::array<uint8_t, 256> kDigits = digit_table();
constexpr char kHexDigits[] = "0123456789abcdef";

uint8_t digit_of(char c) {
    return kDigits[static_cast<uint8_t>(c)];
}

bool is_uuid(std::string_view text) {
    if (text.size() < 36) return false;
    for (size_t i = 0; i < 36; ++i) {
        const bool is_dash = i == 8 || i == 13 || i == 18 || i == 23;
        if (is_dash ? text[i] != '-' : digit_of(text[i]) == kNoDigit) return false;
    }
    return true;
}

void append_digits(std::string_view digits, std::string& out) {
    for (size_t i = 0; i + 1 < digits.size(); i += 2)
        out += static_cast<char>(digit_of(digits[i]) << 4 | digit_of(digits[i + 1]));
}

// Texts taken apart: what they have in common, and what differs.
struct Patterns {
    TextTable table;
    std::vector<int64_t> codes;                              // per text
    std::vector<std::vector<std::vector<int64_t>>> numbers;  // per pattern and mark in it
    std::string digits;
    size_t kept_bytes = 0;  // that marks stand for
};

// Adds one text; false where it cannot be kept by patterns.
bool take_apart(std::string_view text, Patterns& out, std::string& pattern,
                std::vector<int64_t>& numbers) {
    pattern.clear();
    numbers.clear();
    for (size_t at = 0; at < text.size();) {
        const char c = text[at];
        if (static_cast<uint8_t>(c) < kMarks) return false;
        if (digit_of(c) == kNoDigit) {
            pattern += c;
            ++at;
            continue;
        }
        const std::string_view rest = text.substr(at);
        if (is_uuid(rest)) {
            pattern += kUuidMark;
            for (const auto& [from, size] :
                 {std::pair<size_t, size_t>{0, 8}, {9, 4}, {14, 4}, {19, 4}, {24, 12}})
                append_digits(rest.substr(from, size), out.digits);
            at += 36;
            out.kept_bytes += 36;
            continue;
        }
        size_t end = 0;
        size_t decimal = 0;
        while (end < rest.size() && digit_of(rest[end]) != kNoDigit) {
            if (decimal == end && rest[end] <= '9') ++decimal;
            ++end;
        }
        const bool is_number = decimal > 0 && (decimal == end || end < kHexDigitsMin) &&
                               decimal <= kNumberDigits && (decimal == 1 || c != '0') &&
                               decimal < 16;
        if (is_number) {
            int64_t number = 0;
            std::from_chars(rest.data(), rest.data() + decimal, number);
            pattern += kNumberMark;
            numbers.push_back(number);
            at += decimal;
            out.kept_bytes += decimal;
        } else if (end >= kHexDigitsMin && end <= kHexDigitsMax) {
            const size_t even = end & ~size_t{1};
            pattern += kHexMark;
            pattern += static_cast<char>(even / 2 + kMarks);
            append_digits(rest.substr(0, even), out.digits);
            at += even;
            out.kept_bytes += even;
        } else {
            pattern.append(rest.substr(0, end));
            at += end;
        }
    }
    const uint32_t code = out.table.intern(pattern);
    if (code == out.numbers.size()) {
        if (code == kPatternsMax) return false;
        out.numbers.emplace_back(numbers.size());
    }
    for (size_t i = 0; i < numbers.size(); ++i)
        out.numbers[code][i].push_back(numbers[i]);
    out.codes.push_back(code);
    return true;
}

void encode_joined(std::span<const std::string_view> texts, int zstd_level, std::string& out) {
    thread_local std::vector<int64_t> lengths;
    thread_local std::string joined;
    lengths.clear();
    joined.clear();
    for (const std::string_view text : texts) {
        lengths.push_back(static_cast<int64_t>(text.size()));
        joined.append(text);
    }
    ByteWriter writer(out);
    writer.u8(kJoined);
    std::string packed;
    encode_integers(lengths, zstd_level, packed);
    writer.text(packed);
    write_part(joined, zstd_level, out);
    if (joined.capacity() > (1U << 20)) std::string().swap(joined);
}

// False where patterns do not promise to be smaller; then nothing is written.
bool encode_patterns(std::span<const std::string_view> texts, int zstd_level, std::string& out) {
    if (texts.size() < 8) return false;
    Patterns patterns;
    std::string pattern;
    std::vector<int64_t> numbers;
    size_t bytes = 0;
    for (size_t i = 0; i < texts.size(); ++i) {
        if (!take_apart(texts[i], patterns, pattern, numbers)) return false;
        bytes += texts[i].size();
        // Seen early: nothing to keep, or every text a pattern of its own.
        if ((i == 63 || i == 511) &&
            (patterns.kept_bytes * 4 < bytes || patterns.table.size() * 2 > i + 1))
            return false;
    }
    if (patterns.kept_bytes * 4 < bytes || patterns.table.size() * 4 > texts.size() + 8)
        return false;
    ByteWriter writer(out);
    writer.u8(kPatterns);
    writer.varint(patterns.table.size());
    std::vector<std::string_view> list;
    for (uint32_t code = 0; code < patterns.table.size(); ++code)
        list.push_back(patterns.table.text(code));
    std::string body;
    encode_joined(list, zstd_level, body);
    writer.text(body);
    body.clear();
    encode_integers(patterns.codes, zstd_level, body);
    writer.text(body);
    for (const auto& marks : patterns.numbers) {
        for (const auto& values : marks) {
            body.clear();
            encode_integers(values, zstd_level, body);
            writer.text(body);
        }
    }
    write_part(patterns.digits, 0, out);
    return true;
}

Result<TextList> decode_joined(ByteReader& reader, size_t count, const Blob& owner) {
    const std::string_view packed = reader.text();
    if (!reader.ok()) return damaged("text lengths end early");
    std::vector<int64_t> lengths;
    TRY(decode_integers(packed, count, lengths));
    TRY_ASSIGN(const Part part, read_part(reader));
    if (!reader.at_end()) return damaged("texts are followed by something else");
    TextList list;
    std::string_view joined = part.bytes;
    if (!part.owner.empty()) {
        list.storage = part.owner;
    } else if (!owner.empty()) {
        list.storage = owner;
    } else {
        list.storage = Blob::copy_of(part.bytes);
        joined = list.storage.view();
    }
    list.texts.resize(count);
    size_t at = 0;
    for (size_t i = 0; i < count; ++i) {
        if (lengths[i] < 0 || static_cast<uint64_t>(lengths[i]) > joined.size() - at)
            return damaged("a text is longer than its block");
        list.texts[i] = joined.substr(at, static_cast<size_t>(lengths[i]));
        at += static_cast<size_t>(lengths[i]);
    }
    if (at != joined.size()) return damaged("texts are shorter than their block");
    return list;
}

// Puts texts together again.
class PatternReader {
  public:
    Result<TextList> read(ByteReader& reader, size_t count);

  private:
    struct Column {
        std::vector<int64_t> values;
        size_t next = 0;
    };

    Result<void> read_numbers(ByteReader& reader);
    bool append(std::string_view pattern, std::vector<Column>& numbers);
    bool append_hex(size_t bytes);

    std::vector<std::string_view> patterns_;
    std::vector<int64_t> codes_;
    std::vector<std::vector<Column>> numbers_;  // per pattern and mark in it
    std::string_view digits_;
    std::string joined_;
};

bool PatternReader::append_hex(size_t bytes) {
    if (digits_.size() < bytes) return false;
    for (size_t i = 0; i < bytes; ++i) {
        const auto byte = static_cast<uint8_t>(digits_[i]);
        joined_ += kHexDigits[byte >> 4];
        joined_ += kHexDigits[byte & 15];
    }
    digits_.remove_prefix(bytes);
    return true;
}

bool PatternReader::append(std::string_view pattern, std::vector<Column>& numbers) {
    size_t mark = 0;
    for (size_t i = 0; i < pattern.size(); ++i) {
        if (pattern[i] == kNumberMark) {
            Column& column = numbers[mark++];
            std::array<char, 24> digits;
            const auto end = std::to_chars(digits.data(), digits.data() + digits.size(),
                                           column.values[column.next++]);
            joined_.append(digits.data(), end.ptr);
        } else if (pattern[i] == kHexMark) {
            if (++i == pattern.size() || static_cast<uint8_t>(pattern[i]) < kMarks) return false;
            if (!append_hex(static_cast<uint8_t>(pattern[i]) - kMarks)) return false;
        } else if (pattern[i] == kUuidMark) {
            if (digits_.size() < kUuidBytes) return false;
            for (const size_t bytes : {4U, 2U, 2U, 2U, 6U}) {
                if (bytes != 4) joined_ += '-';
                append_hex(bytes);
            }
        } else {
            joined_ += pattern[i];
        }
    }
    return true;
}

Result<void> PatternReader::read_numbers(ByteReader& reader) {
    std::vector<size_t> times(patterns_.size());
    for (const int64_t code : codes_) {
        if (static_cast<uint64_t>(code) >= patterns_.size())
            return damaged("a pattern is out of range");
        ++times[static_cast<size_t>(code)];
    }
    numbers_.resize(patterns_.size());
    for (size_t p = 0; p < patterns_.size(); ++p) {
        for (size_t i = 0; i < patterns_[p].size(); ++i) {
            // The character after a hex mark is a length, whatever it looks like.
            if (patterns_[p][i] == kHexMark)
                ++i;
            else if (patterns_[p][i] == kNumberMark) {
                const std::string_view body = reader.text();
                if (!reader.ok()) return damaged("numbers of texts end early");
                Column column;
                TRY(decode_integers(body, times[p], column.values));
                numbers_[p].push_back(std::move(column));
            }
        }
    }
    return {};
}

Result<TextList> PatternReader::read(ByteReader& reader, size_t count) {
    const size_t size_max = std::min(kBlockBytesMax, reader.rest().size() * kExpansionMax);
    const uint64_t patterns = reader.varint_max(kPatternsMax);
    const std::string_view list_body = reader.text();
    const std::string_view codes_body = reader.text();
    if (!reader.ok()) return damaged("patterns end early");
    ByteReader list_reader(list_body);
    if (list_reader.u8() != kJoined) return damaged("patterns have an unknown form");
    TRY_ASSIGN(const TextList list, decode_joined(list_reader, patterns, {}));
    patterns_ = list.texts;
    TRY(decode_integers(codes_body, count, codes_));
    TRY(read_numbers(reader));
    TRY_ASSIGN(const Part part, read_part(reader));
    if (!reader.at_end()) return damaged("texts are followed by something else");
    digits_ = part.bytes;
    std::vector<size_t> ends;
    ends.reserve(count);
    for (const int64_t code : codes_) {
        const auto p = static_cast<size_t>(code);
        if (!append(patterns_[p], numbers_[p])) return damaged("hexadecimal digits end early");
        if (joined_.size() > size_max) return damaged("texts are longer than a block may be");
        ends.push_back(joined_.size());
    }
    if (!digits_.empty()) return damaged("too many hexadecimal digits");
    TextList out;
    out.storage = Blob::copy_of(joined_);
    out.texts.reserve(count);
    size_t at = 0;
    for (const size_t end : ends) {
        out.texts.push_back(out.storage.view().substr(at, end - at));
        at = end;
    }
    return out;
}

}  // namespace

void encode_texts(std::span<const std::string_view> texts, int zstd_level, std::string& out,
                  EncodeTrials* trials) {
    if (zstd_level > 0 && (trials == nullptr || trials->patterns.is_due())) {
        const bool is_written = encode_patterns(texts, zstd_level, out);
        if (trials != nullptr) trials->patterns.note(is_written);
        if (is_written) return;
    }
    encode_joined(texts, zstd_level, out);
}

Result<TextList> decode_texts(std::string_view body, size_t count, const Blob& owner) {
    ByteReader reader(body);
    switch (reader.u8()) {
        case kJoined:
            return decode_joined(reader, count, owner);
        case kPatterns:
            return PatternReader().read(reader, count);
        default:
            return damaged("texts have an unknown form");
    }
}

}  // namespace spanloom::store
