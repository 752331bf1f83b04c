// The tutorial, first half: a service that answers /hello and asks other-service to do the work.
// Everything is done by hand here, so that each concept can be seen; the classes HttplibServer and
// HttplibClient of spanloom/instrumentation/httplib.h do the same in two words.
//
//     my_awesome_service PORT_OF_OTHER_SERVICE
#include <cstdio>
#include <string>

#include <httplib.h>

#include "spanloom/instrumentation/httplib.h"
#include "spanloom/spanloom.h"

using namespace spanloom;

namespace {

// Inject: the request to the other service carries the trace on.
std::string call_other_service(const Tracer& tracer, int port) {
    ActiveSpan span = tracer.start_active("GET", SpanKind::kClient);
    span.set_attribute("http.request.method", "GET");
    span.set_attribute("server.address", "127.0.0.1");
    span.set_attribute("server.port", port);
    span.set_attribute("url.full", "http://127.0.0.1:" + std::to_string(port) + "/work");

    httplib::Headers headers;
    HttplibHeaderWriter carrier(headers);
    global_propagator().inject(Context::current(), carrier);

    httplib::Client client("127.0.0.1", port);
    const auto response = client.Get("/work", headers);
    if (!response) {
        span.set_status(StatusCode::kError, "other-service does not answer");
        return "nobody";
    }
    span.set_attribute("http.response.status_code", response->status);
    return response->body;
}

// Extract: the span is a child of the caller's, where the caller is traced.
void hello(const Tracer& tracer, int other_port, const httplib::Request& request,
           httplib::Response& response) {
    const Context caller =
        global_propagator().extract(Context::root(), HttplibHeaders(request.headers));

    // Start, and make it current.
    ActiveSpan span =
        tracer.start_active("GET /hello", {.kind = SpanKind::kServer, .parent = caller});
    span.set_attribute("user.id", request.get_param_value("user"));
    span.set_attribute("http.route", "/hello");

    {
        ActiveSpan child = tracer.start_active("prepare greeting");
        child.add_event("dictionary opened", {{"language", "en"}});
    }  // end: a span ends with its scope, also when an exception passes through

    response.set_content("hello, " + call_other_service(tracer, other_port), "text/plain");
    span.set_attribute("http.response.status_code", 200);
}

}  // namespace

int main(int count, char** arguments) {
    const int other_port = count > 1 ? std::atoi(arguments[1]) : 8081;

    // Init: resource (service.name and what detectors find), exporter (OTLP, to where
    // OTEL_EXPORTER_OTLP_ENDPOINT says), batcher, propagator (W3C) and sampler
    // (OTEL_TRACES_SAMPLER; everything by default). It is flushed at the end of main.
    auto telemetry = init({.service_name = "my-awesome-service", .service_version = "1.0.0"});
    const Tracer tracer = get_tracer("tutorial");

    httplib::Server server;
    server.Get("/hello", [&](const httplib::Request& request, httplib::Response& response) {
        hello(tracer, other_port, request, response);
    });
    server.Get("/quit", [&](const httplib::Request&, httplib::Response&) { server.stop(); });
    std::printf("listening on %d\n", server.bind_to_any_port("127.0.0.1"));
    std::fflush(stdout);
    server.listen_after_bind();
}
