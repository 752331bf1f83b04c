#pragma once

#include <string>

#include <curl/curl.h>

#include "spanloom/instrumentation/http.h"

namespace spanloom {

// One transfer of a libcurl easy handle as a span that carries the trace on.
//
//     CURL* easy = curl_easy_init();
//     CurlTransfer transfer(tracer, easy, "GET", "https://example.com/");
//     CURLcode result = transfer.perform();
//
// Sets the handle's URL, method and headers (those given, and the trace's); everything else is the
// caller's: bodies, callbacks, timeouts. With a multi handle add `easy` to it instead of calling
// `perform`, and call `finish` with the result when the transfer is done. The handle must outlive
// the transfer and can be used again afterwards; the caller's list of headers, too.
class CurlTransfer {
  public:
    CurlTransfer(const Tracer& tracer, CURL* easy, const char* method, const std::string& url,
                 curl_slist* headers = nullptr) noexcept;
    CurlTransfer(const CurlTransfer&) = delete;
    CurlTransfer& operator=(const CurlTransfer&) = delete;
    ~CurlTransfer();

    CURLcode perform() noexcept;
    void finish(CURLcode result) noexcept;

    HttpClientSpan& span() noexcept { return span_; }

  private:
    CURL* easy_;
    curl_slist* caller_headers_;
    curl_slist* headers_ = nullptr;
    HttpClientSpan span_;
};

}  // namespace spanloom
