#include "http/http1_session.h"

#include <deque>
#include <optional>
#include <stop_token>

#include <boost/asio/buffer.hpp>
#include <fmt/format.h>

#include "http/body_buffer.h"
#include "http/http1_parser.h"

namespace spanloom::http {
namespace {

// Small while a header is awaited, so that a body of known length is read straight into place.
constexpr size_t kHeaderReadBytes = 2U << 10;
constexpr size_t kBodyReadBytes = 256U << 10;
// Bytes of following requests that are taken in while one is being answered.
constexpr size_t kPipelinedBytesMax = 16U << 10;
// A chunk header with its extensions, or the trailers.
constexpr size_t kChunkHeaderBytesMax = 8U << 10;

// Whether the first line names some version of HTTP.
bool speaks_http(std::string_view input) {
    return input.substr(0, input.find('\n')).find(" HTTP/") != std::string_view::npos;
}

bool is_start_line_error(const boost::beast::error_code& code) {
    using boost::beast::http::error;
    return code == error::bad_method || code == error::bad_target || code == error::bad_version;
}

class Http1Session final : public Session {
  public:
    Http1Session(SessionHost& host, std::string peer)
        : host_(host), peer_(std::move(peer)), started_ns_(host.now_ns()) {
        await_request();
    }

    void receive(std::string_view bytes) override;
    std::span<uint8_t> body_space() override;
    void received_body(size_t bytes) override;
    size_t read_bytes_max() const override;
    void receive_end() override;
    void reply(int32_t request_id, Reply reply) override;
    void produce(OutputQueue& out) override;
    bool wants_close() const override { return closing_ && parts_.empty(); }
    size_t in_flight() const override { return state_ == State::kAwaiting ? 0 : 1; }
    void shut_down() override;
    bool check_deadlines() override;
    void abandon() override;

  private:
    enum class State : uint8_t {
        kAwaiting,  // between requests
        kHeader,    // a header has begun
        kLength,    // a body of known length
        kChunked,   // a body in chunks
        kHandling,  // whole; the handler answers
        kDraining,  // answered before the body was whole, which is read and dropped
        kDone,      // nothing is read any more
    };

    void await_request();
    void advance();
    bool parse_header();
    void begin_body();
    bool take_length_body();
    bool parse_chunks();
    bool drain();
    void dispatch();
    bool admit(Admission admission);
    void refuse(Refusal refusal, RefusalReason reason);
    void begin_reply(Response response, bool is_streaming);
    std::string header_of(const Response& response, size_t body_size, bool is_streaming);
    void add_part(std::string part);
    void end_reply();
    void finish_exchange();

    SessionHost& host_;
    std::string peer_;
    State state_ = State::kAwaiting;
    std::string input_;  // received, not yet parsed
    std::optional<Http1Parser> parser_;
    Request request_;
    BodyBuffer body_;
    uint64_t body_left_ = 0;  // of a known length
    std::stop_source gone_;
    int32_t request_id_ = 0;
    uint64_t started_ns_;  // of the state's time limit

    std::deque<Blob> parts_;         // unsent
    std::deque<size_t> part_costs_;  // of each part, what the streaming writer waits for
    bool reply_begun_ = false;
    bool is_head_ = false;
    bool is_streaming_ = false;
    bool is_chunked_reply_ = false;
    bool keep_alive_ = true;
    bool stopping_ = false;
    bool ended_ = false;
    bool closing_ = false;
    bool has_request_ = false;  // a request was dispatched and not wholly answered
};

void Http1Session::await_request() {
    state_ = State::kAwaiting;
    if (input_.empty() && input_.capacity() > kPipelinedBytesMax) input_ = std::string();
    request_ = Request();
    request_.peer = peer_;
    body_ = BodyBuffer();
    gone_ = std::stop_source();
    ++request_id_;
    reply_begun_ = is_head_ = is_streaming_ = is_chunked_reply_ = false;
    has_request_ = false;
    keep_alive_ = true;
    started_ns_ = host_.now_ns();
    parser_.emplace(request_, host_.limits().header_bytes_max, [this](std::string_view bytes) {
        if (state_ == State::kDraining) return true;
        admit(body_.append(host_.budget(), bytes, host_.limits().body_bytes_max));
        return !closing_;
    });
}

// ---- receiving

void Http1Session::receive(std::string_view bytes) {
    if (closing_ || state_ == State::kDone) return;
    if (state_ == State::kAwaiting && request_id_ > 1 && input_.empty()) {
        started_ns_ = host_.now_ns();  // the header's time begins with its first byte
    }
    input_.append(bytes);
    advance();
}

void Http1Session::advance() {
    for (bool progress = true; progress && !closing_;) {
        switch (state_) {
            case State::kAwaiting:
            case State::kHeader:
                progress = parse_header();
                break;
            case State::kLength:
                progress = take_length_body();
                break;
            case State::kChunked:
                progress = parse_chunks();
                break;
            case State::kDraining:
                progress = drain();
                break;
            case State::kHandling:
            case State::kDone:
                progress = false;
                break;
        }
    }
}

bool Http1Session::parse_header() {
    if (state_ == State::kAwaiting) {
        // RFC 9112 2.2: empty lines before a request are ignored.
        const size_t start = input_.find_first_not_of("\r\n");
        input_.erase(0, start == std::string::npos ? input_.size() : start);
        if (input_.empty()) return false;
        if (stopping_) {
            closing_ = true;
            return false;
        }
        state_ = State::kHeader;
    }
    boost::beast::error_code error;
    const size_t used = parser_->put(boost::asio::buffer(input_), error);
    input_.erase(0, used);
    if (error == boost::beast::http::error::need_more) {
        if (input_.size() <= host_.limits().header_bytes_max) return false;
        error = boost::beast::http::error::header_limit;
    }
    if (error == boost::beast::http::error::header_limit) {
        refuse({431, 8,
                fmt::format("request header is larger than {} bytes, the limit",
                            host_.limits().header_bytes_max)},
               RefusalReason::kHeaderTooLarge);
        return false;
    }
    if (error) {
        if (is_start_line_error(error) && !speaks_http(input_)) {
            // Another protocol: an answer in ours would only confuse it.
            host_.refused(RefusalReason::kBadRequest);
            state_ = State::kDone;
            closing_ = true;
            return false;
        }
        const std::string why = parser_->problem().empty() ? error.message() : parser_->problem();
        refuse({400, 3, fmt::format("bad HTTP/1.1 request: {}", why)}, RefusalReason::kBadRequest);
        return false;
    }
    if (parser_->is_header_done()) begin_body();
    return true;
}

void Http1Session::begin_body() {
    keep_alive_ = parser_->keep_alive();
    is_head_ = request_.method == "HEAD";
    started_ns_ = host_.now_ns();
    if (request_.is_grpc()) {
        // Its status travels in HTTP/2 trailers.
        refuse({415, 12, "gRPC needs HTTP/2"}, RefusalReason::kBadRequest);
        return;
    }
    if (parser_->chunked()) {
        state_ = State::kChunked;
    } else if (parser_->has_length() && parser_->length() > 0) {
        state_ = State::kLength;
        body_left_ = parser_->length();
        if (!admit(body_.reserve(host_.budget(), body_left_, host_.limits().body_bytes_max))) {
            return;
        }
    } else {
        dispatch();
        return;
    }
    if (parser_->expects_continue() && input_.empty()) {
        parts_.push_back(Blob::copy_of("HTTP/1.1 100 Continue\r\n\r\n"));
        part_costs_.push_back(0);
    }
}

bool Http1Session::take_length_body() {
    const size_t take = std::min<uint64_t>(input_.size(), body_left_);
    if (take > 0) std::memcpy(body_.space(), input_.data(), take);
    input_.erase(0, take);
    if (take > 0) received_body(take);
    return state_ != State::kLength;
}

std::span<uint8_t> Http1Session::body_space() {
    if (state_ != State::kLength || closing_ || !input_.empty()) return {};
    return {body_.space(), static_cast<size_t>(body_left_)};
}

void Http1Session::received_body(size_t bytes) {
    body_.advance(bytes);
    body_left_ -= bytes;
    if (body_left_ == 0) dispatch();
}

bool Http1Session::parse_chunks() {
    if (input_.empty()) return false;
    boost::beast::error_code error;
    parser_->eager(true);
    const size_t used = parser_->put(boost::asio::buffer(input_), error);
    input_.erase(0, used);
    if (closing_) return false;
    if (error && error != boost::beast::http::error::need_more) {
        const std::string why = parser_->problem().empty() ? error.message() : parser_->problem();
        refuse({400, 3, fmt::format("bad chunked body: {}", why)}, RefusalReason::kBadRequest);
        return false;
    }
    if (parser_->is_done()) {
        if (state_ == State::kDraining) {
            state_ = State::kHandling;
            finish_exchange();
        } else {
            dispatch();
        }
        return true;
    }
    if (input_.size() > kChunkHeaderBytesMax) {
        refuse({400, 3, "chunk header or trailers are too long"}, RefusalReason::kBadRequest);
    }
    return false;
}

// The rest of a body nobody wants any more, so that the connection can be used again.
bool Http1Session::drain() {
    if (parser_->chunked()) return parse_chunks();
    const size_t take = std::min<uint64_t>(input_.size(), body_left_);
    input_.erase(0, take);
    body_left_ -= take;
    if (body_left_ > 0) return false;
    state_ = State::kHandling;
    finish_exchange();
    return true;
}

bool Http1Session::admit(Admission admission) {
    if (admission == Admission::kAdmitted) return true;
    if (admission == Admission::kTooLarge) {
        refuse(
            {413, 8,
             fmt::format("request body is larger than {} bytes, the limit; send smaller requests",
                         host_.limits().body_bytes_max)},
            RefusalReason::kBodyTooLarge);
        return false;
    }
    body_ = BodyBuffer();
    state_ = State::kDraining;
    host_.refused(RefusalReason::kNoMemory);
    const Refusal refusal = {503, 14, "no memory free for this request; try again", 1};
    begin_reply(error_reply(refusal, request_.headers.get("content-type")), false);
    return false;
}

void Http1Session::dispatch() {
    state_ = State::kHandling;
    has_request_ = true;
    auto [body, memory] = body_.take();
    Request request;
    request.method = request_.method;
    request.path = std::move(request_.path);
    request.raw_query = std::move(request_.raw_query);
    request.headers = std::move(request_.headers);
    request.peer = peer_;
    request.body = std::move(body);
    request.memory = std::move(memory);
    request.cancelled = gone_.get_token();
    host_.handle(std::move(request), request_id_);
}

// Answers and closes: what follows on this connection cannot be trusted, or is too much.
void Http1Session::refuse(Refusal refusal, RefusalReason reason) {
    host_.refused(reason);
    body_ = BodyBuffer();
    keep_alive_ = false;
    if (!reply_begun_) {
        begin_reply(error_reply(refusal, request_.headers.get("content-type")), false);
    }
    state_ = State::kDone;
    closing_ = true;
}

size_t Http1Session::read_bytes_max() const {
    if (closing_ || ended_) return 0;
    switch (state_) {
        case State::kAwaiting:
        case State::kHeader:
            return kHeaderReadBytes;
        case State::kLength:
        case State::kChunked:
        case State::kDraining:
            return kBodyReadBytes;
        case State::kHandling:
            return input_.size() < kPipelinedBytesMax ? kPipelinedBytesMax - input_.size() : 0;
        case State::kDone:
            return 0;
    }
    return 0;
}

void Http1Session::receive_end() {
    ended_ = true;
    gone_.request_stop();
    // A client may close its half and still wait for the answer.
    if (!has_request_) closing_ = true;
    keep_alive_ = false;
}

// ---- replying

void Http1Session::reply(int32_t request_id, Reply reply) {
    if (request_id != request_id_ || !has_request_ || closing_) {
        if (reply.kind == Reply::Kind::kPart) host_.released(reply.part.size());
        if (reply.kind == Reply::Kind::kBegin) host_.released(reply.response.body.size());
        return;
    }
    switch (reply.kind) {
        case Reply::Kind::kSend:
            begin_reply(std::move(reply.response), false);
            return;
        case Reply::Kind::kBegin:
            begin_reply(std::move(reply.response), true);
            return;
        case Reply::Kind::kPart:
            add_part(std::move(reply.part));
            return;
        case Reply::Kind::kFinish:
            end_reply();
            return;
        case Reply::Kind::kAbandoned:
            if (reply_begun_) {
                closing_ = true;  // the client sees a body cut short
            } else {
                const Refusal refusal = {500, 13, "the request was given up inside spanloom"};
                begin_reply(error_reply(refusal, {}), false);
            }
            return;
    }
}

std::string Http1Session::header_of(const Response& response, size_t body_size, bool is_streaming) {
    std::string text = fmt::format("HTTP/1.1 {} {}\r\ndate: {}\r\n", response.status,
                                   status_phrase(response.status), host_.http_date());
    for (const auto& [name, value] : response.headers) {
        if (name == "connection" || name == "transfer-encoding") continue;
        const bool is_bad = name.find_first_of("\r\n:") != std::string::npos ||
                            value.find_first_of("\r\n") != std::string::npos;
        if (is_bad) continue;  // never let a value split the response
        text += name;
        text += ": ";
        text += value;
        text += "\r\n";
    }
    const bool has_no_body = response.status == 204 || response.status == 304;
    if (is_streaming && !has_no_body) {
        if (is_chunked_reply_) text += "transfer-encoding: chunked\r\n";
    } else if (!response.headers.has("content-length") && !has_no_body) {
        text += fmt::format("content-length: {}\r\n", body_size);
    }
    text += keep_alive_ ? "" : "connection: close\r\n";
    text += "\r\n";
    return text;
}

void Http1Session::begin_reply(Response response, bool is_streaming) {
    host_.answered(request_, response);
    reply_begun_ = true;
    is_streaming_ = is_streaming;
    if (stopping_) keep_alive_ = false;
    is_chunked_reply_ = is_streaming && parser_->version() >= 11;
    if (is_streaming && !is_chunked_reply_) keep_alive_ = false;
    // HTTP/1.0 clients that want to stay must be told.
    if (keep_alive_ && parser_->is_header_done() && parser_->version() < 11) keep_alive_ = false;
    const bool has_no_body = is_head_ || response.status == 204 || response.status == 304;
    const Blob body = response.shared_body.empty() ? blob_of(std::move(response.body))
                                                   : std::move(response.shared_body);
    parts_.push_back(blob_of(header_of(response, body.size(), is_streaming)));
    part_costs_.push_back(0);
    if (is_streaming) {
        if (!body.empty()) add_part(std::string(body.view()));
        return;
    }
    if (!has_no_body && !body.empty()) {
        parts_.push_back(body);
        part_costs_.push_back(0);
    }
    finish_exchange();
}

void Http1Session::add_part(std::string part) {
    const size_t cost = part.size();
    if (cost == 0 || is_head_ || !is_streaming_) {
        host_.released(cost);
        return;
    }
    if (is_chunked_reply_) part = fmt::format("{:x}\r\n", cost) + part + "\r\n";
    parts_.push_back(blob_of(std::move(part)));
    part_costs_.push_back(cost);
}

void Http1Session::end_reply() {
    if (!is_streaming_) return;
    if (is_chunked_reply_ && !is_head_) {
        parts_.push_back(Blob::copy_of("0\r\n\r\n"));
        part_costs_.push_back(0);
    }
    finish_exchange();
}

// The answer is queued whole; the next request may be read once the body is in too.
void Http1Session::finish_exchange() {
    has_request_ = false;
    if (state_ == State::kDraining && keep_alive_) return;
    if (!keep_alive_ || ended_) {
        closing_ = true;
        return;
    }
    await_request();
}

void Http1Session::produce(OutputQueue& out) {
    // Requests that came while the last one was answered.
    if (state_ == State::kAwaiting && !input_.empty()) advance();
    while (!parts_.empty() && out.bytes() < kOutputBytesMax) {
        out.append(std::move(parts_.front()));
        parts_.pop_front();
        if (part_costs_.front() > 0) host_.released(part_costs_.front());
        part_costs_.pop_front();
    }
}

// ---- life

void Http1Session::shut_down() {
    stopping_ = true;
    if (state_ == State::kAwaiting) closing_ = true;
}

bool Http1Session::check_deadlines() {
    const ServerLimits& limits = host_.limits();
    const uint64_t waited_ms = (host_.now_ns() - started_ns_) / 1'000'000;
    switch (state_) {
        case State::kAwaiting:
            if (request_id_ > 1 && waited_ms > limits.idle_timeout_ms) closing_ = true;
            if (request_id_ == 1 && waited_ms > limits.header_timeout_ms) {
                host_.refused(RefusalReason::kHeaderTimeout);
                closing_ = true;
            }
            return true;
        case State::kHeader:
            if (waited_ms <= limits.header_timeout_ms) return true;
            refuse({408, 4,
                    fmt::format("request header took longer than {} ms", limits.header_timeout_ms)},
                   RefusalReason::kHeaderTimeout);
            return true;
        case State::kLength:
        case State::kChunked:
        case State::kDraining:
            if (waited_ms <= limits.body_timeout_ms) return true;
            refuse({408, 4,
                    fmt::format("request body took longer than {} ms", limits.body_timeout_ms)},
                   RefusalReason::kBodyTimeout);
            return true;
        case State::kHandling:
        case State::kDone:
            return true;
    }
    return true;
}

void Http1Session::abandon() {
    gone_.request_stop();
    for (size_t cost : part_costs_) {
        if (cost > 0) host_.released(cost);
    }
    parts_.clear();
    part_costs_.clear();
    closing_ = true;
}

}  // namespace

std::unique_ptr<Session> make_http1_session(SessionHost& host, std::string peer) {
    return std::make_unique<Http1Session>(host, std::move(peer));
}

}  // namespace spanloom::http
