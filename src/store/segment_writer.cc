#include "store/segment_writer.h"

#include <algorithm>

#include "base/hash.h"
#include "otlp/view.h"
#include "store/segment_bytes.h"
#include "store/segment_filter.h"
#include "store/segment_writer_operations.h"

namespace spanloom::store {
namespace {

constexpr size_t kBufferBytes = 1U << 20;  // gathered before a file sees them

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

}  // namespace

SegmentWriter::SegmentWriter(const SegmentOptions& options, std::string& image)
    : options_(options), image_(&image) {
    start();
}

SegmentWriter::SegmentWriter(const SegmentOptions& options, WritableFile& file)
    : options_(options), file_(&file) {
    start();
}

SegmentWriter::~SegmentWriter() = default;

void SegmentWriter::change_options(const SegmentOptions& options) {
    const RollupFunction rollup = std::move(options_.rollup);
    options_ = options;
    options_.rollup = rollup;
    for (ModelLearner* one : {&parent_model_, &scope_model_, &name_model_})
        *one = learner();
    prepare_places();
}

void SegmentWriter::prepare_places() {
    places_.reset();
    filter_.reset();
    if (options_.places == PlacesForm::kGroups) places_.emplace();
    if (options_.places == PlacesForm::kFilter) filter_.emplace();
}

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
        texts_[column]->is_intrinsic = true;
        texts_[column]->seed = filter_seed(Scope::kIntrinsic, intrinsic, {}, ValueKind::kString);
    }
    if (options_.rollup) operations_ = std::make_unique<Operations>();
    prepare_places();
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
    const std::string_view bytes = order_text(columns);
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
    if (code == family_of_scope_.size()) {
        ByteReader reader(resources_.text(resource));
        reader.text();
        family_of_scope_.push_back(families_.intern(scope_family(reader.text(), message)));
    }
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
    staged_text_bytes_ += text.size();
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
    TRY(put({reinterpret_cast<const char*>(&checksum), kChecksumBytes}));
    return ref;
}

}  // namespace spanloom::store
