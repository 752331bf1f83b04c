// The service that the W3C's trace-context test suite talks to: POST /test with a JSON array of
// {url, arguments}; each `arguments` is posted to its `url`, as one traced request of this service.
// Prints its port, and runs until its standard input ends.

#include <cstdio>
#include <string>
#include <thread>

#include <httplib.h>
#include <simdjson.h>
#include <unistd.h>

#include "spanloom/carriers.h"
#include "spanloom/propagators.h"
#include "spanloom/tracer_provider.h"

namespace {

using namespace spanloom;

void post(const Tracer& tracer, const Context& server, const std::string& url,
          const std::string& body) {
    SpanOptions options;
    options.kind = SpanKind::kClient;
    options.parent = server;
    const Span span = tracer.start_span("POST", options);
    httplib::Headers headers;
    auto carrier = make_setter([&headers](std::string_view name, std::string_view value) {
        headers.emplace(std::string(name), std::string(value));
    });
    global_propagator().inject(server.with_span(span), carrier);
    const size_t path = url.find('/', url.find("://") + 3);
    httplib::Client client(url.substr(0, path));
    client.Post(url.substr(path), headers, body, "application/json");
}

void answer(const Tracer& tracer, const httplib::Request& request, httplib::Response& response) {
    const HeaderList headers(request.headers);
    SpanOptions options;
    options.kind = SpanKind::kServer;
    options.parent = global_propagator().extract(Context::root(), headers);
    const Span span = tracer.start_span("POST /test", options);
    const Context context = options.parent->with_span(span);

    simdjson::dom::parser parser;
    simdjson::dom::array calls;
    if (parser.parse(request.body).get(calls) != simdjson::SUCCESS) {
        response.status = 400;
        return;
    }
    for (const simdjson::dom::element call : calls) {
        std::string_view url;
        simdjson::dom::element arguments;
        if (call["url"].get(url) == simdjson::SUCCESS &&
            call["arguments"].get(arguments) == simdjson::SUCCESS)
            post(tracer, context, std::string(url), simdjson::minify(arguments));
    }
}

}  // namespace

int main() {
    // Every span is real; none is sent anywhere.
    TracerProvider provider = TracerProvider::create({});
    const Tracer tracer = provider.get_tracer("w3c-service");
    httplib::Server server;
    server.Post("/test", [&tracer](const httplib::Request& request, httplib::Response& response) {
        answer(tracer, request, response);
    });
    const int port = server.bind_to_any_port("127.0.0.1");
    std::printf("%d\n", port);
    std::fflush(stdout);
    std::thread stopper([&server] {
        char byte = 0;
        while (::read(STDIN_FILENO, &byte, 1) > 0) {
        }
        server.stop();
    });
    server.listen_after_bind();
    stopper.join();
    return 0;
}
