#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "base/hash.h"
#include "store/log_fixture.h"
#include "store/log_format.h"

namespace spanloom::store {

using Numbers = std::vector<uint64_t>;
using Fixture = LogFixture;

TEST_CASE("what was appended comes back in order") {
    Fixture f;
    f.open();
    REQUIRE(f.append(10).value().has_value());
    const LogPosition after_first = f.log->state().end;
    REQUIRE(f.append(20).value().has_value());
    REQUIRE(f.append(30).value().has_value());
    const LogPosition end = f.log->state().end;
    const Replayed all = f.replay();
    CHECK(all.firsts == Numbers{10, 20, 30});
    CHECK(all.ends.front() == after_first);
    CHECK(all.ends.back() == end);
    CHECK(all.found.spans == 6);
    CHECK(all.found.damage.empty());
    CHECK(all.found.notes.empty());
    CHECK(f.replay(after_first).firsts == Numbers{20, 30});
    CHECK(f.replay(end).firsts.empty());
}

TEST_CASE("requests that wait together are synced once") {
    Fixture f;
    f.open();
    std::optional<Result<LogPosition>> said[3];
    for (uint64_t i = 0; i < 3; ++i)
        f.queue(i * 10, 1, said[i]);
    CHECK_FALSE(said[0].has_value());
    f.log->write_queued();
    CHECK(f.log->state().syncs == 1);
    CHECK(f.log->state().queued_bytes == 0);
    for (auto& one : said)
        CHECK(one.value().has_value());
    CHECK(f.replay().firsts == Numbers{0, 10, 20});
}

TEST_CASE("a full queue refuses and says when to come again") {
    Fixture f;
    f.options.queue_bytes_max = 200;
    f.open();
    std::optional<Result<LogPosition>> first;
    std::optional<Result<LogPosition>> second;
    f.queue(1, 3, first);
    f.queue(2, 3, second);
    REQUIRE(second.has_value());
    REQUIRE_FALSE(second->has_value());
    CHECK(second->error().code == ErrorCode::kUnavailable);
    CHECK(second->error().retry_after_s == 1);
    f.log->write_queued();
    CHECK(first.value().has_value());
    CHECK(f.append(3).value().has_value());
}

TEST_CASE("files follow one another and go when segments hold them") {
    Fixture f;
    f.options.file_bytes = kLogDataOffset + 500;
    f.options.spare_files_max = 0;
    f.open();
    LogPosition middle;
    for (uint64_t i = 0; i < 20; ++i) {
        const LogPosition end = f.append(i * 10).value().value();
        if (i == 9) middle = end;
    }
    const size_t files = f.io.files().size();
    CHECK(files > 4);
    f.log->free_before(middle);
    CHECK(f.io.files().size() < files);
    CHECK(f.replay(middle).firsts == Numbers{100, 110, 120, 130, 140, 150, 160, 170, 180, 190});
    // Nothing is written to a file of before.
    const std::string last = f.io.files().back();
    const std::string before = f.io.read_file(last);
    REQUIRE(f.append(500).value().has_value());
    CHECK(f.io.read_file(last) == before);
    f.log->free_before(f.log->state().end);
    CHECK(f.replay(middle).firsts == Numbers{500});
}

TEST_CASE("positions go on behind what the manifest says") {
    Fixture f;
    f.options.start_at_least = {100'000};
    f.open();
    CHECK(f.append(1).value().value() > LogPosition{100'000});
    CHECK(f.replay(LogPosition{100'000}).firsts == Numbers{1});
}

TEST_CASE("a torn tail ends the replay and is noted, wherever it is torn") {
    Fixture f;
    f.open();
    f.append(10);
    f.append(20);
    const std::string path = f.io.files().front();
    const std::string two = f.io.read_file(path);
    f.append(30);
    const std::string three = f.io.read_file(path);
    for (size_t size = two.size() + 1; size < three.size(); size += 7) {
        Fixture torn;
        REQUIRE(torn.io.make_directory("log").has_value());
        torn.io.write_file(path, three.substr(0, size));
        const Replayed replayed = torn.replay();
        CHECK(replayed.firsts == Numbers{10, 20});
        CHECK(replayed.found.damage.empty());
        CHECK(replayed.found.notes.size() == 1);
        // What is written after it is found with it, and nobody calls it damage.
        REQUIRE(torn.append(40).value().has_value());
        const Replayed again = torn.replay();
        CHECK(again.firsts == Numbers{10, 20, 40});
        CHECK(again.found.damage.empty());
    }
}

TEST_CASE("zeros at the end, empty files and files of zeros are only noted") {
    Fixture f;
    f.open();
    f.append(10);
    const std::string path = f.io.files().front();
    f.io.write_file(path, f.io.read_file(path) + std::string(5000, '\0'));
    f.io.write_file("log/0000000002.log", "");
    f.io.write_file("log/0000000003.log", std::string(20'000, '\0'));
    const Replayed replayed = f.replay();
    CHECK(replayed.firsts == Numbers{10});
    CHECK(replayed.found.damage.empty());
    CHECK(replayed.found.notes.size() == 3);
    CHECK(f.append(20).value().has_value());
    CHECK(f.replay().firsts == Numbers{10, 20});
}

TEST_CASE("each damaged byte in the middle costs one request and is reported") {
    Fixture f;
    f.open();
    f.append(10);
    f.append(20);
    const std::string path = f.io.files().front();
    const size_t begin = f.io.read_file(path).size();
    f.append(30);
    const size_t end = f.io.read_file(path).size();
    f.append(40);
    const std::string whole = f.io.read_file(path);
    for (size_t offset = begin; offset < end; offset += 3) {
        f.io.write_file(path, damaged(whole, offset));
        const Replayed replayed = f.replay();
        CHECK(replayed.firsts == Numbers{10, 20, 40});
        REQUIRE(replayed.found.damage.size() == 1);
        CHECK(replayed.found.damaged_bytes == end - begin);
    }
}

TEST_CASE("a damaged file header is read from its copy") {
    Fixture f;
    f.open();
    f.append(10);
    const std::string path = f.io.files().front();
    const std::string whole = f.io.read_file(path);
    for (size_t offset : {0, 9, 17, 25, 33, 41, 57}) {
        f.io.write_file(path, damaged(whole, offset));
        const Replayed replayed = f.replay();
        CHECK(replayed.firsts == Numbers{10});
        CHECK(replayed.found.damage.size() == 1);
    }
    std::string both = damaged(damaged(whole, 20), 4096 + 20);
    f.io.write_file(path, both);
    const Replayed replayed = f.replay();
    CHECK(replayed.firsts.empty());
    CHECK(replayed.found.damage.size() == 1);
    CHECK(f.io.files() == std::vector<std::string>{"quarantine/0000000001.log"});
}

TEST_CASE("two files that changed places are read in the order they were written") {
    Fixture f;
    f.options.file_bytes = kLogDataOffset + 1;
    f.open();
    f.append(10);
    f.append(20);
    f.append(30);
    const std::string first = f.io.read_file("log/0000000001.log");
    f.io.write_file("log/0000000001.log", f.io.read_file("log/0000000003.log"));
    f.io.write_file("log/0000000003.log", first);
    const Replayed replayed = f.replay();
    CHECK(replayed.firsts == Numbers{10, 20, 30});
    CHECK(replayed.found.damage.size() == 2);
}

TEST_CASE("records of another file or place are not taken for ours") {
    Fixture f;
    f.open();
    f.append(10);
    f.append(20);
    const std::string path = f.io.files().front();
    const std::string whole = f.io.read_file(path);
    // The same records once more behind the end: valid bytes at a wrong position.
    f.io.write_file(path, whole + whole.substr(kLogDataOffset));
    const Replayed replayed = f.replay();
    CHECK(replayed.firsts == Numbers{10, 20});
    CHECK(replayed.found.notes.size() == 1);
}

TEST_CASE("acknowledged bytes missing from a file that another follows are damage") {
    Fixture f;
    f.options.file_bytes = kLogDataOffset + 1;
    f.open();
    f.append(10);
    f.append(20);
    const std::string path = "log/0000000001.log";
    const std::string whole = f.io.read_file(path);
    f.io.write_file(path, whole.substr(0, whole.size() - 5));
    const Replayed replayed = f.replay();
    CHECK(replayed.firsts == Numbers{20});
    CHECK(replayed.found.damage.size() == 1);
}

TEST_CASE("a full disk refuses, and takes again when there is room") {
    Fixture f;
    f.open();
    REQUIRE(f.append(10).value().has_value());
    for (uint64_t room = 0; room < 400; room += 13) {
        f.io.set_capacity(f.io.read_file("log/0000000001.log").size() + room);
        const auto refused = f.append(999, 3);
        if (refused.value().has_value()) continue;
        CHECK(refused->error().code == ErrorCode::kUnavailable);
        CHECK(refused->error().retry_after_s > 0);
        CHECK_FALSE(f.log->state().is_read_only);
    }
    f.io.set_capacity(UINT64_MAX);
    REQUIRE(f.append(20).value().has_value());
    const Replayed replayed = f.replay();
    CHECK(replayed.firsts == Numbers{10, 20});
    CHECK(replayed.found.damage.empty());
}

TEST_CASE("a failed sync is never tried again on the same file, and nothing is lost") {
    Fixture f;
    f.open();
    REQUIRE(f.append(10).value().has_value());
    int failures = 1;
    std::vector<std::string> synced;
    f.io.set_fault([&](IoCall call, const std::string& path) -> std::optional<Error> {
        if (call != IoCall::kSync) return std::nullopt;
        synced.push_back(path);
        if (failures-- > 0) return Error{ErrorCode::kInternal, "input/output error"};
        return std::nullopt;
    });
    REQUIRE(f.append(20).value().has_value());
    REQUIRE(f.append(30).value().has_value());
    CHECK(synced == std::vector<std::string>{"log/0000000001.log", "log/0000000002.log",
                                             "log/0000000002.log", "log/0000000002.log"});
    SeededRandom random(3);
    f.io.restart(random);
    const Replayed replayed = f.replay();
    CHECK(replayed.firsts == Numbers{10, 20, 30});
    CHECK(replayed.found.damage.empty());
}

TEST_CASE("a second failed sync makes the log read-only with its reason") {
    Fixture f;
    f.open();
    REQUIRE(f.append(10).value().has_value());
    f.io.set_fault([&](IoCall call, const std::string&) -> std::optional<Error> {
        if (call == IoCall::kSync) return Error{ErrorCode::kInternal, "input/output error"};
        return std::nullopt;
    });
    const auto said = f.append(20);
    REQUIRE_FALSE(said.value().has_value());
    CHECK(said->error().code == ErrorCode::kUnavailable);
    CHECK(f.log->state().is_read_only);
    CHECK(f.log->state().reason.find("input/output error") != std::string::npos);
    f.io.set_fault(nullptr);
    CHECK_FALSE(f.append(30).value().has_value());
    const auto replayed = f.replay();
    CHECK(std::count(replayed.firsts.begin(), replayed.firsts.end(), 10) == 1);
    CHECK_FALSE(f.log->state().is_read_only);
    CHECK(f.append(40).value().has_value());
}

TEST_CASE("after a crash at any call every acknowledged request is there once") {
    for (uint64_t crash = 1; crash < 60; ++crash) {
        for (uint64_t seed = 0; seed < 4; ++seed) {
            Fixture f;
            f.options.file_bytes = kLogDataOffset + 700;
            f.io.crash_at(crash);
            Numbers acknowledged;
            auto opened = FileLog::open(f.options, f.io, f.clock, f.random, f.metrics);
            if (opened) {
                f.log = std::move(*opened);
                for (uint64_t i = 0; i < 12; ++i) {
                    std::optional<Result<LogPosition>> said[2];
                    f.queue(i * 20, 2, said[0]);
                    f.queue(i * 20 + 10, 2, said[1]);
                    f.log->write_queued();
                    if (said[0].value()) acknowledged.push_back(i * 20);
                    if (said[1].value()) acknowledged.push_back(i * 20 + 10);
                }
            }
            SeededRandom random(seed * 1000 + crash);
            f.io.restart(random);
            const Replayed replayed = f.replay();
            CAPTURE(crash);
            CAPTURE(seed);
            for (const std::string& damage : replayed.found.damage)
                FAIL_CHECK(damage);
            CHECK(std::is_sorted(replayed.firsts.begin(), replayed.firsts.end()));
            Numbers unique = replayed.firsts;
            unique.erase(std::unique(unique.begin(), unique.end()), unique.end());
            CHECK(unique == replayed.firsts);
            CHECK(std::includes(unique.begin(), unique.end(), acknowledged.begin(),
                                acknowledged.end()));
        }
    }
}

TEST_CASE("the log's own thread acknowledges in order and drains before it ends") {
    Fixture f;
    f.options.thread = LogThread::kOwn;
    f.open();
    std::vector<uint64_t> order;  // written by the log's thread only, read after it ended
    for (uint64_t i = 0; i < 200; ++i) {
        const Batch batch = test_batch(i * 10, 2, 5000 + i * 10);
        f.log->append(batch, hash64(batch.bytes.view()), [&order, i](Result<LogPosition> said) {
            if (said) order.push_back(i);
        });
    }
    f.log.reset();
    REQUIRE(order.size() == 200);
    CHECK(std::is_sorted(order.begin(), order.end()));
    f.options.thread = LogThread::kCaller;
    CHECK(f.replay().firsts.size() == 200);
}

}  // namespace spanloom::store
