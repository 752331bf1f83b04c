#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "store/log_fixture.h"
#include "store/log_format.h"

namespace spanloom::store {
namespace {

using Numbers = std::vector<uint64_t>;

// Groups of two requests, each group a file; all but the newest three are freed as it goes.
struct Rolling {
    LogFixture f;
    Numbers acknowledged;
    std::vector<LogPosition> ends;  // of the groups
    LogPosition freed;

    explicit Rolling(LogPacking packing) {
        f.options.file_bytes = kLogDataOffset + 300;
        f.options.packing = packing;
    }
    void run(uint64_t groups) {
        auto opened = FileLog::open(f.options, f.io, f.clock, f.random, f.metrics);
        if (!opened) return;
        f.log = std::move(*opened);
        for (uint64_t i = 0; i < groups; ++i) {
            std::optional<Result<LogPosition>> said[2];
            f.queue(i * 20, 2, said[0]);
            f.queue(i * 20 + 10, 2, said[1]);
            f.log->write_queued();
            if (said[0].value()) acknowledged.push_back(i * 20);
            if (said[1].value()) acknowledged.push_back(i * 20 + 10);
            if (said[1].value()) ends.push_back(**said[1]);
            if (ends.size() > 3) freed = ends[ends.size() - 4];
            f.log->free_before(freed);
        }
    }
    // What was acknowledged behind what was freed.
    Numbers wanted() const {
        const size_t groups_kept = std::min<size_t>(ends.size(), 3);
        return {acknowledged.end() - static_cast<ptrdiff_t>(groups_kept * 2), acknowledged.end()};
    }
};

size_t spares_in(const MemoryIo& io) {
    const std::vector<std::string> files = io.files();
    return static_cast<size_t>(std::count_if(
        files.begin(), files.end(), [](const auto& file) { return file.ends_with(".spare"); }));
}

bool holds(const MemoryIo& io, const std::string& text) {
    const std::vector<std::string> files = io.files();
    return std::any_of(files.begin(), files.end(), [&](const std::string& file) {
        return io.read_file(file).find(text) != std::string::npos;
    });
}

}  // namespace

TEST_CASE("files of no use any more are written again, and what they held is not read") {
    Rolling rolling(LogPacking::kNever);
    rolling.run(40);
    CHECK(rolling.acknowledged.size() == 80);
    CHECK(rolling.f.io.files().size() < 10);
    CHECK(spares_in(rolling.f.io) > 0);
    // The newest files lie in old ones.
    const std::string newest = [&] {
        std::vector<std::string> files = rolling.f.io.files();
        std::erase_if(files, [](const auto& file) { return !file.ends_with(".log"); });
        return files.back();
    }();
    CHECK(decode_log_file_header(rolling.f.io.read_file(newest))->header.former_bytes > 0);
    const Replayed replayed = rolling.f.replay(rolling.freed);
    CHECK(replayed.firsts == rolling.wanted());
    CHECK(replayed.found.damage.empty());
    CHECK(replayed.found.notes.empty());
    CHECK(spares_in(rolling.f.io) == 0);
}

TEST_CASE("after a crash at any call every request that was acknowledged and not freed is there") {
    for (const LogPacking packing : {LogPacking::kNever, LogPacking::kAlways}) {
        for (uint64_t crash = 1; crash < 90; ++crash) {
            Rolling rolling(packing);
            rolling.f.io.crash_at(crash);
            rolling.run(14);
            SeededRandom random(crash);
            rolling.f.io.restart(random);
            const Replayed replayed = rolling.f.replay(rolling.freed);
            CAPTURE(crash);
            for (const std::string& damage : replayed.found.damage)
                FAIL_CHECK(damage);
            const Numbers wanted = rolling.wanted();
            CHECK(std::includes(replayed.firsts.begin(), replayed.firsts.end(), wanted.begin(),
                                wanted.end()));
            CHECK(std::is_sorted(replayed.firsts.begin(), replayed.firsts.end()));
            CHECK(std::adjacent_find(replayed.firsts.begin(), replayed.firsts.end()) ==
                  replayed.firsts.end());
            // At most the group that was on its way is there beyond what was acknowledged.
            CHECK(replayed.firsts.size() <= wanted.size() + 2);
        }
    }
}

TEST_CASE("a request torn at the end of a file that was written again is noted") {
    Rolling rolling(LogPacking::kNever);
    rolling.f.options.file_bytes = 64 << 10;
    rolling.run(1);
    rolling.f.log->begin_erasing();
    // A spare of the size of what comes: its bytes are all overwritten, but for the last ones.
    MemoryIo& io = rolling.f.io;
    const std::string path = "log/0000000002.log";
    REQUIRE(rolling.f.append(500).value().has_value());
    const std::string whole = io.read_file(path);
    auto header = decode_log_file_header(whole)->header;
    header.former_bytes = whole.size() + 100;
    const std::string torn = encode_log_file_header(header) +
                             whole.substr(kLogDataOffset, whole.size() - kLogDataOffset - 4);
    io.write_file(path, torn + std::string(104, 'x'));
    const Replayed replayed = rolling.f.replay();
    CHECK(replayed.firsts == Numbers{0, 10});
    CHECK(replayed.found.damage.empty());
    REQUIRE(replayed.found.notes.size() == 1);
    CHECK(replayed.found.notes.front().find("never acknowledged") != std::string::npos);
}

TEST_CASE("erasing leaves nothing of what was written before") {
    LogFixture f;
    f.options.file_bytes = kLogDataOffset + 300;
    f.open();
    const auto append = [&](uint64_t first, const std::string& name) {
        const Batch batch = test_batch(first, 4, 5000 + first, name);
        f.log->append(batch, hash64(batch.bytes.view()),
                      [](Result<LogPosition> said) { CHECK(said.has_value()); });
        f.log->write_queued();
    };
    for (uint64_t i = 0; i < 8; ++i) {
        append(i * 10, "secret");
        f.log->free_before(f.log->state().end);
    }
    CHECK(spares_in(f.io) > 0);
    f.log->begin_erasing();
    CHECK(spares_in(f.io) == 0);
    f.log->free_before(f.log->state().end);
    CHECK_FALSE(holds(f.io, "secret"));
    for (uint64_t i = 0; i < 8; ++i) {
        append(i * 10, "open");
        f.log->free_before(f.log->state().end);
    }
    CHECK(spares_in(f.io) > 0);
    CHECK_FALSE(holds(f.io, "secret"));
}

TEST_CASE("a disk with little room keeps no spare files") {
    LogFixture f;
    f.options.file_bytes = kLogDataOffset + 300;
    f.options.spare_disk_bytes_min = 1 << 20;
    f.io.set_capacity(2 << 20);
    f.open();
    const auto roll = [&] {
        for (uint64_t i = 0; i < 4; ++i) {
            REQUIRE(f.append(i * 10, 4).value().has_value());
            f.log->free_before(f.log->state().end);
        }
    };
    roll();
    CHECK(spares_in(f.io) > 0);
    f.io.set_capacity(1 << 20);
    roll();
    CHECK(spares_in(f.io) == 0);
    CHECK(f.log->state().bytes < 40'000);
}

TEST_CASE("a spare file that cannot be written is given up, and nothing is lost") {
    for (const IoCall broken : {IoCall::kOverwrite, IoCall::kRename, IoCall::kSync}) {
        Rolling rolling(LogPacking::kNever);
        rolling.run(8);
        int left = 1;
        rolling.f.io.set_fault([&](IoCall call, const std::string& path) -> std::optional<Error> {
            if (call != broken || !path.ends_with(".spare") || left-- <= 0) return std::nullopt;
            return Error{ErrorCode::kInternal, "input/output error"};
        });
        LogFixture& f = rolling.f;
        CHECK(f.append(990).value().has_value());
        CHECK(f.append(995).value().has_value());
        CHECK(left <= 0);
        SeededRandom random(3);
        f.io.restart(random);
        Numbers wanted = rolling.wanted();
        wanted.insert(wanted.end(), {990, 995});
        const Replayed replayed = f.replay(rolling.freed);
        CHECK(replayed.firsts == wanted);
        CHECK(replayed.found.damage.empty());
    }
}

}  // namespace spanloom::store
