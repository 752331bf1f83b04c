#include "spanloom/instrumentation/curl.h"

#include <string_view>

namespace spanloom {
namespace {

// A list of headers to which those of the trace are added.
class HeaderWriter : public TextMapSetter {
  public:
    explicit HeaderWriter(curl_slist*& list) : list_(&list) {}
    void set(std::string_view name, std::string_view value) noexcept override {
        try {
            add(std::string(name).append(": ").append(value).c_str());
        } catch (...) {  // out of memory: the request goes without it
        }
    }
    void add(const char* line) {
        if (curl_slist* const longer = curl_slist_append(*list_, line)) {
            *list_ = longer;
        }
    }

  private:
    curl_slist** list_;
};

// Few words for error.type; the rest is found by its number.
std::string error_type(CURLcode code) {
    switch (code) {
        case CURLE_COULDNT_RESOLVE_HOST:
        case CURLE_COULDNT_RESOLVE_PROXY:
            return "name_not_resolved";
        case CURLE_COULDNT_CONNECT:
            return "connection_failed";
        case CURLE_OPERATION_TIMEDOUT:
            return "timeout";
        case CURLE_PEER_FAILED_VERIFICATION:
            return "tls_certificate_invalid";
        case CURLE_SSL_CONNECT_ERROR:
            return "tls_connection_failed";
        case CURLE_TOO_MANY_REDIRECTS:
            return "too_many_redirects";
        case CURLE_GOT_NOTHING:
        case CURLE_RECV_ERROR:
            return "read_failed";
        case CURLE_SEND_ERROR:
            return "write_failed";
        case CURLE_ABORTED_BY_CALLBACK:
            return "canceled";
        default:
            return "curl_" + std::to_string(static_cast<int>(code));
    }
}

std::string_view protocol_version(CURL* easy) {
    long version = 0;
    curl_easy_getinfo(easy, CURLINFO_HTTP_VERSION, &version);
    switch (version) {
        case CURL_HTTP_VERSION_1_0:
            return "1.0";
        case CURL_HTTP_VERSION_1_1:
            return "1.1";
        case CURL_HTTP_VERSION_2_0:
            return "2";
        case CURL_HTTP_VERSION_3:
            return "3";
        default:
            return {};
    }
}

void set_method(CURL* easy, std::string_view method) {
    curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, nullptr);
    if (method == "GET") {
        curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L);
    } else if (method == "HEAD") {
        curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
    } else if (method == "POST") {
        curl_easy_setopt(easy, CURLOPT_POST, 1L);
    } else {
        curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, method.data());
    }
}

}  // namespace

CurlTransfer::CurlTransfer(const Tracer& tracer, CURL* easy, const char* method,
                           const std::string& url, curl_slist* headers) noexcept
    : easy_(easy), caller_headers_(headers) {
    HttpClientRequest request;
    request.method = method;
    request.url = url;
    span_ = HttpClientSpan(tracer, request);
    HeaderWriter writer(headers_);
    for (const curl_slist* line = headers; line != nullptr; line = line->next) {
        writer.add(line->data);
    }
    span_.inject(writer);
    curl_easy_setopt(easy, CURLOPT_URL, url.c_str());
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers_);
    set_method(easy, method);
}

CurlTransfer::~CurlTransfer() {
    curl_easy_setopt(easy_, CURLOPT_HTTPHEADER, caller_headers_);
    curl_slist_free_all(headers_);
}

CURLcode CurlTransfer::perform() noexcept {
    const CURLcode result = curl_easy_perform(easy_);
    finish(result);
    return result;
}

void CurlTransfer::finish(CURLcode result) noexcept {
    char* address = nullptr;
    long port = 0;
    if (curl_easy_getinfo(easy_, CURLINFO_PRIMARY_IP, &address) == CURLE_OK && address != nullptr &&
        *address != '\0') {
        curl_easy_getinfo(easy_, CURLINFO_PRIMARY_PORT, &port);
        span_.set_peer(address, static_cast<uint16_t>(port));
    }
    if (result != CURLE_OK) {
        span_.fail(error_type(result), curl_easy_strerror(result));
        return;
    }
    long status_code = 0;
    curl_easy_getinfo(easy_, CURLINFO_RESPONSE_CODE, &status_code);
    span_.finish(static_cast<int>(status_code), protocol_version(easy_));
}

}  // namespace spanloom
