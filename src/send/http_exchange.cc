#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "base/text.h"
#include "send/exchange.h"
#include "send/json_fields.h"
#include "send/proto_reader.h"
#include "send/retry.h"

namespace spanloom::send {
namespace {

constexpr size_t kHeaderBytesMax = 64U << 10;
constexpr size_t kReadBytes = 16U << 10;

std::string lower(std::string_view text) {
    std::string out(text);
    for (char& c : out) {
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
    }
    return out;
}

struct ResponseHead {
    int status = 0;
    bool is_chunked = false;
    bool closes = false;
    std::optional<uint64_t> length;
    std::string retry_after;
    std::string content_type;
};

tl::unexpected<Error> bad_answer(std::string_view why) {
    return fail(ErrorCode::kInternal, "the server's answer is not valid HTTP/1.1: {}", why);
}

// `head`: from the status line to the empty line, exclusive.
Result<ResponseHead> parse_head(std::string_view head) {
    ResponseHead out;
    const size_t line_end = std::min(head.find("\r\n"), head.size());
    const std::string_view line = head.substr(0, line_end);
    if (!starts_with(line, "HTTP/1.") || line.size() < 12) return bad_answer("no status line");
    const std::optional<int64_t> status = parse_int(line.substr(9, 3));
    if (!status || *status < 100 || *status > 599) return bad_answer("bad status");
    out.status = static_cast<int>(*status);
    out.closes = line[7] == '0';
    std::string_view rest = head.substr(std::min(line_end + 2, head.size()));
    while (!rest.empty()) {
        const size_t end = std::min(rest.find("\r\n"), rest.size());
        const std::string_view field = rest.substr(0, end);
        rest.remove_prefix(std::min(end + 2, rest.size()));
        const size_t colon = field.find(':');
        if (colon == std::string_view::npos) return bad_answer("a header without a colon");
        const std::string name = lower(field.substr(0, colon));
        const std::string_view value = trim(field.substr(colon + 1));
        if (name == "content-length") {
            const std::optional<int64_t> length = parse_int(value);
            if (!length || *length < 0) return bad_answer("bad content-length");
            out.length = static_cast<uint64_t>(*length);
        } else if (name == "transfer-encoding") {
            if (lower(value) != "chunked") return bad_answer("unknown transfer-encoding");
            out.is_chunked = true;
        } else if (name == "connection") {
            out.closes = out.closes || lower(value).find("close") != std::string::npos;
        } else if (name == "retry-after") {
            out.retry_after = value;
        } else if (name == "content-type") {
            out.content_type = lower(value);
        }
    }
    return out;
}

class HttpExchange final : public Exchange {
  public:
    HttpExchange(ExchangeOptions options, Connector& connector, const Clock& clock)
        : options_(std::move(options)), connector_(connector), clock_(clock) {}

    Result<Answer> call(const Pieces& body, Coding coding, uint64_t deadline_ns) override;
    void after_fork() override {
        if (connection_ != nullptr) connection_->abandon();
        connection_.reset();
    }

  private:
    Result<Answer> call_once(const Pieces& body, Coding coding, uint64_t deadline_ns);
    std::string head_of(size_t body_size, Coding coding) const;
    Result<void> fill(uint64_t deadline_ns);
    Result<ResponseHead> read_head(uint64_t deadline_ns);
    Result<std::string> read_body(const ResponseHead& head, uint64_t deadline_ns);
    Result<std::string> read_chunks(uint64_t deadline_ns);
    Result<std::string> read_line(uint64_t deadline_ns);
    Answer answer_of(const ResponseHead& head, std::string body) const;

    ExchangeOptions options_;
    Connector& connector_;
    const Clock& clock_;
    std::unique_ptr<Connection> connection_;
    std::string input_;  // received, not yet read
    bool got_bytes_ = false;
};

Result<Answer> HttpExchange::call(const Pieces& body, Coding coding, uint64_t deadline_ns) {
    const bool is_reused = connection_ != nullptr;
    Result<Answer> answer = call_once(body, coding, deadline_ns);
    if (answer) return answer;
    connection_.reset();
    // The server closed a kept connection before it saw this request.
    const bool is_stale =
        is_reused && !got_bytes_ && answer.error().code == ErrorCode::kUnavailable;
    if (!is_stale) return answer;
    answer = call_once(body, coding, deadline_ns);
    if (!answer) connection_.reset();
    return answer;
}

Result<Answer> HttpExchange::call_once(const Pieces& body, Coding coding, uint64_t deadline_ns) {
    got_bytes_ = false;
    input_.clear();
    if (connection_ == nullptr) {
        TRY_ASSIGN(connection_, connector_.connect(Alpn::kHttp1, deadline_ns));
    }
    const std::string request_head = head_of(body.size(), coding);
    Pieces request(request_head);
    for (const std::string_view part : body.parts())
        request.add(part);
    // A server that refuses early answers while the body is still on its way.
    const Result<void> written = connection_->write_all(request, deadline_ns);
    Result<ResponseHead> head = read_head(deadline_ns);
    if (!head) return tl::unexpected(written ? head.error() : written.error());
    TRY_ASSIGN(std::string answer, read_body(*head, deadline_ns));
    const bool is_delimited = head->is_chunked || head->length;
    if (!written || head->closes || !is_delimited || !input_.empty()) connection_.reset();
    return answer_of(*head, std::move(answer));
}

std::string HttpExchange::head_of(size_t body_size, Coding coding) const {
    std::string head = fmt::format(
        "POST {} HTTP/1.1\r\nhost: {}\r\nuser-agent: {}\r\ncontent-type: {}\r\n"
        "content-length: {}\r\n",
        connector_.endpoint().path, connector_.endpoint().authority(), options_.user_agent,
        options_.content_type, body_size);
    if (coding == Coding::kGzip) head += "content-encoding: gzip\r\n";
    for (const auto& [name, value] : options_.headers) {
        head += name + ": " + value + "\r\n";
    }
    return head + "\r\n";
}

Result<void> HttpExchange::fill(uint64_t deadline_ns) {
    std::array<char, kReadBytes> buffer;
    TRY_ASSIGN(const size_t n, connection_->read(buffer.data(), buffer.size(), deadline_ns));
    got_bytes_ = true;
    input_.append(buffer.data(), n);
    return {};
}

Result<ResponseHead> HttpExchange::read_head(uint64_t deadline_ns) {
    for (;;) {
        const size_t end = input_.find("\r\n\r\n");
        if (end == std::string::npos) {
            if (input_.size() > kHeaderBytesMax) return bad_answer("its header is too long");
            TRY(fill(deadline_ns));
            continue;
        }
        TRY_ASSIGN(ResponseHead head, parse_head(std::string_view(input_).substr(0, end)));
        input_.erase(0, end + 4);
        if (head.status >= 200) return head;
    }
}

Result<std::string> HttpExchange::read_body(const ResponseHead& head, uint64_t deadline_ns) {
    if (head.status == 204 || head.status == 304) return std::string();
    if (head.is_chunked) return read_chunks(deadline_ns);
    if (head.length.value_or(0) > kAnswerBytesMax) return bad_answer("its body is too long");
    while (!head.length || input_.size() < *head.length) {
        if (input_.size() > kAnswerBytesMax) return bad_answer("its body is too long");
        const Result<void> filled = fill(deadline_ns);
        if (filled) continue;
        // Without a length, the end of the connection is the end of the body.
        if (!head.length && filled.error().code == ErrorCode::kUnavailable) break;
        return tl::unexpected(filled.error());
    }
    const size_t size = head.length ? static_cast<size_t>(*head.length) : input_.size();
    std::string body = input_.substr(0, size);
    input_.erase(0, size);
    return body;
}

Result<std::string> HttpExchange::read_line(uint64_t deadline_ns) {
    size_t end = 0;
    while ((end = input_.find("\r\n")) == std::string::npos) {
        if (input_.size() > kHeaderBytesMax) return bad_answer("a line is too long");
        TRY(fill(deadline_ns));
    }
    std::string line = input_.substr(0, end);
    input_.erase(0, end + 2);
    return line;
}

Result<std::string> HttpExchange::read_chunks(uint64_t deadline_ns) {
    std::string body;
    for (;;) {
        TRY_ASSIGN(const std::string line, read_line(deadline_ns));
        const std::string_view digits = trim(std::string_view(line).substr(0, line.find(';')));
        if (digits.empty() || digits.size() > 8) return bad_answer("bad chunk size");
        size_t size = 0;
        for (char c : digits) {
            const int digit = c >= '0' && c <= '9'   ? c - '0'
                              : c >= 'a' && c <= 'f' ? c - 'a' + 10
                              : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                                     : -1;
            if (digit < 0) return bad_answer("bad chunk size");
            size = size * 16 + static_cast<size_t>(digit);
        }
        if (size > kAnswerBytesMax - body.size()) return bad_answer("its body is too long");
        if (size == 0) break;
        while (input_.size() < size + 2)
            TRY(fill(deadline_ns));
        body.append(input_, 0, size);
        input_.erase(0, size + 2);
    }
    for (size_t trailer_bytes = 0;;) {
        TRY_ASSIGN(const std::string line, read_line(deadline_ns));
        if (line.empty()) return body;
        trailer_bytes += line.size();
        if (trailer_bytes > kHeaderBytesMax) return bad_answer("its trailers are too long");
    }
}

Answer HttpExchange::answer_of(const ResponseHead& head, std::string body) const {
    Answer answer;
    answer.status = head.status;
    answer.is_json = starts_with(head.content_type, "application/json");
    if (head.status >= 200 && head.status < 300) {
        answer.body = std::move(body);
        return answer;
    }
    std::string text;
    if (starts_with(head.content_type, "application/x-protobuf")) {
        for (ProtoReader status(body); status.next();) {
            if (status.field() == 2) text = status.bytes();
        }
    } else if (answer.is_json) {
        text = json_text(body, "message").value_or("");
    } else {
        text = trim(std::string_view(body).substr(0, body.find('\n')));
    }
    constexpr size_t kTextBytesMax = 500;
    text = replace_invalid_utf8(std::string_view(text).substr(0, kTextBytesMax));
    answer.is_retryable = is_retryable_http(head.status);
    answer.server_wait_ms =
        parse_retry_after_ms(head.retry_after, clock_.wall_ns() / 1'000'000'000);
    answer.refusal = Error{error_code_of_http(head.status),
                           fmt::format("{} answered {}{}{}", connector_.endpoint().authority(),
                                       head.status, text.empty() ? "" : ": ", text)};
    return answer;
}

}  // namespace

std::unique_ptr<Exchange> make_http_exchange(ExchangeOptions options, Connector& connector,
                                             const Clock& clock) {
    return std::make_unique<HttpExchange>(std::move(options), connector, clock);
}

}  // namespace spanloom::send
