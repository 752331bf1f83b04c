#include "store/search_links.h"

#include <algorithm>
#include <cstring>
#include <vector>

namespace spanloom::store {
namespace {

// Clocks of a sender and a receiver differ by less.
constexpr uint64_t kSkewNs = 60'000'000'000;

// What consumers link to, segment by segment as they lie in time: most are taken soon.
class LinkScan {
  public:
    LinkScan(uint64_t links_max, const VisitLink& visit) : left_(links_max), visit_(visit) {}

    Result<bool> run(std::vector<std::shared_ptr<const Segment>> segments) {
        std::stable_sort(segments.begin(), segments.end(), [](const auto& a, const auto& b) {
            return a->info().start_ns_min < b->info().start_ns_min;
        });
        for (const auto& segment : segments) {
            SegmentReader reader(segment);
            for (uint32_t number = 0; number < segment->row_groups().size(); ++number) {
                const uint32_t links = segment->row_groups()[number].links;
                if (links == 0) continue;
                if (links > left_) return false;
                left_ -= links;
                TRY(visit_group(reader, *reader.group(number)));
                if (is_stopped_) return true;
            }
        }
        return true;
    }

  private:
    Result<void> visit_group(SegmentReader& reader, GroupReader& group) {
        TRY_ASSIGN(const ColumnBlock* kinds,
                   group.block(reader.column(Table::kSpans, Intrinsic::kKind)));
        TRY_ASSIGN(const GroupLinks links, GroupLinks::open(reader, group));
        for (uint32_t link = 0; link < links.owners().size() && !is_stopped_; ++link) {
            const auto row = static_cast<uint32_t>(links.owners()[link]);
            const auto kind_at = position_of(*kinds, row);
            if (!kind_at || kinds->integers[*kind_at] != kConsumer) continue;
            TRY_ASSIGN(const auto target, links.target(link));
            is_stopped_ = target && !visit_(*target);
        }
        return {};
    }

    static constexpr auto kConsumer = static_cast<int64_t>(otlp::SpanKind::kConsumer);
    uint64_t left_;
    const VisitLink& visit_;
    bool is_stopped_ = false;
};

}  // namespace

Result<GroupLinks> GroupLinks::open(const SegmentReader& reader, GroupReader& group) {
    GroupLinks links;
    TRY_ASSIGN(links.owners_, group.block(reader.column(Table::kLinks, RowField::kOwner)));
    TRY_ASSIGN(links.traces_, group.block(reader.column(Table::kLinks, Intrinsic::kLinkTraceId)));
    TRY_ASSIGN(links.spans_, group.block(reader.column(Table::kLinks, Intrinsic::kLinkSpanId)));
    return links;
}

Result<std::optional<LinkTarget>> GroupLinks::target(uint32_t link) const {
    const auto trace_at = position_of(*traces_, link);
    const auto span_at = position_of(*spans_, link);
    if (!trace_at || !span_at) return std::optional<LinkTarget>();
    if ((*trace_at + size_t{1}) * 16 > traces_->fixed.size() ||
        (*span_at + size_t{1}) * 8 > spans_->fixed.size())
        return fail(ErrorCode::kDataLoss, "links without ids");
    LinkTarget target;
    std::memcpy(target.trace_id.bytes.data(), traces_->fixed.data() + size_t{*trace_at} * 16, 16);
    std::memcpy(target.span_id.bytes.data(), spans_->fixed.data() + size_t{*span_at} * 8, 8);
    return std::optional(target);
}

Result<bool> for_each_consumer_link(Segments segments, Segments others, uint64_t from_ns,
                                    uint64_t links_max, const VisitLink& visit) {
    std::vector<std::shared_ptr<const Segment>> later;
    for (const Segments part : {segments, others}) {
        for (const auto& segment : part) {
            const SegmentInfo& info = segment->info();
            if (info.spans > 0 && info.end_ns_max >= from_ns - std::min(from_ns, kSkewNs))
                later.push_back(segment);
        }
    }
    return LinkScan(links_max, visit).run(std::move(later));
}

}  // namespace spanloom::store
