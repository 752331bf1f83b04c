#include <algorithm>
#include <bit>
#include <cstring>

#include "base/hash.h"
#include "otlp/tracestate.h"
#include "store/column.h"
#include "store/segment_bytes.h"
#include "store/segment_filter.h"
#include "store/segment_writer.h"
#include "store/segment_writer_operations.h"

// How a row group becomes blocks.
namespace spanloom::store {
namespace {

// A shared dictionary stays, whatever comes, while it has so few entries; while it has no more than
// the next number, if not nearly all values are new; then where half of them are repetitions.
constexpr uint32_t kDictionaryTrial = 256;
constexpr uint32_t kDictionaryNewTrial = 1024;
constexpr uint32_t kDictionaryLongTrial = 8192;
constexpr uint32_t kPatternSample = 256;
constexpr size_t kMemoryDictionaryBytesMax = 64U << 20;

uint64_t zero_max(std::span<const int64_t> values) {
    uint64_t bits = 0;
    for (const int64_t value : values)
        bits |= static_cast<uint64_t>(value);
    return bits;
}

}  // namespace

void SegmentWriter::place_integers(uint32_t column) {
    const uint64_t seed = integer_seeds_[column];
    if (seed == 0 || options_.places == PlacesForm::kNone) return;
    const auto group = static_cast<uint32_t>(groups_.size());
    int64_t last = 0;
    bool first = true;
    for (const int64_t value : stages_[column].integers) {
        if (!first && value == last) continue;
        place(filter_hash(seed, filter_integer_hash(value)), group);
        last = value;
        first = false;
    }
}

void SegmentWriter::place(uint64_t hash, uint32_t group) {
    if (places_) places_->add(hash, group);
    if (filter_) filter_->add(hash);
}

// Notes that the group at hand has these texts.
void SegmentWriter::place_codes(TextColumn& texts, std::span<const uint32_t> codes) {
    if (!texts.is_filtered || !places_) return;
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
    // A filter does not tell where they are.
    if (filter_ && texts.is_filtered)
        texts.groups.assign(texts.table.size(), PlacesBuilder::kSeveral);
    for (uint32_t code = 0; code < texts.groups.size(); ++code)
        if (texts.is_intrinsic || has_place(texts.table.text(code)))
            place(filter_hash(texts.seed, texts.table.hash(code)), texts.groups[code]);
    texts.groups.clear();
}

RowGroup SegmentWriter::describe_group(std::span<const Part> parts) {
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
    // A rule's threshold and a sender's are compared with one randomness: the higher one counts.
    size_t row = operations_->weight.size() - starts.size();
    for (const Part& part : parts) {
        const bool is_chosen = part.fragment < thresholds_.size();
        const double weight =
            is_chosen ? otlp::adjusted_count(thresholds_[part.fragment]).value : 1;
        for (const size_t end = row + part.rows; row < end; ++row)
            operations_->weight[row] = std::max(operations_->weight[row], weight);
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

namespace {

bool share_patterns(std::span<const std::string_view> sample) {
    TextPatterns patterns;
    TakenTexts taken;
    for (const std::string_view text : sample)
        if (!taken.add(text, patterns)) return false;
    return taken.pays();
}

}  // namespace

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

// Whether the newest of the column's texts are told apart by numbers and digits in them.
bool SegmentWriter::have_patterns(const TextColumn& texts, uint32_t fresh) const {
    std::vector<std::string_view> sample;
    const uint32_t entries = texts.table.size();
    for (uint32_t code = entries - std::min(fresh, kPatternSample); code < entries; ++code)
        sample.push_back(texts.table.text(code));
    return share_patterns(sample);
}

// The same after a block with so many values, of which the last entries were new.
bool SegmentWriter::sharing_still_pays(const TextColumn& texts, size_t values) const {
    const uint32_t entries = texts.table.size();
    if (texts.always_shared || entries <= kDictionaryTrial || options_.zstd_level <= 0)
        return sharing_pays(texts);
    if (entries > kDictionaryEntriesMax || texts.table.text_bytes() > kDictionaryBytesMax)
        return false;
    const uint64_t fresh = entries - texts.entries_before;
    if (fresh * 8 > values * uint64_t{7} && entries > kDictionaryNewTrial) return false;
    if (fresh * 4 >= values && have_patterns(texts, static_cast<uint32_t>(fresh))) return false;
    return entries <= kDictionaryLongTrial || entries * uint64_t{2} <= texts.values;
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

// By patterns of the column; false, and nothing, where that does not pay. `entries` are the block's
// texts, each once, `numbers` says which one each value is.
bool SegmentWriter::encode_by_patterns(uint32_t column, std::span<const std::string_view> entries,
                                       std::span<const uint32_t> numbers, std::string& body) {
    TextColumn& texts = *texts_[column];
    if (options_.zstd_level <= 0 || entries.size() < 8 || !texts.local_trials.patterns.is_due())
        return false;
    if (texts.patterns == nullptr) texts.patterns = std::make_unique<TextPatterns>();
    taken_.clear();
    // The column's patterns are not to be filled with those of texts that have nothing in common.
    const size_t sample = std::min<size_t>(entries.size(), kPatternSample);
    bool pays = texts.has_patterns || share_patterns(entries.subspan(0, sample));
    for (size_t i = 0; i < entries.size() && pays; ++i) {
        pays = taken_.add(entries[i], *texts.patterns);
        if (i == 511) pays = pays && taken_.may_pay();
    }
    pays = pays && taken_.pays();
    texts.has_patterns |= pays;
    texts.local_trials.patterns.note(pays);
    if (!pays) return false;
    // Numbers of a pattern that one text alone has are constant.
    std::vector<uint32_t> texts_of_pattern(texts.patterns->size());
    for (size_t i = 0; i < entries.size(); ++i)
        ++texts_of_pattern[taken_.pattern(i)];
    uint64_t bits_once = 0;
    uint64_t bits_each = 0;
    for (size_t i = 0; i < entries.size(); ++i)
        bits_once += taken_.bits(i);
    for (const uint32_t number : numbers)
        bits_each += texts_of_pattern[taken_.pattern(number)] > 1 ? taken_.bits(number) : 0;
    const uint64_t code_bits = static_cast<uint64_t>(std::bit_width(entries.size() - 1));
    const bool is_plain = bits_each <= bits_once + code_bits * numbers.size();
    ByteWriter writer(body);
    const auto put = [&](std::span<const uint32_t> order, std::string& out) {
        out += static_cast<char>(ListForm::kColumnPatterns);
        taken_.encode(
            order, *texts.patterns,
            [&](std::span<const int64_t> codes, std::string& to) {
                if (is_plain && encode_following(column, true, codes, to)) return;
                encode_integers(codes, options_.zstd_level, to);
            },
            options_.zstd_level, out);
    };
    if (is_plain) {
        writer.u8(static_cast<uint8_t>(TextForm::kPlain));
        put(numbers, body);
        return true;
    }
    writer.u8(static_cast<uint8_t>(TextForm::kLocal));
    writer.varint(entries.size());
    std::string list;
    put(taken_.all(), list);
    writer.text(list);
    encode_integers(std::vector<int64_t>(numbers.begin(), numbers.end()), options_.zstd_level, body,
                    &trials_[column]);
    return true;
}

namespace {

// Each text once; a merge takes one that came from several inputs several times.
void join_equal(std::vector<std::string_view>& entries, std::vector<uint32_t>& numbers) {
    std::vector<uint32_t> slots(std::bit_ceil(entries.size() * 2), TextTable::kNone);
    std::vector<uint32_t> places(entries.size());
    uint32_t count = 0;
    for (size_t i = 0; i < entries.size(); ++i) {
        size_t slot = hash64(entries[i]) & (slots.size() - 1);
        while (slots[slot] != TextTable::kNone && entries[slots[slot]] != entries[i])
            slot = (slot + 1) & (slots.size() - 1);
        if (slots[slot] == TextTable::kNone) {
            entries[count] = entries[i];
            slots[slot] = count++;
        }
        places[i] = slots[slot];
    }
    if (count == entries.size()) return;
    entries.resize(count);
    for (uint32_t& number : numbers)
        number = places[number];
}

}  // namespace

// The block's own dictionary, in the order of first use; plain texts where few repeat.
void SegmentWriter::encode_local(uint32_t column, std::string& body) {
    TextColumn& texts = *texts_[column];
    const std::vector<uint32_t>& codes = stages_[column].codes;
    texts.local.resize(std::max<size_t>(texts.local.size(), texts.table.size()), TextTable::kNone);
    std::vector<std::string_view> entries;
    std::vector<uint32_t> numbers(codes.size());
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
    // Where nothing repeats within an input, nothing does across them, mostly.
    if (options_.zstd_level > 0 && texts.table.may_repeat() && entries.size() < codes.size())
        join_equal(entries, numbers);
    if (encode_by_patterns(column, entries, numbers, body)) return;
    ByteWriter writer(body);
    if (entries.size() == codes.size()) {
        writer.u8(static_cast<uint8_t>(TextForm::kPlain));
        return encode_joined_texts(entries, options_.zstd_level, body);
    }
    writer.u8(static_cast<uint8_t>(TextForm::kLocal));
    writer.varint(entries.size());
    std::string list;
    encode_joined_texts(entries, options_.zstd_level, list);
    writer.text(list);
    encode_integers(std::vector<int64_t>(numbers.begin(), numbers.end()), options_.zstd_level, body,
                    &trials_[column]);
}

// Whether a reader knows the block of an attribute column without it: all values follow.
bool SegmentWriter::can_be_left_out(uint32_t column, std::string_view body) const {
    if (column < kFixedColumns || columns_[column].table != Table::kSpans) return false;
    constexpr char kNoExceptions[] = {static_cast<char>(TextForm::kShared),
                                      static_cast<char>(kFollowsForm), 0};
    const std::string_view text(kNoExceptions, sizeof kNoExceptions);
    return columns_[column].type == ColumnType::kInt ? body == text.substr(1) : body == text;
}

// Trace ids of links: most of them are traces of this very segment.
void SegmentWriter::encode_link_traces(std::string_view ids, std::string& body) const {
    if (!find_fragment_) return encode_bytes(ids, 0, body);
    std::vector<int64_t> fragments;
    std::string others;
    for (size_t at = 0; at < ids.size(); at += kTraceIdBytes) {
        TraceId id;
        std::memcpy(id.bytes.data(), ids.data() + at, kTraceIdBytes);
        const uint32_t found = find_fragment_(id);
        fragments.push_back(found == kNone ? 0 : int64_t{found} + 1);
        if (found == kNone) others.append(id.view());
    }
    ByteWriter writer(body);
    writer.u8(kReferencesForm);
    std::string numbers;
    encode_integers(fragments, options_.zstd_level, numbers);
    writer.text(numbers);
    encode_bytes(others, 0, body);
}

void SegmentWriter::encode_values(uint32_t column, std::span<const int64_t> values,
                                  std::string& body) {
    if (encode_following(column, false, values, body)) return;
    if (column == kColumnName && options_.zstd_level > 0) {
        const ValueModel* const model = name_model_.model();
        name_model_.count(name_contexts_, values);
        if (model != nullptr && model->encode(name_contexts_, values, options_.zstd_level, body)) {
            has_models_ = true;
            return;
        }
    }
    encode_integers(values, options_.zstd_level, body, &trials_[column]);
}

Result<void> SegmentWriter::encode_text(uint32_t column, std::string& body) {
    TextColumn& texts = *texts_[column];
    const std::vector<uint32_t>& codes = stages_[column].codes;
    if (!texts.is_adopted) texts.values += codes.size();
    place_codes(texts, codes);
    if (texts.is_shared && !texts.is_adopted && !sharing_still_pays(texts, codes.size())) {
        texts.is_shared = false;
        if (texts.dictionary_used) TRY(put_dictionary(texts));
    }
    texts.entries_before = texts.table.size();
    if (texts.is_shared) {
        texts.dictionary_used = true;
        ByteWriter(body).u8(static_cast<uint8_t>(TextForm::kShared));
        const std::vector<int64_t> numbers(codes.begin(), codes.end());
        encode_values(column, numbers, body);
        return {};
    }
    encode_local(column, body);
    if (texts.is_adopted) return {};
    place_texts(texts);
    texts.table.clear();
    ++texts.generation;
    return {};
}

Result<void> SegmentWriter::write_group(std::span<const Part> parts) {
    Group group;
    staged_text_bytes_ = 0;
    group.meta = describe_group(parts);
    group.first_fragment = parts.front().fragment;
    group.continues = parts.front().continued;
    rows_ += group.meta.rows;
    events_ += group.meta.events;
    links_ += group.meta.links;
    gather_structure();
    gather_keys();
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
                } else if (column == kColumnScope) {
                    encode_scopes(body);
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
                    encode_parents(body);
                } else if (column == kColumnLinkTraceId && !stage.fixed.empty()) {
                    encode_link_traces(stage.fixed, body);
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
        if (body.empty() || can_be_left_out(column, body)) continue;
        group.blocks.push_back({column, static_cast<uint32_t>(body.size() + kChecksumBytes)});
        bodies.push_back(body);
    }
    group.offset = offset_;
    for (const std::string& one : bodies)
        TRY(put_block(one));
    groups_.push_back(std::move(group));
    return {};
}

void SegmentWriter::add_fragment(const TraceFragment& fragment, uint64_t threshold) {
    fragments_.push_back(fragment);
    if (threshold == 0) return;
    thresholds_.resize(fragments_.size());
    thresholds_.back() = threshold;
}

void SegmentWriter::add_arrival(uint64_t min_ns, uint64_t max_ns) {
    info_.arrival_ns_min = std::min(info_.arrival_ns_min, min_ns);
    info_.arrival_ns_max = std::max(info_.arrival_ns_max, max_ns);
}

}  // namespace spanloom::store
