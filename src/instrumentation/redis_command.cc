#include "instrumentation/redis_command.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

namespace spanloom::instrumentation {
namespace {

// Which arguments after the command are names and may be shown.
struct Shape {
    std::string_view command;
    // Shown from the front: words of the command (CONFIG SET), keys, fields.
    size_t shown;
    // Afterwards: 0 nothing more is shown, 1 everything is, 2 every second (field value field
    // value).
    size_t period;
};

// Of commands that are not here, no argument is shown.
constexpr Shape kShapes[] = {
    {"GET", 1, 1},          {"MGET", 1, 1},        {"DEL", 1, 1},       {"UNLINK", 1, 1},
    {"EXISTS", 1, 1},       {"EXPIRE", 2, 1},      {"EXPIREAT", 2, 1},  {"PEXPIRE", 2, 1},
    {"PEXPIREAT", 2, 1},    {"TTL", 1, 1},         {"PTTL", 1, 1},      {"PERSIST", 1, 1},
    {"TYPE", 1, 1},         {"RENAME", 2, 1},      {"RENAMENX", 2, 1},  {"KEYS", 1, 1},
    {"SCAN", 1, 1},         {"TOUCH", 1, 1},       {"DUMP", 1, 1},      {"COPY", 2, 1},
    {"STRLEN", 1, 1},       {"INCR", 1, 1},        {"DECR", 1, 1},      {"INCRBY", 1, 0},
    {"DECRBY", 1, 0},       {"INCRBYFLOAT", 1, 0}, {"GETRANGE", 3, 1},  {"GETDEL", 1, 1},
    {"GETEX", 1, 1},        {"SET", 1, 0},         {"SETEX", 2, 0},     {"PSETEX", 2, 0},
    {"SETNX", 1, 0},        {"GETSET", 1, 0},      {"APPEND", 1, 0},    {"SETRANGE", 2, 0},
    {"MSET", 1, 2},         {"MSETNX", 1, 2},      {"HGET", 2, 1},      {"HMGET", 2, 1},
    {"HGETALL", 1, 1},      {"HKEYS", 1, 1},       {"HVALS", 1, 1},     {"HLEN", 1, 1},
    {"HEXISTS", 2, 1},      {"HDEL", 2, 1},        {"HSTRLEN", 2, 1},   {"HSCAN", 2, 0},
    {"HSET", 2, 2},         {"HMSET", 2, 2},       {"HSETNX", 2, 0},    {"HINCRBY", 2, 0},
    {"HINCRBYFLOAT", 2, 0}, {"LPUSH", 1, 0},       {"RPUSH", 1, 0},     {"LPUSHX", 1, 0},
    {"RPUSHX", 1, 0},       {"LPOP", 1, 1},        {"RPOP", 1, 1},      {"LLEN", 1, 1},
    {"LRANGE", 3, 1},       {"LTRIM", 3, 1},       {"LINDEX", 2, 1},    {"LSET", 2, 0},
    {"LREM", 2, 0},         {"LINSERT", 2, 0},     {"BLPOP", 1, 1},     {"BRPOP", 1, 1},
    {"RPOPLPUSH", 2, 1},    {"LMOVE", 4, 1},       {"SADD", 1, 0},      {"SREM", 1, 0},
    {"SISMEMBER", 1, 0},    {"SMISMEMBER", 1, 0},  {"SMEMBERS", 1, 1},  {"SCARD", 1, 1},
    {"SPOP", 1, 1},         {"SRANDMEMBER", 1, 1}, {"SINTER", 1, 1},    {"SUNION", 1, 1},
    {"SDIFF", 1, 1},        {"ZADD", 1, 0},        {"ZREM", 1, 0},      {"ZSCORE", 1, 0},
    {"ZRANK", 1, 0},        {"ZINCRBY", 1, 0},     {"ZCARD", 1, 1},     {"ZRANGE", 1, 0},
    {"ZCOUNT", 1, 0},       {"ZPOPMIN", 1, 1},     {"ZPOPMAX", 1, 1},   {"XADD", 1, 0},
    {"XLEN", 1, 1},         {"XRANGE", 1, 0},      {"XREAD", 0, 1},     {"XREADGROUP", 0, 1},
    {"XACK", 2, 1},         {"PUBLISH", 1, 0},     {"SUBSCRIBE", 1, 1}, {"UNSUBSCRIBE", 1, 1},
    {"PSUBSCRIBE", 1, 1},   {"PFADD", 1, 0},       {"PFCOUNT", 1, 1},   {"PFMERGE", 1, 1},
    {"GEOADD", 1, 0},       {"SETBIT", 2, 0},      {"GETBIT", 2, 1},    {"BITCOUNT", 1, 1},
    {"WATCH", 1, 1},        {"SELECT", 1, 1},      {"EVALSHA", 1, 0},   {"FCALL", 1, 0},
    {"CONFIG", 2, 0},       {"ACL", 1, 0},         {"CLIENT", 1, 0},    {"CLUSTER", 1, 0},
    {"OBJECT", 2, 1},       {"INFO", 1, 1},        {"SORT", 1, 0},      {"FLUSHDB", 0, 1}};

bool is_same_word(std::string_view a, std::string_view upper_case) {
    return std::equal(a.begin(), a.end(), upper_case.begin(), upper_case.end(),
                      [](char x, char y) { return (x >= 'a' && x <= 'z' ? x - 32 : x) == y; });
}

const Shape* shape_of(std::string_view command) {
    const auto* const found =
        std::find_if(std::begin(kShapes), std::end(kShapes),
                     [&](const Shape& shape) { return is_same_word(command, shape.command); });
    return found == std::end(kShapes) ? nullptr : found;
}

// Long and binary arguments are data even where a name is expected.
bool is_name(std::string_view argument) {
    constexpr size_t kNameBytesMax = 128;
    return !argument.empty() && argument.size() <= kNameBytesMax &&
           std::all_of(argument.begin(), argument.end(),
                       [](char c) { return c > ' ' && c < '\x7f'; });
}

bool is_shown(const Shape* shape, size_t index) {
    if (shape == nullptr) {
        return false;
    }
    return index <= shape->shown ||
           (shape->period != 0 && (index - shape->shown) % shape->period == 0);
}

}  // namespace

RedisCommand describe_redis(const std::vector<std::string_view>& arguments) {
    RedisCommand out;
    if (arguments.empty() || !is_name(arguments[0])) {
        out.operation = "_OTHER";
        return out;
    }
    const Shape* const shape = shape_of(arguments[0]);
    out.operation = arguments[0];
    out.text = arguments[0];
    for (size_t i = 1; i < arguments.size() && out.text.size() < kRedisTextBytesMax; ++i) {
        out.text += ' ';
        out.text += is_shown(shape, i) && is_name(arguments[i]) ? arguments[i] : "?";
    }
    const bool is_script =
        is_same_word(arguments[0], "EVALSHA") || is_same_word(arguments[0], "FCALL");
    if (is_script && arguments.size() > 1 && is_name(arguments[1])) {
        out.procedure = arguments[1];
    }
    return out;
}

std::vector<std::string_view> read_redis_command(std::string_view formatted) {
    // One line with a mark and a number.
    const auto take_number = [&](char mark) -> std::optional<size_t> {
        const size_t end = formatted.find("\r\n");
        size_t value = 0;
        if (end == std::string_view::npos || !formatted.starts_with(mark) ||
            std::from_chars(formatted.data() + 1, formatted.data() + end, value).ptr !=
                formatted.data() + end) {
            return std::nullopt;
        }
        formatted.remove_prefix(end + 2);
        return value;
    };
    std::vector<std::string_view> arguments;
    const auto count = take_number('*');
    for (size_t i = 0; i < count.value_or(0); ++i) {
        const auto size = take_number('$');
        if (!size || formatted.size() < 2 || *size > formatted.size() - 2) {
            return {};
        }
        arguments.push_back(formatted.substr(0, *size));
        formatted.remove_prefix(*size + 2);
    }
    return arguments;
}

}  // namespace spanloom::instrumentation
