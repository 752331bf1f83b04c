// How many bytes counts take that are kept for good, by their age, of a load that is made up:
// services with as many operations each, whose spans come by the hour of the day and take times
// spread as they are in life; each service calls two others. Nothing is stored; hours are drawn at
// random.
//   counts_bench [services] [operations] [spans a second] [0: without sizes of spans]
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "insight/edge_counts.h"
#include "rollup/span_counts.h"

namespace {

using namespace spanloom;

constexpr uint64_t kHours = 31 * 24;
constexpr uint64_t kFirstHour = 490'000 / 24 * 24;

template <typename T>
T must(Result<T> result) {
    if (result) return std::move(*result);
    std::fprintf(stderr, "%s\n", result.error().message.c_str());
    std::exit(1);
}

// One operation, or one side of an edge.
struct Row {
    std::string service;
    std::string name;
    otlp::SpanKind kind = otlp::SpanKind::kServer;
    double spans_per_s = 0;
    double middle = 0;  // of durations, as a power of two
    double width = 0;
    double errors = 0;  // share
    double bytes = 0;   // of a span, on average; 0: not counted
};

struct Load {
    std::vector<Row> operations;
    std::vector<Row> edges;
};

Load make_load(int services, int operations, double spans_per_s) {
    std::mt19937_64 random(1);
    std::mt19937_64 sizes(4);
    std::uniform_real_distribution<double> uniform;
    Load load;
    double all = 0;
    for (int s = 0; s < services; ++s) {
        const std::string service = "service-" + std::to_string(s);
        double calls = 0;
        for (int o = 0; o < operations; ++o) {
            // A few are called often, most of them seldom.
            const double often = std::pow(10, -2 * uniform(random));
            const auto kind = static_cast<otlp::SpanKind>(1 + o % 3);
            load.operations.push_back({service, "/api/v1/things/" + std::to_string(o), kind, often,
                                       18 + 10 * uniform(random), 0.5 + uniform(random),
                                       uniform(random) < 0.7 ? 0 : 0.02 * uniform(random),
                                       300 + 900 * uniform(sizes)});
            all += often;
            calls += often;
        }
        for (const int far : {1, 3}) {
            std::string name = "service-" + std::to_string((s + far) % services);
            name += '\0';
            name += ":rpc";
            for (const auto kind : {otlp::SpanKind::kServer, otlp::SpanKind::kClient})
                load.edges.push_back(
                    {service, name, kind, calls / 6, 20 + 6 * uniform(random), 1, 0.005});
        }
    }
    for (auto* rows : {&load.operations, &load.edges}) {
        for (Row& row : *rows)
            row.spans_per_s *= spans_per_s / all;
    }
    return load;
}

class Hours {
  public:
    Hours(const Load& load, bool has_sizes) : load_(load), has_sizes_(has_sizes) {}

    // By ten seconds; with `step_s` longer, as they are put together.
    std::string hour(uint64_t number, uint32_t step_s) {
        SpanCounts counts;
        counts.operations = section(load_.operations, number, step_s);
        counts.edges = section(load_.edges, number, step_s);
        return encode_span_counts(counts);
    }

  private:
    RollupSection section(const std::vector<Row>& rows, uint64_t number, uint32_t step_s) {
        RollupSum sum(step_s);
        RollupSection part;
        part.step_s = step_s;
        part.services.emplace_back();
        for (const Row& row : rows) {
            for (const bool is_error : {false, true})
                add(row, is_error, number, part, sum);
        }
        return sum.finish();
    }

    void add(const Row& row, bool is_error, uint64_t number, RollupSection& part, RollupSum& sum) {
        const double share = is_error ? row.errors : 1 - row.errors;
        if (share == 0) return;
        part.services = {row.service};
        part.operations = {{0, row.name, row.kind, is_error}};
        part.cells.clear();
        part.buckets.clear();
        const uint64_t steps = 3600 / part.step_s;
        // Twice as much at two in the afternoon as at night, a third less on two days of seven.
        const double day =
            1 + 0.35 * std::sin((static_cast<double>(number % 24) - 8) / 24 * 6.2832);
        const double week = number / 24 % 7 < 5 ? 1 : 0.65;
        const double expected = row.spans_per_s * share * day * week * part.step_s;
        const uint64_t steps_together = std::max<uint64_t>(1, kMinuteStepS / part.step_s);
        double bytes = 0;
        for (uint64_t step = 0; step < steps; ++step) {
            if (step % steps_together == 0)
                bytes = mean_bytes(row, expected * static_cast<double>(steps_together));
            RollupCell cell;
            cell.step = static_cast<uint32_t>((kFirstHour + number) * steps + step);
            cell.first_bucket = static_cast<uint32_t>(part.buckets.size());
            const double from = row.middle - 4 * row.width;
            const double to = row.middle + 4 * row.width;
            uint32_t bucket = bucket_at(from);
            for (double begin = from; begin < to && bucket < DurationHistogram::kBuckets;
                 ++bucket) {
                const double end =
                    std::log2(static_cast<double>(DurationHistogram::lower_bound_of(bucket + 1)));
                const double p =
                    below((end - row.middle) / row.width) - below((begin - row.middle) / row.width);
                begin = end;
                if (expected * p < 1e-6) continue;
                const uint64_t spans = std::poisson_distribution<uint64_t>(expected * p)(random_);
                if (spans == 0) continue;
                part.buckets.emplace_back(static_cast<uint16_t>(bucket),
                                          static_cast<uint32_t>(spans));
                cell.count += spans;
            }
            if (cell.count == 0) continue;
            cell.buckets = static_cast<uint32_t>(part.buckets.size()) - cell.first_bucket;
            cell.errors = is_error ? cell.count : 0;
            cell.weighted = static_cast<double>(cell.count);
            cell.bytes =
                static_cast<uint64_t>(std::llround(bytes * static_cast<double>(cell.count)));
            part.cells.push_back(cell);
        }
        sum.add(part);
    }

    // Spans of an operation differ by a fifth. Segments know it by the minute, so that shorter
    // steps have the same mean.
    double mean_bytes(const Row& row, double spans) {
        if (row.bytes == 0 || !has_sizes_) return 0;
        std::normal_distribution<double> mean(row.bytes,
                                              row.bytes / 5 / std::sqrt(std::max(spans, 1.0)));
        return std::max(mean(sizes_random_), 1.0);
    }

    static uint32_t bucket_at(double power) {
        return DurationHistogram::bucket_of(static_cast<uint64_t>(std::exp2(power)));
    }
    static double below(double deviations) { return 0.5 * std::erfc(-deviations / std::sqrt(2)); }

    const Load& load_;
    const bool has_sizes_;
    std::mt19937_64 random_{2};
    std::mt19937_64 sizes_random_{3};
};

std::string put_together(const std::vector<std::string>& parts, store::CountsDetail detail) {
    const std::vector<std::string_view> views(parts.begin(), parts.end());
    return must(insight::make_span_counting().put_together(views, detail));
}

double now_s() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch())
        .count();
}

// What the first query that needs a file waits for, and what keeping it decoded takes.
void print_decoding(const char* name, const std::string& bytes) {
    constexpr int kTimes = 5;
    const double started_s = now_s();
    size_t memory = 0;
    for (int i = 0; i < kTimes; ++i)
        memory = must(decode_span_counts(bytes)).memory_bytes();
    std::printf(", \"decode_%s_ms\": %.2f, \"%s_memory_bytes\": %zu", name,
                (now_s() - started_s) * 1000 / kTimes, name, memory);
}

}  // namespace

int main(int argc, char** argv) {
    const int services = argc > 1 ? std::atoi(argv[1]) : 20;
    const int operations = argc > 2 ? std::atoi(argv[2]) : 10;
    const double spans_per_s = argc > 3 ? std::atof(argv[3]) : 1000;
    const bool has_sizes = argc <= 4 || std::atoi(argv[4]) != 0;
    const Load load = make_load(services, operations, spans_per_s);
    Hours hours(load, has_sizes);
    const std::string shortest = hours.hour(14, kShortStepS);
    const double started_s = now_s();
    const std::string minutes = put_together({shortest}, store::CountsDetail::kMinutes);
    const double minutes_s = now_s() - started_s;
    std::vector<std::string> days;
    for (uint64_t day = 0; day < kHours / 24; ++day) {
        std::vector<std::string> of_day;
        for (uint64_t hour = 0; hour < 24; ++hour)
            of_day.push_back(hours.hour(day * 24 + hour, kHourStepS));
        days.push_back(put_together(of_day, store::CountsDetail::kHours));
    }
    const double months_started_s = now_s();
    const std::string month = put_together(days, store::CountsDetail::kMonth);
    const double month_s = now_s() - months_started_s;
    std::printf(
        "{\"services\": %d, \"operations\": %zu, \"edges\": %zu, \"spans_per_s\": %.0f, "
        "\"hour_by_10s_bytes\": %zu, \"hour_by_minute_bytes\": %zu, \"day_by_hour_bytes\": %zu, "
        "\"month_bytes\": %zu, \"year_bytes\": %.0f, \"minutes_s\": %.3f, \"month_s\": %.3f",
        services, load.operations.size(), load.edges.size() / 2, spans_per_s, shortest.size(),
        minutes.size(), days[3].size(), month.size(), static_cast<double>(month.size()) * 365 / 31,
        minutes_s, month_s);
    print_decoding("hour_by_10s", shortest);
    print_decoding("hour_by_minute", minutes);
    print_decoding("day_by_hour", days[3]);
    print_decoding("month", month);
    std::printf("}\n");
    return 0;
}
