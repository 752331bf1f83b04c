#include <algorithm>
#include <cstring>
#include <set>
#include <tuple>
#include <vector>

#include "store/edge_peers.h"
#include "store/group_reader.h"
#include "store/intrinsic_cells.h"
#include "store/row_weights.h"
#include "store/search.h"
#include "store/search_links.h"
#include "store/trace_summary.h"

namespace spanloom::store {
namespace {

struct Place {
    uint32_t segment = 0;
    TraceFragment fragment;
};

// Hands out the spans of all segments trace by trace.
class EdgeScan {
  public:
    EdgeScan(Segments segments, Segments others, TimeRange range,
             const std::function<bool(const SpanEdge&)>& visit, EdgePeers peers)
        : segments_(segments.begin(), segments.end()),
          asked_(segments.size()),
          range_(range),
          visit_(visit),
          peers_(peers) {
        segments_.insert(segments_.end(), others.begin(), others.end());
        readers_.resize(segments_.size());
        peer_readers_.resize(segments_.size());
    }

    Result<void> run() {
        for (uint32_t i = 0; i < asked_ && !is_stopped_; ++i) {
            const SegmentInfo& info = segments_[i]->info();
            if (info.spans == 0 || !overlaps(info.start_ns_min, info.end_ns_max, range_)) continue;
            for (uint32_t at = 0; at < segments_[i]->fragment_count() && !is_stopped_; ++at) {
                TRY_ASSIGN(const TraceFragment fragment, segments_[i]->fragment(at));
                if (!is_inside(fragment)) continue;
                TRY(visit_trace(i, fragment));
            }
        }
        return {};
    }

  private:
    bool is_inside(const TraceFragment& fragment) const {
        return overlaps(fragment.start_ns, fragment.end_ns, range_);
    }

    // Only from the first segment that has a fragment in the range.
    Result<void> visit_trace(uint32_t segment, const TraceFragment& fragment) {
        places_.clear();
        for (uint32_t i = 0; i < segments_.size(); ++i) {
            if (i == segment) {
                places_.push_back({i, fragment});
                continue;
            }
            TRY_ASSIGN(const auto other, segments_[i]->find(fragment.trace_id));
            if (!other) continue;
            if (i < segment && is_inside(*other)) return {};
            places_.push_back({i, *other});
        }
        seen_.clear();
        for (const Place& place : places_)
            TRY(visit_fragment(place));
        return {};
    }

    Result<void> visit_fragment(const Place& place) {
        auto& reader = readers_[place.segment];
        if (reader == nullptr) reader = std::make_unique<SegmentReader>(segments_[place.segment]);
        const uint32_t end = place.fragment.first_row + place.fragment.rows;
        for (uint32_t row = place.fragment.first_row; row < end && !is_stopped_;) {
            const auto group = reader->group(reader->group_of_row(row));
            const uint32_t first = group->rows().first_row;
            const uint32_t group_end = std::min(end, first + group->rows().rows);
            if (group_end <= row) return fail(ErrorCode::kDataLoss, "a row is in no row group");
            TRY(visit_rows(place, *group, row - first, group_end - first));
            row = group_end;
        }
        return {};
    }

    Result<void> visit_rows(const Place& place, GroupReader& group, uint32_t from, uint32_t end) {
        SegmentReader& reader = *readers_[place.segment];
        const auto block = [&](Intrinsic intrinsic) {
            return group.block(reader.column(Table::kSpans, intrinsic));
        };
        TRY_ASSIGN(const ColumnBlock* ids, block(Intrinsic::kSpanId));
        TRY_ASSIGN(const ColumnBlock* parents, block(Intrinsic::kParentId));
        TRY_ASSIGN(const ColumnBlock* kinds, block(Intrinsic::kKind));
        TRY_ASSIGN(const ColumnBlock* statuses, block(Intrinsic::kStatus));
        TRY_ASSIGN(const ColumnBlock* starts, block(Intrinsic::kStart));
        TRY_ASSIGN(const ColumnBlock* durations, block(Intrinsic::kDuration));
        TRY_ASSIGN(const ColumnBlock* scopes,
                   group.block(reader.column(Table::kSpans, RowField::kScopeIndex)));
        if (ids->fixed.size() < size_t{end} * 8 || starts->integers.size() < end ||
            durations->integers.size() < end || scopes->integers.size() < end) {
            return fail(ErrorCode::kDataLoss, "spans without id, time or scope");
        }
        std::vector<double> weights;
        if (peers_ == EdgePeers::kRead) {
            TRY_ASSIGN(weights, row_weights(reader, group));
        }
        for (uint32_t row = from; row < end && !is_stopped_; ++row) {
            SpanEdge edge;
            if (!weights.empty()) edge.weight = weights[row];
            edge.trace_id = place.fragment.trace_id;
            std::memcpy(edge.span_id.bytes.data(), ids->fixed.data() + size_t{row} * 8, 8);
            if (const auto at = position_of(*parents, row)) {
                std::memcpy(edge.parent_span_id.bytes.data(),
                            parents->fixed.data() + size_t{*at} * 8, 8);
            }
            const auto kind_at = position_of(*kinds, row);
            const int64_t kind = kind_at ? kinds->integers[*kind_at] : 0;
            edge.kind = static_cast<otlp::SpanKind>(kind >= 0 && kind <= 5 ? kind : 0);
            edge.service = reader.service_of_scope(static_cast<uint32_t>(scopes->integers[row]));
            const auto status_at = position_of(*statuses, row);
            edge.error = status_at && statuses->integers[*status_at] == 2;
            edge.start_ns = static_cast<uint64_t>(starts->integers[row]);
            edge.duration_ns =
                static_cast<uint64_t>(duration_of(edge.start_ns, durations->integers[row]));
            edge.in_range = place.segment < asked_ && edge.start_ns >= range_.start_ns &&
                            edge.start_ns < range_.end_ns;
            if (places_.size() > 1 && is_resend(edge)) continue;
            if (peers_ == EdgePeers::kRead) {
                TRY(read_peer(place.segment, group, row, edge));
                if (edge.kind == otlp::SpanKind::kConsumer && edge.in_range)
                    TRY(read_links(reader, group, row, edge));
            }
            is_stopped_ = !visit_(edge);
        }
        return {};
    }

    Result<void> read_peer(uint32_t segment, GroupReader& group, uint32_t row, SpanEdge& edge) {
        auto& reader = peer_readers_[segment];
        if (reader == nullptr) reader = std::make_unique<PeerReader>(*readers_[segment]);
        return reader->read(group, row, edge);
    }

    // Spans that a consumer links to, of whatever trace.
    Result<void> read_links(SegmentReader& reader, GroupReader& group, uint32_t row,
                            SpanEdge& edge) {
        links_.clear();
        if (group.rows().links == 0) return {};
        TRY_ASSIGN(const GroupLinks links, GroupLinks::open(reader, group));
        const auto& rows = links.owners();
        const auto [first, end] = std::equal_range(rows.begin(), rows.end(), int64_t{row});
        for (auto at = first; at != end && links_.size() < kEdgeLinksMax; ++at) {
            TRY_ASSIGN(const auto target, links.target(static_cast<uint32_t>(at - rows.begin())));
            if (target) TRY(find_linked(target->trace_id, target->span_id));
        }
        edge.links = links_;
        return {};
    }

    Result<void> find_linked(const TraceId& trace_id, const SpanId& span_id) {
        for (size_t i = 0; i < segments_.size(); ++i) {
            TRY_ASSIGN(const auto fragment, segments_[i]->find(trace_id));
            if (!fragment) continue;
            auto& reader = readers_[i];
            if (reader == nullptr) reader = std::make_unique<SegmentReader>(segments_[i]);
            const uint32_t end = fragment->first_row + fragment->rows;
            for (uint32_t row = fragment->first_row; row < end;) {
                const auto group = reader->group(reader->group_of_row(row));
                const uint32_t first = group->rows().first_row;
                const uint32_t group_end = std::min(end, first + group->rows().rows);
                if (group_end <= row) return fail(ErrorCode::kDataLoss, "a row is in no row group");
                TRY_ASSIGN(const bool is_found,
                           find_linked(*reader, *group, row - first, group_end - first, span_id));
                if (is_found) return {};
                row = group_end;
            }
        }
        return {};
    }
    Result<bool> find_linked(SegmentReader& reader, GroupReader& group, uint32_t from, uint32_t end,
                             const SpanId& span_id) {
        const auto block = [&](Intrinsic intrinsic) {
            return group.block(reader.column(Table::kSpans, intrinsic));
        };
        TRY_ASSIGN(const ColumnBlock* ids, block(Intrinsic::kSpanId));
        if (ids->fixed.size() < size_t{end} * 8)
            return fail(ErrorCode::kDataLoss, "spans without id");
        const char* const wanted = reinterpret_cast<const char*>(span_id.bytes.data());
        for (uint32_t row = from; row < end; ++row) {
            if (std::memcmp(ids->fixed.data() + size_t{row} * 8, wanted, 8) != 0) continue;
            TRY_ASSIGN(const ColumnBlock* kinds, block(Intrinsic::kKind));
            TRY_ASSIGN(const ColumnBlock* starts, block(Intrinsic::kStart));
            TRY_ASSIGN(const ColumnBlock* durations, block(Intrinsic::kDuration));
            TRY_ASSIGN(const ColumnBlock* scopes,
                       group.block(reader.column(Table::kSpans, RowField::kScopeIndex)));
            if (starts->integers.size() <= row || durations->integers.size() <= row ||
                scopes->integers.size() <= row)
                return fail(ErrorCode::kDataLoss, "spans without time or scope");
            LinkedSpan& linked = links_.emplace_back();
            const auto kind_at = position_of(*kinds, row);
            const int64_t kind = kind_at ? kinds->integers[*kind_at] : 0;
            linked.kind = static_cast<otlp::SpanKind>(kind >= 0 && kind <= 5 ? kind : 0);
            linked.service = reader.service_of_scope(static_cast<uint32_t>(scopes->integers[row]));
            linked.start_ns = static_cast<uint64_t>(starts->integers[row]);
            linked.duration_ns =
                static_cast<uint64_t>(duration_of(linked.start_ns, durations->integers[row]));
            return true;
        }
        return false;
    }

    // Contents are not compared here: two spans that agree in all this count as one.
    bool is_resend(const SpanEdge& edge) {
        return !seen_.emplace(edge.span_id, edge.start_ns, edge.duration_ns, edge.kind).second;
    }

    std::vector<std::shared_ptr<const Segment>> segments_;  // what is asked, then the others
    const size_t asked_;
    TimeRange range_;
    const std::function<bool(const SpanEdge&)>& visit_;
    const EdgePeers peers_;
    std::vector<std::unique_ptr<SegmentReader>> readers_;
    std::vector<std::unique_ptr<PeerReader>> peer_readers_;
    std::vector<Place> places_;
    std::vector<LinkedSpan> links_;
    std::set<std::tuple<SpanId, uint64_t, uint64_t, otlp::SpanKind>> seen_;
    bool is_stopped_ = false;
};

}  // namespace

Result<void> for_each_edge(Segments segments, TimeRange range,
                           const std::function<bool(const SpanEdge&)>& visit, EdgePeers peers,
                           Segments others) {
    return EdgeScan(segments, others, range, visit, peers).run();
}

}  // namespace spanloom::store
