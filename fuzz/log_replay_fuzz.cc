// A log file, and a manifest, of any bytes: opening and replaying them must end without a fault,
// and the log must take requests again afterwards.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/hash.h"
#include "base/memory_io.h"
#include "store/log_file.h"
#include "store/manifest.h"

using namespace spanloom;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const std::string_view bytes(reinterpret_cast<const char*>(data), size);
    const store::ManifestReading reading = store::read_manifest(bytes);
    SPANLOOM_ASSERT(reading.state.next_id > 0);

    MemoryIo io;
    ManualClock clock(1'000'000'000);
    SeededRandom random(1);
    MetricsRegistry metrics;
    SPANLOOM_ASSERT(io.make_directory("log").has_value());
    io.write_file("log/0000000001.log", bytes);
    store::FileLogOptions options;
    options.thread = store::LogThread::kCaller;
    auto log = store::FileLog::open(options, io, clock, random, metrics);
    if (!log) return 0;
    const auto visit = [](Batch, store::LogPosition) -> Result<void> { return {}; };
    SPANLOOM_ASSERT((*log)->replay({}, visit).has_value());
    Batch batch;
    batch.bytes = Blob::copy_of("x");
    bool is_durable = false;
    (*log)->append(batch, hash64("x"),
                   [&](Result<store::LogPosition> said) { is_durable = said.has_value(); });
    (*log)->write_queued();
    SPANLOOM_ASSERT(is_durable);
    return 0;
}
