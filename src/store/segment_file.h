#pragma once

#include <array>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "store/column.h"
#include "store/segment.h"
#include "store/segment_cache.h"
#include "store/segment_followers.h"
#include "store/segment_footer.h"
#include "store/segment_layout.h"
#include "store/value_model.h"

// The Segment on a file or an image: opening and its tables (segment.cc), columns
// (segment_columns.cc), parts of them (segment_some_rows.cc, segment_chosen_rows.cc) and their
// values counted (segment_value_counts.cc), those that tie rows together (segment_structure.cc),
// where values are (segment_find.cc).
namespace spanloom::store {

struct FragmentChunk {
    std::vector<TraceFragment> fragments;
};
// The distinct orders of attributes of one table, and the way back from a column to them.
struct AttributeOrders {
    std::shared_ptr<const TextList> texts;
    struct Use {
        uint32_t order;
        uint32_t times;
    };
    std::vector<uint32_t> first_use;  // per column, and the end
    std::vector<Use> uses;
};
static_assert(kShapesMax <= UINT16_MAX + 1);
using OrderCodes = std::vector<uint16_t>;  // by row
using FollowKeys = std::vector<FollowKey>;
// Which rows of a group have which order.
struct OrderRows {
    std::vector<uint32_t> orders;  // those that come, ascending
    std::vector<uint32_t> first;   // of each, among rows; and the end
    std::vector<uint32_t> rows;    // order after order, ascending in each
    size_t memory_bytes() const { return (orders.size() + first.size() + rows.size()) * 4; }
};
struct GroupModels {
    ValueModel parents;
    ValueModel scopes;
    ValueModel names;
};
// A number for each row of a group, in two bytes each where they are small. Immutable once made.
class RowNumbers {
  public:
    // kDataLoss where one of them is not of 32 bits.
    static Result<RowNumbers> of(std::span<const int64_t> numbers);
    void copy_to(std::vector<int64_t>& out) const;
    uint32_t operator[](size_t row) const { return large_.empty() ? small_[row] : large_[row]; }
    size_t memory_bytes() const { return small_.size() * 2 + large_.size() * 4; }

  private:
    std::vector<uint16_t> small_;
    std::vector<uint32_t> large_;  // else
};
struct GroupScopes {
    RowNumbers scopes;                   // all in range
    std::vector<uint8_t> name_contexts;  // where there are models
};
inline bool is_modelled(std::string_view body) {
    return !body.empty() && static_cast<uint8_t>(body.front()) == kModelledForm;
}

// How often each value comes in a column of a row group, as integers or numbers of texts. Empty
// where they are many.
struct CountedValues {
    std::vector<int64_t> values;
    std::vector<uint32_t> counts;
    size_t memory_bytes() const { return values.capacity() * 8 + counts.capacity() * 4; }
};

// What a piece takes in the cache.
inline size_t memory_bytes_of(const FragmentChunk& chunk) {
    return chunk.fragments.size() * sizeof(TraceFragment);
}
inline size_t memory_bytes_of(const AttributeOrders& orders) {
    return orders.uses.size() * sizeof(AttributeOrders::Use) + orders.first_use.size() * 4;
}
inline size_t memory_bytes_of(const OrderCodes& codes) {
    return codes.size() * sizeof(codes[0]);
}
inline size_t memory_bytes_of(const Segment::Thresholds& thresholds) {
    return thresholds.size() * 8;
}
inline size_t memory_bytes_of(const TraceIndex& index) {
    return (index.hashes.size() + index.fragments.size()) * 4;
}
inline size_t memory_bytes_of(const GroupModels& models) {
    return models.parents.memory_bytes() + models.scopes.memory_bytes() +
           models.names.memory_bytes();
}
inline size_t memory_bytes_of(const GroupScopes& scopes) {
    return scopes.scopes.memory_bytes() + scopes.name_contexts.size();
}
inline size_t memory_bytes_of(const TextList& list) {
    return list.storage.size() + list.texts.size() * sizeof(std::string_view);
}
template <typename T>
size_t memory_bytes_of(const T& piece) {
    return piece.memory_bytes();
}

// Makes them the texts that a block's codes mean.
void hand_over(std::shared_ptr<const TextList> texts, ColumnBlock& out);
// Makes a block's values of texts and the number of each value among them.
Result<void> set_texts(std::shared_ptr<const TextList> texts, std::span<const int64_t> codes,
                       ColumnBlock& out);

class FileSegment final : public Segment {
  public:
    FileSegment(Blob image, std::unique_ptr<ReadableFile> file, std::shared_ptr<SegmentCache> cache)
        : image_(std::move(image)),
          file_(std::move(file)),
          cache_(std::move(cache)),
          cache_number_(cache_->new_segment()) {}
    ~FileSegment() override { cache_->forget(cache_number_); }
    FileSegment(const FileSegment&) = delete;
    FileSegment& operator=(const FileSegment&) = delete;

    Result<void> load();

    const SegmentInfo& info() const override { return footer_.info; }
    size_t memory_bytes() const override;
    uint32_t fragment_count() const override { return static_cast<uint32_t>(footer_.info.traces); }
    Result<TraceFragment> fragment(uint32_t index) const override;
    Result<std::optional<TraceFragment>> find(const TraceId& id) const override;
    std::span<const RowGroup> row_groups() const override { return footer_.groups; }
    std::span<const ColumnKey> columns() const override { return footer_.columns; }
    Result<std::shared_ptr<const ColumnBlock>> read(uint32_t column,
                                                    uint32_t row_group) const override;
    Result<std::shared_ptr<const ColumnBlock>> read_some(uint32_t column, uint32_t row_group,
                                                         const RowBitmap& rows) const override;
    std::unique_ptr<ChosenRows> choose_rows(uint32_t row_group,
                                            std::vector<uint32_t> rows) const override;
    Result<std::shared_ptr<const RowKinds>> row_kinds(uint32_t row_group) const override;
    bool follows_row_kinds(uint32_t column, uint32_t row_group) const override;
    bool has_values(uint32_t column) const override { return has_values_[column]; }
    Result<std::optional<std::vector<int32_t>>> parent_rows(uint32_t row_group) const override;
    Result<std::shared_ptr<const TraceIndex>> trace_index() const override;
    Result<std::shared_ptr<const Thresholds>> thresholds() const override;
    Result<std::shared_ptr<const Delays>> delays() const override;
    uint32_t resource_count() const override {
        return static_cast<uint32_t>(footer_.resources.size());
    }
    std::string_view resource_message(uint32_t index) const override {
        return footer_.resources[index].message;
    }
    std::string_view resource_schema_url(uint32_t index) const override {
        return footer_.resources[index].schema_url;
    }
    uint32_t scope_count() const override { return static_cast<uint32_t>(footer_.scopes.size()); }
    std::string_view scope_message(uint32_t index) const override {
        return footer_.scopes[index].message;
    }
    std::string_view scope_schema_url(uint32_t index) const override {
        return footer_.scopes[index].schema_url;
    }
    uint32_t scope_resource(uint32_t index) const override {
        return footer_.scopes[index].resource;
    }
    ValuePlaces places_of(const Field& field, const Value& value) const override;
    void foresee_find() const override;
    void foresee_indexes() const override;
    void foresee_places() const override;
    void foresee_places_of(const Field& field, const Value& value) const override;
    void foresee_block(uint32_t column, uint32_t row_group) const override;
    void foresee_group(uint32_t row_group) const override;
    Result<Blob> rollup() const override;
    Result<void> verify() const override;
    // For a merge, which knows the rows by the orders: values alone, in the order of rows. Of an
    // attribute column there must be `count`. A fixed column has one per row, or none where all are
    // zero or empty; parents come as links (segment_layout.h) in `integers`, with the ids that
    // follow them in `fixed`.
    Result<std::shared_ptr<const ColumnBlock>> read_values(
        uint32_t column, uint32_t row_group, size_t count,
        std::span<const uint8_t> wanted) const override;
    Result<std::optional<ValueCounts>> value_counts(uint32_t column, uint32_t row_group,
                                                    size_t count) const override;
    Result<std::shared_ptr<const ColumnBlock>> read_values_at(
        uint32_t column, uint32_t row_group, size_t count, std::span<const uint32_t> places,
        std::span<const uint32_t> rows) const override;

  private:
    friend class FileChosenRows;

    using Piece = SegmentCache::Piece;
    SegmentCache::Key cache_key(Piece piece, uint64_t number = 0) const {
        return {cache_number_, piece, number};
    }
    // The piece from the cache; else make() gives a Result of what is kept there.
    template <typename T, typename Make>
    Result<std::shared_ptr<const T>> cached(Piece piece, uint64_t number, Make make) const {
        const SegmentCache::Key key = cache_key(piece, number);
        if (auto kept = cache_->find(key)) return std::static_pointer_cast<const T>(kept);
        TRY_ASSIGN(T made, make());
        auto shared = std::make_shared<const T>(std::move(made));
        const size_t bytes = memory_bytes_of(*shared);
        return std::static_pointer_cast<const T>(cache_->keep(key, std::move(shared), bytes));
    }

    uint64_t size() const { return file_ != nullptr ? file_->size() : image_.size(); }
    Result<Blob> bytes(uint64_t offset, size_t size) const;
    Result<Blob> block(const BlockPlace& place) const;
    Result<std::shared_ptr<const FragmentChunk>> chunk(uint32_t number) const;
    Result<FragmentChunk> read_chunk(uint32_t number) const;
    Result<TraceIndex> read_trace_index() const;
    Result<Thresholds> read_thresholds() const;
    Result<Delays> read_delays() const;
    Result<AttributeOrders> read_orders(Table table) const;
    Result<OrderCodes> read_order_codes(Table table, uint32_t group,
                                        const ColumnPlace& place) const;
    Result<FollowKeys> read_follow_keys(uint32_t group) const;
    Result<GroupScopes> read_group_scopes(uint32_t group) const;
    Result<std::shared_ptr<const TextList>> dictionary(uint32_t column) const;
    Result<std::shared_ptr<const TextList>> patterns(uint32_t column) const;
    Result<std::shared_ptr<const AttributeOrders>> orders(Table table) const;
    Result<std::shared_ptr<const OrderCodes>> order_codes(Table table, uint32_t group) const;
    uint32_t table_rows(Table table, uint32_t group) const;

    tl::unexpected<Error> located(const Error& error, uint32_t column, uint32_t group) const;
    Result<void> read_column(uint32_t column, uint32_t group, ColumnBlock& out) const;
    Result<void> read_fixed_column(uint32_t column, uint32_t group, ColumnBlock& out) const;
    Result<void> read_fixed_values(uint32_t column, uint32_t group, ColumnBlock& out) const;
    Result<void> check_fixed(uint32_t column, uint32_t group, const ColumnBlock& block) const;
    Result<void> find_rows(uint32_t column, uint32_t group, ColumnBlock& out, size_t& count) const;
    Result<void> find_few_rows(uint32_t column, uint32_t group, const AttributeOrders& known,
                               size_t all, ColumnBlock& out) const;
    Result<std::shared_ptr<const OrderRows>> order_rows(Table table, uint32_t group) const;
    // `wanted`, by position: the only texts that must be put together; none given: all.
    Result<void> decode(uint32_t column, uint32_t group, const ColumnPlace& place, size_t count,
                        ColumnBlock& out, std::span<const uint8_t> wanted = {}) const;
    Result<void> decode_text(uint32_t column, uint32_t group, Blob body, size_t count,
                             ColumnBlock& out, std::span<const uint8_t> wanted) const;
    Result<void> decode_scopes(uint32_t group, std::span<const int64_t> links,
                               std::span<const int64_t> steps, std::vector<int64_t>& out) const;
    Result<std::shared_ptr<const GroupScopes>> scopes(uint32_t group) const;
    Result<void> read_scopes(uint32_t group, ColumnBlock& out) const;
    Result<void> decode_names(uint32_t group, std::string_view body,
                              std::vector<int64_t>& out) const;
    Result<void> decode_link_traces(std::string_view body, size_t count, ColumnBlock& out) const;
    Result<void> decode_left_out(uint32_t column, uint32_t group, size_t count,
                                 ColumnBlock& out) const;
    Result<std::string_view> left_out_body(uint32_t column) const;
    // Integers or codes; those that follow are asked of the names of their rows (empty: all, or
    // those that the orders say).
    Result<void> decode_values(uint32_t column, uint32_t group, std::string_view body, size_t count,
                               std::span<const uint32_t> rows, std::vector<int64_t>& out,
                               bool is_pattern = false) const;
    Result<CountedValues> count_values(uint32_t column, uint32_t group, size_t count) const;
    Result<void> set_numbers(uint32_t column, std::vector<int64_t> numbers, ColumnBlock& out) const;
    Result<void> decode_at(uint32_t column, uint32_t group, std::string_view body, size_t count,
                           std::span<const uint32_t> places, std::span<const uint32_t> rows,
                           std::vector<int64_t>& out) const;
    Result<std::shared_ptr<const FollowKeys>> follow_keys(uint32_t group) const;
    Result<void> check_texts(uint32_t column, const TextList& list) const;
    Result<std::shared_ptr<const FollowerDirectory>> followers() const;
    Result<std::shared_ptr<const GroupModels>> models() const;
    Result<void> add_starts(uint32_t group, std::vector<int64_t>& values) const;
    Result<void> decode_links(std::string_view body, uint32_t rows, std::vector<int64_t>& steps,
                              std::vector<int64_t>& links) const;
    Result<void> read_links(uint32_t group, ColumnBlock& out, std::vector<int64_t>* steps) const;
    Result<void> read_parents(uint32_t group, ColumnBlock& out) const;
    // The parents of these rows (none given: all), whose links and ids of others are given.
    Result<void> resolve_parents(uint32_t group, std::span<const uint32_t> rows,
                                 std::span<const int64_t> links, std::string_view elsewhere,
                                 ColumnBlock& out) const;

    // What is done with the hash of a pair: asking where it is, or a hint of that.
    using AskPair = std::function<PairPlace(uint64_t hash)>;
    Result<std::shared_ptr<const PlacesDirectory>> places() const;
    BlockPlace filter_page_place(uint64_t number) const;
    Result<Blob> filter_page(uint64_t number) const;
    Result<uint32_t> cell(uint64_t bit, uint32_t bits) const;
    Result<PairPlace> read_place_of(uint64_t hash) const;
    PairPlace place_of(uint64_t hash) const;
    void foresee_place_of(uint64_t hash) const;
    PairPlace column_place(const ColumnKey& key, const Value& value, const AskPair& ask) const;
    PairPlace message_place(Scope scope, const std::string& key, const Value& value,
                            const AskPair& ask) const;
    ValuePlaces ask_places(const Field& field, const Value& value, const AskPair& ask) const;
    void foresee(const BlockPlace& place) const;
    void foresee_texts(uint32_t column) const;

    Blob image_;
    std::unique_ptr<ReadableFile> file_;
    SegmentFooter footer_;
    std::array<bool, 3> has_overflow_{};
    std::vector<bool> has_values_;    // by column
    std::vector<uint32_t> families_;  // by scope

    const std::shared_ptr<SegmentCache> cache_;
    const uint64_t cache_number_;
};

}  // namespace spanloom::store
