#include "main/scrape.h"

#include <future>
#include <memory>
#include <utility>

namespace spanloom {
namespace {

// Destroyed unanswered, its future says so.
class WaitingResponder final : public http::Responder {
  public:
    void send(http::Response response) override { answer_.set_value(std::move(response)); }
    void begin(http::Response response) override { streamed_ = std::move(response); }
    bool write(std::string part) override {
        streamed_.body += part;
        return true;
    }
    void finish(http::Headers) override { answer_.set_value(std::move(streamed_)); }
    std::future<http::Response> answer() { return answer_.get_future(); }

  private:
    std::promise<http::Response> answer_;
    http::Response streamed_;
};

}  // namespace

Result<std::string> scrape(const http::Handler& handler, const std::string& path,
                           std::string_view accept, std::stop_token cancelled) {
    auto responder = std::make_shared<WaitingResponder>();
    std::future<http::Response> answer = responder->answer();
    http::Request request;
    request.method = "GET";
    request.path = path;
    request.headers.add("accept", std::string(accept));
    request.cancelled = std::move(cancelled);
    handler(std::move(request), std::move(responder));
    try {
        http::Response response = answer.get();
        if (response.status == 200) return std::move(response.body);
        return fail(ErrorCode::kUnavailable, "{} answers {}: {}", path, response.status,
                    response.body.substr(0, 200));
    } catch (const std::future_error&) {
        return fail(ErrorCode::kUnavailable, "{} was not answered", path);
    }
}

}  // namespace spanloom
