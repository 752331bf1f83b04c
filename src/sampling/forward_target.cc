#include "sampling/forward_target.h"

#include <algorithm>
#include <utility>

#include "base/log.h"

namespace spanloom::sampling {
namespace {

using store::Segment;

constexpr uint64_t kNsPerMs = 1'000'000;
constexpr uint64_t kNsPerS = 1'000'000'000;
// Traces are decided about together, those of so long.
constexpr uint64_t kDecideEveryNs = kNsPerS;
constexpr uint64_t kCompareEveryNs = 10 * kNsPerS;
constexpr uint64_t kHourNs = 3'600 * kNsPerS;
constexpr uint64_t kPruneEveryNs = 30 * kNsPerS;
// A target that refuses so many one after the other refuses everything.
constexpr uint32_t kRefusedInRowMax = 16;
constexpr size_t kLateMax = 10'000;  // entries at once

}  // namespace

ForwardTarget::Counters::Counters(MetricsRegistry& metrics, const std::string& name)
    : traces_sent(metrics.counter("forward_traces_sent_total", "Traces that the target took.",
                                  {{"target", name}})),
      traces_dropped(metrics.counter("forward_traces_dropped_total",
                                     "Traces that the target's rules do not choose.",
                                     {{"target", name}})),
      traces_early(
          metrics.counter("forward_traces_early_total",
                          "Traces decided about before their time, because too many were held.",
                          {{"target", name}})),
      spans_sent(metrics.counter("forward_spans_sent_total", "Spans that the target took.",
                                 {{"target", name}})),
      spans_rejected(metrics.counter("forward_spans_rejected_total",
                                     "Spans of requests that the target took but for these.",
                                     {{"target", name}})),
      late_spans(metrics.counter("forward_late_spans_total",
                                 "Spans that came after their trace was read to be sent.",
                                 {{"target", name}})),
      requests(metrics.counter("forward_requests_total", "Requests that the target took.",
                               {{"target", name}})),
      retries(metrics.counter("forward_retries_total", "Attempts that are made again.",
                              {{"target", name}})),
      dead_traces(metrics.counter("forward_dead_letter_traces_total",
                                  "Traces, or late spans of one, that the target refused for good.",
                                  {{"target", name}})),
      dead_spans(metrics.counter("forward_dead_letter_spans_total",
                                 "Spans that the target refused for good, in the dead letter file.",
                                 {{"target", name}})),
      dead_lost_spans(
          metrics.counter("forward_dead_letter_lost_spans_total",
                          "Spans that the target refused for good, for which the file had no room.",
                          {{"target", name}})),
      lost_traces(
          metrics.counter("forward_lost_traces_total",
                          "Chosen traces that were not stored any more when they were to be sent.",
                          {{"target", name}})),
      damaged_reads(metrics.counter("forward_damaged_reads_total",
                                    "Reads of the store that left something out.",
                                    {{"target", name}})) {}

ForwardTarget::ForwardTarget(ForwardOptions options, Parts parts, Limits limits)
    : options_(std::move(options)),
      parts_(std::move(parts)),
      limits_(limits),
      counters_(parts_.metrics, options_.name),
      sender_(parts_.make_sender(options_)),
      started_ns_(parts_.clock.monotonic_ns()),
      held_(options_.rules),
      decided_(limits.decided_max),
      last_decided_ns_(started_ns_) {}

Result<std::unique_ptr<ForwardTarget>> ForwardTarget::open(ForwardOptions options, Parts parts,
                                                           Limits limits) {
    const std::string directory = "forward/" + options.name;
    std::unique_ptr<ForwardTarget> target(
        new ForwardTarget(std::move(options), std::move(parts), limits));
    // A segment holds an hour of arrivals, and traces wait.
    ForwardJournal::Limits journal;
    journal.bytes_max = limits.journal_bytes_max;
    journal.remembered_ns = 2 * kHourNs + target->options_.wait_ms * kNsPerMs;
    std::vector<std::string> rules;
    for (const KeepRule& rule : target->options_.rules.keep)
        rules.push_back(rule.name);
    TRY_ASSIGN(target->journal_,
               ForwardJournal::open(target->parts_.io, directory, target->parts_.random,
                                    std::move(rules), journal));
    ForwardHistory::Limits history;
    history.bytes_max = target->options_.history_bytes_max;
    history.remembered_ns = limits.history_ns;
    TRY_ASSIGN(target->history_, ForwardHistory::open(target->parts_.io, directory,
                                                      target->journal_->seed(), history));
    TRY_ASSIGN(target->dead_letters_, DeadLetters::open(target->parts_.io, directory,
                                                        target->options_.dead_letter_bytes_max));
    target->register_gauges();
    return target;
}

uint32_t ForwardTarget::now_ds() const {
    // Not from 0, so that what came before the start has a place.
    return static_cast<uint32_t>((parts_.clock.monotonic_ns() - started_ns_ + 48 * kHourNs) /
                                 kTickNs);
}

void ForwardTarget::register_gauges() {
    const Labels labels = {{"target", options_.name}};
    const auto add = [&](const char* name, const char* help,
                         std::atomic<uint64_t> Gauges::* value) {
        parts_.metrics.gauge(
            name, help,
            [gauges = gauges_, value] { return static_cast<double>(((*gauges).*value).load()); },
            labels);
    };
    add("forward_held_traces", "Traces that nothing is decided about yet.", &Gauges::held);
    add("forward_unsent_traces", "Chosen traces that the target did not take yet.",
        &Gauges::unsent);
    add("forward_journal_bytes", "Bytes of the files that say what was decided and sent.",
        &Gauges::journal_bytes);
    add("forward_dead_letter_bytes", "Bytes of the files of refused requests.",
        &Gauges::dead_letter_bytes);
    add("forward_history_bytes", "Bytes of the files that say what was sent earlier.",
        &Gauges::history_bytes);
    parts_.metrics.gauge(
        "forward_lag_seconds", "How long the oldest chosen trace waits to be taken.",
        [gauges = gauges_, &clock = parts_.clock] {
            const uint64_t oldest_ns = gauges->oldest_ns;
            const uint64_t now_ns = clock.wall_ns();
            return oldest_ns == 0 || oldest_ns > now_ns
                       ? 0.0
                       : static_cast<double>(now_ns - oldest_ns) / 1e9;
        },
        labels);
}

void ForwardTarget::update_gauges() {
    gauges_->held = held_.size();
    gauges_->unsent = journal_->unsent();
    gauges_->journal_bytes = journal_->bytes();
    gauges_->dead_letter_bytes = dead_letters_->bytes();
    gauges_->history_bytes = history_->bytes();
    const ForwardEntry* oldest = nullptr;
    for (const ForwardRequest& request : requests_) {
        if (oldest == nullptr && !request.entries.empty()) oldest = &request.entries.front();
    }
    if (oldest == nullptr && !left_.empty()) oldest = &left_.front();
    gauges_->oldest_ns = oldest == nullptr ? 0 : oldest->at_ns;
}

ForwardState ForwardTarget::state() const {
    ForwardState state;
    state.name = options_.name;
    state.endpoint = options_.endpoint;
    state.held_traces = gauges_->held;
    state.unsent_traces = gauges_->unsent;
    const uint64_t oldest_ns = gauges_->oldest_ns;
    const uint64_t now_ns = parts_.clock.wall_ns();
    if (oldest_ns != 0 && oldest_ns < now_ns)
        state.lag_s = static_cast<double>(now_ns - oldest_ns) / 1e9;
    state.traces_sent = counters_.traces_sent.value();
    state.traces_dropped = counters_.traces_dropped.value();
    state.spans_sent = counters_.spans_sent.value();
    state.spans_rejected = counters_.spans_rejected.value();
    state.late_spans = counters_.late_spans.value();
    state.retries = counters_.retries.value();
    state.dead_traces = counters_.dead_traces.value();
    state.lost_traces = counters_.lost_traces.value();
    state.journal_bytes = gauges_->journal_bytes;
    state.dead_letter_bytes = gauges_->dead_letter_bytes;
    state.history_bytes = gauges_->history_bytes;
    const std::lock_guard lock(problem_mutex_);
    state.problem = problem_;
    return state;
}

bool ForwardTarget::holds(const TraceId& id) const {
    const std::lock_guard lock(held_mutex_);
    return held_.has(id);
}

// ------------------------------------------------------------------------------------- deciding

void ForwardTarget::remember(const TraceId& id, const Verdict& verdict) {
    const uint64_t hash = journal_->hash_of(id);
    decided_.add(hash, {verdict.is_kept, verdict.is_kept ? verdict.threshold : 0});
    if (!verdict.is_kept) counters_.traces_dropped.add();
    if (verdict.is_kept && unread_.size() < kUnreadMax) unread_.insert(hash);
}

// Those that came by then are decided about now; nullopt: it is not time.
std::optional<uint32_t> ForwardTarget::due_until() {
    if (held_.size() > limits_.held_max) {
        const uint32_t until = held_.time_of_oldest(held_.size() - limits_.held_max / 2);
        counters_.traces_early.add(held_.due(until).size());
        return until;
    }
    const uint64_t wait_ns = options_.wait_ms * kNsPerMs;
    const uint64_t every_ns = held_.compares_traces() ? kCompareEveryNs
                              : wait_ns == 0          ? 0
                                                      : kDecideEveryNs;
    if (parts_.clock.monotonic_ns() < last_decided_ns_ + every_ns) return std::nullopt;
    return now_ds() - static_cast<uint32_t>((wait_ns + kTickNs - 1) / kTickNs);
}

Result<bool> ForwardTarget::decide(store::Segments segments) {
    const std::optional<uint32_t> until = due_until();
    const bool is_full = late_.size() >= kLateMax;
    if (!until && !is_full) return false;
    const std::vector<HeldTraces::Due> due =
        until ? held_.due(*until) : std::vector<HeldTraces::Due>();
    const uint64_t now_ns = parts_.clock.monotonic_ns();
    const JudgedSpan span = {static_cast<double>(last_decided_ns_ - started_ns_) / 1e9,
                             static_cast<double>(now_ns - started_ns_) / 1e9};
    if (until) last_decided_ns_ = now_ns;
    if (due.empty() && late_.empty()) return false;
    std::vector<std::shared_ptr<const Segment>> holding;
    uint32_t oldest_s = UINT32_MAX;
    for (const HeldTraces::Due& one : due)
        oldest_s = std::min(oldest_s, one.held.arrival_s);
    for (const auto& segment : segments)
        if (segment->info().arrival_ns_max / kNsPerS >= oldest_s) holding.push_back(segment);
    TRY_ASSIGN(const std::vector<Verdict> verdicts, held_.judge_due(due, holding, span));
    ForwardDecisions decisions;
    decisions.at_ns = parts_.clock.wall_ns();
    decisions.entries = late_;
    for (size_t i = 0; i < due.size(); ++i) {
        if (!verdicts[i].is_kept) {
            decisions.dropped.push_back(journal_->hash_of(due[i].id));
            continue;
        }
        ForwardEntry& entry = decisions.entries.emplace_back();
        entry.id = due[i].id;
        entry.rule = verdicts[i].rule;
        entry.arrived_ns = due[i].held.arrival_s * kNsPerS;
        entry.threshold = verdicts[i].threshold;
    }
    const std::optional<uint32_t> oldest = held_.oldest_arrival_s(until.value_or(0));
    decisions.held_from_ns = oldest ? *oldest * kNsPerS : decisions.at_ns;
    TRY(journal_->write(std::move(decisions)));
    {
        const std::lock_guard lock(held_mutex_);
        held_.remove(due);
    }
    for (const ForwardEntry& entry : late_)
        counters_.late_spans.add(entry.spans.size());
    late_.clear();
    for (size_t i = 0; i < due.size(); ++i)
        remember(due[i].id, verdicts[i]);
    return true;
}

// -------------------------------------------------------------------------------------- sending

ForwardReadLimits ForwardTarget::read_limits() const {
    ForwardReadLimits limits;
    limits.held_ns_max = options_.wait_ms * kNsPerMs + kHourNs;
    return limits;
}

void ForwardTarget::take_reading(ForwardReading reading, bool is_first) {
    if (!reading.damage.empty()) {
        counters_.damaged_reads.add();
        log::error("forward '{}': something is left out: {}", options_.name, reading.damage);
    }
    const auto place = is_first ? requests_.begin() : requests_.end();
    requests_.insert(place, std::make_move_iterator(reading.requests.begin()),
                     std::make_move_iterator(reading.requests.end()));
}

Result<bool> ForwardTarget::read_more(store::Segments segments) {
    std::vector<ForwardEntry> entries = std::exchange(left_, {});
    while (entries.size() < limits_.entries_per_read) {
        TRY_ASSIGN(std::optional<ForwardEntry> entry, journal_->next());
        if (!entry) break;
        entries.push_back(std::move(*entry));
    }
    if (entries.empty()) return false;
    ForwardReading reading = read_forwarded(segments, std::move(entries), read_limits());
    for (const ForwardRequest& request : reading.requests)
        for (const ForwardEntry& entry : request.entries)
            unread_.erase(journal_->hash_of(entry.id));
    left_ = std::exchange(reading.left, {});
    take_reading(std::move(reading), false);
    return true;
}

Result<bool> ForwardTarget::send(store::Segments segments) {
    bool has_moved = false;
    while (true) {
        if (is_sending_) {
            const std::optional<send::Attempt> attempt = sender_->result();
            if (!attempt) return has_moved;
            is_sending_ = false;
            TRY(take_result(*attempt, segments));
            has_moved = true;
            continue;
        }
        if (parts_.clock.monotonic_ns() < resume_ns_) return has_moved;
        if (requests_.empty()) {
            TRY_ASSIGN(const bool has_more, read_more(segments));
            if (!has_more) return has_moved;
            has_moved = true;
            continue;
        }
        if (requests_.front().spans == 0) {
            TRY(finish_request(requests_.front().fate));
            continue;
        }
        sender_->begin(requests_.front().bytes);
        is_sending_ = true;
    }
}

Result<void> ForwardTarget::finish_request(ForwardFate fate) {
    ForwardRequest& request = requests_.front();
    // It is not sent again where this cannot be written now.
    request.spans = 0;
    request.fate = fate;
    if (request.entries.empty()) begun_fate_ = std::max(begun_fate_, fate);
    TRY(note_ends(request));
    if (request.gone > 0) {
        counters_.lost_traces.add(request.gone);
        log::warning(
            "forward '{}': {} chosen traces were not stored any more when they were to "
            "be sent",
            options_.name, request.gone);
    }
    requests_.pop_front();
    attempts_ = 0;
    return {};
}

// Of an entry that began in requests before, the worst of them counts.
Result<void> ForwardTarget::note_ends(ForwardRequest& request) {
    if (request.entries.empty()) return {};
    const uint64_t now_ns = parts_.clock.wall_ns();
    if (begun_fate_ > request.fate) {
        TRY(note_end(std::span(request.entries).first(1), std::span(request.rows).first(1),
                     {now_ns, begun_fate_}));
        request.entries.erase(request.entries.begin());
        request.rows.erase(request.rows.begin());
    }
    begun_fate_ = ForwardFate::kTaken;
    return note_end(request.entries, request.rows, {now_ns, request.fate});
}

Result<void> ForwardTarget::note_end(std::span<const ForwardEntry> entries,
                                     std::span<const uint32_t> rows, const ForwardEnd& end) {
    if (entries.empty()) return {};
    TRY(journal_->write_sent(entries.front().number, rows, end));
    for (size_t i = 0; i < entries.size(); ++i)
        history_->add(entries[i].number, ended_entry(entries[i], rows[i], end));
    // What is not there yet is in the journal.
    if (const auto flushed = history_->is_full() ? flush_history() : Result<void>(); !flushed)
        log::error("forward '{}': {}", options_.name, flushed.error().message);
    return {};
}

EndedEntry ForwardTarget::ended_entry(const ForwardEntry& entry, uint32_t rows,
                                      ForwardEnd end) const {
    EndedEntry ended;
    ended.hash = journal_->hash_of(entry.id);
    ended.rule = journal_->rule_name(entry.rule);
    ended.threshold = entry.threshold;
    ended.is_late = !entry.spans.empty();
    ended.spans = rows;
    ended.decided_ns = entry.at_ns;
    ended.ended_ns = end.at_ns;
    const bool is_gone = rows == 0 && end.fate == ForwardFate::kTaken;
    ended.fate = is_gone ? ForwardFate::kGone : end.fate;
    return ended;
}

Result<void> ForwardTarget::flush_history() {
    return history_->flush(parts_.clock.wall_ns());
}

Result<void> ForwardTarget::take_result(const send::Attempt& attempt, store::Segments segments) {
    {
        const std::lock_guard lock(problem_mutex_);
        problem_ = attempt.reply ? std::string() : attempt.error.message;
    }
    const ForwardRequest& request = requests_.front();
    if (attempt.reply) {
        const auto rejected = std::min<uint64_t>(
            static_cast<uint64_t>(std::max<int64_t>(attempt.reply->rejected_spans, 0)),
            request.spans);
        refused_in_row_ = 0;
        counters_.requests.add();
        counters_.spans_sent.add(request.spans - rejected);
        counters_.spans_rejected.add(rejected);
        counters_.traces_sent.add(request.traces);
        if (rejected > 0)
            log::warning("forward '{}': {} of {} spans were rejected: {}", options_.name, rejected,
                         request.spans, attempt.reply->message);
        return finish_request(rejected > 0 ? ForwardFate::kPartlyTaken : ForwardFate::kTaken);
    }
    if (attempt.error.code == ErrorCode::kCancelled) {
        resume_ns_ = UINT64_MAX;  // the process ends
        return {};
    }
    // Where nobody answered (a certificate that ran out, ...) nothing was refused.
    if (attempt.is_answered && !attempt.is_retryable) return refused(attempt.error, segments);
    counters_.retries.add();
    attempts_ = std::min(attempts_ + 1, 1'000U);
    const uint64_t wait_ms =
        send::backoff_ms(limits_.retry, attempts_, attempt.server_wait_ms, parts_.random);
    resume_ns_ = parts_.clock.monotonic_ns() + wait_ms * kNsPerMs;
    if (attempts_ == 1)
        log::warning("forward '{}': {}; it is tried again until it works", options_.name,
                     attempt.error.message);
    return {};
}

// What is refused for what is in it is sent again in halves, until it is known which trace it is.
Result<void> ForwardTarget::refused(const Error& error, store::Segments segments) {
    ForwardRequest request = requests_.front();
    const bool is_for_content = (error.code == ErrorCode::kInvalidArgument ||
                                 error.code == ErrorCode::kResourceExhausted) &&
                                refused_in_row_ < kRefusedInRowMax;
    if (is_for_content && request.entries.size() > 1) {
        requests_.pop_front();
        attempts_ = 0;
        const auto middle =
            request.entries.begin() + static_cast<ptrdiff_t>(request.entries.size() / 2);
        ForwardReadLimits limits = read_limits();
        limits.rows_max = SIZE_MAX;
        limits.request_bytes = SIZE_MAX;
        std::vector<ForwardEntry> second(std::make_move_iterator(middle),
                                         std::make_move_iterator(request.entries.end()));
        request.entries.erase(middle, request.entries.end());
        take_reading(read_forwarded(segments, std::move(second), limits), true);
        take_reading(read_forwarded(segments, std::move(request.entries), limits), true);
        return {};
    }
    ++refused_in_row_;
    const Result<bool> is_kept = dead_letters_->add(request.bytes);
    const bool has_room = is_kept && *is_kept;
    (has_room ? counters_.dead_spans : counters_.dead_lost_spans).add(request.spans);
    counters_.dead_traces.add(request.traces);
    log::error("forward '{}': {} spans of {} traces were refused for good{}: {}", options_.name,
               request.spans, request.traces,
               has_room   ? ", and are in its dead letters"
               : !is_kept ? ", and lost: " + is_kept.error().message
                          : ", and lost: there is no room for more dead letters",
               error.message);
    return finish_request(has_room ? ForwardFate::kDeadLetter : ForwardFate::kRefused);
}

Result<void> ForwardTarget::prune() {
    const uint64_t now_ns = parts_.clock.monotonic_ns();
    if (now_ns < next_prune_ns_) return {};
    next_prune_ns_ = now_ns + kPruneEveryNs;
    const auto given_up = [&](const ForwardEntry& entry) {
        const auto spans = static_cast<uint32_t>(entry.spans.size());
        history_->add_given_up(
            ended_entry(entry, spans, {parts_.clock.wall_ns(), ForwardFate::kGivenUp}));
    };
    TRY_ASSIGN(const uint64_t lost, journal_->prune(given_up, [&] { return flush_history(); }));
    counters_.lost_traces.add(lost);
    if (lost > 0)
        log::error("forward '{}': {} chosen traces are given up: too many wait for the target",
                   options_.name, lost);
    return {};
}

Result<bool> ForwardTarget::work(store::Segments segments) {
    const auto work = [&]() -> Result<bool> {
        // Neither waits for the other where it fails.
        const Result<bool> has_decided = decide(segments);
        TRY_ASSIGN(const bool has_moved, send(segments));
        TRY(prune());
        TRY(has_decided);
        return *has_decided || has_moved;
    };
    Result<bool> done = work();
    update_gauges();
    return done;
}

}  // namespace spanloom::sampling
