// How many bytes counts take that are kept for good, by their age, of a load that is made up:
// services with as many operations each, whose spans come by the hour of the day and take times
// spread as they are in life; each service calls two others. Nothing is stored; hours are drawn at
// random. Then what reading them takes, and questions over a year of twelve such months: the first
// time and again, through one cache, in ms of CPU of the thread that asks.
//   counts_bench [services] [operations] [spans a second] [0: without sizes of spans]
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/memory_io.h"
#include "insight/edge_counts.h"
#include "rollup/span_counts.h"
#include "rollup/step_table.h"
#include "store/store_paths.h"
#include "traceql/checker.h"
#include "traceql/executor.h"

namespace {

using namespace spanloom;

constexpr uint64_t kHours = 31 * 24;
constexpr uint64_t kHourNs = kHourStepS * kRollupSecondNs;
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
        const RollupSection operations = section(load_.operations, number, step_s);
        const RollupSection edges = section(load_.edges, number, step_s);
        return encode_span_counts(operations, edges);
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
        sum.add(pack(part));
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

// Of the thread's own work: others on the machine do not count.
double now_s() {
    timespec now{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
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

// The same counts, so many hours later.
std::string hours_later(const std::string& bytes, uint64_t hours) {
    const SpanCounts counts = must(decode_span_counts(bytes));
    const auto later = [hours](const PackedRollup& packed) {
        RollupSection section = unpack(packed);
        for (RollupCell& cell : section.cells)
            cell.step += static_cast<uint32_t>(hours * kHourStepS / section.step_s);
        return section;
    };
    return encode_span_counts(later(counts.operations), later(counts.edges));
}

// Files of counts as the server has them.
class Files {
  public:
    static constexpr uint64_t kMonths = 12;

    void add_year(const std::string& month) {
        for (uint64_t number = 0; number < kMonths; ++number)
            add(hours_later(month, number * kHours), kFirstHour + number * kHours, kHours,
                store::CountsDetail::kMonth);
    }
    void add_hour(const std::string& hour, uint64_t number) {
        add(hour, number, 1, store::CountsDetail::kShort);
    }
    // As a store has the last seven days: two by ten seconds, before them minute by minute.
    void add_week(const std::string& hour, const std::string& minutes, uint64_t from) {
        for (uint64_t later = 0; later < 7 * 24; ++later) {
            const bool is_short = later >= 5 * 24;
            add(hours_later(is_short ? hour : minutes, later), from + later, 1,
                is_short ? store::CountsDetail::kShort : store::CountsDetail::kMinutes);
        }
    }

    const store::CountedParts& parts() const { return parts_; }

  private:
    void add(const std::string& counts, uint64_t hour, uint64_t hours, store::CountsDetail detail) {
        const uint64_t start_ns = hour * kHourNs;
        const store::CountsFile file{
            parts_.files.size() + 1,        "default",    hour, detail, start_ns,
            start_ns + hours * kHourNs - 1, counts.size()};
        io_.write_file(store::beside_path(store::kCounts, file.tenant, {file.hour, file.id}),
                       store::encode_counts(file, counts));
        parts_.files.push_back(std::make_shared<const store::StoredCounts>(file, io_));
    }

    MemoryIo io_;
    store::CountedParts parts_;
};

using Asking = std::function<void(RollupCache&)>;

void print_question(const char* name, const Asking& ask) {
    RollupCache cache;
    std::printf(", \"%s_ms\": [", name);
    for (int time = 0; time < 2; ++time) {
        const double started_s = now_s();
        ask(cache);
        std::printf("%s%.0f", time == 0 ? "" : ", ", (now_s() - started_s) * 1000);
    }
    std::printf("], \"%s_cached_bytes\": %zu", name, cache.bytes());
}

// What Home and the list of services ask.
Asking operations(const store::CountedParts& parts, store::TimeRange range, uint64_t step_ns) {
    return [=, &parts](RollupCache& cache) {
        OperationRollup rollup(range, step_ns);
        rollup.add(parts, cache);
        if (rollup.services().empty()) std::abort();
    };
}

// What Jaeger's and Prometheus' APIs ask.
Asking rates(const store::CountedParts& parts, store::TimeRange range, uint32_t step_s) {
    return [=, &parts](RollupCache& cache) {
        StepTable table(range, step_s, StepTable::Durations::kLeftOut);
        table.add(parts, cache);
        double spans = 0;
        for (const StepTable::Operation* operation : table.operations())
            spans += operation->window(range.start_ns, range.end_ns, range.end_ns, false).spans;
        if (spans == 0) std::abort();
    };
}

Asking metrics(const store::CountedParts& parts, store::TimeRange range, uint64_t step_ns,
               const char* text) {
    const traceql::Query query = *traceql::parse(text);
    return [=, &parts](RollupCache& cache) {
        traceql::MetricsOptions options;
        options.range = range;
        options.step_ns = step_ns;
        options.counted = [&] { return parts; };
        options.rollups = &cache;
        const auto answer = must(traceql::query_metrics(query, {}, options, SystemClock()));
        if (answer.spans_from_counts == 0) std::abort();
    };
}

constexpr const char* kRate = "{} | rate() by(resource.service.name)";
constexpr const char* kErrors = "{status=error} | rate() by(resource.service.name)";
constexpr const char* kQuantiles =
    "{} | quantile_over_time(duration, .5, .99) by(resource.service.name)";

void print_questions_of_week(const std::string& hour, const std::string& minutes) {
    constexpr uint64_t kFrom = kFirstHour + 14;
    constexpr uint64_t kStepNs = 600 * kRollupSecondNs;
    Files week;
    week.add_week(hour, minutes, kFrom);
    const store::TimeRange range{kFrom * kHourNs, (kFrom + 7 * 24) * kHourNs};
    print_question("week_rates_by_10min", rates(week.parts(), range, 600));
    print_question("week_rate_by_10min", metrics(week.parts(), range, kStepNs, kRate));
    print_question("week_quantiles_by_10min", metrics(week.parts(), range, kStepNs, kQuantiles));
}

void print_questions(const std::string& month, const std::string& hour) {
    constexpr uint64_t kDayNs = 24 * kHourNs;
    Files year;
    year.add_year(month);
    const store::TimeRange range{kFirstHour * kHourNs,
                                 (kFirstHour + Files::kMonths * kHours) * kHourNs};
    const auto& parts = year.parts();
    print_question("year_services_by_263min", operations(parts, range, 0));
    print_question("year_services_by_day", operations(parts, range, kDayNs));
    print_question("year_services", operations(parts, range, range.end_ns - range.start_ns));
    print_question("year_rates", rates(parts, range, 24 * kHourStepS));
    print_question("year_map", [&](RollupCache& cache) {
        const auto found = insight::find_all_service_edges(parts, range, cache, 24 * kHourStepS);
        if (must(found).edges.empty()) std::abort();
    });
    print_question("year_rate_by_hour", metrics(parts, range, kHourNs, kRate));
    print_question("year_errors_by_hour", metrics(parts, range, kHourNs, kErrors));
    print_question("year_quantiles_by_hour", metrics(parts, range, kHourNs, kQuantiles));
    print_question("year_quantiles_by_day", metrics(parts, range, kDayNs, kQuantiles));
    Files short_steps;
    short_steps.add_hour(hour, kFirstHour + 14);
    const store::TimeRange of_hour{(kFirstHour + 14) * kHourNs, (kFirstHour + 15) * kHourNs};
    print_question("hour_rate_by_minute",
                   metrics(short_steps.parts(), of_hour, 60 * kRollupSecondNs, kRate));
    print_question("hour_quantiles_by_minute",
                   metrics(short_steps.parts(), of_hour, 60 * kRollupSecondNs, kQuantiles));
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
    print_questions(month, shortest);
    print_questions_of_week(shortest, minutes);
    std::printf("}\n");
    return 0;
}
