#pragma once

#include <cstdarg>
#include <cstdint>
#include <string>
#include <string_view>

#include <hiredis/async.h>
#include <hiredis/hiredis.h>

#include "spanloom/span.h"
#include "spanloom/tracer.h"

namespace spanloom {

namespace detail {

// Where a connection leads, as its spans say it.
struct RedisServer {
    std::string address;
    uint16_t port = 0;  // 0: a socket in the file system
    int database = 0;
};

}  // namespace detail

// A hiredis connection whose commands are spans. The connection is the caller's and must outlive
// this; one thread at a time.
//
//     RedisConnection redis(tracer, redisConnect("127.0.0.1", 6379));
//     redisReply* reply = redis.command("GET %s", key);       // null: see the connection's err
//
// Spans are named by the command; the text shows keys and fields, never values. `error.type` is the
// first word of Redis's error, or timeout, io_error, connection_closed, protocol_error. The
// database is 0 unless said, and follows SELECT.
//
// Commands that are appended and then read with `get_reply` are one span, a PIPELINE.
class RedisConnection {
  public:
    RedisConnection(Tracer tracer, redisContext* connection, int database = 0);

    redisReply* command(const char* format, ...) __attribute__((format(printf, 2, 3)));
    redisReply* vcommand(const char* format, va_list arguments);
    redisReply* command_argv(int count, const char** arguments, const size_t* sizes);

    int append_command(const char* format, ...) __attribute__((format(printf, 2, 3)));
    int append_command_argv(int count, const char** arguments, const size_t* sizes);
    int get_reply(redisReply** reply);

    redisContext* connection() const noexcept { return connection_; }

  private:
    struct Pipeline {
        Span span;
        std::string operation;  // of all of them; "" where they differ
        std::string text;
        uint32_t appended = 0;
        uint32_t answered = 0;
    };

    redisReply* run(std::string_view formatted);
    int append(std::string_view formatted);

    Tracer tracer_;
    redisContext* connection_;
    detail::RedisServer server_;
    Pipeline pipeline_;
};

// The same for asynchronous connections: the span ends with the reply, and the callback runs in the
// context of the call. Subscriptions have no end: they get no span. Must live as long as replies
// may come.
class RedisAsyncConnection {
  public:
    RedisAsyncConnection(Tracer tracer, redisAsyncContext* connection, int database = 0);

    int command(redisCallbackFn* callback, void* user, const char* format, ...)
        __attribute__((format(printf, 4, 5)));
    int command_argv(redisCallbackFn* callback, void* user, int count, const char** arguments,
                     const size_t* sizes);

    redisAsyncContext* connection() const noexcept { return connection_; }

  private:
    int send(redisCallbackFn* callback, void* user, std::string_view formatted);

    Tracer tracer_;
    redisAsyncContext* connection_;
    detail::RedisServer server_;
};

}  // namespace spanloom
