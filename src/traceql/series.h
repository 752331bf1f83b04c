#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "traceql/answer.h"
#include "traceql/ast.h"

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

// Calls work(i) for i in [0, count), perhaps in several threads.
using Sharing = std::function<void(size_t count, const std::function<void(size_t)>& work)>;

// Numbers and their weights, of which a quantile is wanted. The first kExactMax values are kept as
// they are; beyond that they are counted in buckets at most 1/64 of their lower bound wide, so that
// an answer is within 0.8 % of a value that was there. What comes out does not depend on the order
// in which values came in.
class ValueSketch {
  public:
    static constexpr size_t kExactMax = 64;

    void add(double value, double weight);
    void add(const ValueSketch& other);
    // For each of the shares the smallest value that at least this share of the weight does not
    // exceed. NaN when empty.
    std::vector<double> quantiles(std::span<const double> shares) const;
    size_t memory_bytes() const;

  private:
    struct Bucket {
        uint32_t key = 0;
        double weight = 0;  // 0: free
    };

    void count_all();
    void count(uint32_t key, double weight);

    std::vector<std::pair<double, double>> exact_;
    std::vector<Bucket> buckets_;  // open addressing
    size_t used_ = 0;
    double total_ = 0;
};

// One metric over groups and intervals while spans are counted into it. One thread.
class SeriesSet {
  public:
    static constexpr uint32_t kNone = UINT32_MAX;

    // `stage` is the metric; it and `memory` outlive it.
    SeriesSet(const Stage& stage, Grid grid, MemoryShare& memory);
    SeriesSet(const SeriesSet&) = delete;
    SeriesSet& operator=(const SeriesSet&) = delete;
    ~SeriesSet() { memory_.give_back(memory_bytes_); }

    bool needs_value() const;
    // The series of these values of by(). kNone where the memory is used up.
    uint32_t series_of(std::span<const store::Value> group);
    // `value`: nanoseconds where it is a duration.
    void add(uint32_t series, size_t interval, double value, double weight);
    // What another set of the same metric has counted.
    void add(const SeriesSet& other);
    void add_exemplar(uint32_t series, Exemplar exemplar);
    // Exemplars kept for each series; 0: none.
    void set_exemplars(uint32_t per_series) { exemplars_max_ = per_series; }
    bool wants_exemplar(uint32_t series, size_t interval, uint64_t hash) const;
    bool is_full() const { return is_full_; }

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
        std::vector<double> sums;           // or counts, least or greatest values
        std::vector<double> weights;        // avg_over_time
        std::vector<ValueSketch> sketches;  // quantile_over_time
        // histogram_over_time: counts by power of two
        std::map<int, std::vector<double>> buckets;
        std::vector<Kept> kept;
    };

    void finish_group(const Group& group, std::vector<Series>& out) const;
    std::vector<double> values_of(const Group& group) const;
    uint32_t make_group(std::string key, std::vector<Label> labels);
    void join(Group& group, const Group& other);
    bool charge(size_t bytes);

    const Stage& stage_;
    Metric metric_;
    Grid grid_;
    double scale_ = 1;  // seconds for durations
    MemoryShare& memory_;
    size_t memory_bytes_ = 0;
    bool is_full_ = false;
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
