#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace spanloom::instrumentation {

// What a span may say of a Redis command: the command and its keys, and no values.
struct RedisCommand {
    std::string operation;  // db.operation.name, as the program wrote it: "HMSET"
    std::string text;       // db.query.text: "HMSET myhash field1 ? field2 ?"
    std::string procedure;  // db.stored_procedure.name: of EVALSHA and FCALL
};

inline constexpr size_t kRedisTextBytesMax = 1024;
RedisCommand describe_redis(const std::vector<std::string_view>& arguments);

// The arguments of a command in Redis's protocol ("*2\r\n$3\r\nGET\r\n$1\r\nk\r\n"), as hiredis
// formats it. Views into it; empty where it is malformed.
std::vector<std::string_view> read_redis_command(std::string_view formatted);

}  // namespace spanloom::instrumentation
