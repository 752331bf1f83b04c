#include "store/column.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <numeric>

#include "store/column_part.h"
#include "store/column_widths.h"
#include "store/segment_bytes.h"

namespace spanloom::store {
namespace {

// 5 is not written here: see segment_followers.h.
enum IntegerForm : uint8_t {
    kConstant,
    kPacked,
    kDelta,
    kDictionary,
    kPlanes,
    kScaled = 6,
    kWidths
};

constexpr size_t kDictionaryMax = 256;    // distinct integers before a dictionary cannot pay
constexpr uint32_t kScaledWidthMin = 12;  // narrower differences are left as they are
constexpr size_t kTrialValues = 128;      // so many first values with
constexpr size_t kTrialDistinct = 48;     // so many different ones: no dictionary

tl::unexpected<Error> damaged(std::string_view what) {
    return fail(ErrorCode::kDataLoss, "{}", what);
}

uint32_t bits_of(uint64_t value) {
    return static_cast<uint32_t>(std::bit_width(value));
}

// ---- bits, least significant first

size_t packed_bytes(size_t count, uint32_t width) {
    return (count * width + 7) / 8;
}

// get(i) gives the i-th number, below 2^width.
template <typename Get>
void pack(size_t count, uint32_t width, std::string& out, Get get) {
    if (width == 0) return;
    const size_t at = out.size();
    out.resize(at + packed_bytes(count, width) + 8);
    char* to = out.data() + at;
    uint64_t held = 0;
    uint32_t held_bits = 0;
    for (size_t i = 0; i < count; ++i) {
        const uint64_t value = get(i);
        held |= value << held_bits;
        if (held_bits + width >= 64) {
            std::memcpy(to, &held, 8);
            to += 8;
            const uint32_t used = 64 - held_bits;
            held = used == 64 ? 0 : value >> used;
            if (width == used) held = 0;
            held_bits = held_bits + width - 64;
        } else {
            held_bits += width;
        }
    }
    if (held_bits > 0) std::memcpy(to, &held, 8);
    out.resize(at + packed_bytes(count, width));
}

uint64_t mask_of(uint32_t width) {
    return width == 64 ? ~uint64_t{0} : (uint64_t{1} << width) - 1;
}

// The number that begins with this bit; 9 bytes can be read there.
uint64_t number_at(const char* bytes, size_t bit, uint32_t width, uint64_t mask) {
    uint64_t low = 0;
    std::memcpy(&low, bytes + bit / 8, 8);
    const uint32_t shift = bit % 8;
    uint64_t value = low >> shift;
    if (shift + width > 64)
        value |= static_cast<uint64_t>(static_cast<uint8_t>(bytes[bit / 8 + 8])) << (64 - shift);
    return value & mask;
}

// The caller has checked that `bytes` holds `count` numbers. put(i, number).
template <typename Put>
void unpack(std::string_view bytes, size_t count, uint32_t width, Put put) {
    if (width == 0) {
        for (size_t i = 0; i < count; ++i)
            put(i, uint64_t{0});
        return;
    }
    const uint64_t mask = mask_of(width);
    // Numbers that start where 9 bytes can be read in place; the rest go through a copy.
    size_t i = 0;
    size_t bit = 0;
    if (bytes.size() > 16) {
        const size_t safe_bits = (bytes.size() - 16) * 8;
        for (; i < count && bit < safe_bits; ++i, bit += width)
            put(i, number_at(bytes.data(), bit, width, mask));
    }
    std::array<char, 64> tail{};
    const size_t tail_at = std::min(bit / 8, bytes.size());
    std::memcpy(tail.data(), bytes.data() + tail_at, std::min<size_t>(bytes.size() - tail_at, 40));
    for (; i < count; ++i, bit += width)
        put(i, number_at(tail.data(), bit - tail_at * 8, width, mask));
}

// The number in this place, for a reader of few. The caller has checked that `bytes` holds it.
uint64_t unpack_one(std::string_view bytes, size_t place, uint32_t width) {
    if (width == 0) return 0;
    const size_t bit = place * width;
    std::array<char, 16> window{};
    std::memcpy(window.data(), bytes.data() + bit / 8, std::min<size_t>(bytes.size() - bit / 8, 9));
    return number_at(window.data(), bit % 8, width, mask_of(width));
}

// ---- integers

struct Profile {
    int64_t min = 0;
    uint32_t width = 0;  // of value - min
    int64_t delta_min = 0;
    uint32_t delta_width = 64;  // of difference - delta_min
};

Profile profile_of(std::span<const int64_t> values) {
    Profile profile;
    int64_t max = profile.min = values[0];
    int64_t delta_min = INT64_MAX;
    int64_t delta_max = INT64_MIN;
    for (size_t i = 1; i < values.size(); ++i) {
        profile.min = std::min(profile.min, values[i]);
        max = std::max(max, values[i]);
        const auto delta = static_cast<int64_t>(static_cast<uint64_t>(values[i]) -
                                                static_cast<uint64_t>(values[i - 1]));
        delta_min = std::min(delta_min, delta);
        delta_max = std::max(delta_max, delta);
    }
    profile.width = bits_of(static_cast<uint64_t>(max) - static_cast<uint64_t>(profile.min));
    if (values.size() > 1) {
        profile.delta_min = delta_min;
        profile.delta_width =
            bits_of(static_cast<uint64_t>(delta_max) - static_cast<uint64_t>(delta_min));
    }
    return profile;
}

void write_packed(std::span<const int64_t> values, const Profile& profile, std::string& out) {
    ByteWriter writer(out);
    writer.u8(kPacked);
    writer.zigzag(profile.min);
    writer.u8(static_cast<uint8_t>(profile.width));
    pack(values.size(), profile.width, out, [&](size_t i) {
        return static_cast<uint64_t>(values[i]) - static_cast<uint64_t>(profile.min);
    });
}

void write_delta(std::span<const int64_t> values, const Profile& profile, std::string& out) {
    ByteWriter writer(out);
    writer.u8(kDelta);
    writer.zigzag(values[0]);
    writer.zigzag(profile.delta_min);
    writer.u8(static_cast<uint8_t>(profile.delta_width));
    pack(values.size() - 1, profile.delta_width, out, [&](size_t i) {
        return static_cast<uint64_t>(values[i + 1]) - static_cast<uint64_t>(values[i]) -
               static_cast<uint64_t>(profile.delta_min);
    });
}

// Value - min in planes: all lowest bytes, then all second ones, and so on.
void write_planes(std::span<const int64_t> values, const Profile& profile, int zstd_level,
                  std::string& out) {
    ByteWriter writer(out);
    const uint32_t planes = (profile.width + 7) / 8;
    writer.u8(kPlanes);
    writer.zigzag(profile.min);
    writer.u8(static_cast<uint8_t>(planes));
    thread_local std::string plane;
    plane.resize(values.size());
    for (uint32_t p = 0; p < planes; ++p) {
        for (size_t i = 0; i < values.size(); ++i)
            plane[i] = static_cast<char>(
                (static_cast<uint64_t>(values[i]) - static_cast<uint64_t>(profile.min)) >> (8 * p));
        write_part(plane, zstd_level, out);
    }
}

// Distinct values, numbered as they come, as long as they are few.
class FewValues {
  public:
    // The value's number; kDictionaryMax where there are too many.
    size_t number_of(int64_t value) {
        size_t slot = (static_cast<uint64_t>(value) * 0x9e3779b97f4a7c15U) >> (64 - kSlotBits);
        for (; slots_[slot] != 0; slot = (slot + 1) & (slots_.size() - 1))
            if (values_[slots_[slot] - 1U] == value) return slots_[slot] - 1U;
        if (values_.size() == kDictionaryMax) return kDictionaryMax;
        values_.push_back(value);
        slots_[slot] = static_cast<uint16_t>(values_.size());
        return values_.size() - 1;
    }
    const std::vector<int64_t>& values() const { return values_; }

  private:
    static constexpr uint32_t kSlotBits = 10;

    std::array<uint16_t, size_t{1} << kSlotBits> slots_{};  // number + 1
    std::vector<int64_t> values_;
};

// What the differences to the least value have in common as a factor; 1: nothing.
uint64_t scale_of(std::span<const int64_t> values, int64_t min) {
    uint64_t scale = 0;
    for (const int64_t value : values) {
        const uint64_t difference = static_cast<uint64_t>(value) - static_cast<uint64_t>(min);
        if (scale != 0 && difference % scale == 0) continue;
        scale = std::gcd(scale, difference);
        if (scale == 1) break;
    }
    return scale;
}

// Times of clocks that tick in microseconds, mostly.
bool write_scaled(std::span<const int64_t> values, const Profile& profile, int zstd_level,
                  std::string& out, EncodeTrials* trials) {
    if (zstd_level <= 0 || profile.width < kScaledWidthMin || values.size() < 8) return false;
    const uint64_t scale = scale_of(values, profile.min);
    if (scale < 2) return false;
    std::vector<int64_t> scaled(values.size());
    for (size_t i = 0; i < values.size(); ++i)
        scaled[i] = static_cast<int64_t>(
            (static_cast<uint64_t>(values[i]) - static_cast<uint64_t>(profile.min)) / scale);
    ByteWriter writer(out);
    writer.u8(kScaled);
    writer.zigzag(profile.min);
    writer.varint(scale);
    // Now they have no factor left, so that this ends here.
    encode_integers(scaled, zstd_level, out, trials);
    return true;
}

bool write_dictionary(std::span<const int64_t> values, const Profile& profile, std::string& out) {
    if (profile.width < 6 || values.size() < 16) return false;
    FewValues few;
    thread_local std::vector<uint16_t> codes;
    codes.resize(values.size());
    for (size_t i = 0; i < values.size(); ++i) {
        if (i > 0 && values[i] == values[i - 1]) {
            codes[i] = codes[i - 1];
            continue;
        }
        const size_t number = few.number_of(values[i]);
        if (number == kDictionaryMax || (number >= kTrialDistinct && i < kTrialValues))
            return false;
        codes[i] = static_cast<uint16_t>(number);
    }
    std::vector<int64_t> sorted = few.values();
    std::sort(sorted.begin(), sorted.end());
    const uint32_t width = bits_of(sorted.size() - 1);
    if (sorted.size() * bits_of(profile.width) + packed_bytes(values.size(), width) >
        packed_bytes(values.size(), std::min(profile.width, profile.delta_width)))
        return false;
    std::vector<uint16_t> ranks(sorted.size());
    for (size_t number = 0; number < ranks.size(); ++number)
        ranks[number] = static_cast<uint16_t>(
            std::lower_bound(sorted.begin(), sorted.end(), few.values()[number]) - sorted.begin());
    ByteWriter writer(out);
    writer.u8(kDictionary);
    writer.varint(sorted.size());
    for (const int64_t value : sorted)
        writer.zigzag(value);
    pack(values.size(), width, out, [&](size_t i) { return uint64_t{ranks[codes[i]]}; });
    return true;
}

// Packed numbers whose bits are known to be there.
struct Packed {
    std::string_view bits;
    uint8_t width = 0;
};

struct PackedIntegers {
    uint64_t min = 0;
    Packed numbers;
};

Result<PackedIntegers> read_packed_head(ByteReader& reader, size_t count) {
    PackedIntegers head;
    head.min = static_cast<uint64_t>(reader.zigzag());
    const uint8_t width = reader.u8();
    head.numbers = {reader.bytes(width > 64 ? SIZE_MAX : packed_bytes(count, width)), width};
    if (!reader.ok()) return damaged("packed integers end early");
    return head;
}

Result<void> read_packed(ByteReader& reader, size_t count, std::vector<int64_t>& out) {
    TRY_ASSIGN(const PackedIntegers head, read_packed_head(reader, count));
    out.resize(count);
    unpack(head.numbers.bits, count, head.numbers.width,
           [&](size_t i, uint64_t value) { out[i] = static_cast<int64_t>(head.min + value); });
    return {};
}

Result<void> read_delta(ByteReader& reader, size_t count, std::vector<int64_t>& out) {
    const int64_t first = reader.zigzag();
    const auto delta_min = static_cast<uint64_t>(reader.zigzag());
    const uint8_t width = reader.u8();
    const std::string_view bits =
        reader.bytes(width > 64 || count == 0 ? SIZE_MAX : packed_bytes(count - 1, width));
    if (!reader.ok()) return damaged("integer differences end early");
    out.resize(count);
    out[0] = first;
    auto current = static_cast<uint64_t>(first);
    unpack(bits, count - 1, width, [&](size_t i, uint64_t value) {
        current += delta_min + value;
        out[i + 1] = static_cast<int64_t>(current);
    });
    return {};
}

struct IntegerDictionary {
    std::vector<int64_t> sorted;
    Packed codes;
};

Result<IntegerDictionary> read_dictionary_head(ByteReader& reader, size_t count) {
    IntegerDictionary head;
    head.sorted.resize(reader.varint_max(kDictionaryMax));
    for (int64_t& value : head.sorted)
        value = reader.zigzag();
    if (!reader.ok() || head.sorted.empty()) return damaged("an integer dictionary is broken");
    const auto width = static_cast<uint8_t>(bits_of(head.sorted.size() - 1));
    head.codes = {reader.bytes(packed_bytes(count, width)), width};
    if (!reader.ok()) return damaged("dictionary codes end early");
    return head;
}

Result<void> read_dictionary(ByteReader& reader, size_t count, std::vector<int64_t>& out) {
    TRY_ASSIGN(const IntegerDictionary head, read_dictionary_head(reader, count));
    out.resize(count);
    bool in_range = true;
    unpack(head.codes.bits, count, head.codes.width, [&](size_t i, uint64_t code) {
        in_range &= code < head.sorted.size();
        out[i] = code < head.sorted.size() ? head.sorted[code] : 0;
    });
    if (!in_range) return damaged("a dictionary code is out of range");
    return {};
}

Result<void> read_planes(ByteReader& reader, size_t count, std::vector<int64_t>& out) {
    const auto min = static_cast<uint64_t>(reader.zigzag());
    const uint8_t planes = reader.u8();
    if (!reader.ok() || planes > 8) return damaged("integer planes are broken");
    std::vector<Part> parts;
    for (uint32_t p = 0; p < planes; ++p) {
        TRY_ASSIGN(Part part, read_part(reader));
        if (part.bytes.size() != count) return damaged("an integer plane has a wrong length");
        parts.push_back(std::move(part));
    }
    out.assign(count, static_cast<int64_t>(min));
    for (uint32_t p = 0; p < planes; ++p) {
        const std::string_view bytes = parts[p].bytes;
        for (size_t i = 0; i < count; ++i) {
            const auto byte = static_cast<uint64_t>(static_cast<uint8_t>(bytes[i]));
            out[i] = static_cast<int64_t>(static_cast<uint64_t>(out[i]) + (byte << (8 * p)));
        }
    }
    return {};
}

}  // namespace

void encode_integers(std::span<const int64_t> values, int zstd_level, std::string& out,
                     EncodeTrials* trials) {
    ByteWriter writer(out);
    if (values.empty()) {
        writer.u8(kConstant);
        writer.zigzag(0);
        return;
    }
    const Profile profile = profile_of(values);
    if (profile.width == 0) {
        writer.u8(kConstant);
        writer.zigzag(profile.min);
        return;
    }
    if (write_scaled(values, profile, zstd_level, out, trials)) return;
    const size_t at = out.size();
    bool is_written = false;
    if (trials == nullptr || trials->dictionary.is_due()) {
        is_written = write_dictionary(values, profile, out);
        if (trials != nullptr) trials->dictionary.note(is_written);
    }
    if (!is_written) {
        if (profile.delta_width + 1 < profile.width) {
            write_delta(values, profile, out);
        } else {
            write_packed(values, profile, out);
        }
    }
    size_t size = out.size() - at;
    if (zstd_level <= 0 || size < kCompressBytesMin) return;
    // Packed forms are read faster: another one must save something.
    if (!is_written && (trials == nullptr || trials->widths.is_due())) {
        const size_t bytes = widths_bits(values, profile.min) / 8 + 16;
        const bool is_smaller = bytes + size / 32 < size;
        if (trials != nullptr) trials->widths.note(is_smaller);
        if (is_smaller) {
            out.resize(at);
            out += static_cast<char>(kWidths);
            write_widths(values, profile.min, zstd_level, out);
            size = out.size() - at;
        }
    }
    if (trials != nullptr && !trials->planes.is_due()) return;
    thread_local std::string planes;
    planes.clear();
    write_planes(values, profile, zstd_level, planes);
    const bool is_smaller = planes.size() + size / 32 < size;
    if (trials != nullptr) trials->planes.note(is_smaller);
    if (!is_smaller) return;
    out.resize(at);
    out.append(planes);
}

Result<void> decode_integers(std::string_view body, size_t count, std::vector<int64_t>& out) {
    if (count > kBlockBytesMax / 8) return damaged("too many integers");
    ByteReader reader(body);
    switch (reader.u8()) {
        case kConstant: {
            const int64_t value = reader.zigzag();
            if (!reader.ok()) return damaged("a constant ends early");
            out.assign(count, value);
            break;
        }
        case kPacked:
            TRY(read_packed(reader, count, out));
            break;
        case kDelta:
            TRY(read_delta(reader, count, out));
            break;
        case kDictionary:
            TRY(read_dictionary(reader, count, out));
            break;
        case kPlanes:
            TRY(read_planes(reader, count, out));
            break;
        case kWidths:
            TRY(read_widths(reader, count, out));
            break;
        case kScaled: {
            const auto offset = static_cast<uint64_t>(reader.zigzag());
            const uint64_t scale = reader.varint();
            const std::string_view rest = reader.rest();
            if (!reader.ok() || rest.empty() || static_cast<uint8_t>(rest.front()) == kScaled)
                return damaged("scaled integers are broken");
            TRY(decode_integers(rest, count, out));
            for (int64_t& value : out)
                value = static_cast<int64_t>(offset + scale * static_cast<uint64_t>(value));
            return {};
        }
        default:
            return damaged("integers have an unknown form");
    }
    if (!reader.at_end()) return damaged("integers are followed by something else");
    return {};
}

Result<void> decode_integers_at(std::string_view body, size_t count,
                                std::span<const uint32_t> places, std::vector<int64_t>& out) {
    if (count > kBlockBytesMax / 8) return damaged("too many integers");
    if (!places.empty() && places.back() >= count) return damaged("a place lies outside");
    ByteReader reader(body);
    const auto form = static_cast<IntegerForm>(reader.u8());
    out.resize(places.size());
    const auto take = [&](auto&& value_at) {
        for (size_t i = 0; i < places.size(); ++i)
            out[i] = static_cast<int64_t>(value_at(places[i]));
    };
    if (form == kConstant) {
        const int64_t value = reader.zigzag();
        if (!reader.ok() || !reader.at_end()) return damaged("a constant has a wrong length");
        take([&](uint32_t) { return value; });
    } else if (form == kPacked) {
        TRY_ASSIGN(const PackedIntegers head, read_packed_head(reader, count));
        if (!reader.at_end()) return damaged("integers are followed by something else");
        take([&](uint32_t at) {
            return head.min + unpack_one(head.numbers.bits, at, head.numbers.width);
        });
    } else if (form == kDictionary) {
        TRY_ASSIGN(const IntegerDictionary head, read_dictionary_head(reader, count));
        if (!reader.at_end()) return damaged("integers are followed by something else");
        bool in_range = true;
        take([&](uint32_t at) {
            const uint64_t code = unpack_one(head.codes.bits, at, head.codes.width);
            in_range &= code < head.sorted.size();
            return code < head.sorted.size() ? head.sorted[code] : 0;
        });
        if (!in_range) return damaged("a dictionary code is out of range");
    } else {
        // Of the other forms all are read.
        thread_local std::vector<int64_t> all;
        TRY(decode_integers(body, count, all));
        take([&](uint32_t at) { return all[at]; });
    }
    return {};
}

}  // namespace spanloom::store
