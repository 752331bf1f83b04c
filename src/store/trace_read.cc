#include <algorithm>
#include <cstring>
#include <map>
#include <memory>
#include <tuple>

#include "otlp/writer.h"
#include "store/lateness.h"
#include "store/search.h"
#include "store/trace_writer.h"

namespace spanloom::store {
namespace {

// What one answer may weigh; a trace beyond it is shown in part. One request for a trace holds up
// to twice this.
constexpr size_t kTraceBytesMax = 128U << 20;
// A tag and a length.
constexpr size_t kFieldBytesMax = 11;

// Whose spans these are: resource, its schema URL, scope, its schema URL.
using Origin = std::tuple<std::string, std::string, std::string, std::string>;

// Writes protobuf fields into a Blob that has room for them.
class BlobWriter {
  public:
    explicit BlobWriter(size_t bytes_max) : blob_(Blob::allocate(bytes_max)) {}

    size_t size() const { return size_; }
    // Where the bytes are.
    ByteRange bytes_field(uint32_t field, std::string_view bytes) {
        varint(field << 3 | 2);
        varint(bytes.size());
        const auto offset = static_cast<uint32_t>(size_);
        if (!bytes.empty()) std::memcpy(blob_.mutable_data() + size_, bytes.data(), bytes.size());
        size_ += bytes.size();
        return {offset, static_cast<uint32_t>(bytes.size())};
    }
    // As WireWriter: what is written until end() is a message.
    size_t begin(uint32_t field) {
        varint(field << 3 | 2);
        return size_ += 5;
    }
    void end(size_t mark) {
        uint64_t size = size_ - mark;
        for (size_t i = 0; i < 5; ++i) {
            blob_.mutable_data()[mark - 5 + i] =
                static_cast<uint8_t>((size & 0x7f) | (i < 4 ? 0x80 : 0));
            size >>= 7;
        }
    }
    Blob finish() {
        std::memset(blob_.mutable_data() + size_, 0, Blob::kPadding);
        blob_.shrink(size_);
        return std::move(blob_);
    }

  private:
    void varint(uint64_t value) {
        for (; value >= 0x80; value >>= 7)
            blob_.mutable_data()[size_++] = static_cast<uint8_t>((value & 0x7f) | 0x80);
        blob_.mutable_data()[size_++] = static_cast<uint8_t>(value);
    }

    Blob blob_;
    size_t size_ = 0;
};

// Of ids, whether they may have been seen. Two bits of 16 for each id that is expected.
class SeenIds {
  public:
    void expect(size_t ids) {
        size_t words = 64;
        while (words < ids / 4 && words < kWordsMax)
            words *= 2;
        words_.assign(words, 0);
    }
    // False: not yet. From now on it has been.
    bool see(const SpanId& id) {
        uint64_t bits = 0;
        std::memcpy(&bits, id.bytes.data(), sizeof bits);
        bits *= 0x9e3779b97f4a7c15;
        bits ^= bits >> 32;
        bits *= 0x9e3779b97f4a7c15;
        uint64_t& word = words_[(bits >> 32) & (words_.size() - 1)];
        const uint64_t mask = uint64_t{1} << (bits & 63) | uint64_t{1} << (bits >> 6 & 63);
        const bool seen = (word & mask) == mask;
        word |= mask;
        return seen;
    }

  private:
    static constexpr size_t kWordsMax = 1U << 20;
    std::vector<uint64_t> words_;
};

// What came in time came before what is known to have come later.
bool came_before(const Arrived& a, const Arrived& b) {
    if (a.came_in_time != b.came_in_time) return a.came_in_time;
    return a.arrival_ns_min < b.arrival_ns_min;
}

// The spans of one trace from all segments, equal ones once.
class Assembly {
  public:
    explicit Assembly(const TraceId& id) : id_(id) {}

    void expect(size_t spans) {
        spans_.reserve(spans);
        seen_.expect(spans);
    }

    Result<void> add_fragment(SegmentReader& reader, const TraceFragment& fragment) {
        SpanWriter writer(reader);
        std::vector<uint32_t> origins(reader.segment().scope_count(), UINT32_MAX);
        begin_part(reader.segment());
        first_spans_.push_back(spans_.size());
        const uint32_t end = fragment.first_row + fragment.rows;
        for (uint32_t row = fragment.first_row; row < end;) {
            const auto group = reader.group(reader.group_of_row(row));
            const uint32_t first = group->rows().first_row;
            const uint32_t group_end = std::min(end, first + group->rows().rows);
            if (group_end <= row) return fail(ErrorCode::kDataLoss, "a row is in no row group");
            if (auto added =
                    add_rows(reader, writer, *group, row - first, group_end - first, origins);
                !added) {
                note(added.error().message);
            }
            if (is_full_) return {};
            row = group_end;
        }
        return {};
    }
    void note(const std::string& reason) {
        if (reason_.empty()) reason_ = reason;
    }

    bool is_damaged() const { return !reason_.empty(); }
    const std::string& reason() const { return reason_; }

    StoredTrace finish() {
        StoredTrace trace;
        trace.spans = static_cast<uint32_t>(spans_.size());
        trace.partial = !reason_.empty();
        trace.reason = reason_;
        write(trace);
        return trace;
    }

  private:
    struct Span {
        uint64_t start_ns = 0;
        uint64_t end_ns = 0;
        SpanId span_id;
        uint32_t origin = 0;
        uint32_t piece = 0;
        uint32_t offset = 0;
        uint32_t size = 0;
        uint32_t part = 0;
    };

    std::string_view bytes_of(const Span& span) const {
        return std::string_view(pieces_[span.piece]).substr(span.offset, span.size);
    }

    uint32_t origin_of(const Segment& segment, uint32_t scope) {
        const uint32_t resource = segment.scope_resource(scope);
        Origin origin{segment.resource_message(resource), segment.resource_schema_url(resource),
                      segment.scope_message(scope), segment.scope_schema_url(scope)};
        const auto [at, is_new] = numbers_.emplace(std::move(origin), numbers_.size());
        if (is_new) origins_.push_back(&at->first);
        return at->second;
    }

    Result<void> add_rows(SegmentReader& reader, SpanWriter& writer, GroupReader& group,
                          uint32_t first, uint32_t end, std::vector<uint32_t>& origins) {
        TRY_ASSIGN(const ColumnBlock* scopes,
                   group.block(reader.column(Table::kSpans, RowField::kScopeIndex)));
        TRY_ASSIGN(const ColumnBlock* starts,
                   group.block(reader.column(Table::kSpans, Intrinsic::kStart)));
        TRY_ASSIGN(const ColumnBlock* durations,
                   group.block(reader.column(Table::kSpans, Intrinsic::kDuration)));
        TRY_ASSIGN(const ColumnBlock* ids,
                   group.block(reader.column(Table::kSpans, Intrinsic::kSpanId)));
        if (scopes->integers.size() < end || starts->integers.size() < end ||
            durations->integers.size() < end || ids->fixed.size() < size_t{end} * 8) {
            return fail(ErrorCode::kDataLoss, "spans without id, time or scope");
        }
        TRY(writer.open(group));
        // Each group has a piece of its own, so that nothing is moved when more come.
        const size_t like_the_last = pieces_.empty() ? 0 : pieces_.back().size();
        std::string& piece = pieces_.emplace_back();
        piece.reserve(like_the_last + like_the_last / 8);
        for (uint32_t row = first; row < end; ++row) {
            const auto scope = static_cast<uint64_t>(scopes->integers[row]);
            if (scope >= origins.size()) {
                return fail(ErrorCode::kDataLoss, "a span names a scope that is not there");
            }
            if (origins[scope] == UINT32_MAX) {
                origins[scope] = origin_of(reader.segment(), static_cast<uint32_t>(scope));
            }
            Span span;
            span.start_ns = static_cast<uint64_t>(starts->integers[row]);
            span.end_ns = span.start_ns + static_cast<uint64_t>(durations->integers[row]);
            std::memcpy(span.span_id.bytes.data(), ids->fixed.data() + size_t{row} * 8, 8);
            span.origin = origins[scope];
            span.piece = static_cast<uint32_t>(pieces_.size() - 1);
            span.offset = static_cast<uint32_t>(piece.size());
            span.part = part_of(row + group.rows().first_row, std::max(span.start_ns, span.end_ns));
            if (auto written = writer.write_row(row, id_, piece); !written) {
                piece.resize(span.offset);
                return written;
            }
            span.size = static_cast<uint32_t>(piece.size() - span.offset);
            keep(span, piece);
            if (bytes_ > kTraceBytesMax) {
                is_full_ = true;
                return fail(ErrorCode::kResourceExhausted,
                            "the trace is larger than {} MiB; what is over is left out",
                            kTraceBytesMax >> 20);
            }
        }
        return {};
    }

    // What the segment knows of when its rows came.
    void begin_part(const Segment& segment) {
        const SegmentInfo& info = segment.info();
        // Damage to the delays hides no spans.
        const auto delays = segment.delays();
        delays_ = delays ? *delays : nullptr;
        const bool is_complete = delays.has_value() && (delays_ == nullptr || delays_->is_complete);
        common_part_ = static_cast<uint32_t>(parts_.size());
        parts_.push_back({info.arrival_ns_min, info.arrival_ns_max, 0, is_complete});
        first_arrival_s_ = info.arrival_ns_min / kNsPerSecond;
        part_of_second_.clear();
    }
    uint32_t part_of(uint32_t row, uint64_t end_ns) {
        uint64_t arrival_s = delays_ == nullptr ? 0 : delays_->arrival_s(row);
        const bool is_in_time = parts_[common_part_].came_in_time;
        if (arrival_s == 0 && is_in_time && is_delayed(first_arrival_s_, end_ns))
            arrival_s = first_arrival_s_;
        if (arrival_s == 0) return common_part_;
        const auto [at, is_new] =
            part_of_second_.emplace(arrival_s, static_cast<uint32_t>(parts_.size()));
        if (is_new) {
            const uint64_t arrival_ns = arrival_s * kNsPerSecond;
            parts_.push_back({arrival_ns, arrival_ns + kNsPerSecond - 1, 0});
        }
        return at->second;
    }

    // Drops the span again where an equal one is here already; it came when the first of them did.
    void keep(const Span& span, std::string& piece) {
        if (seen_.see(span.span_id)) {
            if (Span* const equal = find_equal(span)) {
                if (came_before(parts_[span.part], parts_[equal->part])) equal->part = span.part;
                piece.resize(span.offset);
                return;
            }
        }
        bytes_ += span.size;
        uint64_t& end_ns = parts_[span.part].end_ns_max;
        end_ns = std::max({end_ns, span.start_ns, span.end_ns});
        spans_.push_back(span);
    }

    // Equal spans start alike, and those of one segment are in order.
    Span* find_equal(const Span& span) {
        for (size_t segment = 0; segment < first_spans_.size(); ++segment) {
            const auto end = spans_.begin() + static_cast<ptrdiff_t>(end_of(segment));
            auto at = std::lower_bound(
                spans_.begin() + static_cast<ptrdiff_t>(first_spans_[segment]), end, span.start_ns,
                [](const Span& other, uint64_t start_ns) { return other.start_ns < start_ns; });
            for (; at != end && at->start_ns == span.start_ns; ++at) {
                if (at->span_id == span.span_id && at->origin == span.origin &&
                    bytes_of(*at) == bytes_of(span))
                    return &*at;
            }
        }
        return nullptr;
    }

    size_t end_of(size_t segment) const {
        return segment + 1 < first_spans_.size() ? first_spans_[segment + 1] : spans_.size();
    }

    Lateness lateness() const {
        std::vector<uint64_t> ends_in_time;
        for (const Span& span : spans_) {
            if (parts_[span.part].came_in_time)
                ends_in_time.push_back(std::max(span.start_ns, span.end_ns));
        }
        return Lateness(parts_, std::move(ends_in_time));
    }

    // By start, then id, then as they came.
    std::vector<uint32_t> by_start() const {
        using Key = std::pair<uint64_t, uint32_t>;
        const auto before = [&](const Key& a, const Key& b) {
            if (a.first != b.first) return a.first < b.first;
            return std::tie(spans_[a.second].span_id, a.second) <
                   std::tie(spans_[b.second].span_id, b.second);
        };
        std::vector<Key> keys(spans_.size());
        for (uint32_t i = 0; i < keys.size(); ++i)
            keys[i] = {spans_[i].start_ns, i};
        const auto at = [&](size_t index) { return keys.begin() + static_cast<ptrdiff_t>(index); };
        // Parts are in order but for equal starts, and are merged by twos.
        std::vector<size_t> bounds = first_spans_;
        bounds.push_back(keys.size());
        for (size_t i = 0; i + 1 < bounds.size(); ++i) {
            if (!std::is_sorted(at(bounds[i]), at(bounds[i + 1]), before))
                std::sort(at(bounds[i]), at(bounds[i + 1]), before);
        }
        while (bounds.size() > 2) {
            std::vector<size_t> merged = {0};
            for (size_t i = 0; i + 1 < bounds.size(); i += 2) {
                const size_t end = bounds[std::min(i + 2, bounds.size() - 1)];
                std::inplace_merge(at(bounds[i]), at(bounds[i + 1]), at(end), before);
                merged.push_back(end);
            }
            bounds = std::move(merged);
        }
        std::vector<uint32_t> order(keys.size());
        for (size_t i = 0; i < keys.size(); ++i)
            order[i] = keys[i].second;
        return order;
    }

    // Resources, and scopes in them, in the order of their first span.
    void write(StoredTrace& trace) {
        std::map<std::pair<std::string_view, std::string_view>, size_t> resource_numbers;
        std::vector<std::vector<uint32_t>> resources;
        std::vector<std::vector<uint32_t>> spans_of(origins_.size());
        size_t bytes_max = bytes_ + spans_.size() * kFieldBytesMax;
        for (const uint32_t i : by_start()) {
            const uint32_t origin = spans_[i].origin;
            if (spans_of[origin].empty()) {
                const auto& [resource, url, scope, scope_url] = *origins_[origin];
                bytes_max += resource.size() + url.size() + scope.size() + scope_url.size() +
                             6 * kFieldBytesMax;
                const auto [at, is_new] =
                    resource_numbers.try_emplace({resource, url}, resources.size());
                if (is_new) resources.emplace_back();
                resources[at->second].push_back(origin);
            }
            spans_of[origin].push_back(i);
        }
        BlobWriter out(bytes_max);
        Batch batch;
        batch.spans.reserve(spans_.size());
        const Lateness lateness = this->lateness();
        for (const auto& scopes : resources)
            write_resource(scopes, spans_of, lateness, out, batch, trace.late_ns);
        trace.traces_data = out.finish();
        batch.bytes = trace.traces_data;
        if (!trace.late_ns.empty()) trace.late_ns.resize(spans_.size(), 0);
        trace.batch = std::make_shared<const Batch>(std::move(batch));
    }

    void write_resource(const std::vector<uint32_t>& scopes,
                        const std::vector<std::vector<uint32_t>>& spans_of,
                        const Lateness& lateness, BlobWriter& out, Batch& batch,
                        std::vector<uint64_t>& late_ns) const {
        const size_t resource_mark = out.begin(1);
        const auto& resource = *origins_[scopes.front()];
        ResourceRef& resource_ref = batch.resources.emplace_back();
        if (!std::get<0>(resource).empty())
            resource_ref.message = out.bytes_field(1, std::get<0>(resource));
        for (const uint32_t origin : scopes) {
            const size_t scope_mark = out.begin(2);
            const auto& scope = *origins_[origin];
            ScopeRef& scope_ref = batch.scopes.emplace_back();
            scope_ref.resource = static_cast<uint32_t>(batch.resources.size() - 1);
            if (!std::get<2>(scope).empty())
                scope_ref.message = out.bytes_field(1, std::get<2>(scope));
            for (const uint32_t i : spans_of[origin]) {
                const Span& span = spans_[i];
                const uint64_t late = lateness.of(span.part, std::max(span.start_ns, span.end_ns));
                if (late > 0) {
                    late_ns.resize(batch.spans.size() + 1, 0);
                    late_ns.back() = late;
                }
                SpanRef& ref = batch.spans.emplace_back();
                ref.message = out.bytes_field(2, bytes_of(span));
                ref.scope = static_cast<uint32_t>(batch.scopes.size() - 1);
                ref.start_ns = span.start_ns;
                ref.end_ns = span.end_ns;
                ref.trace_id = id_;
                ref.span_id = span.span_id;
            }
            if (!std::get<3>(scope).empty())
                scope_ref.schema_url = out.bytes_field(3, std::get<3>(scope));
            out.end(scope_mark);
        }
        if (!std::get<1>(resource).empty())
            resource_ref.schema_url = out.bytes_field(3, std::get<1>(resource));
        out.end(resource_mark);
    }

    TraceId id_;
    std::vector<std::string> pieces_;  // messages, row group by row group
    size_t bytes_ = 0;                 // of those that are kept
    std::vector<Span> spans_;
    std::vector<Arrived> parts_;
    std::vector<size_t> first_spans_;  // of each segment
    // Of the segment at hand: its delays, the part of its other rows, those of the delayed ones.
    std::shared_ptr<const Delays> delays_;
    uint64_t first_arrival_s_ = 0;
    uint32_t common_part_ = 0;
    std::map<uint64_t, uint32_t> part_of_second_;
    SeenIds seen_;
    std::map<Origin, uint32_t> numbers_;
    std::vector<const Origin*> origins_;
    std::string reason_;
    bool is_full_ = false;
};

// One segment's part of the trace.
struct Part {
    const std::shared_ptr<const Segment>* segment = nullptr;
    TraceFragment fragment;
};

}  // namespace

Result<StoredTrace> read_trace(Segments segments, const TraceId& id) {
    Assembly assembly(id);
    for (const auto& segment : segments)
        segment->foresee_find();
    std::vector<Part> parts;
    size_t spans = 0;
    for (const auto& segment : segments) {
        const auto fragment = segment->find(id);
        if (!fragment) {
            assembly.note(fragment.error().message);
            continue;
        }
        if (!*fragment) continue;
        parts.push_back({&segment, **fragment});
        spans += (*fragment)->rows;
    }
    if (parts.empty() && assembly.is_damaged()) {
        return fail(ErrorCode::kDataLoss, "trace {} cannot be looked up: {}", id.hex(),
                    assembly.reason());
    }
    if (parts.empty()) {
        return fail(ErrorCode::kNotFound, "no trace {}; it may be older than what is kept",
                    id.hex());
    }
    // Of equal spans the one counts that came first.
    std::stable_sort(parts.begin(), parts.end(), [](const Part& a, const Part& b) {
        return (*a.segment)->info().arrival_ns_min < (*b.segment)->info().arrival_ns_min;
    });
    assembly.expect(spans);
    for (const Part& part : parts) {
        SegmentReader reader(*part.segment);
        (*part.segment)->foresee_group(reader.group_of_row(part.fragment.first_row));
        if (auto added = assembly.add_fragment(reader, part.fragment); !added) {
            assembly.note(added.error().message);
        }
    }
    return assembly.finish();
}

}  // namespace spanloom::store
