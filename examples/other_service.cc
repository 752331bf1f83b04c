// The tutorial, second half: a service that needs nothing but a traced server.
#include <cstdio>

#include "spanloom/instrumentation/httplib.h"
#include "spanloom/spanloom.h"

int main() {
    auto telemetry = spanloom::init({.service_name = "other-service"});
    const spanloom::Tracer tracer = spanloom::get_tracer("tutorial");

    spanloom::HttplibServer server(tracer);
    server.Get("/work", [&](const httplib::Request&, httplib::Response& response) {
        auto span = tracer.start_active("work");  // a child of the request's span
        response.set_content("world", "text/plain");
    });
    server.Get("/quit", [&](const httplib::Request&, httplib::Response&) { server.stop(); });
    std::printf("listening on %d\n", server.bind_to_any_port("127.0.0.1"));
    std::fflush(stdout);
    server.listen_after_bind();
}
