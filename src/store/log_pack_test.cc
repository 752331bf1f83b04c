#include "store/log_pack.h"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "base/hash.h"
#include "store/log_fixture.h"
#include "store/log_format.h"

namespace spanloom::store {
namespace {

using Numbers = std::vector<uint64_t>;

// One group of six requests; what was said of each.
std::vector<LogPosition> append_group(LogFixture& f) {
    std::vector<std::optional<Result<LogPosition>>> said(6);
    for (uint64_t i = 0; i < said.size(); ++i)
        f.queue(i * 10, 8, said[i]);
    f.log->write_queued();
    std::vector<LogPosition> ends;
    for (const auto& one : said)
        ends.push_back(one.value().value());
    return ends;
}

std::string incompressible(size_t size) {
    SeededRandom random(5);
    std::string bytes;
    while (bytes.size() < size) {
        const uint64_t value = random.next();
        bytes.append(reinterpret_cast<const char*>(&value), sizeof value);
    }
    return bytes;
}

}  // namespace

TEST_CASE("packed requests come back as if they had been written one by one") {
    LogFixture plain;
    plain.options.packing = LogPacking::kNever;
    plain.open();
    LogFixture packed;
    packed.options.packing = LogPacking::kAlways;
    packed.open();
    const std::vector<LogPosition> ends = append_group(packed);
    CHECK(append_group(plain) == ends);
    append_group(packed);
    append_group(plain);
    CHECK(packed.io.read_file("log/0000000001.log").size() <
          (plain.io.read_file("log/0000000001.log").size() + kLogDataOffset) / 2);
    const Replayed all = packed.replay();
    CHECK(all.firsts == Numbers{0, 10, 20, 30, 40, 50, 0, 10, 20, 30, 40, 50});
    CHECK(std::equal(ends.begin(), ends.end(), all.ends.begin()));
    CHECK(all.found.damage.empty());
    CHECK(all.found.notes.empty());
    CHECK(packed.log->state().end == plain.log->state().end);
    // On from each of them, within a pack and between two.
    for (const LogPosition from : all.ends) {
        const Replayed rest = packed.replay(from);
        CHECK(rest.ends.size() ==
              static_cast<size_t>(std::count_if(all.ends.begin(), all.ends.end(),
                                                [&](LogPosition end) { return end > from; })));
        CHECK(rest.found.damage.empty());
        CHECK(rest.found.notes.empty());
    }
}

TEST_CASE("after packs positions go on, and requests that came as they are are found") {
    LogFixture f;
    f.options.packing = LogPacking::kAlways;
    f.open();
    append_group(f);
    f.options.packing = LogPacking::kNever;
    f.replay();
    const LogPosition last = f.append(70).value().value();
    REQUIRE(f.append(80).value().has_value());
    CHECK(f.replay(last).firsts == Numbers{80});
    CHECK(f.replay().firsts == Numbers{0, 10, 20, 30, 40, 50, 70, 80});
}

TEST_CASE("each damaged byte of a pack costs that pack and is reported") {
    LogFixture f;
    f.options.packing = LogPacking::kAlways;
    f.open();
    f.append(100, 40);
    const std::string path = f.io.files().front();
    const size_t begin = f.io.read_file(path).size();
    append_group(f);
    const size_t end = f.io.read_file(path).size();
    f.append(200, 40);
    const std::string whole = f.io.read_file(path);
    for (size_t offset = begin; offset < end; offset += 5) {
        f.io.write_file(path, damaged(whole, offset));
        const Replayed replayed = f.replay();
        CHECK(replayed.firsts == Numbers{100, 200});
        CHECK(replayed.found.damage.size() == 1);
    }
}

TEST_CASE("what hardly gets smaller, or is too much, is written as it came") {
    const std::string noise = incompressible(10'000);
    const LogRequest noisy{"default", 1, noise, hash64(noise)};
    CHECK(encode_log_pack({}, {}, std::span(&noisy, 1), 1).empty());
    const std::string zeros(kLogPackBytesMax, '\0');
    const LogRequest large{"default", 1, zeros, hash64(zeros)};
    CHECK(encode_log_pack({}, {}, std::span(&large, 1), 1).empty());
}

TEST_CASE("a damaged pack is an error, wherever it is damaged") {
    std::vector<LogRequest> requests;
    const std::string text(300, 'a');
    for (uint64_t i = 0; i < 5; ++i)
        requests.push_back({"default", i, text, hash64(text)});
    const std::string pack = pack_requests(requests);
    const auto unpacked = unpack_requests(pack);
    REQUIRE(unpacked.has_value());
    REQUIRE(unpacked->requests.size() == 5);
    CHECK(unpacked->requests[4].arrival_ns == 4);
    CHECK(unpacked->requests[4].payload == text);
    for (size_t size = 0; size < pack.size(); ++size)
        CHECK_FALSE(unpack_requests(pack.substr(0, size)).has_value());
    // Each bit: an error, or requests within their bytes.
    for (size_t bit = 0; bit < pack.size() * 8; ++bit) {
        std::string broken = pack;
        broken[bit / 8] = static_cast<char>(broken[bit / 8] ^ (1 << (bit % 8)));
        const auto result = unpack_requests(broken);
        if (!result) continue;
        for (const LogRequest& request : result->requests)
            CHECK(request.extent() <= kLogPackBytesMax);
    }
}

TEST_CASE("groups are packed where the disk is slow and packing makes up for it") {
    const auto packed_of = [](double plain_ns, double packed_ns) {
        LogPackingChoice choice;
        int packed = 0;
        for (int i = 0; i < 1000; ++i) {
            const uint64_t bytes = 4 << 20;
            const bool is_packed = choice.next(bytes);
            packed += is_packed ? 1 : 0;
            const double ns = is_packed ? packed_ns : plain_ns;
            choice.took(bytes, static_cast<uint64_t>(ns * static_cast<double>(bytes)));
        }
        return packed;
    };
    CHECK(packed_of(1, 0.5) == 0);  // a fast disk: not even tried
    CHECK(packed_of(20, 5) > 900);  // a slow one
    CHECK(packed_of(20, 18) < 50);  // slow for other reasons: tried now and then
    LogPackingChoice choice;
    for (int i = 0; i < 100; ++i) {
        CHECK_FALSE(choice.next(1000));  // a sync alone takes as long: says nothing of the disk
        choice.took(1000, 50'000'000);
    }
}

// SPANLOOM_GOLDEN_UPDATE=1 writes it anew.
TEST_CASE("a pack that was written once is read for ever") {
    const std::string path = SPANLOOM_GOLDEN "/packed.log";
    LogFixture f;
    if (std::getenv("SPANLOOM_GOLDEN_UPDATE") != nullptr) {
        f.options.packing = LogPacking::kAlways;
        f.open();
        append_group(f);
        std::ofstream(path, std::ios::binary) << f.io.read_file(f.io.files().front());
    }
    std::stringstream bytes;
    bytes << std::ifstream(path, std::ios::binary).rdbuf();
    REQUIRE(f.io.make_directory("log").has_value());
    f.io.write_file("log/0000000001.log", bytes.str());
    const Replayed replayed = f.replay();
    CHECK(replayed.firsts == Numbers{0, 10, 20, 30, 40, 50});
    CHECK(replayed.found.damage.empty());
    CHECK(replayed.found.notes.empty());
}

TEST_CASE("a file of version 1 is read") {
    LogFixture f;
    f.options.packing = LogPacking::kNever;
    f.open();
    f.append(10);
    f.append(20);
    const std::string path = f.io.files().front();
    std::string bytes = f.io.read_file(path);
    for (const size_t at : {size_t{0}, size_t{4096}}) {
        bytes[at + 8] = 1;
        const uint64_t checksum = hash64(std::string_view(bytes).substr(at, 56));
        bytes.replace(at + 56, 8, reinterpret_cast<const char*>(&checksum), 8);
    }
    f.io.write_file(path, bytes);
    const Replayed replayed = f.replay();
    CHECK(replayed.firsts == Numbers{10, 20});
    CHECK(replayed.found.damage.empty());
    CHECK(f.replay(replayed.ends.front()).firsts == Numbers{20});
}

}  // namespace spanloom::store
