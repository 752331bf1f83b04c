#include "main/trace_tree.h"

#include <algorithm>
#include <unordered_map>
#include <vector>

#include <fmt/format.h>

#include "base/text.h"

namespace spanloom {
namespace {

struct Node {
    otlp::SpanView span;
    std::string service;
    std::vector<uint32_t> children;
    bool is_orphan = false;
    bool is_drawn = false;
};

struct Line {
    uint32_t node;
    uint32_t depth;
};

std::vector<Node> read_nodes(const Batch& trace) {
    std::vector<Node> nodes;
    nodes.reserve(trace.spans.size());
    for (const SpanRef& ref : trace.spans) {
        Node node;
        node.span = trace.span(ref);
        const ResourceRef& resource = trace.resources[trace.scopes[ref.scope].resource];
        node.service = std::string(trace.resource(resource).service_name());
        nodes.push_back(std::move(node));
    }
    std::sort(nodes.begin(), nodes.end(),
              [](const Node& a, const Node& b) { return a.span.start_ns < b.span.start_ns; });
    return nodes;
}

// Depth first from every root and orphan; what a cycle of parents hides is drawn from its earliest
// span.
std::vector<Line> order(std::vector<Node>& nodes) {
    std::unordered_map<SpanId, uint32_t> by_id;
    for (uint32_t i = 0; i < nodes.size(); ++i)
        by_id.try_emplace(nodes[i].span.span_id, i);
    std::vector<uint32_t> tops;
    for (uint32_t i = 0; i < nodes.size(); ++i) {
        const SpanId parent = nodes[i].span.parent_span_id;
        const auto found = by_id.find(parent);
        if (parent.is_zero() || found == by_id.end() || found->second == i) {
            nodes[i].is_orphan = !parent.is_zero();
            tops.push_back(i);
        } else {
            nodes[found->second].children.push_back(i);
        }
    }
    for (uint32_t i = 0; i < nodes.size(); ++i)
        tops.push_back(i);
    std::vector<Line> lines;
    std::vector<Line> waiting;
    for (const uint32_t top : tops) {
        waiting.push_back({top, 0});
        while (!waiting.empty()) {
            const Line line = waiting.back();
            waiting.pop_back();
            if (nodes[line.node].is_drawn) continue;
            nodes[line.node].is_drawn = true;
            lines.push_back(line);
            const auto& children = nodes[line.node].children;
            for (auto child = children.rbegin(); child != children.rend(); ++child)
                waiting.push_back({*child, line.depth + 1});
        }
    }
    return lines;
}

std::string draw_bar(const Node& node, uint64_t first_ns, uint64_t whole_ns, size_t width) {
    const auto place = [&](uint64_t ns) {
        const double share = static_cast<double>(ns - std::min(ns, first_ns)) /
                             static_cast<double>(std::max<uint64_t>(whole_ns, 1));
        return std::min(width, static_cast<size_t>(share * static_cast<double>(width)));
    };
    const size_t from = std::min(place(node.span.start_ns), width - 1);
    const size_t to = std::max(from + 1, place(node.span.start_ns + node.span.duration_ns()));
    std::string bar;
    for (size_t i = 0; i < width; ++i)
        bar += i >= from && i < to ? "█" : " ";
    return bar;
}

}  // namespace

std::string draw_trace(const Batch& trace, const Terminal& terminal) {
    std::vector<Node> nodes = read_nodes(trace);
    if (nodes.empty()) return "the trace has no spans\n";
    const std::vector<Line> lines = order(nodes);
    uint64_t first_ns = UINT64_MAX;
    uint64_t last_ns = 0;
    size_t errors = 0;
    for (const Node& node : nodes) {
        first_ns = std::min(first_ns, node.span.start_ns);
        last_ns = std::max(last_ns, node.span.start_ns + node.span.duration_ns());
        errors += node.span.status == otlp::StatusCode::kError ? 1 : 0;
    }
    const auto whole_ns = last_ns - first_ns;
    constexpr size_t kDurationWidth = 10;
    const size_t bar_width = std::max<size_t>(10, terminal.columns / 4);
    const size_t name_width = std::max<size_t>(
        24, terminal.columns - std::min<size_t>(terminal.columns, bar_width + kDurationWidth + 3));
    std::string out =
        fmt::format("trace {}  {}  {} span{}  {} error{}\n", nodes.front().span.trace_id.hex(),
                    format_duration_ns(static_cast<int64_t>(whole_ns)), nodes.size(),
                    nodes.size() == 1 ? "" : "s", errors, errors == 1 ? "" : "s");
    const char* red = terminal.has_colour ? "\033[31m" : "";
    const char* dim = terminal.has_colour ? "\033[2m" : "";
    const char* plain = terminal.has_colour ? "\033[0m" : "";
    constexpr uint32_t kIndentMax = 40;  // deeper spans stay readable
    for (const Line& line : lines) {
        const Node& node = nodes[line.node];
        const bool is_error = node.span.status == otlp::StatusCode::kError;
        std::string label(std::min(line.depth, kIndentMax) * 2, ' ');
        label += fmt::format("{}{} {}",
                             is_error         ? "x "
                             : node.is_orphan ? "? "
                                              : "",
                             printable(node.service), printable(node.span.name));
        label = fit(label, name_width);
        label.append(name_width - display_width(label), ' ');
        const std::string duration =
            format_duration_ns(static_cast<int64_t>(node.span.duration_ns()));
        const size_t padding = kDurationWidth - std::min(kDurationWidth, display_width(duration));
        fmt::format_to(std::back_inserter(out), "{}{}{} {}{} {}{}{}\n", is_error ? red : "", label,
                       plain, std::string(padding, ' '), duration, dim,
                       draw_bar(node, first_ns, whole_ns, bar_width), plain);
    }
    return out;
}

}  // namespace spanloom
