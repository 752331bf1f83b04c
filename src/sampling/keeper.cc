#include "sampling/keeper.h"

#include <algorithm>
#include <map>
#include <unordered_map>
#include <utility>

#include <simdjson.h>

#include "base/json_writer.h"
#include "base/log.h"
#include "base/text.h"
#include "otlp/tracestate.h"
#include "sampling/verdicts.h"

namespace spanloom::sampling {
namespace {

constexpr const char* kTenant = "default";  // rules are those of all tenants
constexpr const char* kRulesName = "rules";
constexpr uint64_t kHourSeconds = 3600;
// Spans that come later than that after the others make a trace of their own.
constexpr uint64_t kFollowHours = 48;

std::string pin_body(const Pin& pin) {
    std::string body;
    JsonWriter json(body);
    json.begin_object().field("by", pin.by).field("reason", pin.reason).end_object();
    return body;
}

store::Keeping kept_for_ever() {
    return {std::string(kPinnedRule), store::Keeping::kForEver};
}

std::optional<TraceId> id_of_name(std::string_view name) {
    TraceId id;
    if (!parse_hex(name, id.bytes)) return std::nullopt;
    return id;
}

DecisionFacts facts_of(const store::AgeingQuestion& question, const RulesInForce& in_force,
                       uint64_t hash_key, uint64_t now_ns) {
    DecisionFacts facts;
    facts.hash_key = hash_key;
    facts.hour = question.hour;
    facts.at_ns = now_ns;
    facts.source = in_force.source;
    facts.version = in_force.version;
    facts.rules_json = print_keep_rules(in_force.value);
    return facts;
}

// Puts together what the store is told, and what is noted of it.
class Deciding {
  public:
    Deciding(const RulesInForce& in_force, const SurveyedTraces& traces, DecisionFacts facts)
        : in_force_(in_force), traces_(traces), log_(std::move(facts)) {
        answer_.rule_of.assign(traces.size(), store::AgeingAnswer::kDrop);
        answer_.thresholds.assign(traces.size(), 0);
    }

    void by_rule(uint32_t trace, const Verdict& verdict) {
        Outcome outcome;
        outcome.fate = verdict.is_kept ? Fate::kKept : Fate::kDropped;
        outcome.threshold = verdict.threshold;
        DecisionFacts::Rule rule;
        const bool has_rule = verdict.rule != Verdict::kNoRule;
        if (has_rule) {
            const KeepRule& chosen = in_force_.value.keep[verdict.rule];
            rule = {chosen.name, chosen.for_ms};
        }
        add(trace, outcome, has_rule ? &rule : nullptr);
    }
    // Whether it was dropped or kept when its first spans aged.
    void late(uint32_t trace, bool is_kept, const DecisionFacts::Rule* rule, uint64_t threshold) {
        Outcome outcome;
        outcome.fate = is_kept ? Fate::kKeptLate : Fate::kDroppedLate;
        outcome.threshold = threshold;
        add(trace, outcome, rule);
    }
    void pinned(uint32_t trace) {
        const DecisionFacts::Rule rule{std::string(kPinnedRule), kept_for_ever().for_ms};
        add(trace, {0, Fate::kKept, 0}, &rule);
    }
    store::AgeingAnswer finish() {
        answer_.decisions = log_.finish();
        return std::move(answer_);
    }

  private:
    void add(uint32_t trace, Outcome outcome, const DecisionFacts::Rule* rule) {
        outcome.rule = rule == nullptr ? Outcome::kNoRule : log_.rule(*rule);
        Decision decision;
        decision.outcome = outcome;
        decision.spans = traces_.spans[trace];
        decision.has_error = traces_.has_error[trace] != 0;
        decision.bytes = traces_.bytes[trace];
        decision.duration_ns = traces_.duration_ns[trace];
        log_.add(traces_.ids[trace], decision);
        if (!is_kept(outcome.fate) || rule == nullptr) return;
        const auto [at, is_new] =
            numbers_.try_emplace(*rule, static_cast<uint32_t>(answer_.rules.size()));
        if (is_new) answer_.rules.push_back({rule->name, rule->for_ms, 0});
        answer_.rule_of[trace] = at->second;
        answer_.thresholds[trace] = outcome.threshold;
    }

    const RulesInForce& in_force_;
    const SurveyedTraces& traces_;
    DecisionLogWriter log_;
    store::AgeingAnswer answer_;
    std::map<DecisionFacts::Rule, uint32_t> numbers_;
};

}  // namespace

Keeper::Keeper(store::Store& store, const Clock& clock, Random& random, MetricsRegistry& metrics,
               std::optional<KeepRules> configured)
    : store_(store),
      clock_(clock),
      fresh_hash_key_(random.next()),
      late_traces_(metrics.counter("store_aged_late_traces_total",
                                   "Traces of which spans came after their fate was decided")),
      setting_(SettingDocument(store.documents(), clock, kRulesKind, kRulesName, "keep rules"),
               {parse_keep_rules, print_keep_rules}, std::move(configured), default_keep_rules()) {}

Result<std::shared_ptr<Keeper>> Keeper::start(store::Store& store, const Clock& clock,
                                              Random& random, MetricsRegistry& metrics,
                                              std::optional<KeepRules> configured) {
    std::shared_ptr<Keeper> keeper(
        new Keeper(store, clock, random, metrics, std::move(configured)));
    TRY(keeper->load());
    return keeper;
}

Result<void> Keeper::load() {
    const Result<std::vector<Pin>> pins = this->pins();
    if (!pins) return tl::unexpected(pins.error());
    auto pinned = std::make_shared<Pinned>();
    for (const Pin& pin : *pins)
        pinned->insert(pin.id);
    pinned_ = std::move(pinned);
    TRY(setting_.load());
    age_by(rules()->value);
    return {};
}

void Keeper::age_by(const KeepRules& rules) {
    store::Ageing ageing;
    ageing.recent_for_ms = rules.recent_for_ms;
    ageing.recent_bytes_max = rules.recent_bytes_max;
    for (const KeepRule& rule : rules.keep) {
        if (rule.bytes_max != 0) ageing.rule_bytes_max[rule.name] = rule.bytes_max;
    }
    ageing.verdict = [self = shared_from_this()](const store::AgeingQuestion& question) {
        return self->decide(question);
    };
    ageing.thin = [self = shared_from_this()](const store::AgeingQuestion& question) {
        return self->thin(question);
    };
    store_.set_ageing(std::move(ageing));
}

Result<std::shared_ptr<const RulesInForce>> Keeper::replace(std::string_view json,
                                                            uint64_t expected) {
    std::lock_guard change(change_mutex_);
    TRY_ASSIGN(auto rules, setting_.replace(json, expected));
    age_by(rules->value);
    return rules;
}

Result<std::shared_ptr<const RulesInForce>> Keeper::reset(uint64_t expected) {
    std::lock_guard change(change_mutex_);
    TRY_ASSIGN(auto rules, setting_.reset(expected));
    age_by(rules->value);
    return rules;
}

// ----------------------------------------------------------------------------------------- pins

std::shared_ptr<const Keeper::Pinned> Keeper::pinned() const {
    std::lock_guard lock(mutex_);
    return pinned_;
}

bool Keeper::is_pinned(const TraceId& id) const {
    return pinned()->contains(id);
}

Result<void> Keeper::pin(Pin pin) {
    std::lock_guard change(change_mutex_);
    TRY(store_.keep_traces(kTenant, {pin.id}, kept_for_ever()));
    TRY(store_.documents().put(kTenant, kPinsKind,
                               {pin.id.hex(), 0, clock_.wall_ns(), pin_body(pin)}, std::nullopt));
    auto more = std::make_shared<Pinned>(*pinned());
    more->insert(pin.id);
    std::lock_guard lock(mutex_);
    pinned_ = std::move(more);
    return {};
}

Result<void> Keeper::unpin(const TraceId& id) {
    std::lock_guard change(change_mutex_);
    TRY(store_.documents().remove(kTenant, kPinsKind, id.hex(), std::nullopt));
    auto fewer = std::make_shared<Pinned>(*pinned());
    fewer->erase(id);
    {
        std::lock_guard lock(mutex_);
        pinned_ = std::move(fewer);
    }
    return store_.release_traces(kTenant, {id}, kept_for_ever(), {std::string(kPinnedRule), 0});
}

Result<std::vector<Pin>> Keeper::pins() const {
    TRY_ASSIGN(const auto listed, store_.documents().list(kTenant, kPinsKind));
    std::vector<Pin> pins;
    for (const store::Document& one : listed) {
        const std::optional<TraceId> id = id_of_name(one.name);
        const auto document = store_.documents().get(kTenant, kPinsKind, one.name);
        if (!id || !document) continue;
        Pin pin;
        pin.id = *id;
        pin.at_ns = document->changed_ns;
        simdjson::dom::parser parser;
        simdjson::dom::element body;
        std::string_view text;
        if (parser.parse(document->body).get(body) == simdjson::SUCCESS) {
            if (body["by"].get(text) == simdjson::SUCCESS) pin.by = text;
            if (body["reason"].get(text) == simdjson::SUCCESS) pin.reason = text;
        }
        pins.push_back(std::move(pin));
    }
    return pins;
}

// ------------------------------------------------------------------------------------- deciding

// What cannot be read any more is not known: then a late span is judged anew.
Keeper::EarlierDecisions Keeper::find_earlier(const store::AgeingQuestion& question) const {
    EarlierDecisions earlier;
    earlier.of_trace.resize(question.traces.size());
    earlier.hash_key = fresh_hash_key_;
    bool is_first = true;
    std::vector<std::pair<uint64_t, uint32_t>> order;  // hash, trace
    std::vector<uint64_t> hashes;
    uint64_t hashed_by = 0;
    for (const store::DecisionsFile& file : store_.decisions(question.tenant)) {
        const uint64_t apart =
            std::max(file.hour, question.hour) - std::min(file.hour, question.hour);
        if (apart > kFollowHours) continue;
        const auto read = [&]() -> Result<void> {
            TRY_ASSIGN(auto opened, store_.open_decisions(file));
            TRY_ASSIGN(const DecisionLogReader log, DecisionLogReader::open(std::move(opened)));
            const uint64_t key = log.facts().hash_key;
            if (std::exchange(is_first, false)) earlier.hash_key = key;
            if (hashes.empty() || hashed_by != key) {
                order.clear();
                hashes.clear();
                for (uint32_t trace = 0; trace < question.traces.size(); ++trace)
                    order.emplace_back(trace_hash(question.traces[trace], key), trace);
                std::sort(order.begin(), order.end());
                for (const auto& [hash, trace] : order)
                    hashes.push_back(hash);
                hashed_by = key;
            }
            return log.find_all(hashes, [&](size_t at, const Decision& decision) {
                std::optional<Earlier>& known = earlier.of_trace[order[at].second];
                // The newest is read first: what went for want of room was kept before. Where two
                // ids have one hash it may be another's: what is kept is not lost.
                if (known && (known->is_kept || known->is_thinned)) return;
                known.emplace();
                known->is_kept = is_kept(decision.outcome.fate);
                known->is_thinned = decision.outcome.fate == Fate::kThinned;
                known->threshold = decision.outcome.threshold;
                known->has_rule = decision.outcome.rule != Outcome::kNoRule;
                if (known->has_rule) known->rule = log.facts().rules[decision.outcome.rule];
            });
        };
        if (const Result<void> done = read(); !done)
            log::error("earlier decisions are not known: {}", done.error().message);
    }
    return earlier;
}

Result<store::AgeingAnswer> Keeper::decide(const store::AgeingQuestion& question) const {
    const std::shared_ptr<const RulesInForce> in_force = rules();
    const std::shared_ptr<const Pinned> pinned = this->pinned();
    SurveyLimits limits;
    limits.stop = question.stop;
    TRY_ASSIGN(const SurveyedTraces traces,
               survey_traces(question.partition, question.others, in_force->value, limits));
    if (traces.ids != question.traces)
        return fail(ErrorCode::kInternal, "the traces that age are not those that were surveyed");
    const EarlierDecisions earlier = find_earlier(question);
    std::vector<uint32_t> undecided;
    for (uint32_t trace = 0; trace < traces.size(); ++trace) {
        if (!earlier.of_trace[trace] && !pinned->contains(traces.ids[trace]))
            undecided.push_back(trace);
    }
    const std::vector<Verdict> verdicts =
        judge(in_force->value, traces, undecided, static_cast<double>(kHourSeconds));
    Deciding deciding(*in_force, traces,
                      facts_of(question, *in_force, earlier.hash_key, clock_.wall_ns()));
    for (size_t i = 0; i < undecided.size(); ++i)
        deciding.by_rule(undecided[i], verdicts[i]);
    uint64_t late = 0;
    for (uint32_t trace = 0; trace < traces.size(); ++trace) {
        if (pinned->contains(traces.ids[trace])) {
            deciding.pinned(trace);
        } else if (const auto& known = earlier.of_trace[trace]) {
            deciding.late(trace, known->is_kept, known->has_rule ? &known->rule : nullptr,
                          known->threshold);
            ++late;
        }
    }
    late_traces_.add(late);
    return deciding.finish();
}

// The threshold of each trace in these segments by which it was kept; the highest where they
// differ.
static Result<std::unordered_map<TraceId, uint64_t>> thresholds_in(store::Segments segments) {
    std::unordered_map<TraceId, uint64_t> found;
    for (const auto& segment : segments) {
        TRY_ASSIGN(const auto thresholds, segment->thresholds());
        if (thresholds == nullptr) continue;
        for (uint32_t index = 0; index < segment->fragment_count(); ++index) {
            TRY_ASSIGN(const store::TraceFragment fragment, segment->fragment(index));
            uint64_t& threshold = found[fragment.trace_id];
            threshold = std::max(threshold, (*thresholds)[index]);
        }
    }
    return found;
}

Result<store::AgeingAnswer> Keeper::thin(const store::AgeingQuestion& question) const {
    SurveyLimits limits;
    limits.stop = question.stop;
    TRY_ASSIGN(const SurveyedTraces traces,
               survey_traces(question.partition, {}, KeepRules(), limits));
    if (traces.ids != question.traces || !question.kept)
        return fail(ErrorCode::kInternal, "the traces to thin are not those that were surveyed");
    TRY_ASSIGN(const auto thresholds, thresholds_in(question.partition));
    const std::shared_ptr<const RulesInForce> in_force = rules();
    DecisionLogWriter log(facts_of(question, *in_force, fresh_hash_key_, clock_.wall_ns()));
    const uint32_t rule = log.rule({question.kept->rule, question.kept->for_ms});
    store::AgeingAnswer answer;
    answer.rules.push_back(*question.kept);
    ++answer.rules.back().halvings;
    for (uint32_t trace = 0; trace < traces.size(); ++trace) {
        const auto known = thresholds.find(traces.ids[trace]);
        const uint64_t before = known == thresholds.end() ? 0 : known->second;
        const uint64_t threshold = before + (otlp::kThresholdEnd - before) / 2;
        const bool is_kept = traces.randomness[trace] >= threshold;
        answer.rule_of.push_back(is_kept ? 0 : store::AgeingAnswer::kDrop);
        answer.thresholds.push_back(threshold);
        if (is_kept) continue;
        Decision decision;
        decision.outcome = {rule, Fate::kThinned, threshold};
        decision.spans = traces.spans[trace];
        decision.has_error = traces.has_error[trace] != 0;
        decision.bytes = traces.bytes[trace];
        decision.duration_ns = traces.duration_ns[trace];
        log.add(traces.ids[trace], decision);
    }
    answer.decisions = log.finish();
    return answer;
}

}  // namespace spanloom::sampling
