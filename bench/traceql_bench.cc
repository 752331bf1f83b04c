// How long queries take over many spans, without HTTP: a dump of OTLP requests becomes one merged
// segment; further copies of it, with other trace ids and each later than the one before, make as
// many spans as are asked for.
//   traceql_bench DUMP [million spans [part of a case's name]]
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/io.h"
#include "bench/load_dump.h"
#include "rollup/operation_rollup.h"
#include "store/segment.h"
#include "store/segment_cache.h"
#include "store/string_file.h"
#include "traceql/checker.h"
#include "traceql/executor.h"

namespace {

using namespace spanloom;

template <typename T>
T must(Result<T> result) {
    if (result) return std::move(*result);
    std::fprintf(stderr, "%s\n", result.error().message.c_str());
    std::abort();
}

double now_ms() {
    return std::chrono::duration<double, std::milli>(
               std::chrono::steady_clock::now().time_since_epoch())
        .count();
}

std::shared_ptr<const store::Segment> segment_of(
    const std::string& dump, uint8_t copy, uint64_t later_ns,
    const std::shared_ptr<store::SegmentCache>& cache) {
    std::vector<std::shared_ptr<const store::Segment>> heads;
    store::SegmentBuilder builder({4096, 0, {}});
    bench::for_each_batch(dump, copy, later_ns, [&](const Batch& batch) {
        builder.add(batch);
        if (builder.spans() < 65'536) return;
        heads.push_back(must(store::Segment::open(must(builder.finish()))));
    });
    if (builder.spans() > 0) heads.push_back(must(store::Segment::open(must(builder.finish()))));
    store::StringFile file;
    must(store::merge_segments(heads, {.rollup = make_operation_rollup(), .has_models = true}, file,
                               {}));
    return must(store::Segment::open(Blob::copy_of(file.bytes), cache));
}

double cpu_ms() {
    return static_cast<double>(std::clock()) * 1000 / CLOCKS_PER_SEC;
}

struct Timed {
    double median_ms = 0;
    double median_cpu_ms = 0;
    double first_ms = 0;
    double first_result_ms = 0;
    size_t found = 0;
    std::string partial;
};

Timed time_query(const std::string& text,
                 const std::vector<std::shared_ptr<const store::Segment>>& segments,
                 store::TimeRange range, uint64_t step_ns, int times) {
    auto query = traceql::parse(text);
    if (!query) {
        std::fprintf(stderr, "%s\n", query.error().with_caret(text).c_str());
        std::abort();
    }
    SystemClock clock;
    Timed timed;
    std::vector<double> took;
    std::vector<double> cpu;
    for (int i = 0; i < times; ++i) {
        const double begin = now_ms();
        const double cpu_begin = cpu_ms();
        if (traceql::is_metrics(*query)) {
            traceql::MetricsOptions options;
            options.range = range;
            options.step_ns = step_ns;
            const auto answer = must(traceql::query_metrics(*query, segments, options, clock));
            timed.found = answer.series.size();
            timed.partial = answer.stats.reason;
        } else {
            traceql::SearchOptions options;
            options.range = range;
            bool is_first = true;
            options.on_trace = [&](const traceql::TraceFound&) {
                if (is_first) timed.first_result_ms = now_ms() - begin;
                is_first = false;
            };
            const auto answer = must(traceql::search(*query, segments, options, clock));
            timed.found = answer.traces.size();
            timed.partial = answer.stats.reason;
        }
        (i == 0 ? timed.first_ms : took.emplace_back()) = now_ms() - begin;
        cpu.push_back(cpu_ms() - cpu_begin);
    }
    std::sort(took.begin(), took.end());
    std::sort(cpu.begin(), cpu.end());
    timed.median_ms = took.empty() ? timed.first_ms : took[took.size() / 2];
    timed.median_cpu_ms = cpu[cpu.size() / 2];
    return timed;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 2) return 2;
    const uint64_t millions = argc > 2 ? std::strtoul(argv[2], nullptr, 10) : 10;
    const std::string dump = bench::read_dump(argv[1]);
    std::vector<std::shared_ptr<const store::Segment>> segments;
    // As the server has it.
    const auto cache = std::make_shared<store::SegmentCache>(128U << 20);
    uint64_t spans = 0;
    uint64_t later_ns = 0;
    store::TimeRange range{UINT64_MAX, 0};
    for (uint8_t copy = 0; spans < millions * 1'000'000; ++copy) {
        segments.push_back(segment_of(dump, copy, later_ns, cache));
        const store::SegmentInfo& info = segments.back()->info();
        spans += info.spans;
        range.start_ns = std::min(range.start_ns, info.start_ns_min);
        range.end_ns = std::max(range.end_ns, info.end_ns_max + 1);
        later_ns = info.end_ns_max - range.start_ns + 1'000'000'000;
    }
    std::printf("%.1f million spans in %zu segments, %.1f minutes\n",
                static_cast<double>(spans) / 1e6, segments.size(),
                static_cast<double>(range.end_ns - range.start_ns) / 60e9);
    const store::TimeRange last_hour{std::max(range.start_ns, range.end_ns - 3'600'000'000'000),
                                     range.end_ns};
    const uint64_t step_ns = traceql::default_step_ns(range);
    struct Case {
        const char* name;
        std::string text;
        store::TimeRange range;
        int times;
    };
    const std::vector<Case> cases = {
        {"attribute filter, newest 20", "{ span.user.id = \"4815\" }", range, 20},
        {"errors, newest 20", "{ status = error }", range, 20},
        {"{ } >> errors, newest 20", "{ } >> { status = error }", range, 20},
        {"{ } >> errors, counted", "{ } >> { status = error } | count_over_time()", range, 3},
        {"front >> errors, counted",
         "{ kind = server } >> { kind = client && status = error } | count_over_time()", range, 3},
        {"count() > 100, newest 20", "{ } | count() > 100", range, 3},
        {"rate() by service", "{ } | rate() by(resource.service.name)", range, 7},
        {"error rate() by service", "{ status = error } | rate() by(resource.service.name)", range,
         7},
        {"quantiles by name", "{ } | quantile_over_time(duration, .5, .95, .99) by(name)", range,
         5},
        {"histogram", "{ } | histogram_over_time(duration)", range, 5},
        {"compare(errors), last hour", "{ } | compare({ status = error })", last_hour, 5},
    };
    for (const Case& one : cases) {
        if (argc > 3 && std::strstr(one.name, argv[3]) == nullptr) continue;
        // As its clients ask: the others are drawn over time.
        const bool is_compare = one.text.find("compare(") != std::string::npos;
        const Timed timed =
            time_query(one.text, segments, one.range, is_compare ? 0 : step_ns, one.times);
        std::printf(
            "  %-28s %9.2f ms warm (CPU %9.2f) %9.2f ms first %8.2f ms to the first trace  %zu "
            "found "
            "%s\n",
            one.name, timed.median_ms, timed.median_cpu_ms, timed.first_ms, timed.first_result_ms,
            timed.found, timed.partial.c_str());
    }
    return 0;
}
