#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>

#include "api/test_server.h"
#include "insight/edge_counts.h"
#include "sampling/keeper.h"
#include "sampling/test_traces.h"
#include "store/engine_fixture.h"

namespace spanloom::api {

inline std::string in_url(std::string_view text) {
    std::string out;
    append_percent_encoded(out, text);
    return out;
}

// For tests: a server of a store whose hours age by rules, and whose spans are all counted.
struct AgeingServer {
    store::StoreFixture f;
    SeededRandom random{3};
    std::shared_ptr<sampling::Keeper> keeper;
    TestServer server{{}};

    explicit AgeingServer(std::string_view keep_rules, uint64_t log_file_bytes = 0) {
        if (log_file_bytes > 0) f.options.log_file_bytes = log_file_bytes;
        f.options.rollup = make_operation_rollup();
        f.options.counting = insight::make_span_counting();
        f.open();
        auto rules = sampling::parse_keep_rules(keep_rules);
        REQUIRE(rules.has_value());
        keeper = *sampling::Keeper::start(*f.store, f.clock, random, f.metrics, std::move(*rules));
        ApiOptions options{.store = *f.store,
                           .queries = server.inline_executor,
                           .metrics = server.metrics,
                           .clock = f.clock};
        options.limits.deadline_ms = 600'000;
        server.handler = make_api(std::move(options));
    }

    void send(const std::vector<sampling::TestSpan>& spans) {
        REQUIRE(f.send(sampling::batch_of(spans, f.clock.wall_ns())).has_value());
    }
    void age() {
        f.clock.advance(3 * store::kHour);
        REQUIRE(f.store->settle().has_value());
    }
};

}  // namespace spanloom::api
