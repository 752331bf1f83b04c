#include <algorithm>
#include <cstring>
#include <map>
#include <tuple>
#include <unordered_map>

#include "otlp/writer.h"
#include "store/search.h"
#include "store/trace_writer.h"

namespace spanloom::store {
namespace {

// What one answer may weigh; a trace beyond it is shown in part. One request for a trace holds up
// to twice this.
constexpr size_t kTraceBytesMax = 128U << 20;

// Whose spans these are: resource, its schema URL, scope, its schema URL.
using Origin = std::tuple<std::string, std::string, std::string, std::string>;

// The spans of one trace from all segments, equal ones once.
class Assembly {
  public:
    explicit Assembly(const TraceId& id) : id_(id) {}

    Result<void> add_fragment(SegmentReader& reader, const TraceFragment& fragment) {
        SpanWriter writer(reader);
        std::vector<uint32_t> origins(reader.segment().scope_count(), UINT32_MAX);
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
        std::sort(spans_.begin(), spans_.end(), [&](const Span& a, const Span& b) {
            return std::tie(a.start_ns, a.span_id, a.offset) <
                   std::tie(b.start_ns, b.span_id, b.offset);
        });
        StoredTrace trace;
        trace.spans = static_cast<uint32_t>(spans_.size());
        trace.partial = !reason_.empty();
        trace.reason = reason_;
        trace.traces_data = Blob::copy_of(written());
        return trace;
    }

  private:
    struct Span {
        uint64_t start_ns = 0;
        SpanId span_id;
        uint32_t origin = 0;
        size_t offset = 0;
        size_t size = 0;
    };

    std::string_view bytes_of(const Span& span) const {
        return std::string_view(bytes_).substr(span.offset, span.size);
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
        TRY_ASSIGN(const ColumnBlock* ids,
                   group.block(reader.column(Table::kSpans, Intrinsic::kSpanId)));
        if (scopes->integers.size() < end || starts->integers.size() < end ||
            ids->fixed.size() < size_t{end} * 8) {
            return fail(ErrorCode::kDataLoss, "spans without id, start or scope");
        }
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
            std::memcpy(span.span_id.bytes.data(), ids->fixed.data() + size_t{row} * 8, 8);
            span.origin = origins[scope];
            span.offset = bytes_.size();
            if (auto written = writer.write(group, row, id_, bytes_); !written) {
                bytes_.resize(span.offset);
                return written;
            }
            span.size = bytes_.size() - span.offset;
            keep(span);
            if (bytes_.size() > kTraceBytesMax) {
                is_full_ = true;
                return fail(ErrorCode::kResourceExhausted,
                            "the trace is larger than {} MiB; what is over is left out",
                            kTraceBytesMax >> 20);
            }
        }
        return {};
    }

    // Drops the span again where an equal one is here already.
    void keep(const Span& span) {
        const auto [first, end] = by_id_.equal_range(span.span_id);
        for (auto at = first; at != end; ++at) {
            const Span& other = spans_[at->second];
            if (other.origin == span.origin && bytes_of(other) == bytes_of(span)) {
                bytes_.resize(span.offset);
                return;
            }
        }
        by_id_.emplace(span.span_id, static_cast<uint32_t>(spans_.size()));
        spans_.push_back(span);
    }

    // Resources, and scopes in them, in the order of their first span.
    std::string written() const {
        std::map<std::pair<std::string_view, std::string_view>, size_t> resource_numbers;
        std::vector<std::vector<uint32_t>> resources;
        std::vector<std::vector<uint32_t>> spans_of(origins_.size());
        for (uint32_t i = 0; i < spans_.size(); ++i) {
            const uint32_t origin = spans_[i].origin;
            if (spans_of[origin].empty()) {
                const auto& [resource, url, scope, scope_url] = *origins_[origin];
                const auto [at, is_new] =
                    resource_numbers.try_emplace({resource, url}, resources.size());
                if (is_new) resources.emplace_back();
                resources[at->second].push_back(origin);
            }
            spans_of[origin].push_back(i);
        }
        std::string out;
        out.reserve(bytes_.size() + bytes_.size() / 16 + 1024);
        for (const auto& scopes : resources)
            write_resource(scopes, spans_of, out);
        return out;
    }

    void write_resource(const std::vector<uint32_t>& scopes,
                        const std::vector<std::vector<uint32_t>>& spans_of,
                        std::string& out) const {
        otlp::WireWriter wire(out);
        const size_t resource_mark = wire.begin(1);
        const auto& resource = *origins_[scopes.front()];
        if (!std::get<0>(resource).empty()) wire.bytes_field(1, std::get<0>(resource));
        for (const uint32_t origin : scopes) {
            const size_t scope_mark = wire.begin(2);
            const auto& scope = *origins_[origin];
            if (!std::get<2>(scope).empty()) wire.bytes_field(1, std::get<2>(scope));
            for (const uint32_t span : spans_of[origin])
                wire.bytes_field(2, bytes_of(spans_[span]));
            if (!std::get<3>(scope).empty()) wire.bytes_field(3, std::get<3>(scope));
            wire.end(scope_mark);
        }
        if (!std::get<1>(resource).empty()) wire.bytes_field(3, std::get<1>(resource));
        wire.end(resource_mark);
    }

    TraceId id_;
    std::string bytes_;
    std::vector<Span> spans_;
    std::unordered_multimap<SpanId, uint32_t> by_id_;
    std::map<Origin, uint32_t> numbers_;
    std::vector<const Origin*> origins_;
    std::string reason_;
    bool is_full_ = false;
};

}  // namespace

Result<StoredTrace> read_trace(Segments segments, const TraceId& id) {
    Assembly assembly(id);
    bool found = false;
    for (const auto& segment : segments)
        segment->foresee_find();
    for (const auto& segment : segments) {
        const auto fragment = segment->find(id);
        if (!fragment) {
            assembly.note(fragment.error().message);
            continue;
        }
        if (!*fragment) continue;
        found = true;
        SegmentReader reader(segment);
        segment->foresee_group(reader.group_of_row((*fragment)->first_row));
        if (auto added = assembly.add_fragment(reader, **fragment); !added) {
            assembly.note(added.error().message);
        }
    }
    if (!found && assembly.is_damaged()) {
        return fail(ErrorCode::kDataLoss, "trace {} cannot be looked up: {}", id.hex(),
                    assembly.reason());
    }
    if (!found) {
        return fail(ErrorCode::kNotFound, "no trace {}; it may be older than what is kept",
                    id.hex());
    }
    return assembly.finish();
}

}  // namespace spanloom::store
