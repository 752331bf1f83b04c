// A queue between a producer and a consumer. A message carries its context as a header. The
// consumer takes messages in batches: one span cannot be the child of many, so it links to each.
#include <cstdio>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "spanloom/carriers.h"
#include "spanloom/spanloom.h"

using namespace spanloom;

namespace {

struct Message {
    std::map<std::string, std::string> headers;
    std::string body;
};

Message produce(const Tracer& tracer, const std::string& body) {
    const auto span = tracer.start_active(
        "send orders", {.kind = SpanKind::kProducer,
                        .attributes = {{"messaging.system", "example"},
                                       {"messaging.operation.type", "send"},
                                       {"messaging.operation.name", "send"},
                                       {"messaging.destination.name", "orders"}}});
    Message message{{}, body};
    HeaderList carrier(message.headers);
    global_propagator().inject(Context::current(), carrier);
    return message;
}

Context context_of(const Message& message) {
    return global_propagator().extract(Context::root(), HeaderList(message.headers));
}

void consume(const Tracer& tracer, const std::vector<Message>& batch) {
    std::vector<Link> links;
    for (const Message& message : batch)
        links.push_back({context_of(message).span_context()});

    const auto span = tracer.start_active(
        "process orders", {.kind = SpanKind::kConsumer,
                           .parent = Context::root(),  // the batch belongs to no one order
                           .attributes = {{"messaging.system", "example"},
                                          {"messaging.operation.type", "process"},
                                          {"messaging.operation.name", "process"},
                                          {"messaging.destination.name", "orders"},
                                          {"messaging.batch.message_count", batch.size()}},
                           .links = links});
    std::printf("batch %s\n", span.context().trace_id().hex().c_str());

    // What is done for one message goes on in that message's trace.
    for (const Message& message : batch) {
        const auto order = tracer.start_active("process order", {.kind = SpanKind::kConsumer,
                                                                 .parent = context_of(message),
                                                                 .links = {{span.context()}}});
    }
}

}  // namespace

int main() {
    auto telemetry = init({.service_name = "order-service"});
    const Tracer tracer = get_tracer("message_queue");

    std::vector<Message> queue;
    for (const char* order : {"apples", "pears"}) {
        const auto request = tracer.start_active("POST /orders", SpanKind::kServer);
        std::printf("trace %s\n", request.context().trace_id().hex().c_str());
        queue.push_back(produce(tracer, order));
    }
    std::thread([&] { consume(tracer, queue); }).join();
}
