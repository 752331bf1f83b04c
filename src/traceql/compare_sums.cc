#include "traceql/compare_sums.h"

#include <algorithm>
#include <limits>

#include "otlp/view.h"

namespace spanloom::traceql {

using store::ColumnBlock;
using store::ColumnKey;
using store::ColumnType;
using store::Segment;
using store::Value;

namespace {

constexpr size_t kFewValues = 2'000;

uint64_t distance(int64_t from, int64_t to) {
    return static_cast<uint64_t>(to) - static_cast<uint64_t>(from);
}

}  // namespace

bool CompareSums::have_places(std::span<const int64_t> integers) const {
    const uint64_t places = sums_.size() / 2;
    if (places == 0) return false;
    // The highest bit is set where one is too far; without a branch for each.
    uint64_t over = 0;
    for (const int64_t value : integers) {
        const uint64_t place = distance(first_, value);
        over |= place | (places - 1 - place);
    }
    return over >> 63 == 0;
}

bool CompareSums::make_room(const ColumnKey& key, const ColumnBlock& block, const Visit& leave) {
    if (key.type == ColumnType::kString || key.type == ColumnType::kValue) {
        // A dictionary of one block alone is soon gone.
        if (block.strings.size() > kFewValues || block.owner.use_count() < 2) return false;
        if (!dictionary_.is_of(block)) {
            this->leave(key, leave);
            dictionary_.follow(block);
        }
        sums_.resize(block.strings.size() * 2, 0);
        return true;
    }
    if (key.type != ColumnType::kInt) return false;
    if (have_places(block.integers)) return true;
    const auto [least, most] = std::minmax_element(block.integers.begin(), block.integers.end());
    const uint64_t range = distance(*least, *most);
    if (range >= kFewValues) return false;
    this->leave(key, leave);
    // On both sides, as the next blocks have about the same values.
    const uint64_t room = std::min<uint64_t>(range / 2 + 16, (kFewValues - range - 1) / 2);
    const uint64_t below = std::min(room, distance(std::numeric_limits<int64_t>::min(), *least));
    first_ = static_cast<int64_t>(static_cast<uint64_t>(*least) - below);
    sums_.assign((below + range + 1 + room) * 2, 0);
    return true;
}

bool CompareSums::add(const ColumnKey& key, const ColumnBlock& block,
                      std::span<const uint32_t> selected, const Visit& leave) {
    if (block.size() == 0) return true;
    if (!make_room(key, block, leave)) return false;
    uint32_t* const sums = sums_.data();
    const auto add_all = [&](auto&& place_of) {
        const auto count = static_cast<uint32_t>(block.size());
        for (uint32_t position = 0; position < count; ++position)
            ++sums[place_of(position) * 2];
        for (const uint32_t position : selected) {
            --sums[place_of(position) * 2];
            ++sums[place_of(position) * 2 + 1];
        }
    };
    if (key.type == ColumnType::kInt) {
        add_all([&](uint32_t position) { return distance(first_, block.integers[position]); });
    } else {
        add_all([&](uint32_t position) { return size_t{block.codes[position]}; });
    }
    return true;
}

bool CompareSums::add(const ColumnKey& key, const Segment::ValueCounts& counted,
                      const ColumnBlock* selected, const Visit& leave) {
    if (!make_room(key, *counted.values, leave)) return false;
    uint32_t* const sums = sums_.data();
    const auto each_place = [&](const ColumnBlock& block, auto&& visit) {
        const auto count = static_cast<uint32_t>(block.size());
        for (uint32_t i = 0; i < count; ++i) {
            const size_t place = key.type == ColumnType::kInt ? distance(first_, block.integers[i])
                                                              : size_t{block.codes[i]};
            if (place * 2 < sums_.size()) visit(i, place);
        }
    };
    each_place(*counted.values,
               [&](uint32_t i, size_t place) { sums[place * 2] += counted.counts[i]; });
    if (selected == nullptr) return true;
    each_place(*selected, [&](uint32_t, size_t place) {
        --sums[place * 2];
        ++sums[place * 2 + 1];
    });
    return true;
}

void CompareSums::leave(const ColumnKey& key, const Visit& visit) {
    for (size_t place = 0; place * 2 < sums_.size(); ++place) {
        const uint32_t baseline = sums_[place * 2];
        const uint32_t selection = sums_[place * 2 + 1];
        if (baseline == 0 && selection == 0) continue;
        if (key.type == ColumnType::kInt) {
            const auto integer = static_cast<int64_t>(static_cast<uint64_t>(first_) + place);
            visit(key.is_boolean ? Value::of_bool(integer != 0) : Value::of_int(integer), baseline,
                  selection);
        } else if (key.type == ColumnType::kString) {
            visit(Value::of_string(std::string(dictionary_[place])), baseline, selection);
        } else {
            visit(store::value_of(otlp::ValueView::parse(dictionary_[place])), baseline, selection);
        }
    }
    sums_.clear();
}

}  // namespace spanloom::traceql
