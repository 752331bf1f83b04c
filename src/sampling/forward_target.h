#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include <boost/unordered/unordered_flat_set.hpp>

#include "base/clock.h"
#include "base/metrics.h"
#include "base/random.h"
#include "sampling/dead_letters.h"
#include "sampling/forward_history.h"
#include "sampling/forward_journal.h"
#include "sampling/forward_options.h"
#include "sampling/forward_request.h"
#include "sampling/held_traces.h"
#include "send/otlp_client.h"
#include "store/store.h"

namespace spanloom::sampling {

// Sends one request at a time, beside its caller. One thread.
class ForwardSender {
  public:
    virtual ~ForwardSender() = default;
    virtual void begin(std::string request) = 0;
    // How it ended; nullopt while it has not.
    virtual std::optional<send::Attempt> result() = 0;
};

// What people see of a target.
struct ForwardState {
    std::string name;
    std::string endpoint;
    uint64_t held_traces = 0;    // nothing decided yet
    uint64_t unsent_traces = 0;  // chosen, and not taken by the target yet
    double lag_s = 0;            // how long the oldest of them waits
    uint64_t traces_sent = 0;
    uint64_t traces_dropped = 0;
    uint64_t spans_sent = 0;
    uint64_t spans_rejected = 0;
    uint64_t late_spans = 0;
    uint64_t retries = 0;
    uint64_t dead_traces = 0;
    uint64_t lost_traces = 0;
    uint64_t journal_bytes = 0;
    uint64_t dead_letter_bytes = 0;
    uint64_t history_bytes = 0;
    std::string problem;  // why the last attempt failed; "": it did not
};

// What one target gets: traces are held, decided about and read from the store here, and what
// became of each is durable, so that a restart goes on where it was. The spans are the store's; in
// memory is a number of bytes for each trace that is held. One thread, but for state() and holds().
class ForwardTarget {
  public:
    struct Parts {
        const store::Store& store;
        Io& io;
        const Clock& clock;
        Random& random;
        MetricsRegistry& metrics;
        std::function<std::unique_ptr<ForwardSender>(const ForwardOptions&)> make_sender;
    };
    // Sizes that tests make smaller.
    struct Limits {
        size_t held_max = 500'000;     // traces; beyond it the oldest are decided about early
        size_t decided_max = 500'000;  // traces that late spans are told by
        uint64_t journal_bytes_max = 1ULL << 30;
        uint64_t history_ns = ForwardHistory::Limits().remembered_ns;  // 0: for ever
        size_t entries_per_read = 2'048;
        send::RetryPolicy retry{1'000, 60'000, 1.6, 0.2, 600'000};
    };

    static Result<std::unique_ptr<ForwardTarget>> open(ForwardOptions options, Parts parts,
                                                       Limits limits);

    // Before anything else: what is stored and was not decided about when the last process ended;
    // a new target gets what arrives from now on. Also where arrivals were missed.
    Result<void> catch_up(store::Segments recent);
    // A segment of what just arrived.
    void arrive(const std::shared_ptr<const store::Segment>& segment);
    // Decides about what was held long enough, and gets on with sending. `segments` hold just what
    // came by arrive() before. False: there is nothing to do until something arrives or time
    // passes.
    Result<bool> work(store::Segments segments);

    ForwardState state() const;
    // Whether a trace is held: nothing is decided about it yet.
    bool holds(const TraceId& id) const;

  private:
    struct Counters {
        Counters(MetricsRegistry& metrics, const std::string& name);
        Counter& traces_sent;
        Counter& traces_dropped;
        Counter& traces_early;
        Counter& spans_sent;
        Counter& spans_rejected;
        Counter& late_spans;
        Counter& requests;
        Counter& retries;
        Counter& dead_traces;
        Counter& dead_spans;
        Counter& dead_lost_spans;
        Counter& lost_traces;
        Counter& damaged_reads;
    };
    // What state() reads beside.
    struct Gauges {
        std::atomic<uint64_t> held = 0;
        std::atomic<uint64_t> unsent = 0;
        std::atomic<uint64_t> oldest_ns = 0;  // wall; 0: none waits
        std::atomic<uint64_t> journal_bytes = 0;
        std::atomic<uint64_t> dead_letter_bytes = 0;
        std::atomic<uint64_t> history_bytes = 0;
    };

    ForwardTarget(ForwardOptions options, Parts parts, Limits limits);

    static constexpr uint64_t kTickNs = 100'000'000;
    static constexpr size_t kUnreadMax = 100'000;

    uint32_t now_ds() const;
    void register_gauges();
    void update_gauges();

    // ---- taking in (forward_arrivals.cc)
    struct Stored {
        uint64_t rows = 0;
        bool is_decided = false;
    };
    using StoredTraces = boost::unordered_flat_map<uint64_t, Stored>;  // by hash
    Result<void> begin_anew(store::Segments recent);
    Result<void> find_decided(StoredTraces& stored);
    void hold(const std::shared_ptr<const store::Segment>& segment, uint32_t since_ds,
              const std::function<bool(const store::TraceFragment&)>& wants);
    Result<void> note_late(const store::Segment& segment, const store::TraceFragment& fragment,
                           uint64_t threshold);
    static Result<std::vector<store::TraceFragment>> fragments_of(const store::Segment& segment);
    void note_damage(const Error& error);

    // ---- deciding
    Result<bool> decide(store::Segments segments);
    std::optional<uint32_t> due_until();
    void remember(const TraceId& id, const Verdict& verdict);

    // ---- sending
    Result<bool> send(store::Segments segments);
    Result<bool> read_more(store::Segments segments);
    ForwardReadLimits read_limits() const;
    Result<void> take_result(const send::Attempt& attempt, store::Segments segments);
    Result<void> refused(const Error& error, store::Segments segments);
    Result<void> finish_request(ForwardFate fate);
    Result<void> note_ends(ForwardRequest& request);
    Result<void> note_end(std::span<const ForwardEntry> entries, std::span<const uint32_t> rows,
                          const ForwardEnd& end);
    EndedEntry ended_entry(const ForwardEntry& entry, uint32_t rows, ForwardEnd end) const;
    Result<void> flush_history();
    void take_reading(ForwardReading reading, bool is_first);
    Result<void> prune();

    const ForwardOptions options_;
    Parts parts_;
    const Limits limits_;
    Counters counters_;
    std::shared_ptr<Gauges> gauges_ = std::make_shared<Gauges>();
    std::unique_ptr<ForwardJournal> journal_;
    std::unique_ptr<ForwardHistory> history_;
    std::unique_ptr<DeadLetters> dead_letters_;
    std::unique_ptr<ForwardSender> sender_;
    const uint64_t started_ns_;  // monotonic

    mutable std::mutex held_mutex_;  // over each change of what is held
    HeldTraces held_;
    DecidedTraces decided_;
    // Of those decided, chosen ones that were not read yet: what comes late goes with the rest.
    boost::unordered_flat_set<uint64_t> unread_;
    std::vector<ForwardEntry> late_;  // not written down yet
    uint64_t newest_arrival_ns_ = 0;
    uint64_t last_decided_ns_ = 0;  // monotonic
    uint64_t next_prune_ns_ = 0;

    std::deque<ForwardRequest> requests_;
    std::vector<ForwardEntry> left_;  // read from the journal, but not from the store
    bool is_sending_ = false;
    uint32_t attempts_ = 0;  // of the first request
    // How the worst of the requests ended that hold the beginning of the next entry.
    ForwardFate begun_fate_ = ForwardFate::kTaken;
    uint32_t refused_in_row_ = 0;
    uint64_t resume_ns_ = 0;  // monotonic: not before that

    mutable std::mutex problem_mutex_;
    std::string problem_;
};

}  // namespace spanloom::sampling
