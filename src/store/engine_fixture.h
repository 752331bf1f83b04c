#pragma once

#include <algorithm>
#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "base/memory_io.h"
#include "store/store.h"
#include "store/test_spans.h"

// A store for tests, in which nothing runs by itself, over a file system in memory.
namespace spanloom::store {

constexpr uint64_t kNow = 1'700'000'000'000'000'000;  // in the middle of an hour
constexpr uint64_t kHour = 3'600'000'000'000;

using Numbers = std::vector<uint64_t>;

// Numbers of all spans in these segments, sorted; a span that is in two is there twice.
inline Result<Numbers> numbers_in(const std::vector<std::shared_ptr<const Segment>>& segments) {
    Numbers numbers;
    for (const auto& segment : segments) {
        const auto columns = segment->columns();
        for (uint32_t column = 0; column < columns.size(); ++column) {
            const ColumnKey& key = columns[column];
            if (key.table != Table::kSpans || key.intrinsic != Intrinsic::kSpanId) continue;
            for (uint32_t group = 0; group < segment->row_groups().size(); ++group) {
                TRY_ASSIGN(const auto block, segment->read(column, group));
                for (size_t at = 0; at + 8 <= block->fixed.size(); at += 8) {
                    uint64_t value = 0;
                    std::memcpy(&value, block->fixed.data() + at, 8);
                    numbers.push_back(value - 1);
                }
            }
        }
    }
    std::sort(numbers.begin(), numbers.end());
    return numbers;
}

// Counts that are the numbers of the spans.
inline Counting count_numbers() {
    Counting counting;
    counting.count = [](Segments counted, Segments) -> Result<std::string> {
        TRY_ASSIGN(const Numbers numbers, numbers_in({counted.begin(), counted.end()}));
        return std::string(reinterpret_cast<const char*>(numbers.data()), numbers.size() * 8);
    };
    counting.put_together = [](std::span<const std::string_view> bodies,
                               CountsDetail) -> Result<std::string> {
        std::string all;
        for (const std::string_view body : bodies)
            all += body;
        return all;
    };
    return counting;
}

// All numbers that are counted, by files and by segments, sorted.
inline Result<Numbers> counted_numbers(const Store& store) {
    const CountedParts parts = store.counted("default");
    TRY_ASSIGN(Numbers numbers, numbers_in(parts.segments));
    for (const auto& file : parts.files) {
        TRY_ASSIGN(const std::string counts, file->read());
        const size_t first = numbers.size();
        numbers.resize(first + counts.size() / 8);
        std::memcpy(numbers.data() + first, counts.data(), counts.size());
    }
    std::sort(numbers.begin(), numbers.end());
    return numbers;
}

inline Numbers range(uint64_t first, uint64_t count) {
    Numbers numbers(count);
    for (uint64_t i = 0; i < count; ++i)
        numbers[i] = first + i;
    return numbers;
}

// A store in which nothing runs by itself, over a file system in memory.
struct StoreFixture {
    MemoryIo io;
    ManualClock clock{kNow};
    SeededRandom random{11};
    MetricsRegistry metrics;
    StoreOptions options;
    std::unique_ptr<Store> store;

    StoreFixture() {
        options.background = StoreBackground::kCaller;
        options.disk_free_bytes_min = 0;
        options.log_file_bytes = 20'000;
    }
    Result<void> try_open() {
        store.reset();
        TRY_ASSIGN(store, Store::open(options, io, clock, random, metrics));
        return {};
    }
    void open() {
        const Result<void> opened = try_open();
        if (!opened) FAIL(opened.error().message);
    }
    // Like kill -9: nothing of the destructor reaches the disk.
    void kill(uint64_t seed = 1) {
        io.crash_at(io.changes() + 1);
        io.set_fault([](IoCall, const std::string&) -> std::optional<Error> {
            return Error{ErrorCode::kInternal, "killed"};
        });
        store.reset();
        SeededRandom dice(seed);
        io.restart(dice);
    }
    // The power goes with the so many-th change that settling makes.
    void crash_in_settle(uint64_t change) {
        io.crash_at(io.changes() + change);
        (void)store->settle();
        store.reset();
        SeededRandom dice(change);
        io.restart(dice);
        open();
    }
    Result<void> send(Batch batch) {
        std::optional<Result<void>> said;
        store->accept(std::move(batch), [&](Result<void> result) { said = std::move(result); });
        REQUIRE(said.has_value());
        return *said;
    }
    Result<void> send(uint64_t first, uint64_t count) {
        return send(test_batch(first, count, clock.wall_ns()));
    }
    Numbers stored(const std::string& tenant = "default") {
        const Result<Numbers> numbers = numbers_in(store->snapshot(tenant));
        REQUIRE(numbers.has_value());
        return *numbers;
    }
    // Of each trace that is stored, by number: by which threshold it was kept.
    std::map<uint64_t, uint64_t> thresholds() const {
        std::map<uint64_t, uint64_t> found;
        for (const auto& segment : store->snapshot("default")) {
            const auto thresholds = segment->thresholds();
            REQUIRE(thresholds.has_value());
            for (uint32_t index = 0; index < segment->fragment_count(); ++index)
                found[trace_number(segment->fragment(index)->trace_id)] =
                    *thresholds == nullptr ? 0 : (**thresholds)[index];
        }
        return found;
    }
    std::vector<std::string> segment_paths() const {
        std::vector<std::string> files = io.files();
        std::erase_if(files, [](const std::string& f) {
            return !f.ends_with(".seg") || f.starts_with("quarantine/");
        });
        return files;
    }
    // Every file with its bytes, and all of it in another file system.
    std::vector<std::pair<std::string, std::string>> contents() const {
        std::vector<std::pair<std::string, std::string>> all;
        for (const std::string& path : io.files())
            all.emplace_back(path, io.read_file(path));
        return all;
    }
    void restore(const std::vector<std::pair<std::string, std::string>>& all) {
        for (const auto& [path, bytes] : all) {
            const size_t slash = path.rfind('/');
            if (slash != std::string::npos)
                REQUIRE(io.make_directory(path.substr(0, slash)).has_value());
            io.write_file(path, bytes);
        }
    }
    size_t segment_files() const {
        const auto files = io.files();
        return static_cast<size_t>(std::count_if(
            files.begin(), files.end(), [](const std::string& f) { return f.ends_with(".seg"); }));
    }
};

}  // namespace spanloom::store
