#include "store/segment_followers.h"

#include <doctest/doctest.h>

#include "base/random.h"

namespace spanloom::store {
namespace {

struct Column {
    std::vector<uint32_t> names;
    std::vector<int64_t> values;
    std::vector<FollowKey> keys;  // of the names, in families 0 and 1 by turns of names
};

template <typename KeyOf>
void set_keys(Column& column, KeyOf key_of) {
    column.keys.clear();
    for (const uint32_t name : column.names)
        column.keys.push_back(key_of(name % 2, name));
}

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
        const auto write_key = [&](uint32_t family, uint32_t name) {
            return table.key_of(family, name);
        };
        Column first = column_of(1, 4096, odd);
        set_keys(first, write_key);
        std::string ignored;
        CHECK(table.encode(33, first.keys, first.values, false, 1, ignored) == (odd != 3));
        CHECK(table.may_follow(33) == (odd != 3));
        CHECK(table.may_follow(32));
        CHECK(table.may_follow(34));
        if (!table.may_follow(33)) continue;
        std::vector<Column> blocks;
        std::vector<std::string> bodies;
        for (uint64_t seed = 2; seed < 8; ++seed) {
            blocks.push_back(column_of(seed, 1 + seed * 100, odd));
            set_keys(blocks.back(), write_key);
            std::string body;
            if (!table.encode(33, blocks.back().keys, blocks.back().values, false, 1, body)) {
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
        const auto directory = FollowerDirectory::parse(table.directory(1), 40, 3);
        REQUIRE(directory.has_value());
        const auto read_key = [&](uint32_t family, uint32_t name) {
            return directory->key(family, name);
        };
        for (size_t i = 0; i < blocks.size(); ++i) {
            set_keys(blocks[i], read_key);
            REQUIRE(static_cast<uint8_t>(bodies[i].front()) == kFollowsForm);
            std::vector<int64_t> values;
            const auto read = directory->decode(33, std::string_view(bodies[i]).substr(1),
                                                blocks[i].keys, values);
            REQUIRE_MESSAGE(read.has_value(), (read ? "" : read.error().message));
            CHECK(values == blocks[i].values);
            for (const uint32_t step : {1U, 7U, 100U}) {
                std::vector<uint32_t> places;
                std::vector<FollowKey> keys;
                std::vector<int64_t> expected;
                for (uint32_t at = step / 2; at < values.size(); at += step) {
                    places.push_back(at);
                    keys.push_back(blocks[i].keys[at]);
                    expected.push_back(values[at]);
                }
                const std::string_view body = std::string_view(bodies[i]).substr(1);
                std::vector<int64_t> some;
                REQUIRE(directory->decode_at(33, body, values.size(), places, keys, some));
                CHECK(some == expected);
                CHECK_FALSE(directory->decode_at(32, body, values.size(), places, keys, some));
                keys.push_back(keys.front());
                CHECK_FALSE(directory->decode_at(33, body, values.size(), places, keys, some));
                places.push_back(static_cast<uint32_t>(values.size()));
                CHECK_FALSE(directory->decode_at(33, body, values.size(), places, keys, some));
            }
            std::vector<int64_t> none;
            CHECK_FALSE(
                directory->decode(32, std::string_view(bodies[i]).substr(1), blocks[i].keys, none));
        }
    }
}

TEST_CASE(
    "keys that come later are learnt when they come, and equal values follow where asked for") {
    FollowerTable table;
    const auto key = [&](uint32_t name) { return table.key_of(0, name); };
    std::vector<FollowKey> keys(100, key(1));
    std::vector<int64_t> values(100, 7);
    std::string body;
    CHECK_FALSE(table.encode(5, keys, values, false, 1, body));
    CHECK(body.empty());
    REQUIRE(table.encode(5, keys, values, true, 1, body));
    std::string later;
    keys.assign(3, key(2));
    values.assign(3, 8);
    REQUIRE(table.encode(5, keys, values, true, 1, later));
    CHECK(later.size() == 2);
    const auto directory = FollowerDirectory::parse(table.directory(1), 40, 3);
    REQUIRE(directory.has_value());
    std::vector<int64_t> read;
    REQUIRE(directory->decode(5, std::string_view(later).substr(1), keys, read));
    CHECK(read == values);
    CHECK(directory->key(0, 3) == kNoKey);
    CHECK(directory->key(1, 1) == kNoKey);
    // A name that nobody had follows nothing.
    const std::vector<FollowKey> unknown = {kNoKey};
    CHECK_FALSE(directory->decode(5, std::string_view(later).substr(1), unknown, read));
}

TEST_CASE("broken followers are refused, whatever the bytes say") {
    FollowerTable table;
    Column column = column_of(1, 4096, 40);
    set_keys(column, [&](uint32_t family, uint32_t name) { return table.key_of(family, name); });
    std::string body;
    REQUIRE(table.encode(3, column.keys, column.values, false, 1, body));
    const std::string good = table.directory(1);
    SeededRandom random(5);
    for (int round = 0; round < 2000; ++round) {
        std::string bytes = random.below(2) == 0 ? good : body;
        const bool is_directory = bytes == good;
        bytes[random.below(bytes.size())] = static_cast<char>(random.next());
        if (random.below(4) == 0) bytes.resize(random.below(bytes.size() + 1));
        const auto directory = FollowerDirectory::parse(is_directory ? bytes : good, 40, 3);
        if (!directory) continue;
        std::vector<int64_t> values;
        const std::string_view asked = is_directory ? std::string_view(body) : bytes;
        if (asked.empty()) continue;
        const auto read = directory->decode(3, asked.substr(1), column.keys, values);
        if (read) CHECK(values.size() == column.keys.size());
    }
}

}  // namespace spanloom::store
