#include <array>

#include "store/segment_bytes.h"
#include "store/segment_file.h"

namespace spanloom::store {
namespace {

// More are not kept: they take long to add up, and memory.
constexpr size_t kFewValues = 256;

bool is_enumeration(uint32_t column) {
    return column == kColumnKind || column == kColumnStatus;
}

// Integers, or the numbers of texts in the column's dictionary. nullopt: the block has neither.
std::optional<std::string_view> numbers_of(ColumnType type, std::string_view body) {
    if (type == ColumnType::kInt) return body;
    const bool is_text = type == ColumnType::kString || type == ColumnType::kValue;
    if (!is_text || body.empty() || static_cast<TextForm>(body.front()) != TextForm::kShared)
        return std::nullopt;
    return body.substr(1);
}

// Empty where they are many.
CountedValues counted(std::span<const int64_t> values) {
    constexpr uint32_t kSlotBits = 10;
    constexpr uint64_t kSpread = 0x9e3779b97f4a7c15U;
    CountedValues out;
    std::array<uint16_t, size_t{1} << kSlotBits> slots{};  // where the value is in `out`, + 1
    for (const int64_t value : values) {
        size_t slot = static_cast<uint64_t>(value) * kSpread >> (64 - kSlotBits);
        while (slots[slot] != 0 && out.values[slots[slot] - 1U] != value)
            slot = (slot + 1) % slots.size();
        if (slots[slot] == 0) {
            if (out.values.size() == kFewValues) return {};
            out.values.push_back(value);
            out.counts.push_back(0);
            slots[slot] = static_cast<uint16_t>(out.values.size());
        }
        ++out.counts[slots[slot] - 1U];
    }
    out.values.shrink_to_fit();
    out.counts.shrink_to_fit();
    return out;
}

}  // namespace

Result<CountedValues> FileSegment::count_values(uint32_t column, uint32_t group,
                                                size_t count) const {
    const ColumnType type = footer_.columns[column].type;
    const ColumnPlace* place = footer_.find(column, group);
    if (column == kColumnScope || is_enumeration(column)) {
        ColumnBlock read;
        read.type = type;
        TRY(read_fixed_values(column, group, read));
        if (read.integers.empty()) return CountedValues{{0}, {static_cast<uint32_t>(count)}};
        return counted(read.integers);
    }
    if (column < kFixedColumns || place == nullptr) return CountedValues{};
    TRY_ASSIGN(const Blob body, block({place->offset, place->bytes}));
    const auto numbers = numbers_of(type, body.view());
    if (!numbers) return CountedValues{};
    thread_local std::vector<int64_t> values;
    TRY(decode_values(column, group, *numbers, count, {}, values));
    return counted(values);
}

// Those of texts are found in the dictionary, or the block is broken.
Result<void> FileSegment::set_numbers(uint32_t column, std::vector<int64_t> numbers,
                                      ColumnBlock& out) const {
    out.type = footer_.columns[column].type;
    if (out.type == ColumnType::kInt) {
        out.integers = std::move(numbers);
        return {};
    }
    TRY_ASSIGN(auto texts, dictionary(column));
    return set_texts(std::move(texts), numbers, out);
}

Result<std::optional<Segment::ValueCounts>> FileSegment::value_counts(uint32_t column,
                                                                      uint32_t row_group,
                                                                      size_t count) const {
    if (count == 0 || footer_.columns[column].table != Table::kSpans) return std::nullopt;
    const auto read = [&]() -> Result<std::optional<ValueCounts>> {
        TRY_ASSIGN(const auto known,
                   cached<CountedValues>(Piece::kValueCounts, uint64_t{column} << 32 | row_group,
                                         [&] { return count_values(column, row_group, count); }));
        if (known->values.empty()) return std::nullopt;
        auto values = std::make_shared<ColumnBlock>();
        TRY(set_numbers(column, known->values, *values));
        return ValueCounts{std::move(values), known->counts};
    };
    auto done = read();
    if (!done) return located(done.error(), column, row_group);
    return done;
}

Result<void> FileSegment::decode_at(uint32_t column, uint32_t group, std::string_view body,
                                    size_t count, std::span<const uint32_t> places,
                                    std::span<const uint32_t> rows,
                                    std::vector<int64_t>& out) const {
    if (column == kColumnName && is_modelled(body)) {
        std::vector<int64_t> names;
        TRY(decode_names(group, body, names));
        out.clear();
        for (const uint32_t row : rows) {
            if (row >= names.size()) return fail(ErrorCode::kDataLoss, "names end early");
            out.push_back(names[row]);
        }
        return {};
    }
    const bool follows = !body.empty() && static_cast<uint8_t>(body.front()) == kFollowsForm &&
                         footer_.columns[column].table == Table::kSpans;
    if (!follows) return decode_integers_at(body, count, places, out);
    TRY_ASSIGN(const auto directory, followers());
    TRY_ASSIGN(const auto keys, follow_keys(group));
    std::vector<FollowKey> keys_of_rows;
    for (const uint32_t row : rows) {
        if (row >= keys->size()) return fail(ErrorCode::kDataLoss, "names and values do not fit");
        keys_of_rows.push_back((*keys)[row]);
    }
    return directory->decode_at(follower_of(column, false), body.substr(1), count, places,
                                keys_of_rows, out);
}

Result<std::shared_ptr<const ColumnBlock>> FileSegment::read_values_at(
    uint32_t column, uint32_t row_group, size_t count, std::span<const uint32_t> places,
    std::span<const uint32_t> rows) const {
    const auto read_numbers = [&]() -> Result<std::vector<int64_t>> {
        std::vector<int64_t> numbers;
        if (column == kColumnScope) {
            TRY_ASSIGN(const auto known, scopes(row_group));
            for (const uint32_t row : rows)
                numbers.push_back(known->scopes[row]);
            return numbers;
        }
        const ColumnPlace* place = footer_.find(column, row_group);
        if (place == nullptr && is_enumeration(column)) {
            numbers.assign(rows.size(), 0);
            return numbers;
        }
        if (place == nullptr)
            return fail(ErrorCode::kDataLoss, "attribute orders and values do not fit");
        TRY_ASSIGN(const Blob body, block({place->offset, place->bytes}));
        const auto found = numbers_of(footer_.columns[column].type, body.view());
        if (!found) return fail(ErrorCode::kDataLoss, "values are of another form");
        TRY(decode_at(column, row_group, *found, count, places, rows, numbers));
        return numbers;
    };
    auto out = std::make_shared<ColumnBlock>();
    const auto read = [&]() -> Result<void> {
        TRY_ASSIGN(auto numbers, read_numbers());
        return set_numbers(column, std::move(numbers), *out);
    };
    if (const Result<void> done = read(); !done) return located(done.error(), column, row_group);
    return std::shared_ptr<const ColumnBlock>(std::move(out));
}

}  // namespace spanloom::store
