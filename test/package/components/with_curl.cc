#include <spanloom/instrumentation/curl.h>

#include "traced.h"

int main() {
    return traced(1, [](const spanloom::Tracer& tracer) {
        CURL* easy = curl_easy_init();
        {
            spanloom::CurlTransfer transfer(tracer, easy, "GET", "http://127.0.0.1:1/users/7");
            transfer.perform();
        }
        curl_easy_cleanup(easy);
    });
}
