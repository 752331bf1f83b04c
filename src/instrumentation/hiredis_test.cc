#include "spanloom/instrumentation/hiredis.h"

#include <memory>

#include <poll.h>

#include "test/sdk/real_servers.h"
#include "test/sdk/recorded_spans.h"

using namespace spanloom;
using spanloom::test::as_json;
using spanloom::test::RecordedSpans;

namespace {

const test::RedisServer& server() {
    static const test::RedisServer instance;
    return instance;
}

using Reply = std::unique_ptr<redisReply, decltype(&freeReplyObject)>;
Reply own(redisReply* reply) {
    return {reply, &freeReplyObject};
}

struct Connected {
    RecordedSpans spans;
    redisContext* raw = redisConnect("127.0.0.1", server().port());
    RedisConnection redis{spans.tracer, raw};

    Connected() { REQUIRE(raw->err == 0); }
    ~Connected() { redisFree(raw); }
};

// The least that hiredis needs of an event loop.
struct Loop {
    short events = 0;

    void attach(redisAsyncContext* connection) {
        connection->ev.data = this;
        connection->ev.addRead = [](void* loop) { static_cast<Loop*>(loop)->events |= POLLIN; };
        connection->ev.delRead = [](void* loop) { static_cast<Loop*>(loop)->events &= ~POLLIN; };
        connection->ev.addWrite = [](void* loop) { static_cast<Loop*>(loop)->events |= POLLOUT; };
        connection->ev.delWrite = [](void* loop) { static_cast<Loop*>(loop)->events &= ~POLLOUT; };
    }
    void turn(redisAsyncContext* connection) {
        pollfd descriptor{connection->c.fd, events, 0};
        REQUIRE(poll(&descriptor, 1, 10'000) == 1);
        if ((descriptor.revents & POLLOUT) != 0) {
            redisAsyncHandleWrite(connection);
        }
        if ((descriptor.revents & POLLIN) != 0) {
            redisAsyncHandleRead(connection);
        }
    }
};

}  // namespace

TEST_CASE("hiredis: a command is a client span that shows keys, not values") {
    Connected at;
    CHECK(own(at.redis.command("SET user:%d %s", 7, "secret value"))->type == REDIS_REPLY_STATUS);
    const auto set = at.spans.named("SET");
    CHECK(set.kind == SpanKind::kClient);
    CHECK(set.attribute("db.system.name") == as_json("redis"));
    CHECK(set.attribute("db.operation.name") == as_json("SET"));
    CHECK(set.attribute("db.query.text") == as_json("SET user:7 ?"));
    CHECK(set.attribute("db.namespace") == as_json("0"));
    CHECK(set.attribute("server.address") == as_json("127.0.0.1"));
    CHECK(set.attribute("server.port") == std::to_string(server().port()));
    CHECK(set.status == StatusCode::kUnset);
    CHECK(set.message.find("secret") == std::string::npos);
    const char* arguments[] = {"GET", "user:7"};
    const auto reply = own(at.redis.command_argv(2, arguments, nullptr));
    CHECK(std::string(reply->str) == "secret value");
    CHECK(at.spans.named("GET").attribute("db.query.text") == as_json("GET user:7"));
}

TEST_CASE("hiredis: an error is its first word") {
    Connected at;
    own(at.redis.command("SET text x"));
    CHECK(own(at.redis.command("LPUSH text y"))->type == REDIS_REPLY_ERROR);
    const auto failed = at.spans.named("LPUSH");
    CHECK(failed.attribute("error.type") == as_json("WRONGTYPE"));
    CHECK(failed.attribute("db.response.status_code") == as_json("WRONGTYPE"));
    CHECK(failed.status == StatusCode::kError);
}

TEST_CASE("hiredis: the database follows SELECT") {
    Connected at;
    own(at.redis.command("SELECT 3"));
    own(at.redis.command("GET x"));
    CHECK(at.spans.named("GET").attribute("db.namespace") == as_json("3"));
    own(at.redis.command("SELECT 4711"));
    own(at.redis.command("TTL x"));
    CHECK(at.spans.named("TTL").attribute("db.namespace") == as_json("3"));
}

TEST_CASE("hiredis: commands that go together are one pipeline") {
    Connected at;
    redisReply* reply = nullptr;
    for (const char* key : {"a", "b", "c"}) {
        REQUIRE(at.redis.append_command("SET %s secret", key) == REDIS_OK);
    }
    for (int i = 0; i < 3; ++i) {
        CHECK(at.spans.all().empty());
        REQUIRE(at.redis.get_reply(&reply) == REDIS_OK);
        own(reply);
    }
    const auto pipeline = at.spans.named("PIPELINE SET");
    CHECK(pipeline.attribute("db.operation.name") == as_json("PIPELINE SET"));
    CHECK(pipeline.attribute("db.operation.batch.size") == "3");
    CHECK(pipeline.attribute("db.query.text") == as_json("SET a ?; SET b ?; SET c ?"));
    at.spans.clear();

    at.redis.append_command("GET a");
    at.redis.append_command("TTL a");
    at.redis.get_reply(&reply);
    own(reply);
    at.redis.get_reply(&reply);
    own(reply);
    CHECK(at.spans.last().name == "PIPELINE");
    at.spans.clear();

    at.redis.append_command("GET a");
    at.redis.get_reply(&reply);
    own(reply);
    CHECK(at.spans.last().name == "GET");
    CHECK(at.spans.last().attribute("db.operation.batch.size").empty());
}

TEST_CASE("hiredis: a connection that ends is an error of its command") {
    Connected at;
    const auto id = own(at.redis.command("CLIENT ID"));
    redisContext* const other = redisConnect("127.0.0.1", server().port());
    own(static_cast<redisReply*>(redisCommand(other, "CLIENT KILL ID %lld", id->integer)));
    redisFree(other);
    CHECK(at.redis.command("GET x") == nullptr);
    const auto failed = at.spans.named("GET");
    CHECK(failed.status == StatusCode::kError);
    const std::string why = failed.attribute("error.type");
    CHECK((why == as_json("connection_closed") || why == as_json("io_error")));
}

TEST_CASE(
    "hiredis: an asynchronous reply ends the span, and its callback has the caller's context") {
    RecordedSpans spans;
    redisAsyncContext* const raw = redisAsyncConnect("127.0.0.1", server().port());
    Loop loop;
    loop.attach(raw);
    RedisAsyncConnection redis(spans.tracer, raw);
    struct Seen {
        int replies = 0;
        SpanId context;
    } seen;
    SpanId parent_id;
    {
        const ActiveSpan parent = spans.tracer.start_active("parent");
        parent_id = parent.context().span_id();
        const auto callback = [](redisAsyncContext*, void*, void* user) {
            auto* const noted = static_cast<Seen*>(user);
            ++noted->replies;
            noted->context = Context::current().span_context().span_id();
        };
        REQUIRE(redis.command(callback, &seen, "SET a %s", "secret") == REDIS_OK);
        REQUIRE(redis.command(callback, &seen, "LPUSH a b") == REDIS_OK);
        REQUIRE(redis.command(nullptr, nullptr, "GET a") == REDIS_OK);
    }
    CHECK(spans.all().size() == 1);
    while (spans.all().size() < 4) {
        loop.turn(raw);
    }
    CHECK(seen.replies == 2);
    CHECK(seen.context == parent_id);
    CHECK(spans.named("SET").parent_span_id == parent_id.hex());
    CHECK(spans.named("LPUSH").attribute("error.type") == as_json("WRONGTYPE"));
    // What was not answered ends with the connection.
    REQUIRE(redis.command(nullptr, nullptr, "TTL a") == REDIS_OK);
    redisAsyncFree(raw);
    CHECK(spans.named("TTL").status == StatusCode::kError);
    CHECK(Context::current().span_context().is_valid() == false);
}
