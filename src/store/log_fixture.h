#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "base/hash.h"
#include "base/memory_io.h"
#include "store/log_file.h"
#include "store/test_spans.h"

// A log to test, and what it gives back.
namespace spanloom::store {

struct Replayed {
    std::vector<uint64_t> firsts;  // number of the first span of each request
    std::vector<LogPosition> ends;
    LogReplay found;
};

inline uint64_t first_of(const Batch& batch) {
    return batch.spans.empty() ? 0 : batch.spans.front().span_id.value() - 1;
}

// A log without its own thread, over a file system in memory.
struct LogFixture {
    MemoryIo io;
    ManualClock clock{1'000'000'000};
    SeededRandom random{7};
    MetricsRegistry metrics;
    FileLogOptions options;
    std::unique_ptr<FileLog> log;

    LogFixture() { options.thread = LogThread::kCaller; }

    void open() {
        log.reset();
        auto opened = FileLog::open(options, io, clock, random, metrics);
        REQUIRE(opened.has_value());
        log = std::move(*opened);
    }
    // What `done` said, after the group was written.
    std::optional<Result<LogPosition>> append(uint64_t first, uint64_t count = 2) {
        std::optional<Result<LogPosition>> said;
        queue(first, count, said);
        log->write_queued();
        return said;
    }
    void queue(uint64_t first, uint64_t count, std::optional<Result<LogPosition>>& said) {
        const Batch batch = test_batch(first, count, 5000 + first);
        log->append(batch, hash64(batch.bytes.view()),
                    [&said](Result<LogPosition> result) { said = std::move(result); });
    }
    Replayed replay(LogPosition from = {}) {
        open();
        Replayed replayed;
        auto found = log->replay(from, [&](Batch batch, LogPosition end) -> Result<void> {
            CHECK(batch.arrival_ns == 5000 + first_of(batch));
            replayed.firsts.push_back(first_of(batch));
            replayed.ends.push_back(end);
            return {};
        });
        REQUIRE(found.has_value());
        replayed.found = *found;
        return replayed;
    }
};

inline std::string damaged(const std::string& bytes, size_t offset) {
    std::string copy = bytes;
    copy[offset] = static_cast<char>(copy[offset] ^ 0x10);
    return copy;
}

}  // namespace spanloom::store
