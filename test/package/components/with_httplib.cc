#include <thread>

#include <spanloom/instrumentation/httplib.h>

#include "traced.h"

int main() {
    return traced(2, [](const spanloom::Tracer& tracer) {
        spanloom::HttplibServer server(tracer);
        server.Get("/users", "/users", [](const httplib::Request&, httplib::Response& response) {
            response.set_content("ann", "text/plain");
        });
        const int port = server.bind_to_any_port("127.0.0.1");
        std::thread thread([&server] { server.listen_after_bind(); });
        {
            spanloom::HttplibClient client(tracer, "http://127.0.0.1:" + std::to_string(port));
            client.Get("/users");
        }
        server.stop();
        thread.join();
    });
}
