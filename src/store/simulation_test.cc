#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "base/memory_io.h"
#include "otlp/view.h"
#include "store/engine_fixture.h"
#include "store/search.h"

// Whole lives of a store under a seed: what is done next, when the disk tears, fills, fails, rots
// or is slow, when the power goes and what the clock says all follow from it. Beside the store a
// plain model keeps what was acknowledged. SPANLOOM_SIMULATION_SEEDS runs more of them,
// SPANLOOM_SIMULATION_FIRST others.
namespace spanloom::store {
namespace {

constexpr uint64_t kSteps = 60;
constexpr uint64_t kTraceSpans = 4;  // as test_spans.h numbers them

enum class Hardship : uint8_t { kNone, kCrashes, kErrors, kFull, kRot, kHardships };

struct Failure {
    uint64_t step = 0;
    std::string text;
};

// A trace that no rule keeps once its hour ages.
bool is_droppable(uint64_t trace) {
    return trace % 5 == 4;
}

uint64_t threshold_of(uint64_t trace) {
    return trace * 11 + 1;
}

// What may be asked of the store, kept as plainly as possible.
struct Model {
    std::set<uint64_t> acknowledged;                // spans that must be there
    std::set<uint64_t> sent;                        // of which nothing but these may be there
    std::map<uint64_t, std::set<uint64_t>> sent_s;  // in which seconds each of these was
    std::set<uint64_t> deleted;                     // traces that must not be there
    std::set<uint64_t> maybe_deleted;  // traces whose deletion failed half-way, perhaps
    std::set<uint64_t> dropped;        // traces seen to have been dropped
    bool has_rotted = false;
};

class Life {
  public:
    Life(uint64_t seed, const std::set<uint64_t>& skipped)
        : seed_(seed),
          skipped_(skipped),
          hardship_(static_cast<Hardship>(seed % static_cast<uint64_t>(Hardship::kHardships))) {
        f_.options.merge_segments_min = 2;
        f_.options.log_file_bytes = 9'000;
        f_.options.seal_spans = 16;
        f_.options.shards = static_cast<uint32_t>(1 + seed / 3 % 3);
        f_.options.disk_used_max = 1;
        f_.options.segment_spans_max = 200;
        f_.options.flush_bytes = seed % 3 == 0 ? 1 : 1U << 20;
        // In every other life heads go to the disk as they are.
        f_.options.read_memory_ms = 0;
        f_.options.file_spans_min = seed / 9 % 2 == 0 ? 3 : 1'000'000;
        f_.options.counting = count_numbers();
        f_.options.counts_short_ms = 2 * 3'600'000;
        f_.options.counts_minutes_ms = 5 * 3'600'000;
    }

    std::optional<Failure> run() {
        open();
        for (step_ = 0; step_ < kSteps && !failure_; ++step_) {
            if (skipped_.contains(step_)) continue;
            SeededRandom dice(seed_ * 1'000'003 + step_);
            dice_ = &dice;
            act();
            check(false);
        }
        step_ = kSteps;
        SeededRandom dice(seed_);
        dice_ = &dice;
        if (!failure_) recover();
        // What could not be read while something was hidden in it is shown once it is rewritten.
        if (!failure_ && hardship_ != Hardship::kErrors) check(true);
        if (!failure_) settle_at_end();
        if (!failure_) check(true);
        return failure_;
    }
    const std::vector<std::string>& story() const { return story_; }

  private:
    uint64_t below(uint64_t bound) { return dice_->below(bound); }
    void tell(std::string text) { story_.push_back(fmt::format("{:>3} {}", step_, text)); }
    void wrong(std::string text) {
        if (!failure_) failure_ = Failure{step_, std::move(text)};
    }

    // ---- what can happen

    void act() {
        if (f_.io.has_crashed()) tell("the power is back");
        if (f_.store == nullptr || f_.io.has_crashed()) return recover();
        const uint64_t choice = below(100);
        if (choice < 36) return send();
        if (choice < 42) return resend();
        if (choice < 50) return flush();
        if (choice < 62) return settle();
        if (choice < 68) return advance();
        if (choice < 74) return erase();
        if (choice < 77) return backup();
        if (choice < 80) return restart();
        if (choice < 83) return document();
        make_hard();
    }

    void send() {
        const uint64_t count = 1 + below(12);
        last_first_ = next_;
        last_count_ = count;
        next_ += count;
        give(last_first_, count);
    }
    void resend() {
        if (last_count_ == 0) return;
        for (uint64_t n = last_first_; n < last_first_ + last_count_; ++n)
            resent_.insert(n);
        give(last_first_, last_count_);
    }
    void give(uint64_t first, uint64_t count) {
        for (uint64_t n = first; n < first + count; ++n) {
            model_.sent.insert(n);
            model_.sent_s[n].insert(f_.clock.wall_ns() / kNsPerSecond);
        }
        std::optional<Result<void>> said;
        f_.store->accept(test_batch(first, count, f_.clock.wall_ns()),
                         [&](Result<void> result) { said = std::move(result); });
        if (!said) return wrong("a request was not answered");
        tell(fmt::format("send {}..{}: {}", first, first + count - 1,
                         *said ? "taken" : said->error().message));
        if (!*said) return;
        for (uint64_t n = first; n < first + count; ++n)
            model_.acknowledged.insert(n);
    }
    void flush() {
        const Result<void> done = f_.store->flush();
        tell(fmt::format("flush: {}", done ? "done" : done.error().message));
    }
    void settle() {
        const Result<void> done = f_.store->settle();
        tell(fmt::format("settle: {}", done ? "done" : done.error().message));
    }
    void advance() {
        constexpr uint64_t kMinute = kHour / 60;
        switch (below(4)) {
            case 0:
                f_.clock.set_wall(f_.clock.wall_ns() - below(kHour));
                return tell("the wall clock goes back");
            case 1:
                f_.clock.advance(below(90) * kMinute);
                return tell("time passes");
            case 2:
                f_.clock.set_wall(f_.clock.wall_ns() + below(4) * kHour);
                return tell("the wall clock leaps");
            default:
                f_.clock.advance(below(5'000'000'000));
        }
    }
    void erase() {
        if (next_ == 0) return;
        DeletionRequest request;
        const uint64_t trace = below(next_) / kTraceSpans;
        request.traces = {test_trace_id(trace)};
        const Result<Deletion> done = f_.store->erase(std::move(request));
        tell(fmt::format("delete trace {}: {}", trace, done ? "done" : done.error().message));
        if (done) {
            model_.deleted.insert(trace);
        } else if (done.error().code != ErrorCode::kNotFound) {
            model_.maybe_deleted.insert(trace);
        }
    }
    void backup() {
        MemoryIo copy;
        const Model then = model_;
        const Result<BackupReport> made = f_.store->backup(copy, "there");
        tell(fmt::format("backup: {}", made ? "done" : made.error().message));
        if (!made) return;
        StoreFixture g;
        g.options = f_.options;
        if (const auto restored = restore_backup(copy, g.io, RestoreCheck::kVerify, {});
            !restored) {
            if (model_.has_rotted) return;
            return wrong("a backup cannot be restored: " + restored.error().message);
        }
        if (const Result<void> opened = g.try_open(); !opened)
            return wrong("a restored backup cannot be opened: " + opened.error().message);
        if (const Result<void> sealed = g.store->seal(); !sealed)
            return wrong("a restored backup cannot be sealed: " + sealed.error().message);
        compare(*g.store, then, "backup");
    }
    void document() {
        const Result<Document> put = f_.store->documents().put(
            "default", "notes", {"n", 0, 1, std::to_string(step_)}, std::nullopt);
        tell(fmt::format("document: {}", put ? "written" : put.error().message));
    }
    void restart() {
        tell("restart");
        f_.store.reset();
        recover();
    }

    void make_hard() {
        switch (hardship_) {
            case Hardship::kCrashes:
                if (below(2) == 0) return lose_power();
                f_.io.crash_at(f_.io.changes() + 1 + below(40));
                return tell("the power will go");
            case Hardship::kErrors:
                return fail_some();
            case Hardship::kFull:
                if (below(2) == 0) {
                    f_.io.set_capacity(UINT64_MAX);
                    return tell("the disk has room");
                }
                f_.io.set_capacity(disk_bytes() + below(40'000));
                return tell("the disk is nearly full");
            case Hardship::kRot:
                return rot();
            default:
                return;
        }
    }
    uint64_t disk_bytes() const {
        uint64_t bytes = 0;
        for (const std::string& path : f_.io.files())
            bytes += f_.io.read_file(path).size();
        return bytes;
    }
    void lose_power() {
        tell("the power goes");
        f_.kill(seed_ + step_);
        recover();
    }
    // Calls fail now and then, and each takes its time, until told otherwise.
    void fail_some() {
        if (below(2) == 0) {
            f_.io.set_fault(nullptr);
            return tell("the disk is well again");
        }
        const uint64_t one_in = 3 + below(30);
        tell(fmt::format("one call in {} fails", one_in));
        auto dice = std::make_shared<SeededRandom>(seed_ * 31 + step_);
        f_.io.set_fault([this, dice, one_in](IoCall, const std::string& path) {
            f_.clock.advance(dice->below(200'000'000));
            if (dice->below(one_in) != 0) return std::optional<Error>();
            const ErrorCode code =
                dice->below(2) == 0 ? ErrorCode::kInternal : ErrorCode::kResourceExhausted;
            return std::optional<Error>(Error{code, "no luck with " + path});
        });
    }
    // One bit of a file that nobody writes now. What is not named by the manifest may be lost.
    void rot() {
        f_.store.reset();
        std::vector<std::string> files = f_.io.files();
        std::erase_if(files, [&](const std::string& path) {
            return f_.io.read_file(path).empty() || path.ends_with(".doc");
        });
        if (!files.empty()) {
            const std::string& path = files[below(files.size())];
            f_.io.flip_bit(path, below(f_.io.read_file(path).size() * 8));
            tell("a bit of " + path + " flips");
            model_.has_rotted = true;
        }
        recover();
    }

    void open() {
        const Result<void> opened = f_.try_open();
        if (!opened) {
            f_.store.reset();
            return;
        }
        Ageing ageing;
        ageing.recent_for_ms = 2 * 3'600'000;
        ageing.verdict = [](const AgeingQuestion& question) -> Result<AgeingAnswer> {
            AgeingAnswer answer;
            answer.rules = {{"most", 0}};
            for (const TraceId& id : question.traces) {
                const uint64_t number = trace_number(id);
                answer.rule_of.push_back(is_droppable(number) ? AgeingAnswer::kDrop : 0);
                answer.thresholds.push_back(threshold_of(number));
                answer.decisions.append(reinterpret_cast<const char*>(&number), sizeof number);
            }
            return answer;
        };
        f_.store->set_ageing(std::move(ageing));
    }
    // The machine is well again; the store must open.
    void recover() {
        // The power may go once more while the store opens.
        for (int tries = 0; tries < 2; ++tries) {
            if (f_.io.has_crashed()) {
                f_.store.reset();
                SeededRandom dice(seed_ * 7 + step_ + tries);
                f_.io.restart(dice);
            }
            f_.io.set_fault(nullptr);
            f_.io.set_capacity(UINT64_MAX);
            if (f_.store != nullptr && !f_.store->state().is_read_only) return;
            open();
            if (!f_.io.has_crashed()) break;
        }
        if (f_.store == nullptr) wrong("the store does not open");
    }

    void settle_at_end() {
        Result<void> done = f_.store->settle();
        if (f_.io.has_crashed()) {
            // The power was still to go; now it stays.
            recover();
            if (f_.store == nullptr) return;
            done = f_.store->settle();
        }
        if (!done && !model_.has_rotted)
            wrong("the machine is well, but settling fails: " + done.error().message);
    }

    // ---- what must hold

    void check(bool at_end) {
        if (f_.store == nullptr || f_.io.has_crashed()) return;
        // Reading itself may fail on a failing disk; that is not an answer.
        if (hardship_ == Hardship::kErrors && !at_end) return;
        // What is acknowledged is searched once it is sealed; a failure shows in what is compared.
        (void)f_.store->seal();
        if (f_.io.has_crashed()) return;
        compare(*f_.store, model_, "store");
        if (model_.has_rotted || failure_) return;
        note_dropped();
        check_decisions();
        check_thresholds();
        check_arrivals();
        check_counts();
    }

    // All spans of these tests are late by years, so that of each it is known when it came.
    void check_arrivals() {
        for (const auto& segment : f_.store->snapshot("default")) {
            const auto delays = segment->delays();
            if (!delays) return wrong(delays.error().message);
            const auto numbers = numbers_by_row(*segment);
            if (!numbers) return wrong(numbers.error().message);
            for (uint32_t row = 0; row < numbers->size(); ++row) {
                uint64_t arrival_s = *delays == nullptr ? 0 : (*delays)->arrival_s(row);
                if (arrival_s == 0) arrival_s = segment->info().arrival_ns_min / kNsPerSecond;
                const auto sent = model_.sent_s.find((*numbers)[row]);
                if (sent != model_.sent_s.end() && !sent->second.contains(arrival_s))
                    wrong(fmt::format("span {} did not come in second {}", (*numbers)[row],
                                      arrival_s));
            }
        }
    }
    static Result<Numbers> numbers_by_row(const Segment& segment) {
        Numbers numbers;
        const auto columns = segment.columns();
        const auto column = std::find_if(columns.begin(), columns.end(), [](const ColumnKey& key) {
            return key.table == Table::kSpans && key.intrinsic == Intrinsic::kSpanId;
        });
        const auto index = static_cast<uint32_t>(column - columns.begin());
        for (uint32_t group = 0; group < segment.row_groups().size(); ++group) {
            TRY_ASSIGN(const auto block, segment.read(index, group));
            const size_t first = numbers.size();
            numbers.resize(first + block->fixed.size() / 8);
            std::memcpy(numbers.data() + first, block->fixed.data(), block->fixed.size());
        }
        for (uint64_t& number : numbers)
            --number;
        return numbers;
    }

    // Every span that was acknowledged counts in one place, whatever became of it: only resends in
    // another hour than their first count again.
    void check_counts() {
        const Result<Numbers> numbers = counted_numbers(*f_.store);
        if (!numbers) return wrong(numbers.error().message);
        const std::multiset<uint64_t> counted(numbers->begin(), numbers->end());
        for (const uint64_t number : model_.acknowledged) {
            const uint64_t trace = number / kTraceSpans;
            const bool may_be_gone =
                model_.deleted.contains(trace) || model_.maybe_deleted.contains(trace);
            if (!may_be_gone && !counted.contains(number))
                return wrong(fmt::format("span {} is not counted", number));
            if (counted.count(number) > 1 && !resent_.contains(number))
                return wrong(fmt::format("span {} is counted twice", number));
        }
    }

    // Of every trace that ageing dropped it is known that it was decided about.
    void check_decisions() {
        std::set<uint64_t> decided;
        for (const DecisionsFile& file : f_.store->decisions("default")) {
            const auto opened = f_.store->open_decisions(file);
            if (!opened || (*opened)->size() != file.bytes)
                return wrong(fmt::format("the decisions {} are not whole", file.id));
            const Result<Blob> bytes = (*opened)->read(0, file.bytes);
            if (!bytes) return wrong(bytes.error().message);
            for (size_t at = 0; at + 8 <= bytes->size(); at += 8) {
                uint64_t number = 0;
                std::memcpy(&number, bytes->view().data() + at, 8);
                decided.insert(number);
            }
        }
        for (const uint64_t trace : model_.dropped) {
            const bool may_be_gone =
                model_.deleted.contains(trace) || model_.maybe_deleted.contains(trace);
            if (!may_be_gone && !decided.contains(trace))
                wrong(fmt::format("trace {} was dropped, and nothing says so", trace));
        }
    }
    // What was kept has its threshold, through all merges.
    void check_thresholds() {
        const auto recent = f_.store->recent("default");
        for (const auto& segment : f_.store->snapshot("default")) {
            if (std::find(recent.begin(), recent.end(), segment) != recent.end()) continue;
            const auto thresholds = segment->thresholds();
            if (!thresholds) return wrong(thresholds.error().message);
            for (uint32_t index = 0; index < segment->fragment_count(); ++index) {
                const auto fragment = segment->fragment(index);
                if (!fragment) return wrong(fragment.error().message);
                const uint64_t trace = trace_number(fragment->trace_id);
                if (*thresholds == nullptr || (**thresholds)[index] != threshold_of(trace))
                    wrong(fmt::format("trace {} was kept without its threshold", trace));
            }
        }
    }

    // Each trace as a reader gets it.
    void compare(const Store& store, const Model& model, const std::string& where) {
        const auto segments = store.snapshot("default");
        for (uint64_t trace = 0; trace * kTraceSpans < next_ && !failure_; ++trace) {
            const Result<StoredTrace> read = read_trace(segments, test_trace_id(trace));
            std::multiset<uint64_t> seen;
            bool is_partial = false;
            if (read) {
                is_partial = read->partial;
                if (!read_spans(*read, seen))
                    return wrong(fmt::format("{}: trace {} has another content", where, trace));
            } else if (read.error().code == ErrorCode::kDataLoss) {
                is_partial = true;
            } else if (read.error().code != ErrorCode::kNotFound) {
                return wrong(fmt::format("{}: {}", where, read.error().message));
            }
            judge(model, where, trace, seen, is_partial);
        }
    }
    static bool read_spans(const StoredTrace& stored, std::multiset<uint64_t>& seen) {
        const Result<Batch> batch = otlp::decode(stored.traces_data);
        if (!batch) return false;
        for (const SpanRef& ref : batch->spans) {
            const auto view = otlp::SpanView::parse(batch->at(ref.message));
            if (view.name != "call") return false;
            seen.insert(view.span_id.value() - 1);
        }
        return true;
    }
    void judge(const Model& model, const std::string& where, uint64_t trace,
               const std::multiset<uint64_t>& seen, bool is_partial) {
        for (const uint64_t number : seen) {
            if (!model.sent.contains(number) && where != "backup")
                return wrong(fmt::format("{}: span {} was never sent", where, number));
            if (number / kTraceSpans != trace)
                return wrong(fmt::format("{}: span {} in trace {}", where, number, trace));
            if (seen.count(number) > 1)
                return wrong(fmt::format("{}: span {} is there twice", where, number));
        }
        if (model.deleted.contains(trace)) {
            if (!seen.empty() && !model.has_rotted)
                wrong(fmt::format("{}: trace {} was deleted and is there", where, trace));
            return;
        }
        if (model.dropped.contains(trace) && where == "store" && !model.has_rotted) {
            for (const uint64_t number : seen) {
                if (dropped_spans_.contains(number))
                    wrong(fmt::format("span {} was dropped and is there again", number));
            }
        }
        if (model.maybe_deleted.contains(trace) || is_droppable(trace) || model.has_rotted) return;
        if (is_partial) return wrong(fmt::format("{}: trace {} is partial", where, trace));
        for (uint64_t n = trace * kTraceSpans; n < (trace + 1) * kTraceSpans; ++n) {
            if (model.acknowledged.contains(n) && !seen.contains(n))
                return wrong(fmt::format("{}: span {} was acknowledged and is gone", where, n));
        }
    }
    // A span that ageing dropped must not come back.
    void note_dropped() {
        for (uint64_t trace = 4; trace * kTraceSpans < next_; trace += 5) {
            const Result<StoredTrace> read =
                read_trace(f_.store->snapshot("default"), test_trace_id(trace));
            if (read || read.error().code != ErrorCode::kNotFound) continue;
            for (uint64_t n = trace * kTraceSpans; n < (trace + 1) * kTraceSpans; ++n) {
                // One that may be sent again is another matter.
                if (!model_.acknowledged.contains(n) || n >= last_first_) continue;
                model_.dropped.insert(trace);
                dropped_spans_.insert(n);
            }
        }
    }

    const uint64_t seed_;
    const std::set<uint64_t>& skipped_;
    const Hardship hardship_;
    StoreFixture f_;
    Model model_;
    std::set<uint64_t> resent_;
    std::set<uint64_t> dropped_spans_;
    SeededRandom* dice_ = nullptr;
    uint64_t step_ = 0;
    uint64_t next_ = 0;
    uint64_t last_first_ = 0;
    uint64_t last_count_ = 0;
    std::optional<Failure> failure_;
    std::vector<std::string> story_;
};

// Leaves out whatever the failure does not need, and tells the rest.
std::string shrink(uint64_t seed, const Failure& failure) {
    std::set<uint64_t> skipped;
    for (uint64_t step = failure.step + 1; step < kSteps; ++step)
        skipped.insert(step);
    if (!Life(seed, skipped).run()) skipped.clear();
    for (uint64_t step = 0; step < kSteps; ++step) {
        if (!skipped.insert(step).second) continue;
        if (!Life(seed, skipped).run()) skipped.erase(step);
    }
    Life life(seed, skipped);
    const auto last = life.run();
    std::string text = fmt::format("seed {} fails: {}\n", seed, last ? last->text : failure.text);
    for (const std::string& line : life.story())
        text += line + "\n";
    return text;
}

uint64_t number_from(const char* name, uint64_t fallback) {
    const char* text = std::getenv(name);
    return text == nullptr ? fallback : std::strtoull(text, nullptr, 10);
}

}  // namespace

TEST_CASE("simulated lives: nothing acknowledged is lost, doubled, changed or comes back") {
    const uint64_t first = number_from("SPANLOOM_SIMULATION_FIRST", 1);
    const uint64_t seeds = number_from("SPANLOOM_SIMULATION_SEEDS", 200);
    for (uint64_t seed = first; seed < first + seeds; ++seed) {
        const std::optional<Failure> failure = Life(seed, {}).run();
        if (!failure) continue;
        FAIL_CHECK(shrink(seed, *failure));
        break;
    }
}

}  // namespace spanloom::store
