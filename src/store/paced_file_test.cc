#include "store/paced_file.h"

#include <string>
#include <vector>

#include <doctest/doctest.h>

using namespace spanloom;
using namespace spanloom::store;

namespace {

class CountingFile final : public WritableFile {
  public:
    explicit CountingFile(std::vector<std::string>& calls) : calls_(calls) {}
    Result<void> append(std::span<const std::string_view> pieces) override {
        size_t bytes = 0;
        for (const std::string_view piece : pieces)
            bytes += piece.size();
        calls_.push_back("append " + std::to_string(bytes));
        return {};
    }
    Result<void> sync() override {
        calls_.push_back("sync");
        return {};
    }

  private:
    std::vector<std::string>& calls_;
};

}  // namespace

TEST_CASE("what is written at a pace takes as long as it has to, and no longer") {
    constexpr uint64_t kSecond = 1'000'000'000;
    Pace pace(1'000'000);
    uint64_t now_ns = 100 * kSecond;
    // A tenth of a second was saved while nothing was written.
    CHECK(pace.wait_ns(100'000, now_ns) == 0);
    CHECK(pace.wait_ns(500'000, now_ns) == kSecond / 2);
    now_ns += kSecond / 2;
    // Whoever wakes late has less to wait the next time.
    now_ns += kSecond / 4;
    CHECK(pace.wait_ns(500'000, now_ns) == kSecond / 2 - kSecond / 10);
    // Long pauses are not saved up.
    now_ns += 1000 * kSecond;
    CHECK(pace.wait_ns(1'100'000, now_ns) == kSecond);
    uint64_t waited_ns = 0;
    for (int i = 0; i < 1000; ++i) {
        const uint64_t wait_ns = pace.wait_ns(10'000, now_ns);
        now_ns += wait_ns;
        waited_ns += wait_ns;
    }
    CHECK(waited_ns == 11 * kSecond);  // ten for these, and the one before
}

TEST_CASE("without a limit nothing waits") {
    Pace pace(0);
    CHECK(pace.wait_ns(UINT64_MAX, 5) == 0);
}

TEST_CASE("a paced file is synced piece by piece") {
    std::vector<std::string> calls;
    uint64_t paused_for = 0;
    PacedFile paced(std::make_unique<CountingFile>(calls),
                    [&](uint64_t bytes) { paused_for += bytes; });
    WritableFile& file = paced;
    const std::string piece(3U << 20, 'x');
    for (int i = 0; i < 4; ++i)
        REQUIRE(file.append(piece).has_value());
    REQUIRE(file.sync().has_value());
    const std::string appended = "append " + std::to_string(piece.size());
    CHECK(calls ==
          std::vector<std::string>{appended, appended, appended, "sync", appended, "sync"});
    CHECK(paused_for == 4 * piece.size());
}
