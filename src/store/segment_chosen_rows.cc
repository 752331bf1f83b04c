#include <algorithm>
#include <cstring>
#include <optional>
#include <utility>

#include "store/segment_bytes.h"
#include "store/segment_file.h"

// Reading a few rows of a group: of each column only what says something of them is decoded, where
// its form lets single values be found. What lies about them is checked only as far as it is needed
// for that.
namespace spanloom::store {
namespace {

// Where values of a column are among all that the group has, and the rows that have them.
struct ChosenPlaces {
    size_t count = 0;  // of all the group's values
    std::vector<uint32_t> places;
    std::vector<uint32_t> rows;
};

// Finds the places of chosen rows' values in attribute columns. A row's value stands behind those
// of the rows before it, so it is counted once how many of these have which order.
class PlaceFinder {
  public:
    PlaceFinder(std::shared_ptr<const AttributeOrders> orders,
                std::shared_ptr<const OrderCodes> codes)
        : orders_(std::move(orders)), codes_(std::move(codes)) {}

    // Before find(). False where there are too many orders for so many rows.
    bool count_orders(std::span<const uint32_t> rows);
    Result<void> find(uint32_t column, std::span<const uint32_t> rows, ChosenPlaces& out);

  private:
    static constexpr size_t kCountsMax = size_t{1} << 18;
    static constexpr uint32_t kNone = UINT32_MAX;
    struct Use {
        uint32_t number = 0;
        uint32_t times = 0;
    };

    std::shared_ptr<const AttributeOrders> orders_;
    std::shared_ptr<const OrderCodes> codes_;
    std::vector<uint32_t> number_of_;  // by order: which of those that come in the group
    std::vector<uint32_t> counts_;     // by number, of the whole group
    std::vector<uint32_t> before_;     // by chosen row, then number
    std::vector<uint32_t> times_;      // by number: how often it names the column at hand
    std::vector<Use> uses_;            // those that do
};

bool PlaceFinder::count_orders(std::span<const uint32_t> rows) {
    number_of_.assign(orders_->texts->texts.size(), kNone);
    uint32_t numbers = 0;
    for (const uint16_t order : *codes_)
        if (number_of_[order] == kNone) number_of_[order] = numbers++;
    if (size_t{numbers} * rows.size() > kCountsMax) return false;
    counts_.assign(numbers, 0);
    times_.assign(numbers, 0);
    before_.resize(size_t{numbers} * rows.size());
    uint32_t* to = before_.data();
    uint32_t row = 0;
    for (const uint32_t chosen : rows) {
        for (; row < chosen; ++row)
            ++counts_[number_of_[(*codes_)[row]]];
        to = std::copy(counts_.begin(), counts_.end(), to);
    }
    for (; row < codes_->size(); ++row)
        ++counts_[number_of_[(*codes_)[row]]];
    return true;
}

Result<void> PlaceFinder::find(uint32_t column, std::span<const uint32_t> rows, ChosenPlaces& out) {
    uses_.clear();
    out = {};
    for (uint32_t i = orders_->first_use[column]; i < orders_->first_use[column + 1]; ++i) {
        const auto [order, times] = orders_->uses[i];
        const uint32_t number = number_of_[order];
        if (number == kNone) continue;
        uses_.push_back({number, times});
        times_[number] = times;
        out.count += size_t{times} * counts_[number];
    }
    // A few bytes of order may name a column often: what they ask for must fit a block.
    const bool fits = out.count <= std::max(kBlockBytesMax / 16, codes_->size());
    for (size_t i = 0; fits && i < rows.size(); ++i) {
        const uint32_t times = times_[number_of_[(*codes_)[rows[i]]]];
        if (times == 0) continue;
        const uint32_t* const before = before_.data() + i * counts_.size();
        uint32_t place = 0;
        for (const Use& use : uses_)
            place += before[use.number] * use.times;
        for (uint32_t repeat = 0; repeat < times; ++repeat) {
            out.places.push_back(place + repeat);
            out.rows.push_back(rows[i]);
        }
    }
    for (const Use& use : uses_)
        times_[use.number] = 0;
    if (!fits) return fail(ErrorCode::kDataLoss, "attribute orders ask for too many values");
    return {};
}

// Those places of a whole column.
void find_in_whole(const ColumnBlock& whole, std::span<const uint32_t> rows, ChosenPlaces& out) {
    if (whole.dense) {
        out.places.assign(rows.begin(), rows.end());
        out.rows = out.places;
        return;
    }
    size_t at = 0;
    for (const uint32_t row : rows) {
        const auto from = whole.rows.begin() + static_cast<ptrdiff_t>(at);
        at =
            static_cast<size_t>(std::lower_bound(from, whole.rows.end(), row) - whole.rows.begin());
        for (; at < whole.rows.size() && whole.rows[at] == row; ++at) {
            out.places.push_back(static_cast<uint32_t>(at));
            out.rows.push_back(row);
        }
    }
}

// Leaves only the values at the places that keep() likes.
template <typename T, typename Keep>
void leave_some(std::vector<uint32_t>& rows, std::vector<T>& values, Keep keep) {
    size_t to = 0;
    for (size_t i = 0; i < values.size(); ++i) {
        if (!keep(values[i])) continue;
        rows[to] = rows[i];
        values[to++] = values[i];
    }
    rows.resize(to);
    values.resize(to);
}

}  // namespace

class FileChosenRows final : public ChosenRows {
  public:
    FileChosenRows(const FileSegment& segment, uint32_t group, std::vector<uint32_t> rows)
        : segment_(segment), group_(group), rows_(std::move(rows)) {}

    Result<std::shared_ptr<const ColumnBlock>> read(uint32_t column) override;

  private:
    const SegmentFooter& footer() const { return segment_.footer_; }
    const RowGroup& group_rows() const { return footer().groups[group_]; }

    Result<void> find_places(uint32_t column);
    Result<void> read_attribute(uint32_t column, ColumnBlock& out);
    Result<void> read_fixed(uint32_t column, ColumnBlock& out);
    Result<void> read_values(uint32_t column, ColumnBlock& out);
    Result<void> read_ids(ColumnBlock& out);
    Result<void> read_parents(ColumnBlock& out);
    Result<void> read_starts(ColumnBlock& out);
    Result<void> read_orders(ColumnBlock& out);

    Result<void> decode(uint32_t column, const ColumnPlace& place, ColumnBlock& out);
    Result<void> decode_text(uint32_t column, const Blob& body, ColumnBlock& out);
    Result<void> decode_local(uint32_t column, ByteReader& reader, const Blob& body,
                              ColumnBlock& out);
    Result<Blob> span_ids(uint32_t group) const;
    Result<TraceFragment> fragment_of(uint32_t row) const;

    const FileSegment& segment_;
    const uint32_t group_;
    const std::vector<uint32_t> rows_;
    std::optional<PlaceFinder> finder_;  // once an attribute was asked for
    bool can_count_ = false;
    ChosenPlaces found_;  // of the column at hand
};

Result<std::shared_ptr<const ColumnBlock>> FileChosenRows::read(uint32_t column) {
    const bool is_chosen =
        column < footer().columns.size() && footer().columns[column].table == Table::kSpans;
    if (!is_chosen) return segment_.read(column, group_);
    auto out = std::make_shared<ColumnBlock>();
    out->type = footer().columns[column].type;
    out->dense = false;
    const Result<void> done =
        column < kFixedColumns ? read_fixed(column, *out) : read_attribute(column, *out);
    if (!done) return segment_.located(done.error(), column, group_);
    return std::shared_ptr<const ColumnBlock>(std::move(out));
}

// ---- attributes

Result<void> FileChosenRows::find_places(uint32_t column) {
    if (!finder_) {
        TRY_ASSIGN(auto codes, segment_.order_codes(Table::kSpans, group_));
        if (codes == nullptr) {
            found_ = {};
            return {};
        }
        TRY_ASSIGN(auto orders, segment_.orders(Table::kSpans));
        finder_.emplace(std::move(orders), std::move(codes));
        can_count_ = finder_->count_orders(rows_);
    }
    if (can_count_) return finder_->find(column, rows_, found_);
    found_ = {};
    ColumnBlock whole;
    TRY(segment_.find_rows(column, group_, whole, found_.count));
    if (found_.count > 0) find_in_whole(whole, rows_, found_);
    return {};
}

Result<void> FileChosenRows::read_attribute(uint32_t column, ColumnBlock& out) {
    TRY(find_places(column));
    const ColumnPlace* place = footer().find(column, group_);
    if (place != nullptr && found_.count == 0)
        return fail(ErrorCode::kDataLoss, "attribute orders and values do not fit");
    if (found_.rows.empty()) return {};
    out.rows = found_.rows;
    if (place != nullptr) return decode(column, *place, out);
    TRY_ASSIGN(const std::string_view body, segment_.left_out_body(column));
    std::vector<int64_t> numbers;
    TRY(segment_.decode_at(column, group_, body, found_.count, found_.places, out.rows, numbers));
    return segment_.set_numbers(column, std::move(numbers), out);
}

Result<void> FileChosenRows::decode(uint32_t column, const ColumnPlace& place, ColumnBlock& out) {
    TRY_ASSIGN(const Blob body, segment_.block({place.offset, place.bytes}));
    if (out.type == ColumnType::kInt)
        return segment_.decode_at(column, group_, body.view(), found_.count, found_.places,
                                  out.rows, out.integers);
    if (out.type == ColumnType::kDouble)
        return decode_doubles_at(body.view(), found_.count, found_.places, out.numbers);
    return decode_text(column, body, out);
}

Result<void> FileChosenRows::decode_text(uint32_t column, const Blob& body, ColumnBlock& out) {
    ByteReader reader(body.view());
    const auto form = static_cast<TextForm>(reader.u8());
    if (form == TextForm::kShared) {
        std::vector<int64_t> numbers;
        TRY(segment_.decode_at(column, group_, reader.rest(), found_.count, found_.places, out.rows,
                               numbers));
        return segment_.set_numbers(column, std::move(numbers), out);
    }
    if (form == TextForm::kLocal) return decode_local(column, reader, body, out);
    if (form != TextForm::kPlain) return fail(ErrorCode::kDataLoss, "texts have an unknown form");
    PatternSource source;
    source.patterns = [&] { return segment_.patterns(column); };
    source.codes = [&](std::string_view numbers, std::vector<int64_t>& to) {
        return segment_.decode_values(column, group_, numbers, found_.count, {}, to, true);
    };
    TRY_ASSIGN(TextList list, decode_texts_at(reader.rest(), found_.count, found_.places, body,
                                              std::move(source)));
    TRY(segment_.check_texts(column, list));
    for (uint32_t code = 0; code < list.texts.size(); ++code)
        out.codes.push_back(code);
    hand_over(std::make_shared<const TextList>(std::move(list)), out);
    return {};
}

// Of a dictionary that the block has for itself, the texts that come in chosen rows.
Result<void> FileChosenRows::decode_local(uint32_t column, ByteReader& reader, const Blob& body,
                                          ColumnBlock& out) {
    const uint64_t entries = reader.varint_max(found_.count);
    const std::string_view part = reader.text();
    if (!reader.ok()) return fail(ErrorCode::kDataLoss, "a dictionary ends early");
    std::vector<int64_t> numbers;
    TRY(decode_integers_at(reader.rest(), found_.count, found_.places, numbers));
    std::vector<uint32_t> used;
    for (const int64_t number : numbers) {
        if (static_cast<uint64_t>(number) >= entries)
            return fail(ErrorCode::kDataLoss, "a text code is out of range");
        used.push_back(static_cast<uint32_t>(number));
    }
    std::sort(used.begin(), used.end());
    used.erase(std::unique(used.begin(), used.end()), used.end());
    PatternSource source;
    source.patterns = [&] { return segment_.patterns(column); };
    source.codes = [&](std::string_view codes, std::vector<int64_t>& to) {
        return decode_integers(codes, entries, to);
    };
    TRY_ASSIGN(TextList list, decode_texts_at(part, entries, used, body, std::move(source)));
    TRY(segment_.check_texts(column, list));
    for (const int64_t number : numbers)
        out.codes.push_back(static_cast<uint32_t>(
            std::lower_bound(used.begin(), used.end(), number) - used.begin()));
    hand_over(std::make_shared<const TextList>(std::move(list)), out);
    return {};
}

// ---- what every row has

Result<void> FileChosenRows::read_fixed(uint32_t column, ColumnBlock& out) {
    if (rows_.empty()) return {};
    switch (column) {
        case kColumnSpanId:
            return read_ids(out);
        case kColumnParentId:
            return read_parents(out);
        case kColumnStart:
            return read_starts(out);
        case kColumnOrder:
            return read_orders(out);
        case kColumnScope: {
            TRY_ASSIGN(const auto known, segment_.scopes(group_));
            out.rows = rows_;
            for (const uint32_t row : rows_)
                out.integers.push_back(known->scopes[row]);
            return {};
        }
        default:
            return read_values(column, out);
    }
}

Result<void> FileChosenRows::read_values(uint32_t column, ColumnBlock& out) {
    found_ = {group_rows().rows, rows_, rows_};
    const ColumnPlace* place = footer().find(column, group_);
    if (place == nullptr && (drops_zeros(column) || out.type != ColumnType::kInt)) return {};
    out.rows = rows_;
    if (place == nullptr) {
        out.integers.assign(rows_.size(), 0);
        return {};
    }
    TRY(decode(column, *place, out));
    if (drops_zeros(column))
        leave_some(out.rows, out.integers, [](int64_t value) { return value != 0; });
    if (out.type != ColumnType::kInt)
        leave_some(out.rows, out.codes, [&](uint32_t code) { return !out.strings[code].empty(); });
    return {};
}

Result<void> FileChosenRows::read_orders(ColumnBlock& out) {
    TRY_ASSIGN(const auto codes, segment_.order_codes(Table::kSpans, group_));
    if (codes == nullptr) return {};
    TRY_ASSIGN(const auto orders, segment_.orders(Table::kSpans));
    hand_over(orders->texts, out);
    for (const uint32_t row : rows_) {
        const uint32_t code = (*codes)[row];
        if (out.strings[code].empty()) continue;
        out.rows.push_back(row);
        out.codes.push_back(code);
    }
    return {};
}

Result<Blob> FileChosenRows::span_ids(uint32_t group) const {
    const ColumnPlace* place = footer().find(kColumnSpanId, group);
    if (place == nullptr) return fail(ErrorCode::kDataLoss, "the ids are missing");
    TRY_ASSIGN(const Blob body, segment_.block({place->offset, place->bytes}));
    TRY_ASSIGN(Blob ids, decode_bytes_in_place(body));
    if (ids.size() != size_t{footer().groups[group].rows} * sizeof(SpanId))
        return fail(ErrorCode::kDataLoss, "ids have a wrong length");
    return ids;
}

Result<void> FileChosenRows::read_ids(ColumnBlock& out) {
    TRY_ASSIGN(const Blob ids, span_ids(group_));
    out.width = sizeof(SpanId);
    out.rows = rows_;
    out.storage = Blob::allocate(rows_.size() * sizeof(SpanId));
    for (size_t i = 0; i < rows_.size(); ++i)
        std::memcpy(out.storage.mutable_data() + i * sizeof(SpanId),
                    ids.data() + rows_[i] * sizeof(SpanId), sizeof(SpanId));
    out.fixed = out.storage.view();
    return {};
}

// Links say where the parents are; the ids of those that are elsewhere stand one after the other.
Result<void> FileChosenRows::read_parents(ColumnBlock& out) {
    out.width = sizeof(SpanId);
    ColumnBlock stored;
    TRY(segment_.read_links(group_, stored, nullptr));
    if (stored.integers.empty()) return {};
    std::vector<int64_t> links;
    std::string elsewhere;
    size_t row = 0;
    size_t others = 0;  // that are elsewhere, of the rows until this one
    for (const uint32_t chosen : rows_) {
        for (; row < chosen; ++row)
            others += stored.integers[row] == kParentElsewhere ? 1 : 0;
        links.push_back(stored.integers[chosen]);
        if (links.back() != kParentElsewhere) continue;
        if (stored.fixed.size() < (others + 1) * sizeof(SpanId))
            return fail(ErrorCode::kDataLoss, "parent ids end early");
        elsewhere.append(stored.fixed.substr(others * sizeof(SpanId), sizeof(SpanId)));
    }
    return segment_.resolve_parents(group_, rows_, links, elsewhere, out);
}

Result<TraceFragment> FileChosenRows::fragment_of(uint32_t row) const {
    // The last one that does not begin behind it.
    uint32_t low = footer().first_fragment[group_];
    uint32_t high = group_ + size_t{1} < footer().first_fragment.size()
                        ? footer().first_fragment[group_ + 1] + 1
                        : segment_.fragment_count();
    high = std::min(high, segment_.fragment_count());
    while (low < high && high - low > 1) {
        const uint32_t middle = low + (high - low) / 2;
        TRY_ASSIGN(const TraceFragment fragment, segment_.fragment(middle));
        (fragment.first_row <= row ? low : high) = middle;
    }
    TRY_ASSIGN(const TraceFragment fragment, segment_.fragment(low));
    if (row < fragment.first_row || row - fragment.first_row >= fragment.rows)
        return fail(ErrorCode::kDataLoss, "fragments and row groups do not fit");
    return fragment;
}

// Times are differences to the row before in the fragment, or in the part of it that the group has:
// all up to the chosen row are added up.
Result<void> FileChosenRows::read_starts(ColumnBlock& out) {
    struct Part {
        TraceFragment fragment;
        size_t first_difference = 0;
    };
    const uint32_t first_row = group_rows().first_row;
    std::vector<Part> parts;
    std::vector<uint32_t> places;
    for (const uint32_t row : rows_) {
        const uint32_t own = first_row + row;
        uint32_t next = places.empty() ? 0 : places.back() + 1;
        if (parts.empty() || own - parts.back().fragment.first_row >= parts.back().fragment.rows) {
            TRY_ASSIGN(const TraceFragment found, fragment_of(own));
            parts.push_back({found, places.size()});
            const uint32_t begin = std::max(found.first_row, first_row) - first_row;
            if (begin < next)
                return fail(ErrorCode::kDataLoss, "fragments and row groups do not fit");
            next = begin;
        }
        for (; next <= row; ++next)
            places.push_back(next);
    }
    std::vector<int64_t> differences(places.size(), 0);
    if (const ColumnPlace* place = footer().find(kColumnStart, group_); place != nullptr) {
        TRY_ASSIGN(const Blob body, segment_.block({place->offset, place->bytes}));
        TRY(segment_.decode_at(kColumnStart, group_, body.view(), group_rows().rows, places, places,
                               differences));
    }
    out.rows = rows_;
    auto part = parts.begin();
    uint64_t time = 0;
    size_t chosen = 0;
    for (size_t i = 0; i < places.size(); ++i) {
        if (part != parts.end() && part->first_difference == i) time = (part++)->fragment.start_ns;
        time += static_cast<uint64_t>(differences[i]);
        if (places[i] != rows_[chosen]) continue;
        out.integers.push_back(static_cast<int64_t>(time));
        ++chosen;
    }
    return {};
}

std::unique_ptr<ChosenRows> FileSegment::choose_rows(uint32_t row_group,
                                                     std::vector<uint32_t> rows) const {
    if (row_group >= footer_.groups.size()) return nullptr;
    const uint32_t end = footer_.groups[row_group].rows;
    rows.erase(std::lower_bound(rows.begin(), rows.end(), end), rows.end());
    return std::make_unique<FileChosenRows>(*this, row_group, std::move(rows));
}

}  // namespace spanloom::store
