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
    cache.put(id_of("1"), trace_of(40, 1));
    cache.put(id_of("2"), trace_of(40, 1));
    CHECK(cache.find(id_of("1"), 1) != nullptr);
    cache.put(id_of("3"), trace_of(40, 1));
    CHECK(cache.find(id_of("2"), 1) == nullptr);
    CHECK(cache.find(id_of("1"), 1) != nullptr);
    CHECK(cache.bytes() == 80);
    cache.put(id_of("4"), trace_of(101, 1));
    CHECK(cache.find(id_of("4"), 1) == nullptr);
    CHECK(cache.bytes() == 80);
}

TEST_CASE("a trace that has changed is forgotten") {
    TraceCache cache(100);
    cache.put(id_of("1"), trace_of(40, 1));
    CHECK(cache.find(id_of("1"), 2) == nullptr);
    CHECK(cache.bytes() == 0);
    cache.put(id_of("1"), trace_of(40, 2));
    cache.put(id_of("1"), trace_of(50, 3));
    CHECK(cache.bytes() == 50);
}
