#include <boost/beast/http/empty_body.hpp>
#include <spanloom/instrumentation/beast.h>

#include "traced.h"

int main() {
    return traced(1, [](const spanloom::Tracer& tracer) {
        namespace http = boost::beast::http;
        http::request<http::empty_body> request{http::verb::get, "/users/7", 11};
        auto span = spanloom::start_beast_client_span(tracer, request, "http://127.0.0.1:1");
        http::response<http::empty_body> response{http::status::ok, 11};
        spanloom::finish(span, response);
        if (request["traceparent"].empty()) throw 1;
    });
}
