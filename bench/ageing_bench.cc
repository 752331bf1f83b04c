// What it costs to decide about an hour: a store is filled with a dump of OTLP requests (and copies
// of it with other trace ids, each an hour later), then rules are previewed, and then the hours age
// by them.
//   ageing_bench DUMP DIRECTORY [copies]
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include <sys/resource.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/metrics.h"
#include "base/random.h"
#include "bench/load_dump.h"
#include "insight/edge_counts.h"
#include "rollup/operation_rollup.h"
#include "sampling/keeper.h"
#include "sampling/preview.h"
#include "store/store.h"

namespace {

using namespace spanloom;

constexpr uint64_t kHourNs = 3'600'000'000'000;
constexpr const char* kRules = R"({"recent": {"for": "1h"}, "keep": [
    {"name": "errors", "match": "{ status = error }", "rate": 0.5},
    {"name": "slow", "match": "{ trace:duration > 2s }", "rate": 0.2},
    {"name": "rest", "rate": 0.05}]})";

template <typename T>
T must(Result<T> result) {
    if (result) return std::move(*result);
    std::fprintf(stderr, "%s\n", result.error().message.c_str());
    std::exit(1);
}
void must(Result<void> result) {
    if (result) return;
    std::fprintf(stderr, "%s\n", result.error().message.c_str());
    std::exit(1);
}

struct Spent {
    double cpu_s = 0;
    double seconds = 0;
};

Spent now() {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    const auto seconds = [](const timeval& t) {
        return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
    };
    return {seconds(usage.ru_utime) + seconds(usage.ru_stime),
            static_cast<double>(SystemClock().monotonic_ns()) / 1e9};
}

template <typename Work>
Spent spent_on(const Work& work) {
    const Spent before = now();
    work();
    const Spent after = now();
    return {after.cpu_s - before.cpu_s, after.seconds - before.seconds};
}

void fill(store::Store& store, ManualClock& clock, const std::string& dump, uint8_t copies) {
    for (uint8_t copy = 0; copy < copies; ++copy) {
        uint64_t since_flush = 0;
        bench::for_each_batch(dump, copy, copy * kHourNs, [&](Batch batch) {
            batch.arrival_ns = clock.wall_ns();
            since_flush += batch.spans.size();
            store.accept(std::move(batch), [](const Result<void>& said) { must(said); });
            if (since_flush < 65'536) return;
            must(store.flush());
            since_flush = 0;
        });
        must(store.flush());
        clock.advance(kHourNs);
        must(store.settle());
    }
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 3) return std::fprintf(stderr, "ageing_bench DUMP DIRECTORY [copies]\n"), 2;
    const auto copies = static_cast<uint8_t>(argc > 3 ? std::atoi(argv[3]) : 1);
    const std::string dump = bench::read_dump(argv[1]);
    const auto io = must(open_posix_io(argv[2]));
    ManualClock clock(SystemClock().wall_ns());
    SeededRandom random(1);
    MetricsRegistry metrics;
    store::StoreOptions options;
    options.background = store::StoreBackground::kCaller;
    options.disk_used_max = 1;
    options.rollup = make_operation_rollup();
    options.counting = insight::make_span_counting();
    const auto store = must(store::Store::open(options, *io, clock, random, metrics));
    fill(*store, clock, dump, copies);
    const store::StoreState before = store->state();
    const double millions = static_cast<double>(before.spans) / 1e6;

    sampling::PreviewQuestion question;
    question.rules = must(sampling::parse_keep_rules(kRules));
    uint64_t previewed = 0;
    const Spent preview = spent_on([&] {
        previewed = must(sampling::preview_rules(*store, "default", question, clock.wall_ns(), {}))
                        .total.kept_traces;
    });

    const auto keeper = must(sampling::Keeper::start(*store, clock, random, metrics,
                                                     must(sampling::parse_keep_rules(kRules))));
    clock.advance(3 * kHourNs);
    const Spent ageing = spent_on([&] { must(store->settle()); });
    const store::StoreState after = store->state();
    uint64_t decision_bytes = 0;
    for (const store::DecisionsFile& file : store->decisions("default"))
        decision_bytes += file.bytes;
    uint64_t counts_bytes = 0;
    std::vector<std::string> counts;
    for (const auto& file : store->counted("default").files) {
        counts_bytes += file->file().bytes;
        counts.push_back(must(file->read()));
    }
    const std::vector<std::string_view> hours(counts.begin(), counts.end());
    const auto size_as = [&](store::CountsDetail detail) {
        return must(options.counting.put_together(hours, detail)).size();
    };
    std::printf(
        "{\"spans\": %llu, \"preview_s\": %.2f, \"preview_cpu_s_per_million\": %.3f, "
        "\"previewed_traces\": %llu, \"ageing_s\": %.2f, \"ageing_cpu_s_per_million\": %.3f, "
        "\"kept_share\": %.3f, \"bytes_per_span_kept\": %.1f, \"decision_bytes\": %llu, "
        "\"counts_bytes\": %llu, \"counts_by_minute_bytes\": %zu, "
        "\"counts_by_hour_bytes\": %zu, \"counts_of_month_bytes\": %zu}\n",
        static_cast<unsigned long long>(before.spans), preview.seconds, preview.cpu_s / millions,
        static_cast<unsigned long long>(previewed), ageing.seconds, ageing.cpu_s / millions,
        static_cast<double>(after.spans) / static_cast<double>(before.spans),
        static_cast<double>(after.disk_bytes) /
            static_cast<double>(std::max<uint64_t>(after.spans, 1)),
        static_cast<unsigned long long>(decision_bytes),
        static_cast<unsigned long long>(counts_bytes), size_as(store::CountsDetail::kMinutes),
        size_as(store::CountsDetail::kHours), size_as(store::CountsDetail::kMonth));
    return 0;
}
