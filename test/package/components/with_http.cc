#include <spanloom/instrumentation/http.h>

#include "traced.h"

int main() {
    return traced(1, [](const spanloom::Tracer& tracer) {
        spanloom::HttpClientRequest request;
        request.method = "GET";
        request.url = "http://127.0.0.1:1/users/7";
        spanloom::HttpClientSpan span(tracer, request);
        span.finish(200);
    });
}
