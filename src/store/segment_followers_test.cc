#include "store/segment_followers.h"

#include <doctest/doctest.h>

#include "base/random.h"

namespace spanloom::store {
namespace {

struct Column {
    std::vector<uint32_t> names;
    std::vector<int64_t> values;
};

// Values that follow from one of 40 names, but for one in `odd`.
Column column_of(uint64_t seed, size_t count, uint64_t odd) {
    SeededRandom random(seed);
    Column column;
    for (size_t i = 0; i < count; ++i) {
        const auto name = static_cast<uint32_t>(random.below(40));
        column.names.push_back(name);
        column.values.push_back(odd > 0 && random.below(odd) == 0
                                    ? static_cast<int64_t>(random.next())
                                    : int64_t{name} * 1000 - 7);
    }
    return column;
}

size_t exceptions_in(const Column& column) {
    size_t count = 0;
    for (size_t i = 0; i < column.values.size(); ++i)
        count += column.values[i] != int64_t{column.names[i]} * 1000 - 7;
    return count;
}

}  // namespace

TEST_CASE("columns that follow from names come back, exceptions and all") {
    for (const uint64_t odd : {0U, 3U, 10U, 50U, 1000U}) {
        CAPTURE(odd);
        FollowerTable table;
        const Column first = column_of(1, 4096, odd);
        table.learn(33, first.names, first.values);
        table.end_learning();
        CHECK(table.follows(33) == (odd != 3));
        CHECK_FALSE(table.follows(32));
        CHECK_FALSE(table.follows(34));
        if (!table.follows(33)) continue;
        std::vector<Column> blocks;
        std::vector<std::string> bodies;
        for (uint64_t seed = 2; seed < 8; ++seed) {
            blocks.push_back(column_of(seed, 1 + seed * 100, odd));
            std::string body;
            if (!table.encode(33, blocks.back().names, blocks.back().values, 1, body)) {
                CHECK(body.empty());
                blocks.pop_back();
                continue;
            }
            // The exceptions are random: eight bytes each, and up to two for where they are.
            CHECK(body.size() < exceptions_in(blocks.back()) * 10 + 48);
            bodies.push_back(std::move(body));
        }
        if (odd == 0 || odd >= 50) CHECK(blocks.size() == 6);
        if (bodies.empty()) continue;
        const auto directory = FollowerDirectory::parse(table.directory(1), 40);
        REQUIRE(directory.has_value());
        for (size_t i = 0; i < blocks.size(); ++i) {
            REQUIRE(static_cast<uint8_t>(bodies[i].front()) == kFollowsForm);
            std::vector<int64_t> values;
            const auto read = directory->decode(33, std::string_view(bodies[i]).substr(1),
                                                blocks[i].names, values);
            REQUIRE_MESSAGE(read.has_value(), (read ? "" : read.error().message));
            CHECK(values == blocks[i].values);
            std::vector<int64_t> none;
            CHECK_FALSE(directory->decode(32, std::string_view(bodies[i]).substr(1),
                                          blocks[i].names, none));
        }
    }
}

TEST_CASE("broken followers are refused, whatever the bytes say") {
    FollowerTable table;
    const Column column = column_of(1, 4096, 40);
    table.learn(3, column.names, column.values);
    table.end_learning();
    std::string body;
    REQUIRE(table.encode(3, column.names, column.values, 1, body));
    const std::string good = table.directory(1);
    SeededRandom random(5);
    for (int round = 0; round < 2000; ++round) {
        std::string bytes = random.below(2) == 0 ? good : body;
        const bool is_directory = bytes == good;
        bytes[random.below(bytes.size())] = static_cast<char>(random.next());
        if (random.below(4) == 0) bytes.resize(random.below(bytes.size() + 1));
        const auto directory = FollowerDirectory::parse(is_directory ? bytes : good, 40);
        if (!directory) continue;
        std::vector<int64_t> values;
        const std::string_view asked = is_directory ? std::string_view(body) : bytes;
        if (asked.empty()) continue;
        const auto read = directory->decode(3, asked.substr(1), column.names, values);
        if (read) CHECK(values.size() == column.names.size());
    }
}

}  // namespace spanloom::store
