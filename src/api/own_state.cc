#include "api/own_state.h"

namespace spanloom::api {

void add_own_state(Router& router) {
    const auto healthy = [](Call&) -> Result<http::Response> { return text_reply("ok\n"); };
    router.add(Family::kOwn, "GET", "/healthz", healthy).place = Place::kIoThread;
    const auto ready = [](Call& call) -> Result<http::Response> {
        if (!call.context.options.readiness) return text_reply("ready\n");
        const Result<void> state = call.context.options.readiness();
        if (state) return text_reply("ready\n");
        return text_reply(state.error().message + "\n", 503);
    };
    router.add(Family::kOwn, "GET", "/readyz", ready).place = Place::kIoThread;
    router.add(Family::kOwn, "GET", "/metrics", [](Call& call) -> Result<http::Response> {
        http::Response response = text_reply(call.context.options.metrics.render());
        response.headers = {};
        response.headers.add("content-type", "text/plain; version=0.0.4; charset=utf-8");
        return response;
    });
}

}  // namespace spanloom::api
