#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/io.h"
#include "base/result.h"
#include "otlp/batch.h"
#include "store/delays.h"
#include "store/field.h"
#include "store/segment_places.h"

namespace spanloom::store {

class RowBitmap;
class SegmentCache;

// What the manifest and the metrics know of a segment without reading its blocks.
struct SegmentInfo {
    uint64_t spans = 0;
    uint64_t traces = 0;        // fragments of traces
    uint64_t bytes = 0;         // of the file
    uint64_t start_ns_min = 0;  // of its spans
    uint64_t end_ns_max = 0;
    uint64_t trace_start_ns_max = 0;  // newest fragment: lets a newest-first search stop early
    uint64_t arrival_ns_min = 0;
    uint64_t arrival_ns_max = 0;
};

// A fragment: the spans of one trace that lie in one segment. Its rows are adjacent and ordered by
// start. Fragments are ordered by start_ns, newest first, then by trace id.
struct TraceFragment {
    TraceId trace_id;
    uint32_t first_row = 0;
    uint32_t rows = 0;
    uint64_t start_ns = 0;
    uint64_t end_ns = 0;
    uint32_t errors = 0;
};

// The fragments of a segment by the hashes of their trace ids, which are made alike everywhere.
struct TraceIndex {
    uint32_t bits = 32;            // of each hash, the upper ones
    std::vector<uint32_t> hashes;  // ascending
    std::vector<uint32_t> fragments;
};

// What kind of values a column holds, and so which member of ColumnBlock is filled.
enum class ColumnType : uint8_t {
    kInt,     // int64: integers, booleans (0, 1), times, kinds, status, row offsets
    kDouble,  // double
    kString,  // dictionary codes and strings
    kFixed,   // fixed-size bytes (ids), `width` each
    kValue,   // AnyValue messages (array, kvlist, bytes, empty), as strings
};

// Rows of the two child tables belong to a span row; the other columns are per span.
enum class Table : uint8_t { kSpans, kEvents, kLinks };

// What rows carry beside the intrinsics of field.h, so that spans can be written as they came.
enum class RowField : uint8_t {
    kNone,
    kScopeIndex,         // kSpans: the scope (and through it the resource); kInt, dense
    kOwner,              // kEvents, kLinks: the span's row in its row group; kInt, dense, ascending
    kFlags,              // kSpans, kLinks: kInt, where not 0
    kDroppedAttributes,  // any table: kInt, where not 0
    kDroppedEvents,      // kSpans: kInt, where not 0
    kDroppedLinks,       // kSpans: kInt, where not 0
    kAttributeOrder,     // any table: kString, where there are attributes; see ColumnKey
    kOverflow,           // any table: kValue, attributes that have no column (overflow_attributes)
};

// Which column: an intrinsic or a row field of a table, or an attribute (table, key, type).
// Attributes of resources and scopes have no columns: they are in the messages that a span's
// kScopeIndex leads to.
//
// Intrinsics with a column, and how they are stored:
//   kSpans   kStart (kInt, the bits of the uint64), kDuration (kInt, end - start, wrapping),
//            kName, kStatus, kStatusMessage, kKind (numbers as received), kSpanId and kParentId
//            (kFixed, 8; a root has no row), kTraceState. The trace id is the fragment's.
//   kEvents  kEventTimeSinceStart (kInt, time - start of the span, wrapping), kEventName
//   kLinks   kLinkTraceId (kFixed, 16), kLinkSpanId (kFixed, 8), kTraceState
// Texts are left out where empty, kKind and kStatus where 0.
//
// kAttributeOrder: one entry per distinct sequence of keys; the numbers of the attribute columns
// (indices into Segment::columns()) in the order of the attributes, as little-endian uint32. A key
// that comes twice with one type has two values for one row in its column (rows then ascend but
// repeat), in order; the last wins in search.
//
// Columns are limited in number. Beyond the limit a row's attributes with new keys lie in its
// kOverflow value. A key of a row is either wholly in columns or wholly in the overflow.
struct ColumnKey {
    Table table = Table::kSpans;
    Scope scope = Scope::kIntrinsic;  // kSpan, kEvent, kLink: an attribute
    Intrinsic intrinsic = Intrinsic::kNone;
    RowField row_field = RowField::kNone;
    std::string key;
    ColumnType type = ColumnType::kInt;
    bool is_boolean = false;  // kInt that came as bool
};

// One attribute of a kOverflow value. It stands at `position` among all attributes of its row;
// those of kAttributeOrder fill the remaining positions.
struct OverflowAttribute {
    uint32_t position = 0;
    otlp::AttributeView attribute;
};
std::vector<OverflowAttribute> overflow_attributes(std::string_view value);

// The decoded values of one column in one row group. `rows` are the rows that have a value,
// relative to the group's first row of that table, ascending; where `dense`, every row has one and
// `rows` is empty. The i-th value belongs to rows[i] (or row i).
struct ColumnBlock {
    ColumnType type = ColumnType::kInt;
    bool dense = true;
    std::vector<uint32_t> rows;
    std::vector<int64_t> integers;
    std::vector<double> numbers;
    std::vector<uint32_t> codes;  // kString, kValue: into `strings`
    // The dictionary. Blocks of one column may share it; then strings.data() and size() are the
    // same, and what was found out about its entries holds for all of them.
    std::span<const std::string_view> strings;
    std::string_view fixed;  // kFixed: the values end to end
    uint32_t width = 0;
    Blob storage;                       // owns `fixed` and the text of `strings`
    std::shared_ptr<const void> owner;  // owns the entries of `strings`

    // Number of values.
    size_t size() const {
        switch (type) {
            case ColumnType::kInt:
                return integers.size();
            case ColumnType::kDouble:
                return numbers.size();
            case ColumnType::kFixed:
                return width == 0 ? 0 : fixed.size() / width;
            default:
                return codes.size();
        }
    }
};

struct RowGroup {
    uint32_t first_row = 0;  // of the spans table
    uint32_t rows = 0;
    uint32_t first_event = 0;
    uint32_t events = 0;
    uint32_t first_link = 0;
    uint32_t links = 0;
    uint64_t start_ns_min = 0;
    uint64_t end_ns_max = 0;
    int64_t duration_ns_max = 0;
    bool has_error = false;
};

// One (service, name, kind) as rollups count them.
struct OperationKey {
    std::string_view service;
    std::string_view name;
    otlp::SpanKind kind = otlp::SpanKind::kUnspecified;
};

// All rows of a segment, as columns, for the function that counts them.
struct RollupRows {
    std::span<const OperationKey> operations;
    std::span<const uint32_t> operation;  // per row, index into operations
    std::span<const uint64_t> start_ns;
    std::span<const uint64_t> duration_ns;
    std::span<const uint8_t> is_error;
    std::span<const double> weight;  // adjusted count (1 where not sampled)
    // How long the span's message was when it came. Empty: columns do not keep it; then `counted`
    // is what was counted of these rows, and perhaps of more, when it was known.
    std::span<const uint32_t> bytes = {};
    std::span<const Blob> counted = {};
};

// Counts rows into the bytes that a segment keeps for the counting's owner. Empty: none.
using RollupFunction = std::function<std::string(const RollupRows&)>;

// What a segment says of the (field, value) pairs that it holds.
enum class PlacesForm : uint8_t {
    kNone,    // every value may be anywhere
    kFilter,  // which are not there: made in a small part of the time, for files that are soon
              // merged
    kGroups,  // in which row group they are
};

struct SegmentOptions {
    uint32_t row_group_rows = 4096;
    int zstd_level = 1;  // 0: no general compression (segments that stay in memory)
    RollupFunction rollup = nullptr;
    PlacesForm places = PlacesForm::kGroups;
    // Parents, scopes and names in fractions of bits: 0.6 bytes a span less, and longer to decode.
    bool has_models = false;
    // Of a merge: which traces the output holds. None: all.
    std::function<bool(const TraceId&)> keeps_trace = nullptr;
    // Of a merge: by which threshold a keep rule chose a trace (Segment::thresholds). None: as the
    // inputs say, the highest where they differ.
    std::function<uint64_t(const TraceId&)> threshold_of = nullptr;
};

// Turns batches into one segment image. One thread.
class SegmentBuilder {
  public:
    explicit SegmentBuilder(SegmentOptions options);
    SegmentBuilder(SegmentBuilder&&) noexcept;
    SegmentBuilder& operator=(SegmentBuilder&&) noexcept;
    ~SegmentBuilder();

    // Copies what it needs; the batch may go. Invalid UTF-8 becomes U+FFFD.
    void add(const Batch& batch);
    // Only some of its spans (indices into batch.spans), where others are resends.
    void add(const Batch& batch, std::span<const uint32_t> spans);
    size_t spans() const;
    size_t memory_bytes() const;
    size_t used_bytes() const;  // of it, without what is there for rows to come
    // The whole file image. The builder is empty again afterwards.
    Result<Blob> finish();
    // The same by other options than it was made with, and goes on having, but for the rollup.
    Result<Blob> finish_as(const SegmentOptions& options);

  private:
    struct State;
    std::unique_ptr<State> state_;
};

// Some rows of the spans of one row group, read column by column without decoding the others where
// the columns allow it. One thread.
class ChosenRows {
  public:
    virtual ~ChosenRows() = default;
    // As Segment::read(); of a column of the spans perhaps the values of the chosen rows alone.
    virtual Result<std::shared_ptr<const ColumnBlock>> read(uint32_t column) = 0;
};

// An immutable columnar file, or its image in memory (docs/format/segment.md). Opening checks the
// footer; each block's checksum is checked when it is read. Any thread. What is added here must be
// answered by the view of hiding_segment.cc as well.
class Segment {
  public:
    // What it decodes for several readers is kept in `cache`; without one in a small one of its
    // own.
    static Result<std::shared_ptr<const Segment>> open(
        Blob image, std::shared_ptr<SegmentCache> cache = nullptr);
    static Result<std::shared_ptr<const Segment>> open(
        std::unique_ptr<ReadableFile> file, std::shared_ptr<SegmentCache> cache = nullptr);
    virtual ~Segment() = default;

    virtual const SegmentInfo& info() const = 0;
    virtual size_t memory_bytes() const = 0;

    virtual uint32_t fragment_count() const = 0;
    virtual Result<TraceFragment> fragment(uint32_t index) const = 0;
    // The fragment of this trace. nullopt: it is not here.
    virtual Result<std::optional<TraceFragment>> find(const TraceId& id) const = 0;
    // For finding the traces that several segments have. nullptr: the segment has none.
    virtual Result<std::shared_ptr<const TraceIndex>> trace_index() const { return nullptr; }

    // For each fragment, by which 56-bit threshold a keep rule chose its trace: kept where the
    // trace's randomness is at least that. nullptr: all 0, nothing was left out.
    using Thresholds = std::vector<uint64_t>;
    virtual Result<std::shared_ptr<const Thresholds>> thresholds() const { return nullptr; }

    // Which rows came long after they ended. nullptr: none that it could not be said of otherwise.
    virtual Result<std::shared_ptr<const Delays>> delays() const { return nullptr; }

    virtual std::span<const RowGroup> row_groups() const = 0;
    // Listed are also columns without a value.
    virtual std::span<const ColumnKey> columns() const = 0;
    // False: no row of the segment has a value in it. True: perhaps.
    virtual bool has_values(uint32_t) const { return true; }
    // Any column of any group: where a group has no value of it, an empty block that is not dense.
    virtual Result<std::shared_ptr<const ColumnBlock>> read(uint32_t column,
                                                            uint32_t row_group) const = 0;

    // As read(), for these rows alone: texts of others may be empty.
    virtual Result<std::shared_ptr<const ColumnBlock>> read_some(uint32_t column,
                                                                 uint32_t row_group,
                                                                 const RowBitmap&) const {
        return read(column, row_group);
    }

    // The values of an attribute column of the spans for who knows from their orders which rows
    // have them: `count`, in the order of the rows, which may be left out. Where `wanted` is given
    // (by position), texts of others may be empty.
    virtual Result<std::shared_ptr<const ColumnBlock>> read_values(
        uint32_t column, uint32_t row_group, size_t /*count*/,
        std::span<const uint8_t> /*wanted*/) const {
        return read(column, row_group);
    }

    // How often each value comes among those that read_values() gives, kept for whoever asks again:
    // what it is, once each, in `values`. nullopt: they are many, or the segment does not know.
    struct ValueCounts {
        std::shared_ptr<const ColumnBlock> values;
        std::vector<uint32_t> counts;
    };
    virtual Result<std::optional<ValueCounts>> value_counts(uint32_t /*column*/,
                                                            uint32_t /*row_group*/,
                                                            size_t /*count*/) const {
        return std::nullopt;
    }
    // Of the `count` values that read_values() gives those at these places, which are of these
    // rows; both ascending. Asked where value_counts() answered.
    virtual Result<std::shared_ptr<const ColumnBlock>> read_values_at(
        uint32_t /*column*/, uint32_t /*row_group*/, size_t /*count*/,
        std::span<const uint32_t> /*places*/, std::span<const uint32_t> /*rows*/) const {
        return fail(ErrorCode::kUnsupported, "segment: single values cannot be read");
    }

    // What each row of a group is (its name, service and instrumentation), as a number. Rows of one
    // kind that have the same attributes in the same order have equal values in the columns that
    // follow kinds there. kNoKind: not told. nullptr: the segment cannot tell.
    using RowKinds = std::vector<uint16_t>;
    static constexpr uint16_t kNoKind = UINT16_MAX;
    virtual Result<std::shared_ptr<const RowKinds>> row_kinds(uint32_t) const { return nullptr; }
    virtual bool follows_row_kinds(uint32_t, uint32_t) const { return false; }

    // Where the parent of each row of a group is: its row in the segment, the first with that id,
    // or one of the following. nullopt: the segment cannot tell, ids must be compared.
    static constexpr int32_t kNoParent = -1;
    static constexpr int32_t kParentNotHere = -2;  // not in this fragment, or the row itself
    virtual Result<std::optional<std::vector<int32_t>>> parent_rows(uint32_t) const {
        return std::nullopt;
    }

    // Resources and scopes are kept whole, once each, as their OTLP messages.
    virtual uint32_t resource_count() const = 0;
    virtual std::string_view resource_message(uint32_t index) const = 0;
    virtual std::string_view resource_schema_url(uint32_t index) const = 0;
    virtual uint32_t scope_count() const = 0;
    virtual std::string_view scope_message(uint32_t index) const = 0;
    virtual std::string_view scope_schema_url(uint32_t index) const = 0;
    virtual uint32_t scope_resource(uint32_t index) const = 0;  // its resource's index

    // Which row groups may have a span that has this field with an equal value.
    virtual ValuePlaces places_of(const Field& field, const Value& value) const = 0;
    // Hints: these will be asked soon, so that a cold disk reads for several segments at once.
    // Nothing waits for them but foresee_places_of(), which first reads the directory of the
    // places; foresee_places() is the hint for that.
    virtual void foresee_find() const {}
    virtual void foresee_indexes() const {}  // all that is read before the blocks of rows
    virtual void foresee_places() const {}
    virtual void foresee_places_of(const Field&, const Value&) const {}
    virtual void foresee_block(uint32_t /*column*/, uint32_t /*row_group*/) const {}
    virtual void foresee_group(uint32_t /*row_group*/) const {}  // all its columns
    // False: no span has this field with an equal value. True: perhaps.
    bool may_contain(const Field& field, const Value& value) const {
        return !places_of(field, value).is_nowhere();
    }
    virtual Result<Blob> rollup() const = 0;  // read anew each time
    // Reads every block and checks every checksum; the first damage found.
    virtual Result<void> verify() const = 0;

    // For who wants these rows alone, ascending, of many columns of a group; where they are few.
    // nullptr: the segment only reads whole columns. It must outlive what is given.
    virtual std::unique_ptr<ChosenRows> choose_rows(uint32_t /*row_group*/,
                                                    std::vector<uint32_t> /*rows*/) const {
        return nullptr;
    }
};

// Writes the spans of `inputs` as one segment, equal spans once (design: equal tenant, ids, start,
// kind and content). Memory stays bounded by a few row groups of each input plus the output's
// dictionaries. `stop` is asked between row groups.
Result<SegmentInfo> merge_segments(std::span<const std::shared_ptr<const Segment>> inputs,
                                   const SegmentOptions& options, WritableFile& output,
                                   const std::function<bool()>& stop);

}  // namespace spanloom::store
