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

constexpr size_t kNumberDigits = 15;    // fit an int64 with room
constexpr size_t kNumberCharsMax = 20;  // of any int64
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
constexpr std::array<std::array<char, 2>, 256> hex_table() {
    constexpr char kHexDigits[] = "0123456789abcdef";
    std::array<std::array<char, 2>, 256> table{};
    for (size_t byte = 0; byte < table.size(); ++byte)
        table[byte] = {kHexDigits[byte >> 4], kHexDigits[byte & 15]};
    return table;
}
constexpr std::array<std::array<char, 2>, 256> kHexPairs = hex_table();

// What is behind the digits that were written.
char* write_hex(std::string_view bytes, char* to) {
    for (const char byte : bytes) {
        std::memcpy(to, kHexPairs[static_cast<uint8_t>(byte)].data(), 2);
        to += 2;
    }
    return to;
}

char* write_uuid(std::string_view bytes, char* to) {
    to = write_hex(bytes.substr(0, 4), to);
    for (const size_t at : {4, 6, 8}) {
        *to++ = '-';
        to = write_hex(bytes.substr(at, 2), to);
    }
    *to++ = '-';
    return write_hex(bytes.substr(10, 6), to);
}

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
        uint32_t first_column = 0;          // of its numbers
        uint32_t digits_bytes = 0;          // of one text
        size_t chars_max = 0;               // the same, put together
        uint32_t known = TextTable::kNone;  // the text that all of them are
        bool is_wanted = false;
        bool varies = false;  // its texts may differ
    };
    struct Wanted {
        uint32_t text = 0;
        uint32_t place = 0;  // among the texts of its pattern
    };
    // As many as the longest list has, of which those in use are not as they were made.
    std::vector<Pattern> patterns;
    std::vector<uint32_t> times;  // how many texts have each
    std::vector<uint32_t> in_use;
    std::vector<Wanted> wanted;
    // Columns of numbers, more of them than are in use.
    std::vector<std::vector<int64_t>> columns;
    std::vector<size_t> ends;
    // Texts end to end, and room behind them.
    std::vector<char> joined;
    size_t joined_bytes = 0;

    // Where the next text goes, which has so many characters at most.
    char* room(size_t chars) {
        if (joined.size() - joined_bytes < chars)
            joined.resize(std::max(joined_bytes + chars, joined.size() * 2));
        return joined.data() + joined_bytes;
    }
    std::string_view texts() const { return {joined.data(), joined_bytes}; }

    void begin(size_t pattern_count) {
        for (const uint32_t number : in_use) {
            patterns[number] = {};
            times[number] = 0;
        }
        in_use.clear();
        wanted.clear();
        if (patterns.size() >= pattern_count) return;
        patterns.resize(pattern_count);
        times.resize(pattern_count);
    }

    // What few lists need is not worth keeping.
    bool is_small() const {
        constexpr size_t kBytesMax = 2U << 20;
        size_t bytes = joined.capacity() + patterns.capacity() * (sizeof(Pattern) + 8) +
                       (ends.capacity() + wanted.capacity()) * 8;
        for (const std::vector<int64_t>& column : columns)
            bytes += sizeof column + column.capacity() * 8;
        return bytes <= kBytesMax;
    }
};

// Of what stands for a mark, but for hexadecimal digits, whose number comes behind it.
constexpr size_t chars_max(char mark) {
    return mark == kNumberMark ? kNumberCharsMax : mark == kHexMark ? 0 : kUuidChars;
}

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
    bool append(uint32_t pattern, uint32_t place);
    bool pass_digits(std::span<const int64_t> codes);
    std::string_view take_digits(size_t bytes);
    char* write_random_uuid(int64_t number, char* to);

    std::shared_ptr<const TextList> list_;
    std::span<const std::string_view> patterns_;
    size_t marks_;
    PatternScratch& scratch_;
    std::string_view digits_;
    bool have_digits_ = false;
};

// The next bytes of the digits, as many as there are at most.
std::string_view PatternReader::take_digits(size_t bytes) {
    const std::string_view taken = digits_.substr(0, bytes);
    digits_.remove_prefix(taken.size());
    return taken;
}

// nullptr: the digits end early.
char* PatternReader::write_random_uuid(int64_t number, char* to) {
    const std::string_view random = take_digits(kRandomUuidBytes);
    if (random.size() < kRandomUuidBytes) return nullptr;
    std::array<char, kUuidBytes> bytes;
    std::memcpy(bytes.data(), random.data(), kVersionByte);
    bytes[kVersionByte] = static_cast<char>(0x40 | (number >> 6 & 0x0f));
    bytes[kVersionByte + 1] = random[kVersionByte];
    bytes[kVariantByte] = static_cast<char>(0x80 | (number & 0x3f));
    std::memcpy(bytes.data() + kVariantByte + 1, random.data() + kVersionByte + 1,
                kUuidBytes - kVariantByte - 1);
    return write_uuid({bytes.data(), bytes.size()}, to);
}

// Of the pattern's texts the one in this place.
bool PatternReader::append(uint32_t number, uint32_t place) {
    const std::string_view pattern = patterns_[number];
    PatternScratch::Pattern& state = scratch_.patterns[number];
    uint32_t column_number = state.first_column;
    char* const begin = scratch_.room(state.chars_max);
    char* to = begin;
    for (size_t i = 0; i < pattern.size(); ++i) {
        const char c = pattern[i];
        if (!is_mark(c)) {
            *to++ = c;
        } else if (c == kNumberMark) {
            to = std::to_chars(to, to + kNumberCharsMax, scratch_.columns[column_number++][place])
                     .ptr;
        } else if (c == kHexMark) {
            if (++i == pattern.size()) return false;
            const size_t bytes = static_cast<uint8_t>(pattern[i]) - marks_;
            const std::string_view digits = take_digits(bytes);
            if (digits.size() < bytes) return false;
            to = write_hex(digits, to);
        } else if (c == kUuidMark) {
            const std::string_view digits = take_digits(kUuidBytes);
            if (digits.size() < kUuidBytes) return false;
            to = write_uuid(digits, to);
        } else {
            to = write_random_uuid(scratch_.columns[column_number++][place], to);
            if (to == nullptr) return false;
        }
    }
    scratch_.joined_bytes += static_cast<size_t>(to - begin);
    return true;
}

// Those of texts that are not put together.
bool PatternReader::pass_digits(std::span<const int64_t> codes) {
    if (!have_digits_) return true;
    size_t bytes = 0;
    for (const int64_t code : codes)
        bytes += scratch_.patterns[static_cast<size_t>(code)].digits_bytes;
    return take_digits(bytes).size() == bytes;
}

// Those that some text has (of old marks: all), ascending, and which of them a wanted text has.
Result<void> PatternReader::find_patterns(std::span<const int64_t> codes,
                                          std::span<const uint8_t> wanted) {
    std::vector<uint32_t>& in_use = scratch_.in_use;
    scratch_.begin(patterns_.size());
    for (uint32_t text = 0; text < codes.size(); ++text) {
        const auto number = static_cast<size_t>(codes[text]);
        if (number >= patterns_.size()) return damaged("a pattern is out of range");
        uint32_t& times = scratch_.times[number];
        if (wanted.empty() || wanted[text] != 0) scratch_.wanted.push_back({text, times});
        if (times++ == 0) in_use.push_back(static_cast<uint32_t>(number));
    }
    if (marks_ == kOldMarks) {
        in_use.resize(patterns_.size());
        std::iota(in_use.begin(), in_use.end(), 0);
    } else {
        std::sort(in_use.begin(), in_use.end());
    }
    for (const uint32_t number : in_use)
        scratch_.patterns[number].is_wanted = wanted.empty();
    for (const PatternScratch::Wanted& one : scratch_.wanted)
        scratch_.patterns[static_cast<size_t>(codes[one.text])].is_wanted = true;
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
            state.chars_max += is_mark(c) ? chars_max(c) : 1;
            if (!is_mark(c)) continue;
            if (c != kNumberMark) state.varies = true;
            if (c == kUuidMark) state.digits_bytes += kUuidBytes;
            if (c == kRandomUuidMark) state.digits_bytes += kRandomUuidBytes;
            if (c == kHexMark && ++i < pattern.size()) {
                // A length comes next, whatever it looks like.
                if (static_cast<uint8_t>(pattern[i]) < marks_)
                    return damaged("a pattern is broken");
                const size_t bytes = static_cast<uint8_t>(pattern[i]) - marks_;
                state.digits_bytes += static_cast<uint32_t>(bytes);
                state.chars_max += bytes * 2;
            }
            have_digits_ = have_digits_ || state.digits_bytes > 0;
            if (c != kNumberMark && c != kRandomUuidMark) continue;
            const std::string_view body = reader.text();
            if (!reader.ok()) return damaged("numbers of texts end early");
            if (!state.is_wanted) continue;
            if (columns == scratch_.columns.size()) scratch_.columns.emplace_back();
            std::vector<int64_t>& values = scratch_.columns[columns++];
            TRY(decode_integers(body, scratch_.times[number], values));
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
    scratch_.joined_bytes = 0;
    if (!wanted.empty()) ends.push_back(0);  // the text of those that are not
    size_t passed = 0;                       // texts, up to the one at hand
    for (const PatternScratch::Wanted& one : scratch_.wanted) {
        if (!pass_digits(codes.subspan(passed, one.text - passed)))
            return damaged("hexadecimal digits end early");
        passed = one.text + size_t{1};
        const auto pattern = static_cast<uint32_t>(codes[one.text]);
        PatternScratch::Pattern& state = scratch_.patterns[pattern];
        if (state.known != TextTable::kNone) {
            out.codes[one.text] = state.known;
            continue;
        }
        const auto number = static_cast<uint32_t>(ends.size());
        if (!append(pattern, one.place)) return damaged("hexadecimal digits end early");
        if (scratch_.joined_bytes > kBlockBytesMax)
            return damaged("texts are longer than a block may be");
        out.codes[one.text] = number;
        ends.push_back(scratch_.joined_bytes);
        if (!state.varies) state.known = number;
    }
    if (!pass_digits(codes.subspan(passed))) return damaged("hexadecimal digits end early");
    if (!digits_.empty()) return damaged("too many hexadecimal digits");
    out.storage = Blob::copy_of(scratch_.texts());
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
