#include "sampling/forward_request.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <tuple>
#include <unordered_map>
#include <utility>

#include "base/hash.h"
#include "otlp/writer.h"
#include "store/sampled_trace.h"
#include "store/trace_writer.h"

namespace spanloom::sampling {
namespace {

using store::ColumnBlock;
using store::Segment;
using store::SegmentReader;
using store::TraceFragment;

// What one trace may weigh; what is over is left out, and said.
constexpr size_t kTraceBytesMax = 128U << 20;

// Whose spans these are: resource, its schema URL, scope, its schema URL.
using Origin = std::tuple<std::string, std::string, std::string, std::string>;

class Reading {
  public:
    Reading(store::Segments segments, std::vector<ForwardEntry> entries,
            const ForwardReadLimits& limits)
        : segments_(segments), entries_(std::move(entries)), limits_(limits) {}

    ForwardReading run() {
        find();
        std::sort(parts_.begin(), parts_.end(), [](const Part& a, const Part& b) {
            return std::tie(a.segment, a.fragment.first_row) <
                   std::tie(b.segment, b.fragment.first_row);
        });
        for (size_t first = 0; first < parts_.size();) {
            size_t end = first;
            while (end < parts_.size() && parts_[end].segment == parts_[first].segment)
                ++end;
            read_segment(std::span(parts_).subspan(first, end - first));
            first = end;
        }
        write_requests();
        return std::move(out_);
    }

  private:
    struct Part {
        uint32_t entry = 0;
        uint32_t segment = 0;
        TraceFragment fragment;
        uint64_t threshold = 0;  // of the entry, or by which a keep rule chose it already
    };
    struct Span {
        uint32_t entry = 0;
        uint32_t origin = 0;
        uint64_t start_ns = 0;
        SpanId id;
        size_t offset = 0;
        size_t size = 0;
    };

    // One segment, row group by row group.
    struct SegmentReading {
        SegmentReading(const std::shared_ptr<const Segment>& segment, std::span<const Part> parts)
            : reader(segment),
              writer(reader),
              origins(segment->scope_count(), UINT32_MAX),
              parts_left(parts) {}

        // The row group of this row, which is not before those asked for until now.
        Result<void> open(uint32_t row) {
            const uint32_t number = reader.group_of_row(row);
            if (group != nullptr && group->group() == number) return {};
            group = nullptr;
            auto next = reader.group(number);
            const store::RowGroup& meta = next->rows();
            const uint32_t group_end = meta.first_row + meta.rows;
            store::RowBitmap wanted(meta.rows);
            while (!parts_left.empty() && end_of(parts_left.front()) <= meta.first_row)
                parts_left = parts_left.subspan(1);
            for (const Part& part : parts_left) {
                if (part.fragment.first_row >= group_end) break;
                wanted.fill(std::max(part.fragment.first_row, meta.first_row) - meta.first_row,
                            std::min(end_of(part), group_end) - meta.first_row);
            }
            next->narrow(wanted);
            TRY(writer.open(*next));
            group = std::move(next);
            return {};
        }
        static uint32_t end_of(const Part& part) {
            return part.fragment.first_row + part.fragment.rows;
        }

        SegmentReader reader;
        store::SpanWriter writer;
        std::shared_ptr<store::GroupReader> group;  // that is open
        std::vector<uint32_t> origins;              // by scope
        std::span<const Part> parts_left;           // in this row group and behind it
    };

    void note(const Error& error) {
        if (out_.damage.empty()) out_.damage = error.message;
    }

    // Entries until there are rows enough; at least one.
    void find() {
        size_t rows = 0;
        for (uint32_t entry = 0; entry < entries_.size(); ++entry) {
            const size_t before = parts_.size();
            size_t own = 0;
            for (uint32_t number = 0; number < segments_.size(); ++number)
                own += find_in(entry, number);
            if (entry > 0 && rows + own > limits_.rows_max) {
                parts_.resize(before);
                const auto left = entries_.begin() + entry;
                out_.left.assign(std::make_move_iterator(left),
                                 std::make_move_iterator(entries_.end()));
                entries_.erase(left, entries_.end());
                break;
            }
            rows += own;
            const size_t late = entries_[entry].spans.size();
            rows_.push_back(static_cast<uint32_t>(late == 0 ? own : late));
        }
        spans_of_.resize(entries_.size());
        bytes_of_.resize(entries_.size());
    }

    size_t find_in(uint32_t entry, uint32_t number) {
        const Segment& segment = *segments_[number];
        const ForwardEntry& wanted = entries_[entry];
        const uint64_t newest_ns = segment.info().arrival_ns_max;
        const uint64_t oldest_ns =
            wanted.arrived_ns != 0
                ? wanted.arrived_ns - std::min(wanted.arrived_ns, kArrivalSlackNs)
                : wanted.at_ns - std::min(wanted.at_ns, limits_.held_ns_max);
        if (newest_ns < oldest_ns) return 0;
        const auto found = segment.find(wanted.id);
        if (!found) {
            note(found.error());
            return 0;
        }
        if (!*found) return 0;
        uint64_t threshold = wanted.threshold;
        const auto kept = store::trace_threshold({&segments_[number], 1}, wanted.id);
        if (!kept) note(kept.error());
        if (kept) threshold = std::max(threshold, *kept);
        parts_.push_back({entry, number, **found, threshold});
        return (*found)->rows;
    }

    // Parts of one segment in the order of their rows, so that each row group is read once.
    void read_segment(std::span<const Part> parts) {
        SegmentReading reading(segments_[parts.front().segment], parts);
        for (const Part& part : parts) {
            if (const auto read = read_part(reading, part); !read) note(read.error());
        }
    }

    Result<void> read_part(SegmentReading& reading, const Part& part) {
        const uint32_t end = part.fragment.first_row + part.fragment.rows;
        for (uint32_t row = part.fragment.first_row; row < end;) {
            TRY(reading.open(row));
            const store::RowGroup& rows = reading.group->rows();
            const uint32_t group_end = std::min(end, rows.first_row + rows.rows);
            if (group_end <= row) return fail(ErrorCode::kDataLoss, "a row is in no row group");
            TRY(read_rows(reading, part, {row - rows.first_row, group_end - rows.first_row}));
            row = group_end;
        }
        return {};
    }

    Result<void> read_rows(SegmentReading& reading, const Part& part,
                           std::pair<uint32_t, uint32_t> rows) {
        using store::Intrinsic;
        using store::Table;
        SegmentReader& reader = reading.reader;
        store::GroupReader& group = *reading.group;
        TRY_ASSIGN(const ColumnBlock* scope_block,
                   group.block(reader.column(Table::kSpans, store::RowField::kScopeIndex)));
        TRY_ASSIGN(const ColumnBlock* start_block,
                   group.block(reader.column(Table::kSpans, Intrinsic::kStart)));
        TRY_ASSIGN(const ColumnBlock* id_block,
                   group.block(reader.column(Table::kSpans, Intrinsic::kSpanId)));
        for (const ColumnBlock* block : {scope_block, start_block, id_block})
            if (block->dense && block->size() < rows.second)
                return fail(ErrorCode::kDataLoss, "spans without id, start or scope");
        store::ColumnCursor scopes(*scope_block);
        store::ColumnCursor starts(*start_block);
        store::ColumnCursor ids(*id_block);
        const ForwardEntry& entry = entries_[part.entry];
        for (uint32_t row = rows.first; row < rows.second; ++row) {
            Span span;
            span.entry = part.entry;
            const std::string_view id = ids.bytes(row);
            if (id.size() != span.id.bytes.size())
                return fail(ErrorCode::kDataLoss, "spans without id, start or scope");
            std::memcpy(span.id.bytes.data(), id.data(), id.size());
            const bool is_wanted =
                entry.spans.empty() ||
                std::find(entry.spans.begin(), entry.spans.end(), span.id) != entry.spans.end();
            if (!is_wanted) continue;
            const auto scope = static_cast<uint64_t>(scopes.integer(row));
            if (scope >= reading.origins.size())
                return fail(ErrorCode::kDataLoss, "a span names a scope that is not there");
            uint32_t& origin = reading.origins[scope];
            if (origin == UINT32_MAX)
                origin = origin_of(reader.segment(), static_cast<uint32_t>(scope));
            span.origin = origin;
            span.start_ns = static_cast<uint64_t>(starts.integer(row));
            TRY(write_span(reading.writer, row, part.threshold, span));
        }
        return {};
    }

    Result<void> write_span(store::SpanWriter& writer, uint32_t row, uint64_t threshold,
                            Span span) {
        span.offset = bytes_.size();
        const TraceId& id = entries_[span.entry].id;
        if (threshold == 0) {
            if (const auto written = writer.write_row(row, id, bytes_); !written) {
                bytes_.resize(span.offset);
                return written;
            }
        } else {
            message_.clear();
            TRY(writer.write_row(row, id, message_));
            store::append_sampled_span(message_, threshold, bytes_);
        }
        span.size = bytes_.size() - span.offset;
        if (is_there(span)) {
            bytes_.resize(span.offset);
            return {};
        }
        if (bytes_of_[span.entry] + span.size > kTraceBytesMax) {
            bytes_.resize(span.offset);
            return fail(ErrorCode::kResourceExhausted,
                        "trace {} is larger than {} MiB; what is over is left out", id.hex(),
                        kTraceBytesMax >> 20);
        }
        bytes_of_[span.entry] += span.size;
        spans_of_[span.entry].push_back(static_cast<uint32_t>(spans_.size()));
        spans_.push_back(span);
        return {};
    }

    std::string_view bytes_of(const Span& span) const {
        return std::string_view(bytes_).substr(span.offset, span.size);
    }

    // Whether an equal span of the entry was read already; notes it where not.
    bool is_there(const Span& span) {
        const uint64_t key = hash64(span.id.view(), span.entry);
        const auto [first, end] = by_id_.equal_range(key);
        for (auto at = first; at != end; ++at) {
            const Span& other = spans_[at->second];
            if (other.entry == span.entry && other.origin == span.origin &&
                bytes_of(other) == bytes_of(span))
                return true;
        }
        by_id_.emplace(key, static_cast<uint32_t>(spans_.size()));
        return false;
    }

    uint32_t origin_of(const Segment& segment, uint32_t scope) {
        const uint32_t resource = segment.scope_resource(scope);
        Origin origin{segment.resource_message(resource), segment.resource_schema_url(resource),
                      segment.scope_message(scope), segment.scope_schema_url(scope)};
        const auto [at, is_new] =
            numbers_.emplace(std::move(origin), static_cast<uint32_t>(numbers_.size()));
        if (is_new) origins_.push_back(&at->first);
        return at->second;
    }

    // ---- writing

    void write_requests() {
        std::vector<uint32_t> spans;
        size_t bytes = 0;
        ForwardRequest request;
        const auto end_request = [&] {
            request.bytes = message_of(spans);
            request.spans = spans.size();
            out_.requests.push_back(std::exchange(request, {}));
            spans.clear();
            bytes = 0;
        };
        for (uint32_t entry = 0; entry < entries_.size(); ++entry) {
            if (!spans.empty() && bytes + bytes_of_[entry] > limits_.request_bytes) end_request();
            std::vector<uint32_t>& own = spans_of_[entry];
            std::sort(own.begin(), own.end(), [&](uint32_t a, uint32_t b) {
                return std::tie(spans_[a].start_ns, a) < std::tie(spans_[b].start_ns, b);
            });
            for (const uint32_t span : own) {
                // Of a large trace some go ahead.
                if (bytes > limits_.request_bytes) end_request();
                spans.push_back(span);
                bytes += spans_[span].size;
            }
            request.traces += own.empty() ? 0 : 1;
            request.gone += own.empty() ? 1 : 0;
            request.rows.push_back(rows_[entry]);
            request.entries.push_back(std::move(entries_[entry]));
        }
        if (!request.entries.empty()) end_request();
    }

    // Grouped by resource and scope, in the order of their first span.
    std::string message_of(const std::vector<uint32_t>& spans) const {
        std::map<std::pair<std::string_view, std::string_view>, size_t> numbers;
        std::vector<std::vector<uint32_t>> resources;  // their origins
        std::map<uint32_t, std::vector<uint32_t>> spans_of;
        size_t size = 0;
        for (const uint32_t span : spans) {
            const uint32_t origin = spans_[span].origin;
            std::vector<uint32_t>& own = spans_of[origin];
            if (own.empty()) {
                const auto [at, is_new] = numbers.try_emplace(
                    {std::get<0>(*origins_[origin]), std::get<1>(*origins_[origin])},
                    resources.size());
                if (is_new) resources.emplace_back();
                resources[at->second].push_back(origin);
            }
            own.push_back(span);
            size += spans_[span].size + 8;
        }
        std::string out;
        out.reserve(size + size / 16 + 1024);
        otlp::WireWriter wire(out);
        for (const auto& scopes : resources) {
            const size_t resource_mark = wire.begin(1);
            const Origin& resource = *origins_[scopes.front()];
            if (!std::get<0>(resource).empty()) wire.bytes_field(1, std::get<0>(resource));
            for (const uint32_t origin : scopes) {
                const size_t scope_mark = wire.begin(2);
                const Origin& scope = *origins_[origin];
                if (!std::get<2>(scope).empty()) wire.bytes_field(1, std::get<2>(scope));
                for (const uint32_t span : spans_of.at(origin))
                    wire.bytes_field(2, bytes_of(spans_[span]));
                if (!std::get<3>(scope).empty()) wire.bytes_field(3, std::get<3>(scope));
                wire.end(scope_mark);
            }
            if (!std::get<1>(resource).empty()) wire.bytes_field(3, std::get<1>(resource));
            wire.end(resource_mark);
        }
        return out;
    }

    const store::Segments segments_;
    std::vector<ForwardEntry> entries_;
    const ForwardReadLimits& limits_;
    ForwardReading out_;
    std::vector<Part> parts_;
    std::vector<uint32_t> rows_;                   // by entry
    std::vector<size_t> bytes_of_;                 // by entry
    std::vector<std::vector<uint32_t>> spans_of_;  // by entry
    std::vector<Span> spans_;
    std::string bytes_;    // of the spans, end to end
    std::string message_;  // reused
    std::unordered_multimap<uint64_t, uint32_t> by_id_;
    std::map<Origin, uint32_t> numbers_;
    std::vector<const Origin*> origins_;
};

}  // namespace

ForwardReading read_forwarded(store::Segments segments, std::vector<ForwardEntry> entries,
                              const ForwardReadLimits& limits) {
    return Reading(segments, std::move(entries), limits).run();
}

}  // namespace spanloom::sampling
