#include "store/aggregate_table.h"

#include <algorithm>

#include "store/values.h"

namespace spanloom::store {

bool KeyBefore::operator()(const std::vector<Value>& a, const std::vector<Value>& b) const {
    return std::lexicographical_compare(a.begin(), a.end(), b.begin(), b.end(), value_before);
}

// ---- histograms

void BucketCounts::add(int32_t bucket, uint64_t count) {
    if (counts_.empty()) first_ = bucket;
    if (bucket < first_) {
        counts_.insert(counts_.begin(), static_cast<size_t>(first_ - bucket), 0);
        first_ = bucket;
    }
    const auto at = static_cast<size_t>(bucket - first_);
    if (at >= counts_.size()) counts_.resize(at + 1);
    counts_[at] += count;
}

void BucketCounts::add(const BucketCounts& other) {
    for (size_t i = 0; i < other.counts_.size(); ++i)
        if (other.counts_[i] > 0) add(other.first_ + static_cast<int32_t>(i), other.counts_[i]);
}

std::vector<HistogramBucket> BucketCounts::buckets() const {
    std::vector<HistogramBucket> out;
    for (size_t i = 0; i < counts_.size(); ++i)
        if (counts_[i] > 0) out.push_back({first_ + static_cast<int32_t>(i), counts_[i]});
    return out;
}

// ---- cells

CellTable::CellTable(const AggregateRequest& request, uint32_t steps)
    : aggregates_(request.aggregates), steps_(steps) {
    for (const Aggregate& aggregate : aggregates_) {
        histogram_of_.push_back(histograms_per_cell_);
        if (aggregate.kind == Aggregate::Kind::kHistogram) ++histograms_per_cell_;
    }
}

uint32_t CellTable::add_group() {
    cells_of_.emplace_back(steps_, kNone);
    return static_cast<uint32_t>(cells_of_.size() - 1);
}

uint32_t CellTable::add_cell(uint32_t& place) {
    place = static_cast<uint32_t>(sums_.size());
    sums_.emplace_back();
    numbers_.resize(numbers_.size() + aggregates_.size());
    histograms_.resize(histograms_.size() + histograms_per_cell_);
    return place;
}

void CellTable::add(Aggregate::Kind kind, const AggregateCell::Number& from,
                    AggregateCell::Number& to) {
    if (from.count == 0) return;
    if (to.count == 0) {
        to = from;
        return;
    }
    to.count += from.count;
    switch (kind) {
        case Aggregate::Kind::kMin:
            to.value = std::min(to.value, from.value);
            return;
        case Aggregate::Kind::kMax:
            to.value = std::max(to.value, from.value);
            return;
        default:
            to.value += from.value;
            return;
    }
}

void CellTable::add(uint32_t group, CellTable& other, uint32_t other_group) {
    for (uint32_t step = 0; step < steps_; ++step) {
        const uint32_t from = other.cells_of_[other_group][step];
        if (from == kNone) continue;
        const uint32_t to = cell(group, step);
        sums_[to].rows += other.sums_[from].rows;
        sums_[to].extra_weight += other.sums_[from].extra_weight;
        for (size_t i = 0; i < aggregates_.size(); ++i) {
            add(aggregates_[i].kind, other.number(from, i), number(to, i));
            if (aggregates_[i].kind == Aggregate::Kind::kHistogram)
                histogram(to, i).add(other.histogram(from, i));
        }
    }
}

AggregateCell CellTable::answer(uint32_t group, uint32_t step) {
    AggregateCell out;
    out.numbers.resize(aggregates_.size());
    out.histograms.resize(aggregates_.size());
    const uint32_t from = cells_of_[group][step];
    if (from == kNone) return out;
    out.rows = sums_[from].rows;
    out.weighted = static_cast<double>(out.rows) + sums_[from].extra_weight;
    for (size_t i = 0; i < aggregates_.size(); ++i) {
        out.numbers[i] = number(from, i);
        if (aggregates_[i].kind == Aggregate::Kind::kHistogram)
            out.histograms[i] = histogram(from, i).buckets();
    }
    return out;
}

size_t CellTable::memory_bytes() const {
    size_t bytes = cells_of_.size() * (steps_ * sizeof(uint32_t) + sizeof(cells_of_[0])) +
                   sums_.capacity() * sizeof(CellSums) +
                   numbers_.capacity() * sizeof(AggregateCell::Number) +
                   histograms_.capacity() * sizeof(BucketCounts);
    for (const BucketCounts& histogram : histograms_)
        bytes += histogram.memory_bytes();
    return bytes;
}

// ---- keys

GroupKeys::Part::Part() : numbers(value_before) {}

uint32_t GroupKeys::learn(Part& part, Value value) {
    const auto [at, is_new] =
        part.numbers.try_emplace(value, static_cast<uint32_t>(part.values.size()));
    if (is_new) {
        memory_bytes_ += 2 * (sizeof(Value) + value.text.size()) + 64;
        part.values.push_back(std::move(value));
    }
    return at->second;
}

uint32_t GroupKeys::part_of(Part& part, const ScanColumn& column, size_t row) {
    const ValueKind kind = column.kind_of(row);
    if (kind == ValueKind::kString) {
        if (part.texts != column.texts.data() || part.owner != column.owner) {
            part.texts = column.texts.data();
            part.owner = column.owner;
            part.codes.assign(column.texts.size(), UINT32_MAX);
        }
        uint32_t& known = part.codes[static_cast<size_t>(column.cells[row])];
        if (known == UINT32_MAX) known = learn(part, column.value(row));
        return known;
    }
    if (kind == ValueKind::kOther) return learn(part, column.value(row));
    const uint64_t cell = kind == ValueKind::kNil ? 0 : static_cast<uint64_t>(column.cells[row]);
    const uint64_t key = cell * 0x9e3779b97f4a7c15U + static_cast<uint64_t>(kind);
    // Multiplication by an odd number loses nothing; kinds differ by less than any two products do,
    // but for chance, which the comparison of values below excludes.
    const auto at = part.integers.find(key);
    if (at != part.integers.end() && part.values[at->second] == column.value(row))
        return at->second;
    const uint32_t number = learn(part, column.value(row));
    part.integers[key] = number;
    return number;
}

void GroupKeys::number(std::span<const ScanColumn> columns, size_t rows,
                       std::vector<uint32_t>& groups) {
    groups.assign(rows, 0);
    if (columns.empty()) {
        if (keys_.empty()) keys_.emplace_back();
        return;
    }
    for (size_t field = 0; field < columns.size(); ++field) {
        uint64_t last_pair = UINT64_MAX;
        uint32_t last_number = 0;
        for (size_t row = 0; row < rows; ++row) {
            const uint32_t part = part_of(parts_[field], columns[field], row);
            if (field == 0) {
                groups[row] = part;
                continue;
            }
            const uint64_t pair = uint64_t{groups[row]} << 32 | part;
            if (pair != last_pair) {
                auto& prefixes = prefixes_[field];
                last_number = prefixes.try_emplace(pair, static_cast<uint32_t>(prefixes.size()))
                                  .first->second;
                last_pair = pair;
            }
            groups[row] = last_number;
        }
    }
    for (size_t row = 0; row < rows; ++row) {
        if (groups[row] < keys_.size()) continue;
        keys_.resize(groups[row] + size_t{1});
        memory_bytes_ += 64 + columns.size() * 8;
    }
    for (size_t row = 0; row < rows; ++row) {
        std::vector<uint32_t>& key = keys_[groups[row]];
        if (!key.empty()) continue;
        for (size_t field = 0; field < columns.size(); ++field)
            key.push_back(part_of(parts_[field], columns[field], row));
    }
}

std::vector<Value> GroupKeys::key(uint32_t group) const {
    std::vector<Value> key;
    for (size_t field = 0; field < keys_[group].size(); ++field)
        key.push_back(parts_[field].values[keys_[group][field]]);
    return key;
}

}  // namespace spanloom::store
