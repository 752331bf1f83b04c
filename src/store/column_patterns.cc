#include "store/column_patterns.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <numeric>

#include "store/column_part.h"
#include "store/segment_bytes.h"

namespace spanloom::store {
namespace {

// Marks in a pattern, each standing for a piece of text that is kept as a number or as bytes.
constexpr char kNumberMark = 1;  // decimal digits
constexpr char kHexMark = 2;     // pairs of hexadecimal digits; the next character says how many
constexpr char kUuidMark = 3;    // 8-4-4-4-12 hexadecimal digits
constexpr char kRandomUuidMark = 4;  // the same of version 4: six bits less

// Characters below this cannot be in a text kept by patterns.
constexpr size_t kMarks = 5;
constexpr size_t kOldMarks = 4;

constexpr size_t kNumberDigits = 15;  // fit an int64 with room
constexpr size_t kHexDigitsMin = 8;
constexpr size_t kHexDigitsMax = 200;
constexpr size_t kUuidChars = 36;
constexpr size_t kUuidBytes = 16;
constexpr size_t kRandomUuidBytes = 14;
constexpr size_t kVersionByte = 6;  // of a UUID; its high half is the version
constexpr size_t kVariantByte = 8;  // its two high bits are the variant

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

// Whether the text begins with 8-4-4-4-12 hexadecimal digits; then `bytes` has them.
bool read_uuid(std::string_view text, std::array<uint8_t, kUuidBytes>& bytes) {
    if (text.size() < kUuidChars || text[8] != '-' || text[13] != '-' || text[18] != '-' ||
        text[23] != '-')
        return false;
    constexpr std::array<uint8_t, kUuidBytes> kPlaces = {0,  2,  4,  6,  9,  11, 14, 16,
                                                         19, 21, 24, 26, 28, 30, 32, 34};
    uint8_t seen = 0;
    for (size_t i = 0; i < kUuidBytes; ++i) {
        const uint8_t high = digit_of(text[kPlaces[i]]);
        const uint8_t low = digit_of(text[kPlaces[i] + 1]);
        seen |= high | low;
        bytes[i] = static_cast<uint8_t>(high << 4 | (low & 15));
    }
    return (seen & 0xf0) == 0;
}

bool is_random(const std::array<uint8_t, kUuidBytes>& uuid) {
    return (uuid[kVersionByte] & 0xf0) == 0x40 && (uuid[kVariantByte] & 0xc0) == 0x80;
}

void append_digits(std::string_view digits, std::string& out) {
    for (size_t i = 0; i + 1 < digits.size(); i += 2)
        out += static_cast<char>(digit_of(digits[i]) << 4 | digit_of(digits[i + 1]));
}

}  // namespace

uint32_t TextPatterns::intern(std::string_view pattern, uint32_t numbers) {
    if (last_ < table_.size() && are_equal_texts(table_.text(last_), pattern)) return last_;
    const uint64_t hash = hash64(pattern);
    const uint32_t found = table_.find(pattern, hash);
    if (found != TextTable::kNone) return last_ = found;
    if (table_.size() == kPatternsMax) return TextTable::kNone;
    numbers_.push_back(numbers);
    return last_ = table_.insert(pattern, hash);
}

// ---- taking apart

void TakenTexts::clear() {
    texts_.clear();
    numbers_.clear();
    digits_.clear();
    is_used_.clear();
    new_patterns_ = 0;
}

// Takes what begins here with a hexadecimal digit; how many characters that is.
size_t TakenTexts::take(std::string_view rest) {
    std::array<uint8_t, kUuidBytes> uuid;
    if (read_uuid(rest, uuid)) {
        const auto* const bytes = reinterpret_cast<const char*>(uuid.data());
        if (is_random(uuid)) {
            pattern_ += kRandomUuidMark;
            digits_.append(bytes, kVersionByte);
            digits_ += bytes[kVersionByte + 1];
            digits_.append(bytes + kVariantByte + 1, kUuidBytes - kVariantByte - 1);
            numbers_.push_back((uuid[kVersionByte] & 0x0f) << 6 | (uuid[kVariantByte] & 0x3f));
            ++numbers_here_;
        } else {
            pattern_ += kUuidMark;
            digits_.append(bytes, kUuidBytes);
        }
        bits_here_ += 122;
        return kUuidChars;
    }
    size_t end = 0;
    size_t decimal = 0;
    while (end < rest.size() && digit_of(rest[end]) != kNoDigit) {
        if (decimal == end && rest[end] <= '9') ++decimal;
        ++end;
    }
    const bool is_number = decimal > 0 && (decimal == end || end < kHexDigitsMin) &&
                           decimal <= kNumberDigits && (decimal == 1 || rest[0] != '0');
    if (is_number) {
        int64_t number = 0;
        for (size_t i = 0; i < decimal; ++i)
            number = number * 10 + (rest[i] - '0');
        pattern_ += kNumberMark;
        numbers_.push_back(number);
        ++numbers_here_;
        bits_here_ += static_cast<uint32_t>(decimal * 10 / 3);
        return decimal;
    }
    if (end >= kHexDigitsMin && end <= kHexDigitsMax) {
        const size_t even = end & ~size_t{1};
        pattern_ += kHexMark;
        pattern_ += static_cast<char>(even / 2 + kMarks);
        append_digits(rest.substr(0, even), digits_);
        bits_here_ += static_cast<uint32_t>(even * 4);
        return even;
    }
    pattern_.append(rest.substr(0, end));
    return end;
}

bool TakenTexts::add(std::string_view text, TextPatterns& patterns) {
    pattern_.clear();
    numbers_here_ = 0;
    bits_here_ = 0;
    const auto first_number = static_cast<uint32_t>(numbers_.size());
    const auto first_digit = static_cast<uint32_t>(digits_.size());
    const auto undo = [&] {
        numbers_.resize(first_number);
        digits_.resize(first_digit);
        return false;
    };
    for (size_t at = 0; at < text.size();) {
        const char c = text[at];
        if (static_cast<uint8_t>(c) < kMarks) return undo();
        if (digit_of(c) != kNoDigit) {
            at += take(text.substr(at));
            continue;
        }
        pattern_ += c;
        ++at;
    }
    const uint32_t known = patterns.size();
    const uint32_t pattern = patterns.intern(pattern_, numbers_here_);
    if (pattern == TextTable::kNone) return undo();
    if (pattern >= is_used_.size()) is_used_.resize(pattern + size_t{1});
    new_patterns_ += pattern == known;
    is_used_[pattern] = 1;
    texts_.push_back({pattern, first_number, first_digit,
                      static_cast<uint32_t>(digits_.size()) - first_digit, bits_here_});
    return true;
}

std::vector<uint32_t> TakenTexts::all() const {
    std::vector<uint32_t> order(texts_.size());
    std::iota(order.begin(), order.end(), 0U);
    return order;
}

void TakenTexts::encode(
    std::span<const uint32_t> order, const TextPatterns& patterns,
    const std::function<void(std::span<const int64_t>, std::string&)>& write_codes, int zstd_level,
    std::string& out) const {
    ByteWriter writer(out);
    std::vector<int64_t> codes;
    codes.reserve(order.size());
    std::string digits;
    // The numbers of each pattern's marks, one column after the other.
    std::vector<uint32_t> first_column(patterns.size(), TextTable::kNone);
    std::vector<std::vector<int64_t>> columns;
    for (uint32_t pattern = 0; pattern < is_used_.size(); ++pattern) {
        if (is_used_[pattern] == 0) continue;
        first_column[pattern] = static_cast<uint32_t>(columns.size());
        columns.resize(columns.size() + patterns.numbers(pattern));
    }
    for (const uint32_t number : order) {
        const Taken& taken = texts_[number];
        codes.push_back(taken.pattern);
        digits.append(digits_, taken.first_digit, taken.digits);
        const uint32_t first = first_column[taken.pattern];
        for (uint32_t i = 0; i < patterns.numbers(taken.pattern); ++i)
            columns[first + i].push_back(numbers_[taken.first_number + i]);
    }
    std::string body;
    write_codes(codes, body);
    writer.text(body);
    for (const std::vector<int64_t>& values : columns) {
        body.clear();
        encode_integers(values, zstd_level, body);
        writer.text(body);
    }
    write_part(digits, 0, out);
}

// ---- putting together

namespace {

// What one list after another is read with. Each thread has its own.
struct PatternScratch {
    struct Pattern {
        uint32_t times = 0;                 // texts that have it
        uint32_t first_column = 0;          // of its numbers
        uint32_t digits_bytes = 0;          // of one text
        uint32_t passed = 0;                // how many of its texts are behind us
        uint32_t known = TextTable::kNone;  // the text that all of them are
        bool is_wanted = false;
        bool varies = false;  // its texts may differ
    };
    // As many as the longest list has, of which those in use are not as they were made.
    std::vector<Pattern> patterns;
    std::vector<uint32_t> in_use;
    // Columns of numbers, more of them than are in use.
    std::vector<std::vector<int64_t>> columns;
    std::vector<size_t> ends;
    std::string joined;

    void begin(size_t pattern_count) {
        for (const uint32_t number : in_use)
            patterns[number] = {};
        in_use.clear();
        if (patterns.size() < pattern_count) patterns.resize(pattern_count);
    }

    // What few lists need is not worth keeping.
    bool is_small() const {
        constexpr size_t kBytesMax = 2U << 20;
        size_t bytes =
            joined.capacity() + patterns.capacity() * (sizeof(Pattern) + 4) + ends.capacity() * 8;
        for (const std::vector<int64_t>& column : columns)
            bytes += sizeof column + column.capacity() * 8;
        return bytes <= kBytesMax;
    }
};

class PatternReader {
  public:
    PatternReader(std::shared_ptr<const TextList> patterns, PatternMarks marks,
                  PatternScratch& scratch)
        : list_(std::move(patterns)),
          patterns_(list_->texts),
          marks_(marks == PatternMarks::kOld ? kOldMarks : kMarks),
          scratch_(scratch) {}

    Result<TextList> read(ByteReader& reader, std::span<const int64_t> codes,
                          std::span<const uint8_t> wanted);

  private:
    bool is_mark(char c) const { return static_cast<uint8_t>(c) < marks_ && c != 0; }
    Result<void> find_patterns(std::span<const int64_t> codes, std::span<const uint8_t> wanted);
    Result<void> read_numbers(ByteReader& reader);
    bool append(uint32_t pattern);
    bool skip(uint32_t pattern);
    bool append_hex(size_t bytes);
    bool append_uuid(std::string_view bytes);
    bool append_random_uuid(int64_t number);

    std::shared_ptr<const TextList> list_;
    std::span<const std::string_view> patterns_;
    size_t marks_;
    PatternScratch& scratch_;
    std::string_view digits_;
};

bool PatternReader::append_hex(size_t bytes) {
    if (digits_.size() < bytes) return false;
    const size_t at = scratch_.joined.size();
    scratch_.joined.resize(at + bytes * 2);
    char* to = scratch_.joined.data() + at;
    for (size_t i = 0; i < bytes; ++i) {
        const auto byte = static_cast<uint8_t>(digits_[i]);
        *to++ = kHexDigits[byte >> 4];
        *to++ = kHexDigits[byte & 15];
    }
    digits_.remove_prefix(bytes);
    return true;
}

bool PatternReader::append_uuid(std::string_view bytes) {
    std::array<char, kUuidChars> text;
    char* to = text.data();
    for (size_t i = 0; i < kUuidBytes; ++i) {
        if (i == 4 || i == 6 || i == 8 || i == 10) *to++ = '-';
        const auto byte = static_cast<uint8_t>(bytes[i]);
        *to++ = kHexDigits[byte >> 4];
        *to++ = kHexDigits[byte & 15];
    }
    scratch_.joined.append(text.data(), text.size());
    return true;
}

bool PatternReader::append_random_uuid(int64_t number) {
    if (digits_.size() < kRandomUuidBytes) return false;
    std::array<char, kUuidBytes> bytes;
    std::memcpy(bytes.data(), digits_.data(), kVersionByte);
    bytes[kVersionByte] = static_cast<char>(0x40 | (number >> 6 & 0x0f));
    bytes[kVersionByte + 1] = digits_[kVersionByte];
    bytes[kVariantByte] = static_cast<char>(0x80 | (number & 0x3f));
    std::memcpy(bytes.data() + kVariantByte + 1, digits_.data() + kVersionByte + 1,
                kUuidBytes - kVariantByte - 1);
    digits_.remove_prefix(kRandomUuidBytes);
    return append_uuid({bytes.data(), bytes.size()});
}

bool PatternReader::append(uint32_t number) {
    const std::string_view pattern = patterns_[number];
    PatternScratch::Pattern& state = scratch_.patterns[number];
    uint32_t column_number = state.first_column;
    for (size_t i = 0; i < pattern.size(); ++i) {
        const char c = pattern[i];
        if (!is_mark(c)) {
            scratch_.joined += c;
            continue;
        }
        if (c == kNumberMark) {
            std::array<char, 24> digits;
            const auto end = std::to_chars(digits.data(), digits.data() + digits.size(),
                                           scratch_.columns[column_number++][state.passed]);
            scratch_.joined.append(digits.data(), end.ptr);
        } else if (c == kHexMark) {
            if (++i == pattern.size() || static_cast<uint8_t>(pattern[i]) < marks_) return false;
            if (!append_hex(static_cast<uint8_t>(pattern[i]) - marks_)) return false;
        } else if (c == kUuidMark) {
            if (digits_.size() < kUuidBytes || !append_uuid(digits_)) return false;
            digits_.remove_prefix(kUuidBytes);
        } else {
            if (!append_random_uuid(scratch_.columns[column_number++][state.passed])) return false;
        }
    }
    ++state.passed;
    return true;
}

// What a text of the pattern takes, without putting it together.
bool PatternReader::skip(uint32_t number) {
    PatternScratch::Pattern& state = scratch_.patterns[number];
    ++state.passed;
    if (digits_.size() < state.digits_bytes) return false;
    digits_.remove_prefix(state.digits_bytes);
    return true;
}

// Those that some text has (of old marks: all), ascending, and which of them a wanted text has.
Result<void> PatternReader::find_patterns(std::span<const int64_t> codes,
                                          std::span<const uint8_t> wanted) {
    std::vector<uint32_t>& in_use = scratch_.in_use;
    scratch_.begin(patterns_.size());
    for (const int64_t code : codes) {
        if (static_cast<uint64_t>(code) >= patterns_.size())
            return damaged("a pattern is out of range");
        PatternScratch::Pattern& state = scratch_.patterns[static_cast<size_t>(code)];
        if (state.times++ == 0) in_use.push_back(static_cast<uint32_t>(code));
    }
    if (marks_ == kOldMarks) {
        in_use.resize(patterns_.size());
        std::iota(in_use.begin(), in_use.end(), 0);
    } else {
        std::sort(in_use.begin(), in_use.end());
    }
    for (const uint32_t number : in_use)
        scratch_.patterns[number].is_wanted = wanted.empty();
    for (size_t i = 0; i < wanted.size(); ++i) {
        if (wanted[i] != 0) scratch_.patterns[static_cast<size_t>(codes[i])].is_wanted = true;
    }
    return {};
}

// Each pattern has a column of numbers for each mark. Those of patterns that no wanted text has are
// passed over.
Result<void> PatternReader::read_numbers(ByteReader& reader) {
    uint32_t columns = 0;
    for (const uint32_t number : scratch_.in_use) {
        PatternScratch::Pattern& state = scratch_.patterns[number];
        state.first_column = columns;
        const std::string_view pattern = patterns_[number];
        for (size_t i = 0; i < pattern.size(); ++i) {
            const char c = pattern[i];
            if (!is_mark(c)) continue;
            if (c != kNumberMark) state.varies = true;
            if (c == kUuidMark) state.digits_bytes += kUuidBytes;
            if (c == kRandomUuidMark) state.digits_bytes += kRandomUuidBytes;
            if (c == kHexMark && ++i < pattern.size()) {
                // A length comes next, whatever it looks like.
                if (static_cast<uint8_t>(pattern[i]) < marks_)
                    return damaged("a pattern is broken");
                state.digits_bytes += static_cast<uint8_t>(pattern[i]) - marks_;
            }
            if (c != kNumberMark && c != kRandomUuidMark) continue;
            const std::string_view body = reader.text();
            if (!reader.ok()) return damaged("numbers of texts end early");
            if (!state.is_wanted) continue;
            if (columns == scratch_.columns.size()) scratch_.columns.emplace_back();
            std::vector<int64_t>& values = scratch_.columns[columns++];
            TRY(decode_integers(body, state.times, values));
            const bool is_constant = std::all_of(values.begin(), values.end(), [&](int64_t value) {
                return value == values.front();
            });
            if (!is_constant) state.varies = true;
        }
    }
    return {};
}

Result<TextList> PatternReader::read(ByteReader& reader, std::span<const int64_t> codes,
                                     std::span<const uint8_t> wanted) {
    if (!wanted.empty() && wanted.size() != codes.size())
        return damaged("texts and those that are wanted do not fit");
    TRY(find_patterns(codes, wanted));
    TRY(read_numbers(reader));
    TRY_ASSIGN(const Part part, read_part(reader));
    if (!reader.at_end()) return damaged("texts are followed by something else");
    digits_ = part.bytes;
    TextList out;
    out.codes.assign(codes.size(), 0);
    std::vector<size_t>& ends = scratch_.ends;
    ends.clear();
    scratch_.joined.clear();
    if (!wanted.empty()) ends.push_back(0);  // the text of those that are not
    for (size_t i = 0; i < codes.size(); ++i) {
        const auto p = static_cast<uint32_t>(codes[i]);
        if (!wanted.empty() && wanted[i] == 0) {
            if (!skip(p)) return damaged("hexadecimal digits end early");
            continue;
        }
        PatternScratch::Pattern& state = scratch_.patterns[p];
        if (state.known != TextTable::kNone) {
            out.codes[i] = state.known;
            continue;
        }
        const auto number = static_cast<uint32_t>(ends.size());
        if (!append(p)) return damaged("hexadecimal digits end early");
        if (scratch_.joined.size() > kBlockBytesMax)
            return damaged("texts are longer than a block may be");
        out.codes[i] = number;
        ends.push_back(scratch_.joined.size());
        if (!state.varies) state.known = number;
    }
    if (!digits_.empty()) return damaged("too many hexadecimal digits");
    out.storage = Blob::copy_of(scratch_.joined);
    out.texts.reserve(ends.size());
    size_t at = 0;
    for (const size_t end : ends) {
        out.texts.push_back(out.storage.view().substr(at, end - at));
        at = end;
    }
    return out;
}

}  // namespace

Result<TextList> read_taken(ByteReader& reader, std::shared_ptr<const TextList> patterns,
                            std::span<const int64_t> codes, PatternMarks marks,
                            std::span<const uint8_t> wanted) {
    thread_local std::unique_ptr<PatternScratch> scratch;
    if (scratch == nullptr) scratch = std::make_unique<PatternScratch>();
    Result<TextList> read =
        PatternReader(std::move(patterns), marks, *scratch).read(reader, codes, wanted);
    if (!scratch->is_small()) scratch = nullptr;
    return read;
}

}  // namespace spanloom::store
