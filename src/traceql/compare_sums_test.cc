#include "traceql/compare_sums.h"

#include <limits>
#include <map>

#include <doctest/doctest.h>

using namespace spanloom;
using namespace spanloom::traceql;

namespace {

using Pairs = std::map<int64_t, std::pair<uint32_t, uint32_t>>;

store::ColumnBlock block_of(std::vector<int64_t> integers) {
    store::ColumnBlock block;
    block.integers = std::move(integers);
    return block;
}

}  // namespace

TEST_CASE("integers close together are summed up, wherever they lie") {
    constexpr int64_t kLeast = std::numeric_limits<int64_t>::min();
    constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
    const store::ColumnKey key{.scope = store::Scope::kSpan, .key = "n"};
    CompareSums sums;
    Pairs found;
    const auto take = [&](const store::Value& value, uint32_t baseline, uint32_t selection) {
        found[value.integer].first += baseline;
        found[value.integer].second += selection;
    };
    const std::vector<uint32_t> second = {1};
    for (const int64_t at :
         {int64_t{0}, int64_t{5}, int64_t{-3}, kLeast, kMost - 2, int64_t{700}}) {
        CAPTURE(at);
        REQUIRE(sums.add(key, block_of({at, at + 2, at}), second, take));
        REQUIRE(sums.add(key, block_of({at, at}), {}, take));
    }
    CHECK(!sums.add(key, block_of({0, 5'000}), {}, take));
    CHECK(!sums.add(key, block_of({kLeast, kMost}), {}, take));
    CHECK(sums.add(key, block_of({}), {}, take));
    sums.leave(key, take);
    sums.leave(key, [](const store::Value&, uint32_t, uint32_t) { FAIL("there is nothing left"); });
    const Pairs wanted = {{kLeast, {4, 0}}, {kLeast + 2, {0, 1}}, {-3, {4, 0}},
                          {-1, {0, 1}},     {0, {4, 0}},          {2, {0, 1}},
                          {5, {4, 0}},      {7, {0, 1}},          {700, {4, 0}},
                          {702, {0, 1}},    {kMost - 2, {4, 0}},  {kMost, {0, 1}}};
    CHECK(found == wanted);
}

TEST_CASE("texts are summed up while their dictionary is shared") {
    const store::ColumnKey key{
        .scope = store::Scope::kSpan, .key = "s", .type = store::ColumnType::kString};
    const auto owner = std::make_shared<const std::vector<std::string_view>>(
        std::vector<std::string_view>{"a", "b", "c"});
    store::ColumnBlock block;
    block.type = store::ColumnType::kString;
    block.codes = {0, 2, 2};
    block.strings = *owner;
    block.owner = owner;
    CompareSums sums;
    std::map<std::string, std::pair<uint32_t, uint32_t>> found;
    const auto take = [&](const store::Value& value, uint32_t baseline, uint32_t selection) {
        found[value.text] = {baseline, selection};
    };
    const std::vector<uint32_t> last = {2};
    CHECK(sums.add(key, block, last, take));
    CHECK(sums.add(key, block, {}, take));
    CHECK(found.empty());
    sums.leave(key, take);
    CHECK(found ==
          std::map<std::string, std::pair<uint32_t, uint32_t>>{{"a", {2, 0}}, {"c", {3, 1}}});
    store::ColumnBlock alone = block;
    alone.owner = std::make_shared<int>(0);
    CHECK(!sums.add(key, alone, {}, take));
}
