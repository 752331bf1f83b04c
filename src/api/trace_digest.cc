#include "api/trace_digest.h"

#include <algorithm>
#include <map>
#include <vector>

#include <fmt/format.h>

#include "base/text.h"

namespace spanloom::api {
namespace {

constexpr size_t kErrorsShown = 20;
constexpr size_t kPathShown = 40;
constexpr size_t kOperationsShown = 40;
constexpr size_t kTextMax = 300;  // of one value

std::string cut(std::string_view text) {
    std::string out = replace_invalid_utf8(text.substr(0, kTextMax));
    return text.size() > kTextMax ? out + "..." : out;
}

std::string duration(uint64_t ns) {
    return format_duration_ns(static_cast<int64_t>(std::min<uint64_t>(ns, INT64_MAX)));
}

class Digest {
  public:
    Digest(const traceql::Trace& trace, size_t bytes_max) : trace_(trace), bytes_max_(bytes_max) {
        children_.resize(trace.spans.size());
        for (uint32_t row = 0; row < trace.spans.size(); ++row) {
            if (trace.parent[row] >= 0)
                children_[static_cast<size_t>(trace.parent[row])].push_back(row);
        }
    }

    std::string text() {
        head();
        errors();
        critical_path();
        operations();
        return std::move(out_);
    }

  private:
    template <typename... Args>
    void line(fmt::format_string<Args...> text, Args&&... args) {
        if (out_.size() < bytes_max_)
            fmt::format_to(std::back_inserter(out_), text, std::forward<Args>(args)...);
    }

    std::string named(uint32_t row) const {
        return fmt::format("{} {}", cut(trace_.service_of(row)), cut(trace_.spans[row].name));
    }

    void head() {
        const std::string id = trace_.spans.empty() ? "" : trace_.spans[0].trace_id.hex();
        size_t roots = 0;
        size_t orphans = 0;
        for (const int32_t parent : trace_.parent) {
            roots += parent == traceql::Trace::kRoot ? 1 : 0;
            orphans += parent == traceql::Trace::kOrphan ? 1 : 0;
        }
        line("Trace {}: {} spans, started {}, took {}", id, trace_.spans.size(),
             format_rfc3339_ns(trace_.start_ns),
             duration(trace_.end_ns - std::min(trace_.end_ns, trace_.start_ns)));
        if (trace_.root >= 0) line(", root {}", named(static_cast<uint32_t>(trace_.root)));
        line("\n");
        if (roots > 1) line("It has {} roots.\n", roots);
        if (orphans > 0) line("{} spans have a parent that was not received.\n", orphans);
        if (trace_.is_partial) line("A part of it is damaged on disk.\n");
    }

    // Deepest first would hide causes: in the order in which they began.
    void errors() {
        size_t count = 0;
        for (const uint32_t row : trace_.preorder) {
            const otlp::SpanView& span = trace_.spans[row];
            if (span.status != otlp::StatusCode::kError) continue;
            if (count++ == 0) line("\nErrors:\n");
            if (count > kErrorsShown) continue;
            line("- {} (span {}) after {}: {}\n", named(row), span.span_id.hex(),
                 duration(span.start_ns - std::min(span.start_ns, trace_.start_ns)),
                 cut(span.status_message));
            exception_of(span);
        }
        if (count > kErrorsShown) line("- and {} more\n", count - kErrorsShown);
        if (count == 0) line("\nNo span failed.\n");
    }

    void exception_of(const otlp::SpanView& span) {
        for (const otlp::EventView event : span.events()) {
            if (event.name != "exception") continue;
            for (const otlp::AttributeView attribute : event.attributes()) {
                if (attribute.key == "exception.type" || attribute.key == "exception.message")
                    line("    {}: {}\n", attribute.key, cut(attribute.value.bytes));
            }
        }
    }

    // From the root's end backwards: of the children that end before the moment looked at, the last
    // one decided; what lies between belongs to the span itself.
    void critical_path() {
        if (trace_.root < 0) return;
        struct Step {
            uint32_t row = 0;
            uint64_t own_ns = 0;
        };
        std::vector<Step> path;
        struct Visit {
            uint32_t row;
            uint64_t until_ns;
        };
        std::vector<Visit> waiting = {{static_cast<uint32_t>(trace_.root),
                                       trace_.spans[static_cast<size_t>(trace_.root)].end_ns}};
        while (!waiting.empty() && path.size() < trace_.spans.size()) {
            const Visit visit = waiting.back();
            waiting.pop_back();
            const otlp::SpanView& span = trace_.spans[visit.row];
            uint64_t at = std::min(visit.until_ns, span.end_ns);
            uint64_t own = 0;
            std::vector<uint32_t> sorted = children_[visit.row];
            std::sort(sorted.begin(), sorted.end(), [&](uint32_t a, uint32_t b) {
                return trace_.spans[a].end_ns > trace_.spans[b].end_ns;
            });
            for (const uint32_t child : sorted) {
                const otlp::SpanView& inner = trace_.spans[child];
                if (inner.end_ns > at || inner.start_ns < span.start_ns) continue;
                own += at - inner.end_ns;
                waiting.push_back({child, inner.end_ns});
                at = inner.start_ns;
            }
            own += at - std::min(at, span.start_ns);
            path.push_back({visit.row, own});
        }
        std::sort(path.begin(), path.end(),
                  [](const Step& a, const Step& b) { return a.own_ns > b.own_ns; });
        line("\nCritical path (what decided how long it took), by own time:\n");
        for (size_t i = 0; i < std::min(path.size(), kPathShown); ++i) {
            if (path[i].own_ns == 0) break;
            line("- {} of {} (span {}, whole {})\n", duration(path[i].own_ns), named(path[i].row),
                 trace_.spans[path[i].row].span_id.hex(),
                 duration(trace_.spans[path[i].row].duration_ns()));
        }
    }

    void operations() {
        struct Totals {
            uint64_t spans = 0;
            uint64_t errors = 0;
            uint64_t sum_ns = 0;
            uint64_t max_ns = 0;
        };
        std::map<std::string, Totals> by_name;
        for (uint32_t row = 0; row < trace_.spans.size(); ++row) {
            const otlp::SpanView& span = trace_.spans[row];
            Totals& totals = by_name[named(row)];
            ++totals.spans;
            totals.errors += span.status == otlp::StatusCode::kError ? 1 : 0;
            totals.sum_ns += span.duration_ns();
            totals.max_ns = std::max(totals.max_ns, span.duration_ns());
        }
        std::vector<std::pair<std::string, Totals>> sorted(by_name.begin(), by_name.end());
        std::stable_sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) {
            return a.second.sum_ns > b.second.sum_ns;
        });
        line("\nOperations, by time:\n");
        for (size_t i = 0; i < std::min(sorted.size(), kOperationsShown); ++i) {
            const Totals& totals = sorted[i].second;
            line("- {}: {} times, {} together, longest {}{}\n", sorted[i].first, totals.spans,
                 duration(totals.sum_ns), duration(totals.max_ns),
                 totals.errors > 0 ? fmt::format(", {} failed", totals.errors) : "");
        }
        if (sorted.size() > kOperationsShown)
            line("- and {} more operations\n", sorted.size() - kOperationsShown);
    }

    const traceql::Trace& trace_;
    const size_t bytes_max_;
    std::vector<std::vector<uint32_t>> children_;
    std::string out_;
};

}  // namespace

std::string digest_trace(const traceql::Trace& trace, size_t bytes_max) {
    return Digest(trace, bytes_max).text();
}

}  // namespace spanloom::api
