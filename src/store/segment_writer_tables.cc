#include <algorithm>
#include <bit>

#include "base/hash.h"
#include "otlp/view.h"
#include "store/column.h"
#include "store/segment_bytes.h"
#include "store/segment_filter.h"
#include "store/segment_writer.h"
#include "store/segment_writer_operations.h"

// What comes after the row groups: dictionaries, the tables of traces and places, the footer.
namespace spanloom::store {
namespace {

// All that are kept in memory: traces that several segments have are found by them. Fewer would
// save 0.07 bytes a span.
constexpr uint32_t kTraceIndexBits = 32;

}  // namespace

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
        hashes[i] = static_cast<int64_t>(entries[i] >> (64 - kTraceIndexBits));
        numbers[i] = static_cast<int64_t>(entries[i] & 0xffffffffU);
    }
    std::string body;
    std::string part;
    encode_integers(hashes, 0, part);
    ByteWriter writer(body);
    writer.u8(static_cast<uint8_t>(kTraceIndexBits));
    writer.text(part);
    encode_integers(numbers, 0, body);
    return put_block(body);
}

// They are few: numbers into a list of them.
Result<SegmentWriter::Ref> SegmentWriter::put_thresholds() {
    if (thresholds_.empty()) return Ref{};
    thresholds_.resize(fragments_.size());
    std::vector<uint64_t> distinct = thresholds_;
    std::sort(distinct.begin(), distinct.end());
    distinct.erase(std::unique(distinct.begin(), distinct.end()), distinct.end());
    std::string body;
    ByteWriter writer(body);
    writer.varint(distinct.size());
    for (const uint64_t threshold : distinct)
        writer.u64(threshold);
    std::vector<int64_t> numbers;
    numbers.reserve(thresholds_.size());
    for (const uint64_t threshold : thresholds_)
        numbers.push_back(std::lower_bound(distinct.begin(), distinct.end(), threshold) -
                          distinct.begin());
    encode_integers(numbers, options_.zstd_level, body);
    return put_block(body);
}

// Resources and scopes are searched by their attributes, too.
void SegmentWriter::place_messages() {
    const auto place = [&](uint64_t hash) { this->place(hash, PlacesBuilder::kSeveral); };
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
        if (texts->dictionary_entries > 0) {
            writer.varint(texts->dictionary_offset);
            writer.varint(texts->dictionary_bytes);
        }
        writer.varint(texts->patterns_bytes == 0 ? 0 : texts->patterns->size());
        if (texts->patterns_bytes == 0) continue;
        writer.varint(texts->patterns_offset);
        writer.varint(texts->patterns_bytes);
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
    writer.varint(tables.models.offset);
    writer.varint(tables.models.bytes);
    writer.varint(tables.thresholds.offset);
    writer.varint(tables.thresholds.bytes);
    writer.varint(tables.delays.offset);
    writer.varint(tables.delays.bytes);
    writer.varint(tables.rollup.offset);
    writer.varint(tables.rollup.bytes);
    return out;
}

Result<void> SegmentWriter::put_places(Tables& tables) {
    if (options_.places == PlacesForm::kNone) return {};
    for (const auto& texts : texts_)
        if (texts != nullptr) place_texts(*texts);
    place_messages();
    if (filter_) return put_pages(filter_->build(), tables);
    const PlacesBuilder::Built places = places_->build(static_cast<uint32_t>(groups_.size()));
    if (places.pairs == 0) return {};
    TRY(put_pages(places.cells, tables));
    TRY_ASSIGN(tables.places, put_block(places.directory));
    return {};
}

Result<void> SegmentWriter::put_pages(std::string_view pages, Tables& tables) {
    tables.cells.offset = offset_;
    for (size_t at = 0; at < pages.size(); at += kPlacePageBytes)
        TRY(put_block(pages.substr(at, kPlacePageBytes)));
    tables.cells.bytes = offset_ - tables.cells.offset;
    return {};
}

Result<void> SegmentWriter::put_patterns(TextColumn& texts) {
    std::vector<std::string_view> patterns;
    for (uint32_t number = 0; number < texts.patterns->size(); ++number)
        patterns.push_back(texts.patterns->text(number));
    if (patterns.empty()) return {};
    std::string body;
    encode_joined_texts(patterns, options_.zstd_level, body);
    TRY_ASSIGN(const Ref ref, put_block(body));
    texts.patterns_offset = ref.offset;
    texts.patterns_bytes = ref.bytes;
    return {};
}

Result<SegmentInfo> SegmentWriter::finish() {
    for (const auto& texts : texts_) {
        if (texts == nullptr) continue;
        if (texts->is_shared && texts->dictionary_used) TRY(put_dictionary(*texts));
        if (texts->has_patterns) TRY(put_patterns(*texts));
    }
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
    if (has_models_) {
        std::string models;
        for (ModelLearner* learner : {&parent_model_, &scope_model_, &name_model_}) {
            const ValueModel* const model = learner->model();
            model != nullptr ? model->write(options_.zstd_level, models)
                             : ValueModel().write(options_.zstd_level, models);
        }
        TRY_ASSIGN(tables.models, put_block(models));
    }
    TRY_ASSIGN(tables.thresholds, put_thresholds());
    const std::string delays =
        delays_.block(info_.arrival_ns_min / kNsPerSecond, options_.zstd_level);
    if (!delays.empty()) {
        TRY_ASSIGN(tables.delays, put_block(delays));
    }
    if (operations_ != nullptr) {
        const std::string bytes =
            options_.rollup({operations_->operations, operations_->operation, operations_->start_ns,
                             operations_->duration_ns, operations_->is_error, operations_->weight,
                             span_bytes_, counted_});
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
