#include "api/trace_cache.h"

#include <doctest/doctest.h>

using namespace spanloom;
using namespace spanloom::api;

namespace {

std::shared_ptr<const CachedTrace> trace_of(size_t bytes, uint64_t version) {
    auto trace = std::make_shared<CachedTrace>();
    trace->memory_bytes = bytes;
    trace->version = version;
    return trace;
}

TraceId id_of(const char* hex) {
    return *TraceId::parse(hex);
}

}  // namespace

TEST_CASE("the traces used last stay, within the limit of bytes") {
    TraceCache cache(100);
    cache.put(id_of("1"), trace_of(40, 1), 1);
    cache.put(id_of("2"), trace_of(40, 1), 1);
    CHECK(cache.find(id_of("1"), 1, 1) != nullptr);
    cache.put(id_of("3"), trace_of(40, 1), 1);
    CHECK(cache.find(id_of("2"), 1, 1) == nullptr);
    CHECK(cache.find(id_of("1"), 1, 1) != nullptr);
    CHECK(cache.bytes() == 80);
    cache.put(id_of("4"), trace_of(101, 1), 1);
    CHECK(cache.find(id_of("4"), 1, 1) == nullptr);
    CHECK(cache.bytes() == 80);
}

TEST_CASE("a trace that has changed is forgotten") {
    TraceCache cache(100);
    cache.put(id_of("1"), trace_of(40, 1), 1);
    CHECK(cache.find(id_of("1"), 2, 1) == nullptr);
    CHECK(cache.bytes() == 0);
    cache.put(id_of("1"), trace_of(40, 2), 1);
    cache.put(id_of("1"), trace_of(50, 3), 1);
    CHECK(cache.bytes() == 50);
}

TEST_CASE("one trace that is too large for the others is kept while it is asked for") {
    TraceCache cache(100, 1000);
    cache.put(id_of("1"), trace_of(40, 1), 1);
    cache.put(id_of("2"), trace_of(900, 1), 1);
    CHECK(cache.bytes() == 940);
    CHECK(cache.find(id_of("2"), 1, TraceCache::kLargeKeptNs) != nullptr);
    cache.forget_unused(TraceCache::kLargeKeptNs * 2);
    CHECK(cache.find(id_of("2"), 1, TraceCache::kLargeKeptNs * 2) != nullptr);
    CHECK(cache.find(id_of("2"), 2, 1) == nullptr);
    cache.put(id_of("3"), trace_of(800, 1), TraceCache::kLargeKeptNs * 2);
    CHECK(cache.find(id_of("2"), 1, TraceCache::kLargeKeptNs * 2) == nullptr);
    CHECK(cache.bytes() == 840);
    cache.forget_unused(TraceCache::kLargeKeptNs * 3 + 1);
    CHECK(cache.bytes() == 40);
    CHECK(cache.find(id_of("1"), 1, 1) != nullptr);
    cache.put(id_of("4"), trace_of(1001, 1), 1);
    CHECK(cache.bytes() == 40);
}
