#include "instrumentation/redis_command.h"

#include <doctest/doctest.h>

using namespace spanloom::instrumentation;

namespace {

std::string text(std::vector<std::string_view> arguments) {
    return describe_redis(arguments).text;
}

}  // namespace

TEST_CASE("redis: keys and fields are shown, values are not") {
    CHECK(text({"GET", "user:7"}) == "GET user:7");
    CHECK(text({"set", "mykey", "secret", "EX", "10"}) == "set mykey ? ? ?");
    CHECK(text({"HMSET", "myhash", "field1", "Hello", "field2", "World"}) ==
          "HMSET myhash field1 ? field2 ?");
    CHECK(text({"MSET", "a", "1", "b", "2"}) == "MSET a ? b ?");
    CHECK(text({"MGET", "a", "b"}) == "MGET a b");
    CHECK(text({"LPUSH", "jobs", "payload", "more"}) == "LPUSH jobs ? ?");
    CHECK(text({"AUTH", "user", "password"}) == "AUTH ? ?");
    CHECK(text({"HELLO", "3", "AUTH", "user", "password"}) == "HELLO ? ? ? ?");
    CHECK(text({"CONFIG", "SET", "requirepass", "hunter2"}) == "CONFIG SET requirepass ?");
    CHECK(text({"EVAL", "return 1", "0"}) == "EVAL ? ?");
    CHECK(text({"MY.MODULE", "x"}) == "MY.MODULE ?");
    CHECK(text({"PING"}) == "PING");
}

TEST_CASE("redis: what does not look like a name is not shown") {
    CHECK(text({"GET", "with space"}) == "GET ?");
    CHECK(text({"GET", std::string_view("\x00\x01", 2)}) == "GET ?");
    CHECK(text({"GET", std::string(200, 'k')}) == "GET ?");
    CHECK(describe_redis({}).operation == "_OTHER");
    CHECK(describe_redis({"\xff"}).operation == "_OTHER");
    const std::vector<std::string_view> many(100'000, "DEL");
    CHECK(describe_redis(many).text.size() < kRedisTextBytesMax + 130);
}

TEST_CASE("redis: scripts are named by their digest") {
    const auto command =
        describe_redis({"EVALSHA", "a42059b356c875f0717db19a51f6aaca9ae659ea", "1", "k", "v"});
    CHECK(command.procedure == "a42059b356c875f0717db19a51f6aaca9ae659ea");
    CHECK(command.text == "EVALSHA a42059b356c875f0717db19a51f6aaca9ae659ea ? ? ?");
}

TEST_CASE("redis: commands in the protocol are read back") {
    CHECK(read_redis_command("*2\r\n$3\r\nGET\r\n$3\r\na\r\n\r\n") ==
          std::vector<std::string_view>{"GET", "a\r\n"});
    CHECK(read_redis_command("*1\r\n$4\r\nPING\r\n") == std::vector<std::string_view>{"PING"});
    CHECK(read_redis_command("").empty());
    CHECK(read_redis_command("*2\r\n$3\r\nGET\r\n").empty());
    CHECK(read_redis_command("*1\r\n$99\r\nGET\r\n").empty());
    CHECK(read_redis_command("*1\r\n$18446744073709551615\r\nGET\r\n").empty());
    CHECK(read_redis_command("*x\r\n").empty());
}
