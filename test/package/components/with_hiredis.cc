#include <spanloom/instrumentation/hiredis.h>

#include "traced.h"

int main() {
    return traced(1, [](const spanloom::Tracer& tracer) {
        redisContext* cache = redisConnect("127.0.0.1", 1);
        spanloom::RedisConnection redis(tracer, cache);
        redisReply* reply = redis.command("GET user:%d", 7);
        if (reply != nullptr) freeReplyObject(reply);
        redisFree(cache);
    });
}
