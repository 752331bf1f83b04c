// What becomes of segments as they grow old: ageing by a verdict, and erasing what was deleted.
#include <algorithm>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "base/log.h"
#include "store/store_engine.h"
#include "store/store_paths.h"

namespace spanloom::store {
namespace {

constexpr uint64_t kClockSlackNs =
    300'000'000'000;  // what the wall clock may gain before it is doubted

struct AgeingTraces {
    std::vector<TraceId> ids;
    std::vector<uint64_t> spans;  // of each, in the partition
};

Result<AgeingTraces> traces_of(const std::vector<LiveSegments::Pointer>& inputs) {
    AgeingTraces traces;
    std::unordered_map<TraceId, size_t> places;
    for (const LiveSegments::Pointer& one : inputs) {
        if (one->visible == nullptr) continue;
        for (uint32_t index = 0; index < one->visible->fragment_count(); ++index) {
            TRY_ASSIGN(const TraceFragment fragment, one->visible->fragment(index));
            const auto [at, is_new] = places.try_emplace(fragment.trace_id, traces.ids.size());
            if (is_new) {
                traces.ids.push_back(fragment.trace_id);
                traces.spans.push_back(0);
            }
            traces.spans[at->second] += fragment.rows;
        }
    }
    return traces;
}

// What ages, and what is asked about it.
struct AgeingParts {
    std::vector<LiveSegments::Pointer> inputs;
    std::vector<LiveSegments::Pointer> others;  // recent as well, where their traces may go on
    AgeingQuestion question;
};

// `ids`: of the segments that age.
AgeingParts parts_of(const std::vector<LiveSegments::Pointer>& segments,
                     const std::vector<uint64_t>& ids) {
    AgeingParts parts;
    for (const LiveSegments::Pointer& one : segments) {
        if (one->id == 0 || std::find(ids.begin(), ids.end(), one->id) == ids.end()) continue;
        parts.inputs.push_back(one);
        if (one->visible != nullptr) parts.question.partition.push_back(one->visible);
    }
    parts.question.tenant = parts.inputs.front()->tenant;
    parts.question.hour = parts.inputs.front()->hour;
    parts.question.kept = parts.inputs.front()->kept;
    for (const LiveSegments::Pointer& one : segments) {
        const auto& inputs = parts.inputs;
        const bool is_input = std::find(inputs.begin(), inputs.end(), one) != inputs.end();
        if (one->tenant != parts.question.tenant || one->kept || one->is_damaged || is_input)
            continue;
        parts.others.push_back(one);
        if (one->visible != nullptr) parts.question.others.push_back(one->visible);
    }
    return parts;
}

}  // namespace

// A wall clock that jumps ahead while we run must not make everything old.
uint64_t StoreEngine::trusted_now_ns() const {
    const uint64_t expected_ns =
        opened_wall_ns_ + (clock_.monotonic_ns() - opened_monotonic_ns_) + kClockSlackNs;
    return std::min(clock_.wall_ns(), expected_ns);
}

void StoreEngine::set_ageing(Ageing ageing) {
    auto shared = std::make_shared<const Ageing>(std::move(ageing));
    {
        std::lock_guard lock(ageing_mutex_);
        ageing_ = std::move(shared);
    }
    std::lock_guard lock(wake_mutex_);
    maintenance_wake_.notify_one();
}

std::vector<std::shared_ptr<const Segment>> StoreEngine::recent(std::string_view tenant) const {
    std::vector<std::shared_ptr<const Segment>> segments;
    for (const LiveSegments::Pointer& one : live_.all()) {
        if (one->tenant == tenant && !one->kept && one->visible != nullptr)
            segments.push_back(one->visible);
    }
    return segments;
}

std::shared_ptr<const Ageing> StoreEngine::ageing() const {
    std::lock_guard lock(ageing_mutex_);
    return ageing_;
}

Result<bool> StoreEngine::age_once(const std::function<bool()>& stop) {
    const std::shared_ptr<const Ageing> rules = ageing();
    if (!rules->verdict) return false;
    TRY_ASSIGN(const DiskLook look, look_at_disk(*rules, Damaged::kLeftOut));
    const std::vector<uint64_t> ids =
        choose_ageing(look.facts, *rules, trusted_now_ns(), look.limits);
    if (ids.empty()) return false;
    return decide_about(ids, *rules, rules->verdict, stop);
}

// False as well where this is no moment to halve: then the oldest goes.
Result<bool> StoreEngine::thin_once(const std::function<bool()>& stop) {
    const std::shared_ptr<const Ageing> rules = ageing();
    if (!rules->thin) return false;
    TRY_ASSIGN(const DiskLook look, look_at_disk(*rules, Damaged::kLeftOut));
    const std::vector<uint64_t> ids = choose_thinning(look.facts, trusted_now_ns(), look.limits);
    if (ids.empty()) return false;
    return decide_about(ids, *rules, rules->thin, stop);
}

// Puts the traces of these segments where the verdict says.
Result<bool> StoreEngine::decide_about(const std::vector<uint64_t>& ids, const Ageing& rules,
                                       const Verdict& verdict, const std::function<bool()>& stop) {
    AgeingParts parts = parts_of(live_.all(), ids);
    const std::vector<LiveSegments::Pointer>& inputs = parts.inputs;
    AgeingQuestion& question = parts.question;
    question.stop = stop;
    Result<AgeingTraces> traces = traces_of(inputs);
    if (!traces && traces.error().code == ErrorCode::kDataLoss) {
        find_damage(inputs);
        return true;
    }
    if (!traces) return tl::unexpected(std::move(traces).error());
    question.traces = std::move(traces->ids);
    Result<AgeingAnswer> judged = verdict(question);
    if (!judged && judged.error().code == ErrorCode::kDataLoss) {
        if (!mark_damage(parts.others)) find_damage(inputs);
        return true;
    }
    if (!judged && judged.error().code == ErrorCode::kCancelled) return false;
    if (!judged) return tl::unexpected(std::move(judged).error());
    const AgeingAnswer& answer = *judged;
    const bool is_whole =
        answer.rule_of.size() == question.traces.size() &&
        (answer.thresholds.empty() || answer.thresholds.size() == answer.rule_of.size());
    if (!is_whole)
        return fail(ErrorCode::kInternal, "{} verdicts for {} traces", answer.rule_of.size(),
                    question.traces.size());
    const std::vector<Output> outputs = ageing_outputs(question, answer, traces->spans);
    // A trace that arrived for this hour since the question stays out of the outputs' filters, so
    // nothing may have come: flushes only add to hours that are not over.
    FilesBeside beside;
    Result<bool> rewritten = write_beside_ageing(question, answer, inputs, beside);
    if (rewritten && *rewritten) rewritten = rewrite(outputs, inputs, stop, beside);
    forget_unnamed(beside);
    TRY_ASSIGN(const bool is_done, rewritten);
    const std::vector<LiveSegments::Pointer> now = live_.on_disk();
    const bool is_replaced = std::none_of(now.begin(), now.end(), [&](const auto& one) {
        return one->serial == inputs.front()->serial;
    });
    if (is_done && is_replaced) {
        const auto dropped = static_cast<uint64_t>(
            std::count(answer.rule_of.begin(), answer.rule_of.end(), AgeingAnswer::kDrop));
        if (question.kept) {
            counters_.thinned_traces.add(dropped);
        } else {
            counters_.aged_traces.add(question.traces.size());
            counters_.aged_dropped_traces.add(dropped);
            if (rules.done) rules.done(question, answer);
        }
    }
    return is_done;
}

// What is noted and counted of an hour before it ages. False: some of it is damaged.
Result<bool> StoreEngine::write_beside_ageing(const AgeingQuestion& question,
                                              const AgeingAnswer& answer,
                                              const std::vector<LiveSegments::Pointer>& inputs,
                                              FilesBeside& beside) {
    if (!answer.decisions.empty()) {
        TRY_ASSIGN(beside.decisions, write_decisions(question, answer.decisions));
    }
    if (question.kept) return true;  // counted already
    Result<std::optional<CountsFile>> counts = count_before_going(inputs);
    if (counts) {
        beside.counts = std::move(*counts);
        return true;
    }
    if (counts.error().code != ErrorCode::kDataLoss) return tl::unexpected(counts.error());
    find_damage(inputs);
    return false;
}

// One output for each rule, or several where it keeps more than a segment should hold.
std::vector<StoreEngine::Output> StoreEngine::ageing_outputs(
    const AgeingQuestion& question, const AgeingAnswer& answer,
    const std::vector<uint64_t>& spans) const {
    using Thresholds = std::unordered_map<TraceId, uint64_t>;
    struct Filling {
        std::shared_ptr<Thresholds> ids;
        uint64_t spans = 0;
    };
    std::vector<Filling> filling(answer.rules.size());
    std::vector<Output> outputs;
    for (size_t i = 0; i < question.traces.size(); ++i) {
        const uint32_t rule = answer.rule_of[i];
        if (rule >= answer.rules.size()) continue;
        Filling& at = filling[rule];
        if (at.ids == nullptr || at.spans + spans[i] > options_.segment_spans_max) {
            at = {std::make_shared<Thresholds>(), 0};
            Place place{question.tenant, partition_hour(Area::kKept, question.hour),
                        answer.rules[rule]};
            outputs.push_back({std::move(place),
                               [ids = at.ids](const TraceId& id) { return ids->contains(id); },
                               [ids = at.ids](const TraceId& id) { return ids->at(id); }});
        }
        at.ids->try_emplace(question.traces[i],
                            answer.thresholds.empty() ? 0 : answer.thresholds[i]);
        at.spans += spans[i];
    }
    return outputs;
}

// ------------------------------------------------------------------------------- single traces

// Segments on disk that hold some of them.
std::vector<LiveSegments::Pointer> StoreEngine::holders(
    std::string_view tenant, const std::unordered_set<TraceId>& traces) const {
    std::vector<LiveSegments::Pointer> found;
    for (const LiveSegments::Pointer& one : live_.on_disk()) {
        if (one->tenant != tenant || one->visible == nullptr) continue;
        const bool has_some = std::any_of(traces.begin(), traces.end(), [&](const TraceId& id) {
            const auto fragment = one->visible->find(id);
            return fragment && *fragment;
        });
        if (has_some) found.push_back(one);
    }
    return found;
}

Result<void> StoreEngine::keep_traces(std::string_view tenant, const std::vector<TraceId>& traces,
                                      const Keeping& keeping) {
    TRY(flush());
    const std::unordered_set<TraceId> wanted(traces.begin(), traces.end());
    const std::vector<LiveSegments::Pointer> inputs = holders(tenant, wanted);
    if (inputs.empty())
        return fail(ErrorCode::kNotFound, "none of the {} traces is stored", wanted.size());
    uint64_t hour = 0;
    for (const LiveSegments::Pointer& one : inputs)
        hour = std::max(hour, one->hour);
    const Place place{std::string(tenant), partition_hour(Area::kKept, hour), keeping};
    const Output output{place, [&](const TraceId& id) { return wanted.contains(id); }, nullptr};
    TRY_ASSIGN(std::optional<Written> written,
               write_segment(output, inputs, Pacing::kNone, [] { return false; }));
    if (!written) return {};
    ManifestChange change;
    change.added.push_back(written->entry);
    std::vector<Written> all;
    all.push_back(std::move(*written));
    TRY(commit_written(change, std::move(all), {}));
    update_gauges();
    return {};
}

Result<void> StoreEngine::release_traces(std::string_view tenant,
                                         const std::vector<TraceId>& traces, const Keeping& from,
                                         const Keeping& to) {
    const std::unordered_set<TraceId> wanted(traces.begin(), traces.end());
    std::lock_guard lock(maintenance_mutex_);
    for (const LiveSegments::Pointer& one : holders(tenant, wanted)) {
        if (one->kept != from) continue;
        const auto is_wanted = [&](const TraceId& id) { return wanted.contains(id); };
        const auto is_other = [&](const TraceId& id) { return !wanted.contains(id); };
        TRY_ASSIGN(const bool is_done, rewrite({{{one->tenant, one->hour, from}, is_other, nullptr},
                                                {{one->tenant, one->hour, to}, is_wanted, nullptr}},
                                               {one}, [] { return false; }, {}));
        if (!is_done) return fail(ErrorCode::kResourceExhausted, "the disk has no room for it");
    }
    return {};
}

// ------------------------------------------------------------------------------------- deletion

Result<Deletion> StoreEngine::erase(DeletionRequest request) {
    TRY(seal());
    Deletion deletion;
    std::unordered_set<TraceId> asked;
    const auto segments = live_.snapshot(request.tenant);
    for (const TraceId& id : request.traces) {
        if (!asked.insert(id).second) continue;
        bool is_found = false;
        for (const auto& segment : segments) {
            // Where damage hides whether it is there, it counts as there.
            const auto fragment = segment->find(id);
            if (fragment && !*fragment) continue;
            is_found = true;
            if (fragment) deletion.spans += (*fragment)->rows;
        }
        if (is_found) deletion.ids.push_back(id);
    }
    if (deletion.ids.empty())
        return fail(ErrorCode::kNotFound, "none of the {} traces is stored; nothing was deleted",
                    asked.size());
    deletion.tenant = std::move(request.tenant);
    deletion.by = std::move(request.by);
    deletion.reason = std::move(request.reason);
    deletion.query_hash = request.query_hash;
    deletion.at_ns = clock_.wall_ns();
    deletion.traces = deletion.ids.size();
    deletion.log_end = log_->state().end;
    const std::vector<TraceId> ids = deletion.ids;
    TRY_ASSIGN(Deletion added, deletions_.add(std::move(deletion)));
    live_.hide(added.tenant, ids);
    added.ids.clear();
    counters_.deleted_traces.add(added.traces);
    counters_.deleted_spans.add(added.spans);
    log::info("deletion {}: {} traces, {} spans are hidden and will be erased", added.id,
              added.traces, added.spans);
    erase_flush_ = true;
    log_->begin_erasing();
    update_gauges();
    std::lock_guard lock(wake_mutex_);
    flush_wake_.notify_one();
    maintenance_wake_.notify_one();
    return added;
}

std::vector<Deletion> StoreEngine::deletions() const {
    return deletions_.all();
}

// Rewrites one segment on disk that holds what was deleted.
Result<bool> StoreEngine::erase_once(const std::function<bool()>& stop) {
    for (const LiveSegments::Pointer& one : live_.on_disk()) {
        if (!one->has_hidden || one->is_damaged) continue;
        const Place place{one->tenant, one->hour, one->kept};
        return rewrite({{place, nullptr, nullptr}}, {one}, stop, {});
    }
    return false;
}

// Notes which deletions are done, and forgets their ids when late spans of them are not expected
// any more.
void StoreEngine::complete_deletions() {
    const std::vector<Deletion> pending = deletions_.pending();
    if (pending.empty()) return;
    log_->free_before({flushed_end_.load()});
    bool has_files = false;
    {
        std::lock_guard lock(manifest_mutex_);
        obsolete_.collect(io_);
        has_files = !obsolete_.empty() || !orphans_.empty();
    }
    const LogPosition log_begin = log_->state().begin;
    for (const Deletion& deletion : pending) {
        const bool is_hiding = live_.is_hiding(deletion.tenant);
        const bool is_erased = !is_hiding && !has_files && log_begin >= deletion.log_end;
        const uint64_t now_ns = clock_.wall_ns();
        const bool is_forgotten =
            deletion.erased_at_ns != 0 && now_ns > deletion.at_ns &&
            (now_ns - deletion.at_ns) / 1'000'000 >= options_.deletion_memory_ms;
        const bool is_done_now = deletion.erased_at_ns == 0 && is_erased;
        if (!is_done_now && !(is_forgotten && is_erased)) continue;
        // Late spans that are in no segment yet would be seen once the ids are forgotten.
        if (is_forgotten && (!seal() || live_.is_hiding(deletion.tenant))) {
            erase_flush_ = true;
            continue;
        }
        std::optional<Deletion> whole = deletions_.find(deletion.id);
        if (!whole) continue;
        if (is_done_now) whole->erased_at_ns = std::max<uint64_t>(now_ns, 1);
        if (is_forgotten) whole->ids.clear();
        if (Result<void> written = deletions_.update(*whole); !written)
            log::warning("the record of deletion {} cannot be written: {}", deletion.id,
                         written.error().message);
    }
}

}  // namespace spanloom::store
