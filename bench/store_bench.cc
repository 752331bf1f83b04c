// How fast a store takes requests, durably:
// ./store_bench DIRECTORY [requests in flight] [spans] [sparse keys]
// With sparse keys every span has one attribute more, whose key is one of so many.
#include <atomic>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <vector>

#include <sys/resource.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/metrics.h"
#include "base/random.h"
#include "store/store.h"
#include "store/test_spans.h"

using namespace spanloom;

namespace {

double cpu_seconds() {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    const auto seconds = [](timeval t) {
        return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) * 1e-6;
    };
    return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

void write_attribute(otlp::WireWriter& out, const std::string& key, const std::string& text) {
    const size_t attribute = out.begin(9);
    out.bytes_field(1, key);
    const size_t value = out.begin(2);
    out.bytes_field(1, text);
    out.end(value);
    out.end(attribute);
}

// 512 spans of about 490 bytes.
std::string request(uint64_t first, uint64_t sparse_keys) {
    const std::string text(60, 'x');
    std::string bytes;
    otlp::WireWriter out(bytes);
    const size_t resource_spans = out.begin(1);
    const size_t scope_spans = out.begin(2);
    for (uint64_t number = first; number < first + 512; ++number) {
        const size_t mark = out.begin(2);
        out.bytes_field(1, store::test_trace_id(number / 20).view());
        out.bytes_field(2, store::test_span_id(number * 0x9e3779b97f4a7c15U).view());
        out.bytes_field(5, "GET /cart/" + std::to_string(number % 40));
        out.varint_field(6, 2);
        out.fixed64_field(7, 1'700'000'000'000'000'000 + number * 1000);
        out.fixed64_field(8, 1'700'000'000'000'000'000 + number * 1000 + number % 7919 * 100);
        for (uint64_t i = 0; i < 10; ++i)
            write_attribute(out, "shop.attribute." + std::to_string(i),
                            i == 0 ? std::to_string(number % 100'000)
                                   : "value-" + std::to_string(number % (i * 3)));
        if (sparse_keys > 0)
            write_attribute(out, "sparse." + std::to_string(number * 7919 % sparse_keys),
                            std::to_string(number % 100));
        out.end(mark);
    }
    out.end(scope_spans);
    out.end(resource_spans);
    return bytes;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 2)
        return std::fprintf(stderr, "store_bench DIRECTORY [in flight] [spans] [keys]\n"), 2;
    const uint64_t in_flight_max = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 64;
    const uint64_t spans = argc > 3 ? std::strtoull(argv[3], nullptr, 10) : 1'000'000;
    const uint64_t sparse_keys = argc > 4 ? std::strtoull(argv[4], nullptr, 10) : 0;
    auto io = open_posix_io(argv[1]);
    if (!io) return std::fprintf(stderr, "%s\n", io.error().message.c_str()), 1;
    SystemClock clock;
    SeededRandom random(1);
    MetricsRegistry metrics;
    auto opened = store::Store::open({}, **io, clock, random, metrics);
    if (!opened) return std::fprintf(stderr, "%s\n", opened.error().message.c_str()), 1;
    std::vector<Batch> batches;
    for (uint64_t first = 0; first < spans; first += 512)
        batches.push_back(*otlp::decode(Blob::copy_of(request(first, sparse_keys))));
    std::mutex mutex;
    std::condition_variable room;
    uint64_t in_flight = 0;
    uint64_t refused = 0;
    const double cpu = cpu_seconds();
    const uint64_t begin = clock.monotonic_ns();
    for (Batch& batch : batches) {
        std::unique_lock lock(mutex);
        room.wait(lock, [&] { return in_flight < in_flight_max; });
        ++in_flight;
        lock.unlock();
        batch.arrival_ns = clock.wall_ns();
        (*opened)->accept(std::move(batch), [&](Result<void> said) {
            std::lock_guard guard(mutex);
            --in_flight;
            if (!said) ++refused;
            room.notify_one();
        });
    }
    {
        std::unique_lock lock(mutex);
        room.wait(lock, [&] { return in_flight == 0; });
    }
    const double seconds = static_cast<double>(clock.monotonic_ns() - begin) * 1e-9;
    const auto log_state = (*opened)->state().log;
    if (!(*opened)->flush() || !(*opened)->settle()) return 1;
    const auto state = (*opened)->state();
    const double millions = static_cast<double>(state.spans) * 1e-6;
    std::printf(
        "{\"spans_per_s\": %.0f, \"cpu_s_per_million\": %.2f, \"bytes_per_span\": %.1f, "
        "\"refused\": %lu, \"syncs\": %lu, \"sync_ms_max\": %.1f, \"segments\": %lu}\n",
        millions * 1e6 / seconds, (cpu_seconds() - cpu) / millions,
        static_cast<double>(state.disk_bytes) / static_cast<double>(state.spans),
        static_cast<unsigned long>(refused), static_cast<unsigned long>(log_state.syncs),
        static_cast<double>(log_state.sync_ns_max) * 1e-6,
        static_cast<unsigned long>(state.segments));
    return 0;
}
