// The policies of the OpenTelemetry Collector's tail_sampling processor.
#include <algorithm>
#include <map>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/text.h"
#include "sampling/collector_policy.h"
#include "sampling/imported_rules.h"
#include "sampling/keep_rules.h"

namespace spanloom::sampling {
namespace {

using simdjson::dom::element;
using Rate = ImportedRule::Rate;

constexpr size_t kPoliciesMax = 1000;

template <typename... Args>
tl::unexpected<Error> cannot(fmt::format_string<Args...> format, Args&&... args) {
    return fail(ErrorCode::kUnsupported, "{}", fmt::format(format, std::forward<Args>(args)...));
}

// The order in which rules must stand, as the first that matches decides.
enum class Place : uint8_t { kDrop, kWhole, kShare, kLimited };

struct Placed {
    Place place = Place::kWhole;
    ImportedRule rule;
    size_t policy = 0;  // index of its note
    std::string salt;   // of a share
};

// A drop policy that takes only a share of what matches; others decide about the rest.
struct PartialDrop {
    std::string name;
    TraceCondition condition;
    double left = 1;  // share of what it leaves
    std::string salt;
    size_t policy = 0;
};

class CollectorImport {
  public:
    CollectorImport(std::string source, const ImportOptions& options)
        : options_(options), reader_(options_) {
        out_.source = std::move(source);
    }

    void add(const element& policy) {
        const std::string name = text_at(policy, "name").value_or("");
        const std::string type = text_at(policy, "type").value_or("");
        policy_ = out_.notes.size();
        PolicyReport report(fmt::format("'{}' ({})", name, type), out_);
        Result<void> added = {};
        if (type == "drop") {
            added = add_drop(name, policy, report);
        } else if (type == "composite") {
            added = add_composite(name, policy, report);
        } else {
            added = add_choice(name, policy, report);
        }
        if (!added) report.left_out(added.error().message);
        report.finish();
    }

    ImportedPolicies finish(const element& settings) {
        std::stable_sort(rules_.begin(), rules_.end(), [](const Placed& a, const Placed& b) {
            if (a.place != b.place) return a.place < b.place;
            // So that it is known why a trace stayed, those for every trace come last.
            if (a.place == Place::kWhole)
                return !a.rule.condition.is_everything() && b.rule.condition.is_everything();
            return a.place == Place::kShare && a.rule.rate > b.rule.rate;
        });
        leave_out_unreachable();
        for (const PartialDrop& drop : partial_drops_)
            thin(drop);
        note_knobs(settings);
        for (Placed& placed : rules_)
            out_.rules.push_back(std::move(placed.rule));
        finish_rules(out_.rules);
        out_.wait = text_at(settings, "decision_wait").value_or("30s");
        if (!parse_duration_ns(out_.wait)) out_.wait = "30s";
        return std::move(out_);
    }

  private:
    void place(Place place, std::string name, TraceCondition condition, double rate,
               Rate kind = Rate::kShare) {
        rules_.push_back(
            {place, {std::move(name), std::move(condition), kind, rate, {}}, policy_, {}});
    }

    Result<void> add_choice(const std::string& name, const element& policy, PolicyReport& report) {
        TRY_ASSIGN(const PolicyChoice choice, reader_.read(policy));
        report_on(choice, report);
        if (choice.dropped) {
            place(Place::kDrop, name + " not", *choice.dropped, 0);
            report.differs(fmt::format(
                "invert_match: what its condition finds goes by a rule of its own, '{} not', "
                "before all others, as with Collectors that decide so; leave that rule out where "
                "the Collector's gate disableinvertdecisions is on or it is too new to have it",
                name));
        }
        if (choice.per_second) {
            place(Place::kLimited, name, choice.condition, *choice.per_second, Rate::kPerSecond);
        } else {
            const double share = choice.share.value_or(1);
            place(share < 1 ? Place::kShare : Place::kWhole, name, choice.condition, share);
            rules_.back().salt = choice.salt;
        }
        return {};
    }

    Result<void> add_drop(const std::string& name, const element& policy, PolicyReport& report) {
        element settings;
        if (policy["drop"].get(settings)) settings = policy;
        TRY_ASSIGN(const PolicyChoice choice, reader_.all_of(list_at(settings, "drop_sub_policy")));
        if (choice.per_second)
            return cannot(
                "so many a second would be dropped, and the rest be looked at by others; a rule "
                "decides about all that it matches");
        report_on(choice, report);
        if (choice.share.value_or(1) < 1) {
            if (!partial_drops_.empty())
                report.differs(
                    "of the shares of several drop policies each is taken from what the other "
                    "leaves");
            partial_drops_.push_back(
                {name, choice.condition, 1 - *choice.share, choice.salt, policy_});
            return {};
        }
        if (choice.condition.is_everything()) return cannot("it would drop every trace");
        place(Place::kDrop, name, choice.condition, 0);
        return {};
    }

    Result<void> add_composite(const std::string& name, const element& policy,
                               PolicyReport& report) {
        element settings;
        if (policy["composite"].get(settings)) settings = policy;
        const double total = number_at(settings, "max_total_spans_per_second").value_or(0);
        if (!(total > 0)) return cannot("max_total_spans_per_second is not a number above 0");
        std::map<std::string, element> parts;
        for (const element& part : list_at(settings, "composite_sub_policy"))
            parts.emplace(text_at(part, "name").value_or(""), part);
        if (parts.empty()) return cannot("it has no composite_sub_policy");
        std::map<std::string, double> percents;
        for (const element& one : list_at(settings, "rate_allocation"))
            percents[text_at(one, "policy").value_or("")] = number_at(one, "percent").value_or(0);
        report.differs(fmt::format(
            "each part has its own rule and limit; rules count traces, one is taken to have {} "
            "spans (--spans-per-trace)",
            plain_number(options_.spans_per_trace)));
        for (const std::string& part : texts_at(settings, "policy_order")) {
            const auto found = parts.find(part);
            if (found == parts.end()) {
                report.differs(fmt::format("policy_order names '{}', which is not there", part));
                continue;
            }
            const Result<PolicyChoice> choice = reader_.read(found->second);
            if (!choice) {
                report.differs(
                    fmt::format("its part '{}' is left out: {}", part, choice.error().message));
                continue;
            }
            const double percent =
                percents[part] > 0 ? percents[part] : 100 / static_cast<double>(parts.size());
            double per_second = reader_.traces_per_s(total * percent / 100);
            if (choice->per_second) per_second = std::min(per_second, *choice->per_second);
            if (choice->share)
                report.differs(fmt::format("the share of its part '{}' is not taken", part));
            place(Place::kLimited, name + " " + part, choice->condition, per_second,
                  Rate::kPerSecond);
        }
        return {};
    }

    static void report_on(const PolicyChoice& choice, PolicyReport& report) {
        for (const std::string& text : choice.remarks)
            report.remark(text);
        for (const std::string& text : choice.differs)
            report.differs(text);
    }

    void differs(size_t policy, std::string_view text) {
        PolicyNote& note = out_.notes[policy];
        note.outcome = PolicyNote::Outcome::kDiffers;
        if (!note.text.empty()) note.text += "; ";
        note.text += text;
    }

    // By one hash the same traces come first for both: what is dropped is taken from what the share
    // would keep.
    static double share_left(const Placed& placed, const PartialDrop& drop) {
        const bool is_one_hash = placed.place == Place::kShare && placed.salt == drop.salt;
        return share_of_rule(is_one_hash ? placed.rule.rate - (1 - drop.left)
                                         : placed.rule.rate * drop.left);
    }

    // Of what a part is dropped of each rule keeps so much less, by rules that stand before it.
    void thin(const PartialDrop& drop) {
        const bool is_of_all = drop.condition.is_everything();
        std::vector<Placed> dropped;
        std::vector<Placed> thinned;
        std::vector<Placed> others;
        bool has_limits = false;
        for (const Placed& placed : rules_) {
            // Those of other shares stay behind what they leave.
            if (placed.place == Place::kDrop && thinned.empty()) {
                dropped.push_back(placed);
                continue;
            }
            Placed& thinner = thinned.emplace_back(placed);
            has_limits |= placed.place == Place::kLimited;
            if (placed.place != Place::kLimited) thinner.rule.rate = share_left(placed, drop);
            if (is_of_all) continue;
            thinner.rule.condition = drop.condition;
            thinner.rule.condition.add(placed.rule.condition);
            thinner.rule.name = fmt::format("{} of {}", placed.rule.name, drop.name);
            others.push_back(placed);
        }
        if (dropped.size() + thinned.size() + others.size() + 1 > kKeepRulesMax) {
            out_.notes[drop.policy] = {
                PolicyNote::Outcome::kLeftOut, out_.notes[drop.policy].policy,
                fmt::format("it would need a rule beside each other one, more than {} in all",
                            kKeepRulesMax)};
            return;
        }
        rules_ = std::move(dropped);
        rules_.insert(rules_.end(), thinned.begin(), thinned.end());
        if (!is_of_all) {
            rules_.push_back(
                {Place::kDrop, {drop.name, drop.condition, Rate::kShare, 0, {}}, drop.policy, {}});
            rules_.insert(rules_.end(), others.begin(), others.end());
        }
        if (has_limits)
            differs(drop.policy,
                    is_of_all ? "rules with a limit keep as many a second as without it"
                              : "what it leaves counts for limits of its own, not those of the "
                                "others");
    }

    // Settings of the processor that have a say in what stays.
    void note_knobs(const element& settings) {
        const auto note = [&](std::string_view knob, PolicyNote::Outcome outcome,
                              std::string text) {
            out_.notes.push_back({outcome, std::string(knob), std::move(text)});
        };
        if (number_at(settings, "maximum_trace_size_bytes").value_or(0) > 0)
            note("maximum_trace_size_bytes", PolicyNote::Outcome::kLeftOut,
                 "rules do not know of bytes; `match: '({ } | count()) > N', rate: 0` as the first "
                 "rule finds traces of many spans");
        if (text_at(settings, "sampling_strategy") == "span-ingest")
            note("sampling_strategy", PolicyNote::Outcome::kDiffers,
                 "rules see the trace whole, not each part as it arrives");
    }

    // What stands behind a rule for every trace.
    void leave_out_unreachable() {
        const auto last = std::find_if(rules_.begin(), rules_.end(), [](const Placed& placed) {
            return placed.rule.condition.is_everything();
        });
        if (last == rules_.end()) return;
        for (auto placed = last + 1; placed != rules_.end(); ++placed) {
            PolicyNote& note = out_.notes[placed->policy];
            if (last->place == Place::kWhole) {
                note.outcome = PolicyNote::Outcome::kSame;
                note.text =
                    fmt::format("no rule is needed, as '{}' keeps every trace", last->rule.name);
                continue;
            }
            differs(placed->policy,
                    fmt::format("its rule is left out, as '{}' decides about every trace before "
                                "it; the Collector keeps what either chooses: raise the rate of "
                                "'{}' if that is too little",
                                last->rule.name, last->rule.name));
        }
        rules_.erase(last + 1, rules_.end());
    }

    const ImportOptions options_;
    CollectorReader reader_;
    ImportedPolicies out_;
    std::vector<Placed> rules_;
    std::vector<PartialDrop> partial_drops_;
    size_t policy_ = 0;
};

}  // namespace

Result<ImportedPolicies> import_collector(const element& tail_sampling, std::string source,
                                          const ImportOptions& options) {
    const std::vector<element> policies = list_at(tail_sampling, "policies");
    if (policies.empty()) return fail(ErrorCode::kInvalidArgument, "{} has no policies", source);
    if (policies.size() > kPoliciesMax)
        return fail(ErrorCode::kInvalidArgument, "{} has {} policies, at most {} are taken", source,
                    policies.size(), kPoliciesMax);
    CollectorImport import(std::move(source), options);
    for (const element& policy : policies)
        import.add(policy);
    return import.finish(tail_sampling);
}

}  // namespace spanloom::sampling
