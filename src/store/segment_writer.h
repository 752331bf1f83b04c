#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/io.h"
#include "store/column.h"
#include "store/column_patterns.h"
#include "store/delays.h"
#include "store/segment.h"
#include "store/segment_filter.h"
#include "store/segment_followers.h"
#include "store/segment_layout.h"
#include "store/segment_places.h"
#include "store/segment_text_table.h"
#include "store/value_model.h"

namespace spanloom::store {

// The values of one column in the row group being made. Which member is used follows the type:
// doubles lie in `integers` by their bits, texts in `codes` (of SegmentWriter::intern).
struct ColumnStage {
    std::vector<int64_t> integers;
    std::vector<uint32_t> codes;
    std::string fixed;

    void clear() {
        integers.clear();
        codes.clear();
        fixed.clear();
    }
};

// Texts of one column of the file. First they share one dictionary for the whole file; when that
// stops paying, each block has its own.
struct TextColumn {
    TextTable table;
    uint64_t seed = 0;             // of its pairs
    std::vector<uint32_t> groups;  // by code: the row group that has it, or PlacesBuilder::kSeveral
    bool is_filtered = false;
    bool is_intrinsic = false;
    bool is_shared = true;
    bool always_shared = false;
    bool is_adopted = false;       // the table holds the texts of all groups
    bool dictionary_used = false;  // some block refers to the shared dictionary
    uint32_t generation = 0;       // codes of an older one mean nothing now
    uint64_t values = 0;
    uint32_t entries_before = 0;             // the table's, when the last block was written
    std::unique_ptr<TextPatterns> patterns;  // of all blocks that have some
    bool has_patterns = false;               // some block has
    std::vector<uint32_t> local;             // codes of the block at hand by those of the table
    EncodeTrials local_trials;               // of what `local` refers to
    uint64_t dictionary_offset = 0;
    uint64_t dictionary_bytes = 0;
    uint32_t dictionary_entries = 0;
    uint64_t patterns_offset = 0;
    uint64_t patterns_bytes = 0;
};

// Writes a segment file from front to back: row groups as they are handed over, then dictionaries,
// tables and the footer. Shared by building and merging. One thread.
class SegmentWriter {
  public:
    // One of the two outputs.
    SegmentWriter(const SegmentOptions& options, std::string& image);
    SegmentWriter(const SegmentOptions& options, WritableFile& file);
    ~SegmentWriter();
    // From now on, before the first group; rows are counted as was said first.
    void change_options(const SegmentOptions& options);

    // ---- what rows refer to
    // The number of an attribute column, kNone once kColumnsMax is reached.
    static constexpr uint32_t kNone = UINT32_MAX;
    uint32_t attribute_column(Table table, std::string_view key, ColumnType type, bool is_boolean);
    const ColumnKey& column_key(uint32_t column) const { return columns_[column]; }
    size_t column_count() const { return columns_.size(); }
    // The code of an order of columns; kNone once there are too many.
    uint32_t order(Table table, std::span<const uint32_t> columns);
    bool is_order(Table table, uint32_t code, std::span<const uint32_t> columns) const {
        return texts_[order_column(table)]->table.text(code) == order_text(columns);
    }
    uint32_t resource(std::string_view message, std::string_view schema_url);
    uint32_t scope(uint32_t resource, std::string_view message, std::string_view schema_url);
    // Texts become codes of their column, good until the group is written; while `generation` of
    // the column stays, they stay good longer.
    uint32_t intern(uint32_t column, std::string_view text, uint64_t hash);
    // The same for a text that the caller has not given since the column's generation began: where
    // blocks have their own dictionaries it is taken without a look whether another gave it.
    uint32_t add_text(uint32_t column, std::string_view text) {
        TextColumn& texts = *texts_[column];
        if (texts.is_shared) return intern(column, text, hash64(text));
        staged_text_bytes_ += text.size();
        return texts.table.append(text);
    }
    TextColumn& texts(uint32_t column) { return *texts_[column]; }
    bool has_texts(uint32_t column) const { return texts_[column] != nullptr; }
    // Takes over all texts that the column will have, for `values` values: their codes are the
    // column's. The column must be new.
    void adopt(uint32_t column, TextTable table, uint64_t values);

    // ---- one row group
    // Of texts that came new with it.
    uint64_t staged_text_bytes() const { return staged_text_bytes_; }
    // Values in the order of rows; each fixed column has one per row or none at all (all zero, all
    // empty), an attribute column as many as the orders say.
    ColumnStage& stage(uint32_t column) { return stages_[column]; }
    // Rows of fragments, in order; a fragment may continue in the next group. `first_in_fragment`
    // is the number of the group's first row in its fragment.
    struct Part {
        uint32_t fragment = 0;   // number of the fragment, as add_fragment will count
        uint64_t start_ns = 0;   // of the fragment
        uint32_t rows = 0;       // of it in this group
        bool continued = false;  // it began in an earlier group
    };
    Result<void> write_group(std::span<const Part> parts);

    // ---- the whole
    // Tells which fragment a trace will be, or kNone; by this links become short.
    using FragmentFinder = std::function<uint32_t(const TraceId&)>;
    void find_fragments_by(FragmentFinder find) { find_fragment_ = std::move(find); }
    void add_fragment(const TraceFragment& fragment, uint64_t threshold = 0);
    DelaysBuilder& delays() { return delays_; }
    void add_arrival(uint64_t min_ns, uint64_t max_ns);
    // For the rollup: how long the message of each row was, row by row, or what inputs have
    // counted.
    void add_span_bytes(uint32_t bytes) {
        if (operations_ != nullptr) span_bytes_.push_back(bytes);
    }
    void add_counted(Blob rollup) { counted_.push_back(std::move(rollup)); }
    Result<SegmentInfo> finish();

  private:
    static std::string_view order_text(std::span<const uint32_t> columns) {
        return {reinterpret_cast<const char*>(columns.data()), columns.size() * 4};
    }
    struct Operations;
    struct BlockRef {
        uint32_t column = 0;
        uint32_t bytes = 0;
    };
    struct Group {
        RowGroup meta;
        uint32_t first_fragment = 0;
        bool continues = false;
        uint64_t offset = 0;
        std::vector<BlockRef> blocks;
    };
    struct Ref {
        uint64_t offset = 0;
        uint64_t bytes = 0;
    };

    void start();
    uint32_t add_column(ColumnKey key);
    Result<void> put(std::string_view bytes);
    Result<Ref> put_block(std::string_view body);
    Result<void> flush();
    void prepare_places();
    void place(uint64_t hash, uint32_t group);
    void place_integers(uint32_t column);
    void place_codes(TextColumn& texts, std::span<const uint32_t> codes);
    void place_texts(TextColumn& texts);
    void place_messages();
    void encode_column(uint32_t column, std::span<const Part> parts, std::string& body);
    void encode_parents(std::string& body);
    void encode_scopes(std::string& body);
    void encode_start(std::span<const Part> parts, std::string& body);
    Result<void> encode_text(uint32_t column, std::string& body);
    ModelLearner learner() const {
        return options_.has_models ? ModelLearner() : ModelLearner::none();
    }
    void gather_structure();
    void gather_keys();
    const std::vector<uint32_t>& followed_columns(uint32_t order);
    void encode_values(uint32_t column, std::span<const int64_t> values, std::string& body);
    bool encode_following(uint32_t column, bool is_pattern, std::span<const int64_t> values,
                          std::string& body);
    bool encode_by_patterns(uint32_t column, std::span<const std::string_view> entries,
                            std::span<const uint32_t> numbers, std::string& body);
    void encode_local(uint32_t column, std::string& body);
    bool can_be_left_out(uint32_t column, std::string_view body) const;
    void encode_link_traces(std::string_view ids, std::string& body) const;
    Result<void> put_dictionary(TextColumn& texts);
    Result<void> put_patterns(TextColumn& texts);
    bool sharing_pays(const TextColumn& texts) const;
    bool sharing_still_pays(const TextColumn& texts, size_t values) const;
    bool have_patterns(const TextColumn& texts, uint32_t fresh) const;
    bool all_empty(uint32_t column) const;
    RowGroup describe_group(std::span<const Part> parts);
    Result<Ref> put_fragment_chunk(size_t from, size_t to);
    Result<Ref> put_trace_index();
    Result<Ref> put_thresholds();
    struct Tables {
        std::vector<Ref> chunks;
        Ref index;
        Ref cells;  // of the places, with all their pages
        Ref places;
        Ref followers;
        Ref models;
        Ref thresholds;
        Ref delays;
        Ref rollup;
    };
    std::string footer(const Tables& tables) const;
    Result<void> put_places(Tables& tables);
    Result<void> put_pages(std::string_view pages, Tables& tables);

    SegmentOptions options_;
    std::string* image_ = nullptr;
    WritableFile* file_ = nullptr;
    std::string buffer_;
    uint64_t offset_ = 0;

    std::vector<ColumnKey> columns_;
    std::vector<std::unique_ptr<TextColumn>> texts_;  // null where the column has no texts
    std::vector<uint64_t> integer_seeds_;             // of attribute columns of integers
    std::vector<ColumnStage> stages_;
    std::vector<EncodeTrials> trials_;  // per column
    TextTable column_names_;
    std::vector<uint32_t> column_numbers_;  // by code of column_names_
    TextTable resources_;                   // schema url length, schema url, message
    TextTable scopes_;                      // resource, schema url length, schema url, message

    FragmentFinder find_fragment_;
    std::vector<Group> groups_;
    std::vector<TraceFragment> fragments_;
    std::vector<uint64_t> thresholds_;  // of the first fragments; those of the others are 0
    DelaysBuilder delays_;
    // One of the two, or none, as the options say.
    std::optional<PlacesBuilder> places_;
    std::optional<FilterBuilder> filter_;
    FollowerTable followers_;
    std::vector<uint32_t> family_of_scope_;
    TextTable families_;
    TakenTexts taken_;  // of the block at hand
    // Of the group at hand, where it is for a disk: how its rows hang together.
    std::vector<int64_t> parent_links_;
    std::vector<int64_t> parent_steps_;
    std::vector<int64_t> scope_codes_;  // 0 as the parent
    std::vector<uint8_t> scope_contexts_;
    std::vector<uint8_t> name_contexts_;
    ModelLearner parent_model_ = learner();
    ModelLearner scope_model_ = learner();
    ModelLearner name_model_ = learner();
    bool has_models_ = false;          // some block needs them
    bool parents_have_model_ = false;  // those of the group at hand
    bool has_keys_ = false;            // the same, below
    // What the span of each value is followed by, by column; of all spans with kColumnName.
    std::vector<std::vector<FollowKey>> keys_of_values_;
    std::vector<std::vector<uint32_t>> followed_columns_;  // by order of attributes
    SegmentInfo info_;
    uint64_t staged_text_bytes_ = 0;
    uint64_t rows_ = 0;
    uint64_t events_ = 0;
    uint64_t links_ = 0;
    std::unique_ptr<Operations> operations_;
    std::vector<uint32_t> span_bytes_;
    std::vector<Blob> counted_;
};

}  // namespace spanloom::store
