// CPU and bytes of building, finishing and merging segments, fed by a dump of OTLP requests.
//   segment_bench DUMP [spans per segment]
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <sys/resource.h>

#include "base/io.h"
#include "bench/load_dump.h"
#include "otlp/batch.h"
#include "rollup/operation_rollup.h"
#include "store/head.h"
#include "store/scan.h"
#include "store/segment.h"
#include "store/segment_footer.h"
#include "store/segment_layout.h"
#include "store/string_file.h"

namespace {

using namespace spanloom;

double cpu_s() {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    const auto seconds = [](const timeval& t) {
        return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
    };
    return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

double thread_cpu_s() {
    timespec now{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

template <typename T>
T must(Result<T> result) {
    if (result) return std::move(*result);
    std::fprintf(stderr, "%s\n", result.error().message.c_str());
    std::abort();
}

// Bytes per span of each column and of the tables, from the footer.
void print_columns(const std::string& image) {
    uint64_t footer_offset = 0;
    uint32_t footer_bytes = 0;
    std::memcpy(&footer_offset, image.data() + image.size() - 32, 8);
    std::memcpy(&footer_bytes, image.data() + image.size() - 24, 4);
    const auto footer =
        must(store::parse_footer(std::string_view(image).substr(footer_offset, footer_bytes),
                                 footer_offset, store::kSegmentVersion));
    const auto spans = static_cast<double>(footer.info.spans);
    std::vector<uint64_t> bytes(footer.columns.size());
    for (const auto& place : footer.places)
        bytes[place.column] += place.bytes;
    std::multimap<double, std::string, std::greater<>> rows;
    const auto add = [&](double size, std::string name) {
        rows.emplace(size / spans, std::move(name));
    };
    for (size_t c = 0; c < bytes.size(); ++c) {
        const auto& key = footer.columns[c];
        std::string name = std::to_string(static_cast<int>(key.table)) + " " + key.key + " i" +
                           std::to_string(static_cast<int>(key.intrinsic)) + " r" +
                           std::to_string(static_cast<int>(key.row_field));
        if (bytes[c] > 0) add(static_cast<double>(bytes[c]), name);
        if (footer.dictionaries[c].entries > 0)
            add(footer.dictionaries[c].block.bytes,
                name + " dictionary of " + std::to_string(footer.dictionaries[c].entries));
    }
    double chunks = 0;
    for (const auto& chunk : footer.chunks)
        chunks += chunk.bytes;
    add(chunks, "fragment table");
    add(footer.trace_index.bytes, "trace index");
    add(footer.filter_pages * 4104.0 + footer.directory.bytes, "places of values");
    add(footer_bytes, "footer");
    for (const auto& [size, name] : rows)
        if (size > 0.05) std::printf("  %7.3f  %s\n", size, name.c_str());
}

// How often a value that is nowhere is said to be somewhere, and what asking costs.
void measure_places(const store::Segment& segment) {
    constexpr int kAsked = 20'000;
    int passed = 0;
    const double before = cpu_s();
    for (int i = 0; i < kAsked; ++i)
        passed += segment.may_contain({store::Scope::kSpan, store::Intrinsic::kNone, "user.id"},
                                      store::Value::of_string("nobody-" + std::to_string(i)));
    std::printf("%-24s %6.2f %% of values that are nowhere, %.2f us each\n", "places pass",
                100.0 * passed / kAsked, (cpu_s() - before) / kAsked * 1e6);
}

// Columns read by conditions and counts: CPU seconds for a million rows, on one thread.
void measure_scans(store::Segments segments, double million) {
    const auto measure = [&](const char* what, const auto& run) {
        double best = 1e9;
        for (int i = 0; i < 3; ++i) {
            const double before = cpu_s();
            run();
            best = std::min(best, cpu_s() - before);
        }
        std::printf("%-24s %6.4f CPU-s per million rows, %.1f million rows/s\n", what,
                    best / million, million / best);
    };
    const store::Field duration{store::Scope::kIntrinsic, store::Intrinsic::kDuration, {}};
    store::ScanRequest slow;
    slow.scope.where = store::Predicate::compare(duration, store::Comparison::kGreater,
                                                 store::Value::of_duration(100'000'000));
    measure("scan duration > 100 ms", [&] {
        must(store::scan(segments, slow, [](const store::ScanBlock&) { return true; }));
    });
    store::ScanRequest matching;
    matching.scope.where = store::Predicate::compare(
        {store::Scope::kSpan, store::Intrinsic::kNone, "db.query.text"}, store::Comparison::kMatch,
        store::Value::of_string(".*FOR UPDATE.*"));
    measure("scan substring", [&] {
        must(store::scan(segments, matching, [](const store::ScanBlock&) { return true; }));
    });
    store::AggregateRequest rates;
    rates.group_by = {{store::Scope::kResource, store::Intrinsic::kNone, "service.name"}};
    rates.aggregates = {{store::Aggregate::Kind::kHistogram, duration}};
    rates.scope.range = {segments.front()->info().start_ns_min,
                         segments.front()->info().end_ns_max + 1};
    rates.step_ns = 60'000'000'000;
    measure("p95 by service, minute", [&] { must(store::aggregate(segments, rates)); });
}

// Heads that nobody reads become files: filled by what is not sent again, then made into columns
// once. The best of five, since what is compared are small changes of it.
void measure_heads(std::span<const Batch> batches, double million, size_t per_segment) {
    store::SegmentOptions on_disk;
    on_disk.places = store::PlacesForm::kFilter;
    on_disk.rollup = make_operation_rollup();
    std::optional<store::SegmentBuilder> spare;
    double fill_s = 1e9;
    double finish_s = 1e9;
    double bytes = 0;
    for (int round = 0; round < 5; ++round) {
        store::Heads heads({4096, 0, on_disk.rollup, store::PlacesForm::kNone},
                           static_cast<uint32_t>(per_segment), 0);
        bytes = 0;
        double fill = 0;
        double finish = 0;
        for (size_t i = 0; i < batches.size(); ++i) {
            const double begin = thread_cpu_s();
            if (heads.empty() && spare) heads.give_spare(std::move(*std::exchange(spare, {})));
            heads.add(batches[i]);
            const double added = thread_cpu_s();
            fill += added - begin;
            if (heads.spans() < per_segment && i + 1 < batches.size()) continue;
            std::vector<store::FilledHead> filled;
            std::vector<store::SealedHead> sealed;
            if (!heads.hand_over(1, filled, sealed)) std::abort();
            for (store::FilledHead& one : filled) {
                bytes += static_cast<double>(must(one.rows.finish_as(on_disk)).size());
                spare = std::move(one.rows);
            }
            finish += thread_cpu_s() - added;
        }
        fill_s = std::min(fill_s, fill);
        finish_s = std::min(finish_s, finish);
    }
    std::printf("%-24s %6.3f CPU-s per million spans\n", "fill heads", fill_s / million);
    std::printf("%-24s %6.3f CPU-s per million spans, %.1f B/span\n", "heads become files",
                finish_s / million, bytes / million / 1e6);
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 2) return 2;
    const size_t per_segment = argc > 2 ? std::strtoul(argv[2], nullptr, 10) : 65'536;
    double before = cpu_s();
    std::vector<Batch> batches;
    bench::for_each_batch(bench::read_dump(argv[1]), 0, 0,
                          [&](Batch batch) { batches.push_back(std::move(batch)); });
    size_t spans = 0;
    for (const Batch& batch : batches)
        spans += batch.spans.size();
    const double million = static_cast<double>(spans) / 1e6;
    const auto report = [&](const char* what) {
        const double now = cpu_s();
        std::printf("%-24s %6.3f CPU-s per million spans\n", what, (now - before) / million);
        before = cpu_s();
    };
    report("read and decode");
    measure_heads(batches, million, per_segment);
    before = cpu_s();
    double add = 0;
    double finish = 0;
    size_t memory_bytes = 0;
    size_t image_bytes = 0;
    std::vector<std::shared_ptr<const store::Segment>> segments;
    store::SegmentBuilder builder(
        {4096, 0, {}, store::PlacesForm::kNone});  // as the store's heads are
    for (size_t i = 0; i < batches.size(); ++i) {
        const double begin = cpu_s();
        builder.add(batches[i]);
        const double added = cpu_s();
        add += added - begin;
        if (builder.spans() < per_segment && i + 1 < batches.size()) continue;
        memory_bytes = std::max(memory_bytes, builder.memory_bytes());
        const Blob image = must(builder.finish());
        finish += cpu_s() - added;
        image_bytes += image.size();
        segments.push_back(must(store::Segment::open(image)));
    }
    std::printf("%-24s %6.3f CPU-s per million spans\n", "add", add / million);
    std::printf("%-24s %6.3f CPU-s per million spans\n", "finish, zstd 0", finish / million);
    std::printf("%zu segments, builder %.1f MB, images %.1f B/span\n", segments.size(),
                static_cast<double>(memory_bytes) / 1e6,
                static_cast<double>(image_bytes) / static_cast<double>(spans));
    before = cpu_s();
    store::StringFile file;
    must(store::merge_segments(segments, {.has_models = true}, file, {}));
    report("merge, zstd 1");
    std::printf("merged %.2f B/span\n",
                static_cast<double>(file.bytes.size()) / static_cast<double>(spans));
    print_columns(file.bytes);
    segments = {must(store::Segment::open(Blob::copy_of(file.bytes)))};
    measure_places(*segments.front());
    measure_scans(segments, million);
    before = cpu_s();
    store::StringFile again;
    must(store::merge_segments(segments, {.has_models = true}, again, {}));
    report("merge of the merged");
    if (!must(store::Segment::open(Blob::copy_of(again.bytes)))->verify()) std::abort();
    report("verify");
    return 0;
}
