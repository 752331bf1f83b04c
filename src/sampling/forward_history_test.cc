#include "sampling/forward_history.h"

#include <doctest/doctest.h>

#include "base/hash.h"
#include "base/memory_io.h"
#include "sampling/test_traces.h"

namespace spanloom::sampling {
namespace {

constexpr uint64_t kSecond = 1'000'000'000;
constexpr uint64_t kStart = 1'800'000'000 * kSecond;
constexpr uint64_t kHour = 3'600 * kSecond;

EndedEntry ended(uint64_t trace, uint64_t at_ns) {
    EndedEntry entry;
    const TraceId id = test_trace(trace);
    entry.hash = hash64(id.view(), 7);
    entry.rule = trace % 3 == 0 ? "errors" : "rest";
    entry.threshold = trace % 3 == 0 ? 0 : 1ULL << 55;
    entry.is_late = trace % 5 == 0;
    entry.spans = static_cast<uint32_t>(trace % 70);
    entry.decided_ns = at_ns;
    entry.ended_ns = trace % 11 == 0 ? 0 : at_ns + trace % 90 * kSecond;
    entry.fate = static_cast<ForwardFate>(trace % 6);
    return entry;
}

void check_equal(const EndedEntry& a, const EndedEntry& b) {
    CHECK(a.hash == b.hash);
    CHECK(a.rule == b.rule);
    CHECK(a.threshold == b.threshold);
    CHECK(a.is_late == b.is_late);
    CHECK(a.spans == b.spans);
    CHECK(a.decided_ns / kSecond == b.decided_ns / kSecond);
    CHECK(a.ended_ns / kSecond == b.ended_ns / kSecond);
    CHECK(a.fate == b.fate);
}

}  // namespace

TEST_CASE("a file of what was sent says the same again, in a few bytes a trace") {
    HistoryFile file;
    file.seed = 7;
    file.end = 20'000;
    file.oldest_ns = kStart;
    file.newest_ns = kStart + 600 * kSecond;
    for (uint64_t trace = 0; trace < 20'000; ++trace)
        file.entries.push_back(ended(trace, kStart + trace % 600 * kSecond));
    const std::string bytes = encode_history(file);
    CHECK(bytes.size() < 12 * file.entries.size());
    MESSAGE("bytes of each: " << static_cast<double>(bytes.size()) / 20'000);
    const auto all = decode_history(bytes, nullptr);
    REQUIRE(all.has_value());
    CHECK(all->entries.size() == 20'000);
    CHECK(all->end == 20'000);
    for (const uint64_t trace : {0, 1, 7'777, 19'999}) {
        const TraceId id = test_trace(trace);
        const auto one = decode_history(bytes, &id);
        REQUIRE(one.has_value());
        REQUIRE(one->entries.size() == 1);
        check_equal(one->entries.front(), file.entries[trace]);
    }
    const TraceId nobody = test_trace(20'001);
    CHECK(decode_history(bytes, &nobody)->entries.empty());
}

TEST_CASE("what is no file of what was sent is told from one") {
    HistoryFile file;
    file.seed = 7;
    file.oldest_ns = kStart;
    for (uint64_t trace = 0; trace < 50; ++trace)
        file.entries.push_back(ended(trace, kStart + trace * kSecond));
    const std::string bytes = encode_history(file);
    for (size_t at = 0; at < bytes.size(); ++at) {
        std::string damaged = bytes;
        damaged[at] = static_cast<char>(damaged[at] ^ 0x10);
        CHECK(!decode_history(damaged, nullptr).has_value());
        CHECK(!decode_history(std::string_view(bytes).substr(0, at), nullptr).has_value());
    }
}

TEST_CASE("small files go on, and what is too old or too much goes") {
    MemoryIo io;
    REQUIRE(io.make_directory("forward/b").has_value());
    ForwardHistory::Limits limits;
    limits.bytes_max = 200'000;
    limits.remembered_ns = 48 * kHour;
    auto history = ForwardHistory::open(io, "forward/b", 7, limits);
    REQUIRE(history.has_value());
    uint64_t trace = 0;
    const auto pass = [&](uint64_t hours, uint64_t each) {
        for (uint64_t hour = 0; hour < hours; ++hour) {
            for (uint64_t i = 0; i < each; ++i, ++trace)
                (*history)->add(trace, ended(trace, kStart + hour * kHour));
            REQUIRE((*history)->flush(kStart + hour * kHour).has_value());
        }
    };
    const auto files = [&] { return io.list("forward/b")->size(); };
    pass(20, 10);
    CHECK(files() == 1);
    CHECK((*history)->end() == 200);
    pass(200, 10);
    CHECK(files() <= 4);
    pass(12, 5'000);
    CHECK((*history)->bytes() < 300'000);
    CHECK((*history)->bytes() > 100'000);
    history = ForwardHistory::open(io, "forward/b", 7, limits);
    REQUIRE(history.has_value());
    CHECK((*history)->end() == trace);
}

}  // namespace spanloom::sampling
