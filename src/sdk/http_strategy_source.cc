#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "base/text.h"
#include "sdk/remote_sampler.h"
#include "send/connection.h"
#include "send/endpoint.h"

namespace spanloom::sdk {
namespace {

constexpr uint16_t kDefaultPort = 5778;
constexpr size_t kAnswerBytesMax = 1U << 20;

// A service's name as a query's value.
std::string encode_query(std::string_view text) {
    std::string out;
    for (const char c : text) {
        const bool is_plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
                              (c >= 'A' && c <= 'Z') || c == '-' || c == '_' || c == '.';
        if (is_plain) {
            out += c;
        } else {
            out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
        }
    }
    return out;
}

// HTTP/1.0, a connection for each question: they come once a minute, and the
// answer ends where the connection does.
class HttpStrategySource final : public StrategySource {
  public:
    HttpStrategySource(send::Endpoint endpoint, std::unique_ptr<send::TlsClient> tls,
                       const Clock& clock)
        : endpoint_(endpoint), connector_(std::move(endpoint), std::move(tls), clock, interrupt_) {}

    Result<std::string> fetch(std::string_view service, uint64_t deadline_ns) override {
        const std::string request = fmt::format(
            "GET {}?service={} HTTP/1.0\r\nHost: {}\r\nAccept: application/json\r\n"
            "Connection: close\r\n\r\n",
            path(), encode_query(service), endpoint_.authority());
        TRY_ASSIGN(const auto connection, connector_.connect(send::Alpn::kHttp1, deadline_ns));
        TRY(connection->write_all(send::Pieces(request), deadline_ns));
        std::string answer;
        std::array<char, 16U << 10> part;
        while (true) {
            const auto size = connection->read(part.data(), part.size(), deadline_ns);
            const bool is_end = size ? *size == 0 : size.error().code == ErrorCode::kUnavailable;
            if (is_end) break;
            if (!size) return tl::unexpected<Error>(size.error());
            answer.append(part.data(), *size);
            if (answer.size() > kAnswerBytesMax)
                return fail(ErrorCode::kResourceExhausted,
                            "the sampling strategy is longer than 1 MiB");
        }
        return body_of(answer);
    }
    void interrupt() override { interrupt_.trigger(); }
    void after_fork() override {
        interrupt_.renew();
        connector_.after_fork();
    }

  private:
    // An endpoint with a path of its own names the whole of it (Jaeger's
    // collector has /api/sampling).
    std::string path() const {
        return endpoint_.path.empty() || endpoint_.path == "/" ? "/sampling" : endpoint_.path;
    }
    static Result<std::string> body_of(const std::string& answer) {
        const size_t head_end = answer.find("\r\n\r\n");
        if (answer.rfind("HTTP/1.", 0) != 0 || answer.size() < 12 || head_end == std::string::npos)
            return fail(ErrorCode::kUnavailable, "the answer to /sampling is not HTTP");
        const std::string status = answer.substr(9, 3);
        if (status != "200")
            return fail(ErrorCode::kUnavailable, "the server answers /sampling with {}", status);
        return answer.substr(head_end + 4);
    }

    send::Endpoint endpoint_;
    send::Interrupt interrupt_;
    send::Connector connector_;
};

}  // namespace

Result<std::unique_ptr<StrategySource>> make_http_strategy_source(const std::string& endpoint,
                                                                  const Clock& clock) {
    TRY_ASSIGN(send::Endpoint parsed, send::parse_endpoint(endpoint, kDefaultPort));
    std::unique_ptr<send::TlsClient> tls;
    if (parsed.is_tls) {
        TRY_ASSIGN(tls, send::TlsClient::create({}));
    }
    return std::make_unique<HttpStrategySource>(std::move(parsed), std::move(tls), clock);
}

}  // namespace spanloom::sdk
