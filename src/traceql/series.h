#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "traceql/answer.h"
#include "traceql/ast.h"
#include "traceql/value_sketch.h"

namespace spanloom::traceql {

// The intervals of a metrics query: interval i is (left_ns + i * step_ns, left_ns + (i+1) *
// step_ns].
struct Grid {
    uint64_t left_ns = 0;
    uint64_t step_ns = 1;
    size_t intervals = 1;

    // Whole steps that cover the range, and one before it; one interval where step_ns is 0.
    static Result<Grid> of(store::TimeRange range, uint64_t step_ns);
    uint64_t right_ns() const { return left_ns + step_ns * intervals; }
    bool holds(uint64_t time_ns) const { return time_ns > left_ns && time_ns <= right_ns(); }
    size_t index(uint64_t time_ns) const { return (time_ns - left_ns - 1) / step_ns; }
};

// What the parts of one query may keep together. Any thread.
class MemoryShare {
  public:
    explicit MemoryShare(size_t bytes_max) : bytes_max_(bytes_max) {}

    bool take(size_t bytes) {
        if (used_.fetch_add(bytes) + bytes <= bytes_max_) return true;
        used_.fetch_sub(bytes);
        return false;
    }
    void give_back(size_t bytes) { used_.fetch_sub(bytes); }

  private:
    const size_t bytes_max_;
    std::atomic<size_t> used_ = 0;
};

// What one thread has of it: taken much at once, as all of them ask. One thread; the share outlives
// it.
class MemoryAllowance {
  public:
    explicit MemoryAllowance(MemoryShare& share) : share_(share) {}
    MemoryAllowance(const MemoryAllowance&) = delete;
    MemoryAllowance& operator=(const MemoryAllowance&) = delete;
    ~MemoryAllowance() { share_.give_back(taken_); }

    bool take(size_t bytes);
    void give_back(size_t bytes) { left_ += bytes; }
    // It was asked for more than there was.
    bool is_used_up() const { return is_used_up_; }

  private:
    MemoryShare& share_;
    size_t taken_ = 0;
    size_t left_ = 0;  // of that
    bool is_used_up_ = false;
};

// Calls work(i) for i in [0, count), perhaps in several threads.
using Sharing = std::function<void(size_t count, const std::function<void(size_t)>& work)>;

// One metric over groups and intervals while spans are counted into it. One thread.
class SeriesSet {
  public:
    static constexpr uint32_t kNone = UINT32_MAX;

    // `stage` is the metric; it and `memory` outlive it.
    SeriesSet(const Stage& stage, Grid grid, MemoryShare& memory);
    SeriesSet(const SeriesSet&) = delete;
    SeriesSet& operator=(const SeriesSet&) = delete;

    bool needs_value() const;
    // The series of these values of by(). kNone where the memory is used up.
    uint32_t series_of(std::span<const store::Value> group);
    // quantile_over_time: where values of an interval go that are added in place (ValueSketch), or
    // else by add().
    ValueSketch* sketch_of(uint32_t series, size_t interval) {
        return groups_[series].sketches[interval].get();
    }
    bool has_sketches() const { return metric_ == Metric::kQuantile; }
    // Whether the answer is still to be of single values, as they are few: then some that are
    // equal may not be added as one of more weight.
    bool is_of_single_values(uint32_t series, size_t interval) const;
    // `value`: nanoseconds where it is a duration.
    void add(uint32_t series, size_t interval, double value, double weight);
    // What another set of the same metric has counted, which is used up.
    void add(SeriesSet&& other);
    void add_exemplar(uint32_t series, Exemplar exemplar);
    // Those of another set of the same metric, for series that are here.
    void add_exemplars(SeriesSet&& other);
    // Exemplars kept for each series; 0: none.
    void set_exemplars(uint32_t per_series) { exemplars_max_ = per_series; }
    bool wants_exemplar(uint32_t series, size_t interval, uint64_t hash) const;
    bool is_full() const { return is_full_ || memory_.is_used_up(); }

    // Sorted by labels.
    std::vector<Series> finish(const Sharing& share) const;

  private:
    struct Kept {
        uint64_t hash = UINT64_MAX;
        Exemplar exemplar;
    };
    struct Group {
        const std::string* key = nullptr;  // in by_key_
        std::vector<Label> labels;
        std::vector<double> sums;     // or counts, least or greatest values
        std::vector<double> weights;  // avg_over_time
        // quantile_over_time, by interval; nullptr: no value
        std::vector<std::unique_ptr<ValueSketch>> sketches;
        // histogram_over_time: counts by power of two
        std::map<int, std::vector<double>> buckets;
        std::vector<Kept> kept;
    };

    void finish_group(const Group& group, std::vector<Series>& out) const;
    std::vector<double> values_of(const Group& group) const;
    uint32_t make_group(std::string key, std::vector<Label> labels);
    void join(Group& group, Group& other);
    void join(std::unique_ptr<ValueSketch>& sketch, std::unique_ptr<ValueSketch>& other);
    static void join_exemplars(Group& group, Group& other);
    void recharge(size_t before, size_t after);

    const Stage& stage_;
    Metric metric_;
    Grid grid_;
    double scale_ = 1;  // seconds for durations
    MemoryAllowance memory_;
    bool is_full_ = false;  // another that was joined was
    uint32_t exemplars_max_ = 0;
    std::vector<Group> groups_;
    std::unordered_map<std::string, uint32_t> by_key_;
};

// Whether an expression is in nanoseconds.
bool is_duration(const Expression& expression);
// A hash that orders spans at random, and always alike.
uint64_t exemplar_hash(const TraceId& trace_id, const SpanId& span_id);
// "name=value" of every label: what series are sorted by.
std::string labels_text(const std::vector<Label>& labels);
// Equal values have equal keys; an integer and a double are two values.
void append_key(std::string& key, const store::Value& value);

// topk(), bottomk() and comparisons behind a metric.
void apply_second(const Stage& stage, std::vector<Series>& series);
// Series of both sides with the same labels are joined; a side that has one series without by()
// joins with every series of the other.
std::vector<Series> join_series(Operator op, std::vector<Series> left, std::vector<Series> right);
void join_scalar(Operator op, double scalar, bool scalar_is_left, std::vector<Series>& series);

}  // namespace spanloom::traceql
