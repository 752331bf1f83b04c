#include "store/segment_places.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <span>

#include "store/segment_bytes.h"

namespace spanloom::store {
namespace {

constexpr size_t kTablePairs = 262'144;  // about so many share a table: more need fewer cells each
constexpr uint64_t kHashBits = ~uint64_t{0xffff};
constexpr uint32_t kCellBitsMin = 6;
constexpr uint32_t kFewGroups = 32;         // segments of fewer row groups
constexpr uint32_t kFewGroupsCellBits = 8;  // have cells of so many bits
constexpr uint32_t kCellBitsMax = 20;
constexpr uint32_t kTriesMax = 64;  // seeds for one table
constexpr uint32_t kSegmentBitsMax = 18;

// Which of the cells belong to a hash: one in each of three neighbouring segments.
struct Cells {
    uint32_t at[3];
};

uint64_t mixed(uint64_t hash, uint64_t seed) {
    uint64_t x = (hash ^ seed) * 0xff51afd7ed558ccdU;
    x = (x ^ (x >> 33)) * 0xc4ceb9fe1a85ec53U;
    return x ^ (x >> 33);
}

Cells cells_of(uint64_t x, uint32_t segments, uint32_t segment_bits) {
    const uint32_t length = uint32_t{1} << segment_bits;
    const uint32_t mask = length - 1;
    const auto span = static_cast<uint64_t>(segments) << segment_bits;
    const auto first = static_cast<uint32_t>(((x >> 32) * span) >> 32);
    const uint32_t second = (first + length) ^ (static_cast<uint32_t>(x >> 18) & mask);
    const uint32_t third = (first + 2 * length) ^ (static_cast<uint32_t>(x) & mask);
    return {{first, second, third}};
}

uint32_t fingerprint_of(uint64_t x, uint32_t bits) {
    return static_cast<uint32_t>((x ^ (x >> 29)) * 0x9e3779b97f4a7c15U >> (64 - bits));
}

uint32_t table_of(uint64_t hash, size_t tables) {
    return static_cast<uint32_t>(((hash >> 32) * tables) >> 32);
}

struct Shape {
    uint32_t segments = 0;
    uint32_t segment_bits = 0;
    size_t cells() const { return size_t{segments + 2} << segment_bits; }
};

// As small as tables of so many pairs can be built with few tries.
Shape shape_of(size_t pairs) {
    const auto count = static_cast<double>(std::max<size_t>(pairs, 2));
    const auto bits = static_cast<int>(std::floor(std::log(count) / std::log(3.33) + 2.25));
    Shape shape;
    shape.segment_bits = static_cast<uint32_t>(std::clamp<int>(bits, 2, kSegmentBitsMax));
    const double factor = std::max(1.125, 0.875 + 0.25 * std::log(1e6) / std::log(count));
    const auto length = double(uint32_t{1} << shape.segment_bits);
    const double segments = std::ceil(count * factor / length) - 2;
    shape.segments = static_cast<uint32_t>(std::max(1.0, segments));
    return shape;
}

// Solves one table: each pair's three cells together must give its value.
class TableBuilder {
  public:
    // Entries: a hash with 16 bits of value below. False: not with this seed.
    bool solve(std::span<const uint64_t> entries, Shape shape, uint64_t seed) {
        sort(entries, shape, seed);
        const size_t count = shape.cells();
        degree_.assign(count, 0);
        joined_.assign(count, 0);
        for (uint32_t i = 0; i < pairs_.size(); ++i) {
            const Cells cells = cells_of(pairs_[i].x, shape.segments, shape.segment_bits);
            for (const uint32_t at : cells.at) {
                ++degree_[at];
                joined_[at] ^= i;
            }
        }
        order_.clear();
        alone_.clear();
        for (uint32_t at = 0; at < count; ++at)
            if (degree_[at] == 1) alone_.push_back(at);
        while (!alone_.empty()) {
            const uint32_t at = alone_.back();
            alone_.pop_back();
            if (degree_[at] != 1) continue;
            const uint32_t pair = joined_[at];
            order_.push_back({pair, at});
            const Cells cells = cells_of(pairs_[pair].x, shape.segments, shape.segment_bits);
            for (const uint32_t other : cells.at) {
                joined_[other] ^= pair;
                if (--degree_[other] == 1) alone_.push_back(other);
            }
        }
        return order_.size() == pairs_.size();
    }

    // After solve(): cell values. value(v) is what a pair with the value v must give.
    template <typename Value>
    const std::vector<uint32_t>& fill(Shape shape, uint32_t bits, Value value) {
        std::vector<uint32_t>& values = joined_;  // of no use any more
        values.assign(shape.cells(), 0);
        for (size_t i = order_.size(); i > 0; --i) {
            const auto [number, at] = order_[i - 1];
            const Pair& pair = pairs_[number];
            const Cells cells = cells_of(pair.x, shape.segments, shape.segment_bits);
            uint32_t sum = fingerprint_of(pair.x, bits) ^ value(pair.value);
            for (const uint32_t other : cells.at)
                if (other != at) sum ^= values[other];
            values[at] = sum;
        }
        return values;
    }

  private:
    struct Pair {
        uint64_t x;
        uint32_t value;
    };
    struct Step {
        uint32_t pair;
        uint32_t at;
    };

    // By their first segments: what is done with neighbours stays in the cache.
    void sort(std::span<const uint64_t> entries, Shape shape, uint64_t seed) {
        const auto segment_of = [&](uint64_t x) {
            return cells_of(x, shape.segments, shape.segment_bits).at[0] >> shape.segment_bits;
        };
        std::vector<uint32_t> next(size_t{shape.segments} + 1);
        for (const uint64_t entry : entries)
            ++next[segment_of(mixed(entry & kHashBits, seed)) + 1];
        for (size_t i = 1; i < next.size(); ++i)
            next[i] += next[i - 1];
        pairs_.resize(entries.size());
        for (const uint64_t entry : entries) {
            const uint64_t x = mixed(entry & kHashBits, seed);
            pairs_[next[segment_of(x)]++] = {x, static_cast<uint32_t>(entry & ~kHashBits)};
        }
    }

    std::vector<Pair> pairs_;
    std::vector<uint8_t> degree_;
    std::vector<uint32_t> joined_;
    std::vector<uint32_t> alone_;
    std::vector<Step> order_;
};

// Appends numbers of some bits each, least significant first.
class BitWriter {
  public:
    explicit BitWriter(std::string& out) : out_(out) {}
    void put(uint32_t value, uint32_t bits) {
        held_ |= uint64_t{value} << held_bits_;
        held_bits_ += bits;
        while (held_bits_ >= 8) {
            out_ += static_cast<char>(held_);
            held_ >>= 8;
            held_bits_ -= 8;
        }
    }
    void end() {
        if (held_bits_ > 0) out_ += static_cast<char>(held_);
        held_ = 0;
        held_bits_ = 0;
    }

  private:
    std::string& out_;
    uint64_t held_ = 0;
    uint32_t held_bits_ = 0;
};

// As many as tell the row groups apart, where these are many. What is nowhere then seems to be
// somewhere mostly, which costs a look into that one row group; more bits would cost every pair.
uint32_t cell_bits_for(uint32_t groups) {
    const auto bits = static_cast<uint32_t>(std::bit_width(std::min(groups, 0xffffU) + 1U));
    if (groups < kFewGroups) return kFewGroupsCellBits;
    return std::clamp(bits, kCellBitsMin, kCellBitsMax);
}

}  // namespace

PlacesBuilder::PlacesBuilder() : recent_(size_t{1} << kRecentBits) {
    forget_recent();
}

// Nothing that is looked for in a slot equals what it begins with.
void PlacesBuilder::forget_recent() {
    for (uint64_t slot = 0; slot < recent_.size(); ++slot)
        recent_[slot] = ~(slot << (64 - kRecentBits));
}

// By the high bits into buckets that a cache holds, then each by comparison.
void PlacesBuilder::sort_entries() {
    constexpr uint32_t kBucketBits = 12;
    if (entries_.size() < 4096) {
        std::sort(entries_.begin(), entries_.end());
        return;
    }
    std::vector<uint32_t> ends((size_t{1} << kBucketBits) + 1, 0);
    for (const uint64_t entry : entries_)
        ++ends[(entry >> (64 - kBucketBits)) + 1];
    for (size_t i = 1; i < ends.size(); ++i)
        ends[i] += ends[i - 1];
    std::vector<uint32_t> next(ends.begin(), ends.end() - 1);
    std::vector<uint64_t> sorted(entries_.size());
    for (const uint64_t entry : entries_)
        sorted[next[entry >> (64 - kBucketBits)]++] = entry;
    for (size_t i = 0; i + 1 < ends.size(); ++i)
        std::sort(sorted.begin() + ends[i], sorted.begin() + ends[i + 1]);
    entries_ = std::move(sorted);
}

// Each hash once; one that several groups have is in several.
void PlacesBuilder::join_equal() {
    size_t to = 0;
    for (size_t i = 0; i < entries_.size();) {
        uint64_t entry = entries_[i++];
        for (; i < entries_.size() && (entries_[i] & kHashMask) == (entry & kHashMask); ++i)
            if (entries_[i] != entry) entry |= kGroupsMax;
        entries_[to++] = entry;
    }
    entries_.resize(to);
}

PlacesBuilder::Built PlacesBuilder::build(uint32_t groups) {
    Built built;
    sort_entries();
    join_equal();
    built.pairs = entries_.size();
    if (entries_.empty()) return built;
    const uint32_t bits = cell_bits_for(groups);
    const size_t tables = (entries_.size() + kTablePairs - 1) / kTablePairs;
    ByteWriter directory(built.directory);
    directory.u8(static_cast<uint8_t>(bits));
    directory.varint(groups);
    directory.varint(tables);
    BitWriter cells(built.cells);
    TableBuilder table;
    size_t first = 0;
    for (size_t number = 0; number < tables; ++number) {
        size_t end = first;
        while (end < entries_.size() && table_of(entries_[end], tables) == number)
            ++end;
        const std::span<const uint64_t> pairs(entries_.data() + first, end - first);
        Shape shape = shape_of(pairs.size());
        uint64_t seed = 0x2545f4914f6cdd1dU * (number + 1);
        uint32_t tries = 0;
        while (!pairs.empty() && tries < kTriesMax && !table.solve(pairs, shape, seed)) {
            seed = seed * 0xd6e8feb86659fd93U + 1;
            if (++tries % 16 == 0) ++shape.segments;
        }
        const bool is_solved = tries < kTriesMax;
        if (!is_solved || pairs.empty()) shape.segments = 0;
        directory.u64(seed);
        // An empty table says no to everything: one cell of its own would not pay.
        directory.varint(shape.segments);
        directory.u8(static_cast<uint8_t>(is_solved ? shape.segment_bits : 0));
        if (shape.segments > 0) {
            const auto& values = table.fill(shape, bits, [&](uint32_t group) -> uint32_t {
                return group < std::min(kGroupsMax, groups) ? group + 1 : 0;
            });
            for (const uint32_t value : values)
                cells.put(value, bits);
        }
        first = end;
    }
    cells.end();
    built.cells.resize((built.cells.size() + kPlacePageBytes - 1) / kPlacePageBytes *
                       kPlacePageBytes);
    entries_ = {};
    forget_recent();
    return built;
}

Result<PlacesDirectory> PlacesDirectory::parse(std::string_view bytes, uint32_t pages) {
    PlacesDirectory directory;
    const auto damaged = [] {
        return fail(ErrorCode::kDataLoss, "segment: the directory of places is broken");
    };
    ByteReader reader(bytes);
    directory.cell_bits_ = reader.u8();
    directory.groups_ = static_cast<uint32_t>(reader.varint_max(UINT32_MAX));
    const uint64_t tables = reader.varint_max(reader.rest().size());
    if (!reader.ok() || directory.cell_bits_ < kCellBitsMin ||
        directory.cell_bits_ > kCellBitsMax || tables == 0)
        return damaged();
    uint64_t cell = 0;
    for (uint64_t i = 0; i < tables; ++i) {
        Table table;
        table.first_cell = cell;
        table.seed = reader.u64();
        table.segments = static_cast<uint32_t>(reader.varint_max(1U << 20));
        table.segment_bits = reader.u8();
        if (!reader.ok() || table.segment_bits > kSegmentBitsMax) return damaged();
        if (table.segments > 0) cell += uint64_t{table.segments + 2} << table.segment_bits;
        directory.tables_.push_back(table);
    }
    if (!reader.at_end() ||
        (cell * directory.cell_bits_ + 7) / 8 > uint64_t{pages} * kPlacePageBytes)
        return damaged();
    return directory;
}

PlacesDirectory::Probe PlacesDirectory::probe(uint64_t hash) const {
    const Table& table = tables_[table_of(hash, tables_.size())];
    Probe probe;
    if (table.segments == 0) {
        // Not solved, or empty: the size of its segments tells.
        probe.fingerprint = table.segment_bits;
        return probe;
    }
    probe.has_table = true;
    const uint64_t x = mixed(hash & ~uint64_t{0xffff}, table.seed);
    const Cells cells = cells_of(x, table.segments, table.segment_bits);
    for (size_t i = 0; i < probe.bits.size(); ++i)
        probe.bits[i] = (table.first_cell + cells.at[i]) * cell_bits_;
    probe.fingerprint = fingerprint_of(x, cell_bits_);
    return probe;
}

PairPlace PlacesDirectory::place(const Probe& probe, const std::array<uint32_t, 3>& cells) const {
    if (!probe.has_table)
        return {probe.fingerprint == 0 ? PairPlace::Kind::kAnywhere : PairPlace::Kind::kNowhere, 0};
    const uint32_t value = cells[0] ^ cells[1] ^ cells[2] ^ probe.fingerprint;
    if (value == 0) return {PairPlace::Kind::kAnywhere, 0};
    if (value > groups_) return {PairPlace::Kind::kNowhere, 0};
    return {PairPlace::Kind::kGroup, value - 1};
}

}  // namespace spanloom::store
