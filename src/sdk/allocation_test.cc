#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "spanloom/carriers.h"
#include "spanloom/propagators.h"
#include "spanloom/spanloom.h"

// A budget in counts: what a span may cost in heap allocations, which is none.
using namespace spanloom;

namespace {

thread_local uint64_t allocations = 0;  // of this thread

}  // namespace

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
extern "C" int __sanitizer_install_malloc_and_free_hooks(void (*)(const volatile void*, size_t),
                                                         void (*)(const volatile void*));
[[maybe_unused]] static const int hooked = __sanitizer_install_malloc_and_free_hooks(
    [](const volatile void*, size_t) { ++allocations; }, [](const volatile void*) {});
#else
// operator new comes by here, too.
extern "C" {
void* __libc_malloc(size_t size);
void* __libc_calloc(size_t count, size_t size);
void* __libc_realloc(void* block, size_t size);
void* __libc_memalign(size_t alignment, size_t size);
void* malloc(size_t size) {
    ++allocations;
    return __libc_malloc(size);
}
void* calloc(size_t count, size_t size) {
    ++allocations;
    return __libc_calloc(count, size);
}
void* realloc(void* block, size_t size) {
    ++allocations;
    return __libc_realloc(block, size);
}
void* aligned_alloc(size_t alignment, size_t size) {
    ++allocations;
    return __libc_memalign(alignment, size);
}
}
#endif

namespace {

class TakeNothing final : public SpanProcessor {
  public:
    unsigned interests() const noexcept override { return kOnEnd; }
};

struct Request {
    std::string user = "a user whose name no short string holds";
    std::vector<std::pair<std::string, std::string>> incoming = {
        {"traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}};
    std::vector<std::pair<std::string, std::string>> outgoing = {
        {"traceparent", std::string(55, ' ')}};
};

// A server's span, its child, what they are told, and the headers of both
// sides.
void serve(const Tracer& tracer, const TextMapPropagator& propagator, Request& request) {
    const HeaderList<decltype(request.incoming)> from(request.incoming);
    HeaderList<decltype(request.outgoing)> to(request.outgoing);
    SpanOptions options;
    options.kind = SpanKind::kServer;
    options.parent = propagator.extract(Context::root(), from);
    ActiveSpan span = tracer.start_active("GET /items/{id}", options);
    span.set_attribute("user.id", request.user).set_attribute("items", 3);
    span.set_attribute("price", 9.5).set_attribute("gift", true).set_attribute("items", 4);
    {
        const ActiveSpan child = tracer.start_active("SELECT", {{"db.namespace", request.user}});
        propagator.inject(Context::current(), to);
    }
    span.add_event("paid", {{"method", request.user}});
    span.set_status(StatusCode::kError, "declined");
}

uint64_t allocations_of(int requests, const Tracer& tracer) {
    static const auto propagator = make_trace_context_propagator();
    Request request;
    const uint64_t before = allocations;
    for (int i = 0; i < requests; ++i)
        serve(tracer, *propagator, request);
    return allocations - before;
}

Tracer make_tracer(std::shared_ptr<SpanProcessor> processor,
                   std::shared_ptr<Sampler> sampler = nullptr) {
    ProviderOptions options;
    options.processors.push_back(std::move(processor));
    options.sampler = std::move(sampler);
    return TracerProvider::create(std::move(options)).get_tracer("test");
}

}  // namespace

TEST_CASE("allocations are counted here at all") {
    const uint64_t before = allocations;
    std::free(std::malloc(100));
    CHECK(allocations == before + 1);
}

TEST_CASE("after a thread's first spans, no span allocates") {
    const Tracer tracer = make_tracer(std::make_shared<TakeNothing>());
    allocations_of(1, tracer);
    CHECK(allocations_of(1'000, tracer) == 0);
}

TEST_CASE("a span that is sampled out does not allocate") {
    const Tracer tracer = make_tracer(std::make_shared<TakeNothing>(), make_always_off_sampler());
    allocations_of(1, tracer);
    CHECK(allocations_of(1'000, tracer) == 0);
}

TEST_CASE("a batch processor takes memory by the piece, not by the span") {
    const Tracer tracer = make_tracer(make_batch_processor(make_null_exporter()));
    allocations_of(10,
                   tracer);  // beyond the small piece with which a thread begins
    CHECK(allocations_of(10, tracer) == 0);
}
