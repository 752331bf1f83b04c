#pragma once

#include <algorithm>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "base/random.h"
#include "store/search.h"
#include "store/test_spans.h"

// For tests: spans as plain records, segments built from them, and searches answered by looking at
// every record.
namespace spanloom::store {

struct ModelSpan {
    uint64_t trace = 0;
    uint64_t span = 0;
    uint64_t parent = 0;  // 0: none
    uint64_t start = 0;
    uint64_t duration = 0;
    std::string service = {};
    std::string name = {};
    std::string user = {};  // empty: no attribute
    bool error = false;
    otlp::SpanKind kind = otlp::SpanKind::kUnspecified;

    auto operator<=>(const ModelSpan&) const = default;
};

inline void write_attribute(otlp::WireWriter& out, uint32_t field, const std::string& key,
                            const std::string& text) {
    const size_t mark = out.begin(field);
    out.bytes_field(1, key);
    const size_t value = out.begin(2);
    out.bytes_field(1, text);
    out.end(value);
    out.end(mark);
}

inline Batch batch_of(const std::vector<ModelSpan>& spans) {
    std::string bytes;
    otlp::WireWriter out(bytes);
    for (const ModelSpan& span : spans) {
        const size_t resource_spans = out.begin(1);
        const size_t resource = out.begin(1);
        write_attribute(out, 1, "service.name", span.service);
        out.end(resource);
        const size_t scope_spans = out.begin(2);
        const size_t mark = out.begin(2);
        out.bytes_field(1, test_trace_id(span.trace).view());
        out.bytes_field(2, test_span_id(span.span).view());
        if (span.parent != 0) out.bytes_field(4, test_span_id(span.parent).view());
        out.bytes_field(5, span.name);
        if (span.kind != otlp::SpanKind::kUnspecified)
            out.varint_field(6, static_cast<uint64_t>(span.kind));
        out.fixed64_field(7, span.start);
        out.fixed64_field(8, span.start + span.duration);
        if (!span.user.empty()) write_attribute(out, 9, "user.id", span.user);
        if (span.error) {
            const size_t status = out.begin(15);
            out.varint_field(3, 2);
            out.end(status);
        }
        out.end(mark);
        out.end(scope_spans);
        out.end(resource_spans);
    }
    Result<Batch> batch = otlp::decode(Blob::copy_of(bytes));
    SPANLOOM_ASSERT(batch.has_value());
    return std::move(*batch);
}

inline std::string shown(const TraceSummary& trace) {
    std::string out = trace.trace_id.hex() + " " + std::to_string(trace.start_ns) + "-" +
                      std::to_string(trace.end_ns) +
                      (trace.root_received ? " root " : " no root ") + trace.root_service + "/" +
                      trace.root_name + " spans " + std::to_string(trace.spans) + " errors " +
                      std::to_string(trace.errors) + " orphans " + std::to_string(trace.orphans) +
                      " matched " + std::to_string(trace.matched) + ":";
    for (const ServiceCount& service : trace.services) {
        out += " " + service.name + "=" + std::to_string(service.spans) + "," +
               std::to_string(service.errors);
    }
    for (const MatchedSpan& span : trace.matched_spans) {
        out += " [" + span.span_id.hex() + " " + span.name + " " + std::to_string(span.start_ns) +
               "+" + std::to_string(span.duration_ns) + "]";
    }
    return out;
}

class ModelStore {
  public:
    struct Answer {
        std::vector<std::string> lines;
        bool has_more = false;
    };

    ModelStore() = default;
    ModelStore(Random& random, uint64_t segments, uint64_t spans) {
        for (uint64_t i = 0; i < segments; ++i)
            add_segment(random, spans, random.below(3) * 500);
    }

    void add_segment(Random& random, uint64_t count, uint64_t base) {
        std::vector<ModelSpan> made;
        for (uint64_t i = 0; i < count; ++i) {
            if (!spans_.empty() && random.below(12) == 0) {
                const ModelSpan& resent = spans_[random.below(spans_.size())];
                if (base < 10'000) made.push_back(resent);
                continue;
            }
            ModelSpan span;
            span.trace = base / 1'000'000 * 1000 + random.below(60);
            span.span = random.below(12) == 0 ? random.below(40) : next_span_++;
            span.parent = random.below(4) == 0 ? 0 : 1 + random.below(next_span_ + 5);
            span.start = base + 1000 + random.below(4000);
            span.duration = random.below(1000);
            span.service = std::string(kServices[random.below(3)]);
            span.name = "op" + std::to_string(random.below(5));
            if (random.below(2) == 0) span.user = "u" + std::to_string(random.below(20));
            span.error = random.below(8) == 0;
            made.push_back(span);
        }
        add(made);
    }

    void add(std::vector<ModelSpan> spans) {
        spans_.insert(spans_.end(), spans.begin(), spans.end());
        SegmentBuilder builder({.row_group_rows = 16, .zstd_level = 0, .rollup = {}});
        builder.add(batch_of(spans));
        auto image = builder.finish();
        SPANLOOM_ASSERT(image.has_value());
        auto segment = Segment::open(std::move(*image));
        SPANLOOM_ASSERT(segment.has_value());
        segments_.push_back(std::move(*segment));
    }

    Segments segments() const { return segments_; }
    const std::vector<ModelSpan>& spans() const { return spans_; }
    TimeRange some_range(Random& random) const {
        const uint64_t start = 500 + random.below(5000);
        return {start, start + 1 + random.below(1500)};
    }

    Answer search(const SearchRequest& request) const {
        std::map<uint64_t, std::set<ModelSpan>> traces;
        for (const ModelSpan& span : spans_)
            traces[span.trace].insert(span);
        std::vector<TraceSummary> found;
        for (const auto& [number, spans] : traces) {
            const bool inside = std::any_of(spans.begin(), spans.end(), [&](const ModelSpan& span) {
                return span.start < request.range.end_ns &&
                       span.start + span.duration >= request.range.start_ns;
            });
            TraceSummary summary = summarized(number, spans, request);
            if (inside && summary.matched > 0) found.push_back(std::move(summary));
        }
        std::sort(found.begin(), found.end(), [](const TraceSummary& a, const TraceSummary& b) {
            if (a.start_ns != b.start_ns) return a.start_ns > b.start_ns;
            return a.trace_id < b.trace_id;
        });
        Answer answer;
        answer.has_more = found.size() > request.limit;
        if (answer.has_more) found.resize(request.limit);
        for (const TraceSummary& trace : found)
            answer.lines.push_back(shown(trace));
        return answer;
    }

    static bool holds(const Predicate& where, const ModelSpan& span) {
        const auto child = [&](const Predicate& one) { return holds(one, span); };
        switch (where.kind) {
            case Predicate::Kind::kTrue:
                return true;
            case Predicate::Kind::kAnd:
                return std::all_of(where.children.begin(), where.children.end(), child);
            case Predicate::Kind::kOr:
                return std::any_of(where.children.begin(), where.children.end(), child);
            case Predicate::Kind::kNot:
                return !child(where.children.front());
            default:
                break;
        }
        if (where.field.key == "service.name") return span.service == where.value.text;
        if (where.field.key == "user.id") return span.user == where.value.text;
        if (where.field.intrinsic == Intrinsic::kStatus) return span.error;
        return span.duration > static_cast<uint64_t>(where.value.integer);
    }

  private:
    static constexpr std::string_view kServices[] = {"cart", "front", "db"};

    static auto order(const ModelSpan& span) {
        return std::make_tuple(span.start, test_span_id(span.span));
    }

    static TraceSummary summarized(uint64_t number, const std::set<ModelSpan>& spans,
                                   const SearchRequest& request) {
        TraceSummary summary;
        summary.trace_id = test_trace_id(number);
        summary.start_ns = UINT64_MAX;
        std::map<std::string, ServiceCount> services;
        std::set<uint64_t> ids;
        for (const ModelSpan& span : spans)
            ids.insert(span.span);
        const ModelSpan* root = nullptr;
        const ModelSpan* first = nullptr;
        std::vector<const ModelSpan*> matches;
        for (const ModelSpan& span : spans) {
            summary.start_ns = std::min(summary.start_ns, span.start);
            summary.end_ns = std::max(summary.end_ns, span.start + span.duration);
            ++summary.spans;
            summary.errors += span.error ? 1 : 0;
            summary.orphans += span.parent != 0 && ids.count(span.parent) == 0 ? 1 : 0;
            ServiceCount& service = services[span.service];
            service.name = span.service;
            ++service.spans;
            service.errors += span.error ? 1 : 0;
            if (first == nullptr || order(span) < order(*first)) first = &span;
            if (span.parent == 0 && (root == nullptr || order(span) < order(*root))) root = &span;
            if (holds(request.where, span)) matches.push_back(&span);
        }
        summary.root_received = root != nullptr;
        const ModelSpan* shown_root = root != nullptr ? root : first;
        summary.root_service = shown_root->service;
        summary.root_name = shown_root->name;
        for (auto& [name, count] : services)
            summary.services.push_back(count);
        summary.matched = static_cast<uint32_t>(matches.size());
        std::sort(matches.begin(), matches.end(),
                  [](const ModelSpan* a, const ModelSpan* b) { return order(*a) < order(*b); });
        for (size_t i = 0; i < std::min<size_t>(matches.size(), request.spans_per_trace); ++i) {
            summary.matched_spans.push_back({test_span_id(matches[i]->span),
                                             matches[i]->name,
                                             matches[i]->start,
                                             matches[i]->duration,
                                             {}});
        }
        return summary;
    }

    std::vector<ModelSpan> spans_;
    std::vector<std::shared_ptr<const Segment>> segments_;
    uint64_t next_span_ = 100;
};

}  // namespace spanloom::store
