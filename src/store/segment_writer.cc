#include "store/segment_writer.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <numeric>

#include "base/hash.h"
#include "otlp/tracestate.h"
#include "otlp/view.h"
#include "store/column.h"
#include "store/segment_bytes.h"
#include "store/segment_filter.h"

namespace spanloom::store {
namespace {

constexpr size_t kBufferBytes = 1U << 20;  // gathered before a file sees them
// A shared dictionary is given up where less than half of the values are repetitions.
constexpr uint32_t kDictionaryTrial = 512;
constexpr size_t kMemoryDictionaryBytesMax = 64U << 20;

bool is_textual(ColumnType type) {
    return type == ColumnType::kString || type == ColumnType::kValue;
}

std::string entity(std::string_view schema_url, std::string_view message) {
    std::string out;
    ByteWriter writer(out);
    writer.text(schema_url);
    writer.text(message);
    return out;
}

uint64_t zero_max(std::span<const int64_t> values) {
    uint64_t bits = 0;
    for (const int64_t value : values)
        bits |= static_cast<uint64_t>(value);
    return bits;
}

}  // namespace

// What a rollup function is to see: one entry per row of the whole segment.
struct SegmentWriter::Operations {
    TextTable names;
    TextTable keys;  // service code, name code, kind
    std::vector<OperationKey> operations;
    std::vector<uint32_t> service_of_scope;
    std::vector<uint32_t> operation;
    std::vector<uint64_t> start_ns;
    std::vector<uint64_t> duration_ns;
    std::vector<uint8_t> is_error;
    std::vector<double> weight;

    // What came lately, by service, code of the name and kind: names are looked up once.
    struct Known {
        uint32_t service = UINT32_MAX;
        uint32_t name_code = 0;
        uint32_t generation = 0;
        uint32_t operation = 0;
        int64_t kind = 0;
    };
    std::array<Known, 1024> known;

    uint32_t operation_of(uint32_t service, const TextColumn& names_of_column, uint32_t name_code,
                          int64_t kind) {
        const uint64_t mixed =
            (uint64_t{service} << 40 ^ uint64_t{name_code} << 3 ^ static_cast<uint64_t>(kind)) *
            0x9e3779b97f4a7c15U;
        Known& one = known[mixed >> 54];
        if (one.service == service && one.name_code == name_code && one.kind == kind &&
            one.generation == names_of_column.generation)
            return one.operation;
        one = {service, name_code, names_of_column.generation,
               operation_of(service, names_of_column.table.text(name_code), kind), kind};
        return one.operation;
    }

    uint32_t operation_of(uint32_t service, std::string_view name, int64_t kind) {
        struct Key {
            uint32_t service;
            uint32_t name;
            int64_t kind;
        };
        const Key key{service, names.intern(name), kind >= 0 && kind <= 5 ? kind : 0};
        const std::string_view bytes(reinterpret_cast<const char*>(&key), sizeof key);
        const uint32_t code = keys.intern(bytes);
        if (code == operations.size())
            operations.push_back(
                {names.text(service), names.text(key.name), static_cast<otlp::SpanKind>(key.kind)});
        return code;
    }
};

SegmentWriter::SegmentWriter(const SegmentOptions& options, std::string& image)
    : options_(options), image_(&image) {
    start();
}

SegmentWriter::SegmentWriter(const SegmentOptions& options, WritableFile& file)
    : options_(options), file_(&file) {
    start();
}

SegmentWriter::~SegmentWriter() = default;

void SegmentWriter::start() {
    for (const ColumnKey& key : fixed_columns())
        add_column(key);
    for (const uint32_t column : {kColumnOrder, kColumnEventOrder, kColumnLinkOrder}) {
        texts_[column]->always_shared = true;
        texts_[column]->table.intern({});  // code 0: no attributes
    }
    for (const uint32_t column : {kColumnName, kColumnStatusMessage, kColumnEventName}) {
        const Intrinsic intrinsic = columns_[column].intrinsic;
        texts_[column]->is_filtered = true;
        texts_[column]->seed = filter_seed(Scope::kIntrinsic, intrinsic, {}, ValueKind::kString);
    }
    if (options_.rollup) operations_ = std::make_unique<Operations>();
    info_.start_ns_min = UINT64_MAX;
    info_.arrival_ns_min = UINT64_MAX;
    put(kSegmentMagic);
}

uint32_t SegmentWriter::add_column(ColumnKey key) {
    const auto number = static_cast<uint32_t>(columns_.size());
    texts_.push_back(is_textual(key.type) ? std::make_unique<TextColumn>() : nullptr);
    uint64_t seed = 0;
    if (key.scope != Scope::kIntrinsic) {
        if (key.type == ColumnType::kString) {
            texts_.back()->is_filtered = true;
            texts_.back()->seed =
                filter_seed(key.scope, key.intrinsic, key.key, ValueKind::kString);
        } else if (key.type == ColumnType::kInt) {
            seed = filter_seed(key.scope, key.intrinsic, key.key,
                               key.is_boolean ? ValueKind::kBool : ValueKind::kInt);
        }
    }
    integer_seeds_.push_back(seed);
    columns_.push_back(std::move(key));
    stages_.emplace_back();
    trials_.emplace_back();
    return number;
}

uint32_t SegmentWriter::attribute_column(Table table, std::string_view key, ColumnType type,
                                         bool is_boolean) {
    std::string name(key);
    name += static_cast<char>(table);
    name += static_cast<char>(type);
    name += static_cast<char>(is_boolean);
    const uint64_t hash = hash64(name);
    const uint32_t found = column_names_.find(name, hash);
    if (found != TextTable::kNone) return column_numbers_[found];
    if (column_names_.size() == kColumnsMax) return kNone;
    ColumnKey made;
    made.table = table;
    made.scope = table == Table::kSpans    ? Scope::kSpan
                 : table == Table::kEvents ? Scope::kEvent
                                           : Scope::kLink;
    made.key = key;
    made.type = type;
    made.is_boolean = is_boolean;
    const uint32_t number = add_column(std::move(made));
    column_names_.insert(name, hash);
    column_numbers_.push_back(number);
    return number;
}

uint32_t SegmentWriter::order(Table table, std::span<const uint32_t> columns) {
    TextTable& orders = texts_[order_column(table)]->table;
    const std::string_view bytes(reinterpret_cast<const char*>(columns.data()), columns.size() * 4);
    const uint64_t hash = hash64(bytes);
    const uint32_t found = orders.find(bytes, hash);
    if (found != TextTable::kNone) return found;
    if (orders.size() == kShapesMax || orders.text_bytes() + bytes.size() > kShapeBytesMax)
        return kNone;
    return orders.insert(bytes, hash);
}

uint32_t SegmentWriter::resource(std::string_view message, std::string_view schema_url) {
    return resources_.intern(entity(schema_url, message));
}

uint32_t SegmentWriter::scope(uint32_t resource, std::string_view message,
                              std::string_view schema_url) {
    std::string key;
    ByteWriter(key).varint(resource);
    key += entity(schema_url, message);
    const uint32_t code = scopes_.intern(key);
    if (operations_ != nullptr && code == operations_->service_of_scope.size()) {
        ByteReader reader(resources_.text(resource));
        reader.text();
        operations_->service_of_scope.push_back(
            operations_->names.intern(otlp::ResourceView::parse(reader.text()).service_name()));
    }
    return code;
}

uint32_t SegmentWriter::intern(uint32_t column, std::string_view text, uint64_t hash) {
    TextColumn& texts = *texts_[column];
    const uint32_t found = texts.table.find(text, hash);
    if (found != TextTable::kNone) return found;
    return texts.table.insert(text, hash);
}

void SegmentWriter::adopt(uint32_t column, TextTable table, uint64_t values) {
    TextColumn& texts = *texts_[column];
    texts.table = std::move(table);
    texts.is_adopted = true;
    texts.values = values;
    texts.is_shared = sharing_pays(texts);
}

// ---- output

Result<void> SegmentWriter::put(std::string_view bytes) {
    offset_ += bytes.size();
    if (image_ != nullptr) {
        image_->append(bytes);
        return {};
    }
    buffer_.append(bytes);
    return buffer_.size() < kBufferBytes ? Result<void>() : flush();
}

Result<void> SegmentWriter::flush() {
    if (file_ == nullptr || buffer_.empty()) return {};
    TRY(file_->append(std::string_view(buffer_)));
    buffer_.clear();
    return {};
}

Result<SegmentWriter::Ref> SegmentWriter::put_block(std::string_view body) {
    const Ref ref{offset_, body.size() + kChecksumBytes};
    const uint64_t checksum = hash64(body, offset_);
    TRY(put(body));
    TRY(put({reinterpret_cast<const char*>(&checksum), sizeof checksum}));
    return ref;
}

// ---- row groups

void SegmentWriter::place_integers(uint32_t column) {
    const uint64_t seed = integer_seeds_[column];
    if (seed == 0 || !options_.has_places) return;
    const auto group = static_cast<uint32_t>(groups_.size());
    int64_t last = 0;
    bool first = true;
    for (const int64_t value : stages_[column].integers) {
        if (!first && value == last) continue;
        places_.add(filter_hash(seed, filter_integer_hash(value)), group);
        last = value;
        first = false;
    }
}

// Notes that the group at hand has these texts.
void SegmentWriter::place_codes(TextColumn& texts, std::span<const uint32_t> codes) {
    if (!texts.is_filtered || !options_.has_places) return;
    constexpr uint32_t kNowhere = PlacesBuilder::kSeveral - 1;
    texts.groups.resize(texts.table.size(), kNowhere);
    const auto group = static_cast<uint32_t>(groups_.size());
    for (const uint32_t code : codes) {
        uint32_t& known = texts.groups[code];
        if (known == kNowhere)
            known = group;
        else if (known != group)
            known = PlacesBuilder::kSeveral;
    }
}

// Hands over what was noted, before the codes lose their meaning.
void SegmentWriter::place_texts(TextColumn& texts) {
    for (uint32_t code = 0; code < texts.groups.size(); ++code)
        places_.add(filter_hash(texts.seed, texts.table.hash(code)), texts.groups[code]);
    texts.groups.clear();
}

RowGroup SegmentWriter::describe_group() {
    RowGroup meta;
    const auto& starts = stages_[kColumnStart].integers;
    const auto& durations = stages_[kColumnDuration].integers;
    const auto& statuses = stages_[kColumnStatus].integers;
    meta.first_row = static_cast<uint32_t>(rows_);
    meta.rows = static_cast<uint32_t>(starts.size());
    meta.first_event = static_cast<uint32_t>(events_);
    meta.events = static_cast<uint32_t>(stages_[kColumnEventOwner].integers.size());
    meta.first_link = static_cast<uint32_t>(links_);
    meta.links = static_cast<uint32_t>(stages_[kColumnLinkOwner].integers.size());
    meta.start_ns_min = UINT64_MAX;
    meta.duration_ns_max = INT64_MIN;
    for (size_t i = 0; i < starts.size(); ++i) {
        const auto start = static_cast<uint64_t>(starts[i]);
        const uint64_t end = start + static_cast<uint64_t>(durations[i]);
        meta.start_ns_min = std::min(meta.start_ns_min, start);
        meta.end_ns_max = std::max({meta.end_ns_max, start, end});
        meta.duration_ns_max = std::max(meta.duration_ns_max, durations[i]);
        meta.has_error |= statuses[i] == static_cast<int64_t>(otlp::StatusCode::kError);
    }
    info_.start_ns_min = std::min(info_.start_ns_min, meta.start_ns_min);
    info_.end_ns_max = std::max(info_.end_ns_max, meta.end_ns_max);
    if (operations_ == nullptr) return meta;
    const auto& kinds = stages_[kColumnKind].integers;
    const auto& scopes = stages_[kColumnScope].integers;
    const auto& names = stages_[kColumnName].codes;
    const auto& states = stages_[kColumnTraceState].codes;
    for (size_t i = 0; i < starts.size(); ++i) {
        operations_->operation.push_back(
            operations_->operation_of(operations_->service_of_scope[static_cast<size_t>(scopes[i])],
                                      *texts_[kColumnName], names[i], kinds[i]));
        operations_->start_ns.push_back(static_cast<uint64_t>(starts[i]));
        operations_->duration_ns.push_back(
            static_cast<uint64_t>(std::max<int64_t>(durations[i], 0)));
        operations_->is_error.push_back(statuses[i] ==
                                        static_cast<int64_t>(otlp::StatusCode::kError));
        const std::string_view state = texts_[kColumnTraceState]->table.text(states[i]);
        operations_->weight.push_back(state.empty() ? 1 : otlp::adjusted_count(state).value);
    }
    return meta;
}

bool SegmentWriter::all_empty(uint32_t column) const {
    const TextTable& table = texts_[column]->table;
    for (const uint32_t code : stages_[column].codes)
        if (!table.text(code).empty()) return false;
    return true;
}

// Starts as differences to the row before in the fragment, or to the fragment's start.
void SegmentWriter::encode_start(std::span<const Part> parts, std::string& body) {
    std::vector<int64_t>& starts = stages_[kColumnStart].integers;
    size_t row = 0;
    for (const Part& part : parts) {
        uint64_t before = part.start_ns;
        for (uint32_t i = 0; i < part.rows; ++i, ++row) {
            const auto start = static_cast<uint64_t>(starts[row]);
            starts[row] = static_cast<int64_t>(start - before);
            before = start;
        }
    }
    encode_integers(starts, options_.zstd_level, body, &trials_[kColumnStart]);
}

bool SegmentWriter::sharing_pays(const TextColumn& texts) const {
    if (texts.always_shared) return true;
    const uint32_t entries = texts.table.size();
    // In memory nothing is saved by smaller pieces, and merging maps a whole dictionary once.
    if (options_.zstd_level <= 0 && texts.is_adopted)
        return entries <= kShapesMax && texts.table.text_bytes() <= kMemoryDictionaryBytesMax;
    if (entries > kDictionaryEntriesMax || texts.table.text_bytes() > kDictionaryBytesMax)
        return false;
    return entries <= kDictionaryTrial || entries * uint64_t{2} <= texts.values;
}

Result<void> SegmentWriter::put_dictionary(TextColumn& texts) {
    std::vector<std::string_view> entries(texts.table.size());
    for (uint32_t code = 0; code < texts.table.size(); ++code)
        entries[code] = texts.table.text(code);
    std::string body;
    encode_texts(entries, options_.zstd_level, body);
    TRY_ASSIGN(const Ref ref, put_block(body));
    texts.dictionary_offset = ref.offset;
    texts.dictionary_bytes = ref.bytes;
    texts.dictionary_entries = texts.table.size();
    return {};
}

// The block's own dictionary, in the order of first use; plain texts where few repeat.
void SegmentWriter::encode_local(TextColumn& texts, std::span<const uint32_t> codes,
                                 EncodeTrials& trials, std::string& body) {
    texts.local.resize(std::max<size_t>(texts.local.size(), texts.table.size()), TextTable::kNone);
    std::vector<std::string_view> entries;
    std::vector<int64_t> numbers(codes.size());
    for (size_t i = 0; i < codes.size(); ++i) {
        uint32_t& code = texts.local[codes[i]];
        if (code == TextTable::kNone) {
            code = static_cast<uint32_t>(entries.size());
            entries.push_back(texts.table.text(codes[i]));
        }
        numbers[i] = code;
    }
    for (const uint32_t code : codes)
        texts.local[code] = TextTable::kNone;
    ByteWriter writer(body);
    if (entries.size() == codes.size()) {
        writer.u8(static_cast<uint8_t>(TextForm::kPlain));
        return encode_texts(entries, options_.zstd_level, body, &texts.local_trials);
    }
    writer.u8(static_cast<uint8_t>(TextForm::kLocal));
    writer.varint(entries.size());
    std::string list;
    encode_texts(entries, options_.zstd_level, list, &texts.local_trials);
    writer.text(list);
    encode_integers(numbers, options_.zstd_level, body, &trials);
}

// The columns among an order's that may follow from the name.
const std::vector<uint32_t>& SegmentWriter::followed_columns(uint32_t order) {
    while (followed_columns_.size() <= order) {
        const auto code = static_cast<uint32_t>(followed_columns_.size());
        const std::string_view list = texts_[kColumnOrder]->table.text(code);
        std::vector<uint32_t>& columns = followed_columns_.emplace_back();
        for (size_t i = 0; i < list.size() / 4; ++i) {
            uint32_t column = 0;
            std::memcpy(&column, list.data() + i * 4, 4);
            const ColumnType type = columns_[column].type;
            const bool is_likely = !followers_.is_learnt() || followers_.follows(column);
            if (is_likely && (type == ColumnType::kInt || type == ColumnType::kString))
                columns.push_back(column);
        }
    }
    return followed_columns_[order];
}

// Which name each value of the group's columns goes with, before stages are emptied.
void SegmentWriter::gather_names() {
    const std::vector<uint32_t>& names = stages_[kColumnName].codes;
    has_names_ = options_.zstd_level > 0 && !names.empty() && !all_empty(kColumnName);
    if (!has_names_) return;
    names_of_values_.resize(columns_.size());
    for (auto& column : names_of_values_)
        column.clear();
    names_of_values_[kColumnName] = names;
    const std::vector<uint32_t>& orders = stages_[kColumnOrder].codes;
    for (size_t row = 0; row < orders.size(); ++row)
        for (const uint32_t column : followed_columns(orders[row]))
            names_of_values_[column].push_back(names[row]);
}

bool SegmentWriter::encode_following(uint32_t column, std::span<const int64_t> values,
                                     std::string& body) {
    // A name that has only the block's own code cannot be followed.
    if (!has_names_ || !texts_[kColumnName]->is_shared || column == kColumnName ||
        column == kColumnDuration || columns_[column].table != Table::kSpans)
        return false;
    const auto& names = names_of_values_[column < kFixedColumns ? uint32_t{kColumnName} : column];
    if (!followers_.is_learnt()) followers_.learn(column, names, values);
    return followers_.follows(column) &&
           followers_.encode(column, names, values, options_.zstd_level, body);
}

void SegmentWriter::encode_values(uint32_t column, std::span<const int64_t> values,
                                  std::string& body) {
    if (encode_following(column, values, body)) return;
    encode_integers(values, options_.zstd_level, body, &trials_[column]);
}

Result<void> SegmentWriter::encode_text(uint32_t column, std::string& body) {
    TextColumn& texts = *texts_[column];
    const std::vector<uint32_t>& codes = stages_[column].codes;
    if (!texts.is_adopted) texts.values += codes.size();
    place_codes(texts, codes);
    if (texts.is_shared && !texts.is_adopted && !sharing_pays(texts)) {
        texts.is_shared = false;
        if (texts.dictionary_used) TRY(put_dictionary(texts));
    }
    if (texts.is_shared) {
        texts.dictionary_used = true;
        ByteWriter(body).u8(static_cast<uint8_t>(TextForm::kShared));
        const std::vector<int64_t> numbers(codes.begin(), codes.end());
        encode_values(column, numbers, body);
        return {};
    }
    encode_local(texts, codes, trials_[column], body);
    if (texts.is_adopted) return {};
    place_texts(texts);
    texts.table.clear();
    ++texts.generation;
    return {};
}

Result<void> SegmentWriter::write_group(std::span<const Part> parts) {
    Group group;
    group.meta = describe_group();
    group.first_fragment = parts.front().fragment;
    group.continues = parts.front().continued;
    rows_ += group.meta.rows;
    events_ += group.meta.events;
    links_ += group.meta.links;
    gather_names();
    std::vector<std::string> bodies;
    // Dictionaries given up on the way come first, so that the group's blocks are adjacent.
    std::string body;
    for (uint32_t column = 0; column < columns_.size(); ++column) {
        ColumnStage& stage = stages_[column];
        body.clear();
        switch (columns_[column].type) {
            case ColumnType::kInt:
                if (stage.integers.empty()) continue;
                if (column < kFixedColumns && zero_max(stage.integers) == 0) break;
                place_integers(column);
                if (column == kColumnStart) {
                    encode_start(parts, body);
                } else {
                    encode_values(column, stage.integers, body);
                }
                break;
            case ColumnType::kDouble: {
                if (stage.integers.empty()) continue;
                std::vector<double> numbers(stage.integers.size());
                std::memcpy(numbers.data(), stage.integers.data(), numbers.size() * 8);
                encode_doubles(numbers, options_.zstd_level, body);
                break;
            }
            case ColumnType::kFixed:
                if (column == kColumnParentId) {
                    if (zero_max(stage.integers) == 0) break;
                    std::string links;
                    encode_integers(stage.integers, options_.zstd_level, links, &trials_[column]);
                    ByteWriter(body).text(links);
                    encode_bytes(stage.fixed, 0, body);
                } else if (!stage.fixed.empty()) {
                    encode_bytes(stage.fixed, 0, body);
                }
                break;
            default:
                if (stage.codes.empty()) continue;
                if (column < kFixedColumns && all_empty(column)) break;
                TRY(encode_text(column, body));
                break;
        }
        stage.clear();
        if (body.empty()) continue;
        group.blocks.push_back({column, static_cast<uint32_t>(body.size() + kChecksumBytes)});
        bodies.push_back(body);
    }
    if (has_names_ && !followers_.is_learnt()) {
        followers_.end_learning();
        followed_columns_.clear();
    }
    group.offset = offset_;
    for (const std::string& one : bodies)
        TRY(put_block(one));
    groups_.push_back(std::move(group));
    return {};
}

void SegmentWriter::add_fragment(const TraceFragment& fragment) {
    fragments_.push_back(fragment);
}

void SegmentWriter::add_arrival(uint64_t min_ns, uint64_t max_ns) {
    info_.arrival_ns_min = std::min(info_.arrival_ns_min, min_ns);
    info_.arrival_ns_max = std::max(info_.arrival_ns_max, max_ns);
}

// ---- tables and footer

Result<SegmentWriter::Ref> SegmentWriter::put_fragment_chunk(size_t from, size_t to) {
    std::string ids;
    std::vector<int64_t> starts;
    std::vector<int64_t> lengths;
    std::vector<int64_t> rows;
    std::vector<int64_t> errors;
    for (size_t i = from; i < to; ++i) {
        const TraceFragment& fragment = fragments_[i];
        ids.append(fragment.trace_id.view());
        starts.push_back(static_cast<int64_t>(fragment.start_ns));
        lengths.push_back(static_cast<int64_t>(fragment.end_ns - fragment.start_ns));
        rows.push_back(fragment.rows);
        errors.push_back(fragment.errors);
    }
    std::string body;
    ByteWriter(body).u32(fragments_[from].first_row);
    encode_bytes(ids, 0, body);
    for (const auto* column : {&starts, &lengths, &rows, &errors}) {
        std::string part;
        encode_integers(*column, options_.zstd_level, part);
        ByteWriter(body).text(part);
    }
    return put_block(body);
}

Result<SegmentWriter::Ref> SegmentWriter::put_trace_index() {
    std::vector<uint64_t> entries(fragments_.size());  // hash, then fragment
    for (size_t i = 0; i < fragments_.size(); ++i)
        entries[i] = (hash64(fragments_[i].trace_id.view()) & 0xffffffff00000000U) | i;
    std::sort(entries.begin(), entries.end());
    std::vector<int64_t> hashes(entries.size());
    std::vector<int64_t> numbers(entries.size());
    for (size_t i = 0; i < entries.size(); ++i) {
        hashes[i] = static_cast<int64_t>(entries[i] >> 32);
        numbers[i] = static_cast<int64_t>(entries[i] & 0xffffffffU);
    }
    std::string body;
    std::string part;
    encode_integers(hashes, 0, part);
    ByteWriter(body).text(part);
    encode_integers(numbers, 0, body);
    return put_block(body);
}

// Resources and scopes are searched by their attributes, too.
void SegmentWriter::place_messages() {
    const auto place = [&](uint64_t hash) { places_.add(hash, PlacesBuilder::kSeveral); };
    const auto add = [&](Scope scope, const otlp::AttributeView& attribute) {
        const auto seed = [&](ValueKind kind) {
            return filter_seed(scope, Intrinsic::kNone, attribute.key, kind);
        };
        const otlp::ValueView& value = attribute.value;
        switch (value.type) {
            case otlp::ValueType::kString:
                place(filter_hash(seed(ValueKind::kString), hash64(value.bytes)));
                break;
            case otlp::ValueType::kBool:
                place(filter_hash(seed(ValueKind::kBool), filter_integer_hash(value.boolean)));
                break;
            case otlp::ValueType::kInt:
                place(filter_hash(seed(ValueKind::kInt), filter_integer_hash(value.integer)));
                break;
            default:  // any value may match
                place(filter_hash(seed(ValueKind::kOther), 0));
                break;
        }
    };
    for (uint32_t code = 0; code < resources_.size(); ++code) {
        ByteReader reader(resources_.text(code));
        reader.text();
        for (const auto attribute : otlp::ResourceView::parse(reader.text()).attributes())
            add(Scope::kResource, attribute);
    }
    for (uint32_t code = 0; code < scopes_.size(); ++code) {
        ByteReader reader(scopes_.text(code));
        reader.varint();
        reader.text();
        const otlp::ScopeView scope = otlp::ScopeView::parse(reader.text());
        for (const auto attribute : scope.attributes())
            add(Scope::kInstrumentation, attribute);
        place(filter_hash(
            filter_seed(Scope::kIntrinsic, Intrinsic::kInstrumentationName, {}, ValueKind::kString),
            hash64(scope.name)));
        place(filter_hash(filter_seed(Scope::kIntrinsic, Intrinsic::kInstrumentationVersion, {},
                                      ValueKind::kString),
                          hash64(scope.version)));
    }
}

std::string SegmentWriter::footer(const Tables& tables) const {
    std::string out;
    ByteWriter writer(out);
    writer.varint(rows_);
    writer.varint(fragments_.size());
    for (const uint64_t time : {info_.start_ns_min, info_.end_ns_max, info_.trace_start_ns_max,
                                info_.arrival_ns_min, info_.arrival_ns_max})
        writer.u64(time);
    writer.varint(columns_.size() - kFixedColumns);
    for (size_t column = kFixedColumns; column < columns_.size(); ++column) {
        const ColumnKey& key = columns_[column];
        writer.u8(static_cast<uint8_t>(static_cast<uint32_t>(key.table) |
                                       static_cast<uint32_t>(key.type) << 2 |
                                       static_cast<uint32_t>(key.is_boolean) << 5));
        writer.text(key.key);
    }
    for (const auto& texts : texts_) {
        if (texts == nullptr) continue;
        writer.varint(texts->dictionary_entries);
        if (texts->dictionary_entries == 0) continue;
        writer.varint(texts->dictionary_offset);
        writer.varint(texts->dictionary_bytes);
    }
    writer.varint(resources_.size());
    for (uint32_t code = 0; code < resources_.size(); ++code)
        out.append(resources_.text(code));
    writer.varint(scopes_.size());
    for (uint32_t code = 0; code < scopes_.size(); ++code)
        out.append(scopes_.text(code));
    writer.varint(groups_.size());
    for (const Group& group : groups_) {
        writer.varint(group.meta.rows);
        writer.varint(group.meta.events);
        writer.varint(group.meta.links);
        writer.u64(group.meta.start_ns_min);
        writer.u64(group.meta.end_ns_max);
        writer.zigzag(group.meta.duration_ns_max);
        writer.u8(static_cast<uint8_t>(group.meta.has_error | group.continues << 1));
        writer.varint(group.first_fragment);
        writer.varint(group.offset);
        writer.varint(group.blocks.size());
        uint32_t before = 0;
        for (const BlockRef& block : group.blocks) {
            writer.varint(block.column - before);
            writer.varint(block.bytes);
            before = block.column;
        }
    }
    writer.varint(tables.chunks.size());
    for (const Ref& chunk : tables.chunks) {
        writer.varint(chunk.offset);
        writer.varint(chunk.bytes);
    }
    writer.varint(tables.index.offset);
    writer.varint(tables.index.bytes);
    writer.varint(tables.cells.offset);
    writer.varint(tables.cells.bytes / (kPlacePageBytes + kChecksumBytes));
    writer.varint(tables.places.offset);
    writer.varint(tables.places.bytes);
    writer.varint(tables.followers.offset);
    writer.varint(tables.followers.bytes);
    writer.varint(tables.rollup.offset);
    writer.varint(tables.rollup.bytes);
    return out;
}

Result<void> SegmentWriter::put_places(Tables& tables) {
    if (!options_.has_places) return {};
    for (const auto& texts : texts_)
        if (texts != nullptr) place_texts(*texts);
    place_messages();
    const PlacesBuilder::Built places = places_.build(static_cast<uint32_t>(groups_.size()));
    if (places.pairs == 0) return {};
    tables.cells.offset = offset_;
    for (size_t at = 0; at < places.cells.size(); at += kPlacePageBytes)
        TRY(put_block(std::string_view(places.cells).substr(at, kPlacePageBytes)));
    tables.cells.bytes = offset_ - tables.cells.offset;
    TRY_ASSIGN(tables.places, put_block(places.directory));
    return {};
}

Result<SegmentInfo> SegmentWriter::finish() {
    for (const auto& texts : texts_)
        if (texts != nullptr && texts->is_shared && texts->dictionary_used)
            TRY(put_dictionary(*texts));
    Tables tables;
    for (size_t from = 0; from < fragments_.size(); from += kFragmentsPerChunk) {
        const size_t to = std::min<size_t>(from + kFragmentsPerChunk, fragments_.size());
        TRY_ASSIGN(tables.chunks.emplace_back(), put_fragment_chunk(from, to));
    }
    TRY_ASSIGN(tables.index, put_trace_index());
    TRY(put_places(tables));
    const std::string followers = followers_.directory(options_.zstd_level);
    if (!followers.empty()) {
        TRY_ASSIGN(tables.followers, put_block(followers));
    }
    if (operations_ != nullptr) {
        const std::string bytes =
            options_.rollup({operations_->operations, operations_->operation, operations_->start_ns,
                             operations_->duration_ns, operations_->is_error, operations_->weight});
        std::string body;
        encode_bytes(bytes, options_.zstd_level, body);
        TRY_ASSIGN(tables.rollup, put_block(body));
    }
    info_.spans = rows_;
    info_.traces = fragments_.size();
    if (!fragments_.empty()) info_.trace_start_ns_max = fragments_.front().start_ns;
    if (rows_ == 0) info_.start_ns_min = 0;
    if (info_.arrival_ns_min > info_.arrival_ns_max) info_.arrival_ns_min = info_.arrival_ns_max;
    std::string body;
    encode_bytes(footer(tables), options_.zstd_level, body);
    std::string trailer;
    ByteWriter writer(trailer);
    writer.u64(offset_);
    writer.u32(static_cast<uint32_t>(body.size()));
    writer.u32(kSegmentVersion);
    const uint64_t checksum = hash64(trailer, hash64(body));
    writer.u64(checksum);
    trailer.append(kSegmentMagic);
    TRY(put(body));
    TRY(put(trailer));
    TRY(flush());
    info_.bytes = offset_;
    return info_;
}

}  // namespace spanloom::store
