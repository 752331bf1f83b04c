#include "sampling/why.h"

#include <algorithm>

#include <fmt/format.h>
#include <simdjson.h>

#include "base/log.h"
#include "base/text.h"
#include "otlp/tracestate.h"
#include "sampling/ago.h"

namespace spanloom::sampling {
namespace {

// To the two digits that are known for sure.
int64_t rounded(uint64_t value) {
    uint64_t unit = 1;
    while (value / unit >= 100)
        unit *= 10;
    return static_cast<int64_t>((value + unit / 2) / unit * unit);
}

// The rule's own text, out of all rules that were in force.
std::string rule_of(std::string_view rules_json, std::string_view name) {
    simdjson::dom::parser parser;
    simdjson::dom::array rules;
    if (parser.parse(rules_json.data(), rules_json.size())["keep"].get(rules) != simdjson::SUCCESS)
        return {};
    for (const simdjson::dom::element rule : rules) {
        std::string_view of_rule;
        if (rule["name"].get(of_rule) == simdjson::SUCCESS && of_rule == name)
            return simdjson::minify(rule);
    }
    return {};
}

uint64_t spans_in(const std::vector<std::shared_ptr<const store::Segment>>& segments,
                  const TraceId& id) {
    uint64_t spans = 0;
    for (const auto& segment : segments) {
        const auto fragment = segment->find(id);
        if (fragment && *fragment) spans += (*fragment)->rows;
    }
    return spans;
}

}  // namespace

std::string_view fate_name(Fate fate) {
    switch (fate) {
        case Fate::kDropped:
            return "dropped";
        case Fate::kKept:
            return "kept";
        case Fate::kDroppedLate:
            return "dropped_late";
        case Fate::kKeptLate:
            return "kept_late";
        case Fate::kThinned:
            return "thinned";
    }
    return "unknown";
}

std::string_view state_name(WhyAnswer::State state) {
    switch (state) {
        case WhyAnswer::State::kUnknown:
            return "unknown";
        case WhyAnswer::State::kRecent:
            return "recent";
        case WhyAnswer::State::kKept:
            return "kept";
        case WhyAnswer::State::kDropped:
            return "dropped";
    }
    return "unknown";
}

Result<WhyAnswer> explain_trace(const store::Store& store, const Keeper& keeper,
                                std::string_view tenant, const TraceId& id) {
    WhyAnswer answer;
    answer.is_pinned = keeper.is_pinned(id);
    for (const store::DecisionsFile& file : store.decisions(tenant)) {
        answer.known_since_ns = file.at_ns;  // newest first
        auto opened = store.open_decisions(file);
        // Retention may have been faster.
        if (!opened && opened.error().code == ErrorCode::kNotFound) continue;
        if (!opened) return tl::unexpected(std::move(opened).error());
        TRY_ASSIGN(const DecisionLogReader log, DecisionLogReader::open(std::move(*opened)));
        TRY_ASSIGN(const std::vector<Decision> found, log.find(id));
        if (found.size() > 1) answer.is_ambiguous = true;
        for (const Decision& decision : found) {
            WhyAnswer::Noted noted;
            noted.decision = decision;
            noted.at_ns = log.facts().at_ns;
            noted.hour = log.facts().hour;
            noted.source = log.facts().source;
            noted.version = log.facts().version;
            if (decision.outcome.rule != Outcome::kNoRule) {
                noted.rule = log.facts().rules[decision.outcome.rule].name;
                noted.rule_json = rule_of(log.facts().rules_json, noted.rule);
            }
            answer.decisions.push_back(std::move(noted));
        }
    }
    answer.stored_spans = spans_in(store.snapshot(tenant), id);
    if (!answer.decisions.empty()) {
        const bool is_kept = sampling::is_kept(answer.decisions.front().decision.outcome.fate);
        answer.state = is_kept ? WhyAnswer::State::kKept : WhyAnswer::State::kDropped;
    } else if (answer.stored_spans > 0) {
        answer.state = spans_in(store.recent(tenant), id) > 0 ? WhyAnswer::State::kRecent
                                                              : WhyAnswer::State::kKept;
    }
    return answer;
}

std::string WhyAnswer::text(const TraceId& id, uint64_t now_ns) const {
    if (decisions.empty()) {
        const char* const pin = is_pinned ? "; it is pinned and stays for ever" : "";
        if (state == State::kRecent)
            return fmt::format("{} is recent: its fate is not decided yet{}; {} spans", id.hex(),
                               pin, stored_spans);
        if (state == State::kKept)
            return fmt::format("{} is stored{}; why is not known any more; {} spans", id.hex(), pin,
                               stored_spans);
        if (known_since_ns == 0)
            return fmt::format("{} is not stored, and no trace was dropped yet: it never came",
                               id.hex());
        return fmt::format(
            "{} is not stored, and was not decided about since {}: it never came, or went before",
            id.hex(), format_rfc3339_ns(known_since_ns));
    }
    // The first decision is about the trace, others are about spans that came late, or that it went
    // for want of room.
    const Noted& noted = decisions.back();
    const Decision& decision = noted.decision;
    std::string text =
        fmt::format("{} was {} {}", id.hex(), is_kept(decision.outcome.fate) ? "kept" : "dropped",
                    format_ago(noted.at_ns, now_ns));
    text += noted.rule.empty() ? ", no rule matched" : fmt::format(" by rule '{}'", noted.rule);
    const uint64_t threshold = decision.outcome.threshold;
    if (threshold >= otlp::kThresholdEnd) {
        text += ", which keeps none";
    } else if (threshold > 0) {
        text += fmt::format(", 1 in {:.4g}", otlp::adjusted_count(threshold).value);
    }
    text += fmt::format("; {} span{}, {}, {}", decision.spans, decision.spans == 1 ? "" : "s",
                        format_duration_ns(rounded(decision.duration_ns)),
                        decision.has_error ? "with an error" : "no error");
    const bool is_thinned = decisions.front().decision.outcome.fate == Fate::kThinned;
    if (is_thinned)
        text +=
            fmt::format("; dropped {} for want of room, when 1 in {:.4g} stayed",
                        format_ago(decisions.front().at_ns, now_ns),
                        otlp::adjusted_count(decisions.front().decision.outcome.threshold).value);
    const size_t late = decisions.size() - 1 - (is_thinned ? 1 : 0);
    if (late > 0) text += fmt::format("; spans came late, {} time{}", late, late == 1 ? "" : "s");
    if (is_pinned) text += "; it is pinned";
    if (is_ambiguous) text += "; another trace has the same hash: either may be meant";
    if (is_kept(decision.outcome.fate) && stored_spans == 0)
        text += "; it is gone since, by retention";
    return text;
}

}  // namespace spanloom::sampling
