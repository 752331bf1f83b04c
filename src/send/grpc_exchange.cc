#include <algorithm>
#include <array>
#include <vector>

#include <fmt/format.h>
#include <nghttp2/nghttp2.h>

#include "base/text.h"
#include "send/exchange.h"
#include "send/gzip.h"
#include "send/retry.h"

namespace spanloom::send {
namespace {

constexpr size_t kPrefixBytes = 5;
constexpr size_t kFrameHeaderBytes = 9;
constexpr size_t kFrameReadBytes = 16U << 10;
constexpr size_t kOutputBytesMax = 128U << 10;
constexpr size_t kFramePartsMax = 128;
constexpr int kUnknown = 2;

std::string_view view_of(const uint8_t* data, size_t size) {
    return {reinterpret_cast<const char*>(data), size};
}

nghttp2_nv field_of(std::string_view name, std::string_view value) {
    return {reinterpret_cast<uint8_t*>(const_cast<char*>(name.data())),
            reinterpret_cast<uint8_t*>(const_cast<char*>(value.data())), name.size(), value.size(),
            NGHTTP2_NV_FLAG_NONE};
}

// What a gRPC client makes of an HTTP status without a gRPC one.
int grpc_status_of_http(int status) {
    switch (status) {
        case 400:
            return 13;
        case 401:
            return 16;
        case 403:
            return 7;
        case 404:
            return 12;
        case 429:
        case 502:
        case 503:
        case 504:
            return 14;
        default:
            return kUnknown;
    }
}

// Frames on their way to the socket: headers as copies, payload where it lies.
class FrameOutput {
  public:
    size_t left() const { return left_; }
    void copy(std::string_view bytes) {
        entries_.push_back({nullptr, copied_.size(), bytes.size()});
        copied_.append(bytes);
        left_ += bytes.size();
    }
    void refer(std::string_view bytes) {
        entries_.push_back({bytes.data(), 0, bytes.size()});
        left_ += bytes.size();
    }
    size_t gather(iovec* parts, size_t count_max) const {
        size_t count = 0;
        for (size_t i = first_; i < entries_.size() && count < count_max; ++i) {
            const Entry& entry = entries_[i];
            const char* from = entry.data == nullptr ? copied_.data() + entry.offset : entry.data;
            parts[count++] = {const_cast<char*>(from), entry.size};
        }
        return count;
    }
    void skip(size_t size) {
        left_ -= size;
        while (size > 0) {
            Entry& entry = entries_[first_];
            const size_t here = std::min(size, entry.size);
            if (entry.data != nullptr) entry.data += here;
            entry.offset += here;
            entry.size -= here;
            size -= here;
            if (entry.size == 0) ++first_;
        }
        if (left_ == 0) clear();
    }
    void clear() {
        entries_.clear();
        copied_.clear();
        first_ = left_ = 0;
    }

  private:
    struct Entry {
        const char* data;  // null: at `offset` of what was copied
        size_t offset;
        size_t size;
    };
    std::vector<Entry> entries_;
    std::string copied_;
    size_t first_ = 0;
    size_t left_ = 0;
};

// One HTTP/2 connection; one call at a time.
class GrpcExchange final : public Exchange {
  public:
    GrpcExchange(ExchangeOptions options, Connector& connector, const Clock& clock)
        : options_(std::move(options)), connector_(connector), clock_(clock) {}
    ~GrpcExchange() override { disconnect(); }
    GrpcExchange(const GrpcExchange&) = delete;
    GrpcExchange& operator=(const GrpcExchange&) = delete;

    Result<Answer> call(const Pieces& body, Coding coding, uint64_t deadline_ns) override;
    void after_fork() override {
        if (connection_ != nullptr) connection_->abandon();
        disconnect();
    }

  private:
    struct Call {
        int32_t stream = -1;
        std::array<char, kPrefixBytes> prefix{};
        Pieces message;  // the prefix and the body
        PiecesCursor unsent{message};
        int http_status = 0;
        int grpc_status = -1;
        std::string text;
        std::string details;
        std::string body;
        bool is_too_long = false;
        bool is_refused = false;  // the server has not looked at it
        bool is_closed = false;
    };

    static nghttp2_session_callbacks* callbacks();
    static int on_header(nghttp2_session*, const nghttp2_frame*, const uint8_t*, size_t,
                         const uint8_t*, size_t, uint8_t, void*);
    static int on_data(nghttp2_session*, uint8_t, int32_t, const uint8_t*, size_t, void*);
    static int on_stream_close(nghttp2_session*, int32_t, uint32_t, void*);
    static ssize_t on_send(nghttp2_session*, const uint8_t*, size_t, int, void*);
    static int on_send_data(nghttp2_session*, nghttp2_frame*, const uint8_t*, size_t,
                            nghttp2_data_source*, void*);
    static ssize_t read_request(nghttp2_session*, int32_t, uint8_t*, size_t, uint32_t*,
                                nghttp2_data_source*, void*);

    Result<void> connect(uint64_t deadline_ns);
    void disconnect();
    Result<void> begin(Coding coding, uint64_t deadline_ns);
    Result<void> run(uint64_t deadline_ns);
    Result<void> send_pending();
    Result<bool> receive_pending();
    Result<Answer> call_once(const Pieces& body, Coding coding, uint64_t deadline_ns);
    Result<Answer> finish();

    ExchangeOptions options_;
    Connector& connector_;
    const Clock& clock_;
    std::unique_ptr<Connection> connection_;
    nghttp2_session* session_ = nullptr;
    FrameOutput output_;
    std::unique_ptr<Call> call_ = std::make_unique<Call>();
};

nghttp2_session_callbacks* GrpcExchange::callbacks() {
    static nghttp2_session_callbacks* const kCallbacks = [] {
        nghttp2_session_callbacks* made = nullptr;
        nghttp2_session_callbacks_new(&made);
        nghttp2_session_callbacks_set_on_header_callback(made, on_header);
        nghttp2_session_callbacks_set_on_data_chunk_recv_callback(made, on_data);
        nghttp2_session_callbacks_set_on_stream_close_callback(made, on_stream_close);
        nghttp2_session_callbacks_set_send_callback(made, on_send);
        nghttp2_session_callbacks_set_send_data_callback(made, on_send_data);
        return made;
    }();
    return kCallbacks;
}

Result<void> GrpcExchange::connect(uint64_t deadline_ns) {
    TRY_ASSIGN(connection_, connector_.connect(Alpn::kHttp2, deadline_ns));
    nghttp2_session_client_new(&session_, callbacks(), this);
    const std::array<nghttp2_settings_entry, 2> settings = {{
        {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, 64U << 10},
    }};
    nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings.data(), settings.size());
    return {};
}

void GrpcExchange::disconnect() {
    nghttp2_session_del(session_);
    session_ = nullptr;
    connection_.reset();
    output_.clear();
}

Result<Answer> GrpcExchange::call(const Pieces& body, Coding coding, uint64_t deadline_ns) {
    const bool is_reused = session_ != nullptr;
    Result<Answer> answer = call_once(body, coding, deadline_ns);
    const bool is_stale = is_reused && !answer && call_->http_status == 0 &&
                          (answer.error().code == ErrorCode::kUnavailable || call_->is_refused);
    // What a server did not wait for still points into the body.
    if (!answer || output_.left() > 0) disconnect();
    if (!is_stale) return answer;
    // The server let go of a kept connection before it saw this request.
    answer = call_once(body, coding, deadline_ns);
    if (!answer || output_.left() > 0) disconnect();
    return answer;
}

Result<Answer> GrpcExchange::call_once(const Pieces& body, Coding coding, uint64_t deadline_ns) {
    call_ = std::make_unique<Call>();
    if (session_ != nullptr && nghttp2_session_check_request_allowed(session_) == 0) disconnect();
    if (session_ == nullptr) TRY(connect(deadline_ns));
    call_->prefix[0] = coding == Coding::kGzip ? 1 : 0;
    for (size_t i = 0; i < 4; ++i) {
        call_->prefix[1 + i] = static_cast<char>(body.size() >> (24 - 8 * i));
    }
    call_->message.add({call_->prefix.data(), kPrefixBytes});
    for (const std::string_view part : body.parts())
        call_->message.add(part);
    call_->unsent = PiecesCursor(call_->message);
    TRY(begin(coding, deadline_ns));
    TRY(run(deadline_ns));
    return finish();
}

Result<void> GrpcExchange::begin(Coding coding, uint64_t deadline_ns) {
    const std::string authority = connector_.endpoint().authority();
    const uint64_t now_ns = clock_.monotonic_ns();
    const uint64_t left_ms = deadline_ns > now_ns ? (deadline_ns - now_ns) / 1'000'000 + 1 : 1;
    // At most eight digits by the protocol.
    const std::string timeout = fmt::format("{}m", std::min<uint64_t>(left_ms, 99'999'999));
    std::vector<nghttp2_nv> fields = {
        field_of(":method", "POST"),
        field_of(":scheme", connector_.endpoint().is_tls ? "https" : "http"),
        field_of(":path", connector_.endpoint().path),
        field_of(":authority", authority),
        field_of("te", "trailers"),
        field_of("content-type", "application/grpc"),
        field_of("user-agent", options_.user_agent),
        field_of("grpc-timeout", timeout),
    };
    if (coding == Coding::kGzip) fields.push_back(field_of("grpc-encoding", "gzip"));
    for (const auto& [name, value] : options_.headers)
        fields.push_back(field_of(name, value));
    nghttp2_data_provider provider = {};
    provider.source.ptr = call_.get();
    provider.read_callback = read_request;
    call_->stream =
        nghttp2_submit_request(session_, nullptr, fields.data(), fields.size(), &provider, nullptr);
    if (call_->stream < 0) {
        return fail(ErrorCode::kUnavailable, "cannot start a call: {}",
                    nghttp2_strerror(call_->stream));
    }
    return {};
}

Result<void> GrpcExchange::run(uint64_t deadline_ns) {
    while (!call_->is_closed) {
        TRY(send_pending());
        TRY_ASSIGN(const bool received, receive_pending());
        if (received || call_->is_closed) continue;
        if (nghttp2_session_want_read(session_) == 0 && nghttp2_session_want_write(session_) == 0) {
            return fail(ErrorCode::kUnavailable, "{} ended the connection",
                        connector_.endpoint().authority());
        }
        const auto what =
            output_.left() > 0 ? Connection::Wait::kReadOrWrite : Connection::Wait::kRead;
        TRY(connection_->wait(what, deadline_ns));
    }
    return send_pending();
}

Result<void> GrpcExchange::send_pending() {
    std::array<iovec, kFramePartsMax> parts;
    for (;;) {
        const int result = nghttp2_session_send(session_);
        if (result != 0) {
            return fail(ErrorCode::kUnavailable, "cannot send to {}: {}",
                        connector_.endpoint().authority(), nghttp2_strerror(result));
        }
        if (output_.left() == 0) return {};
        const size_t count = output_.gather(parts.data(), parts.size());
        TRY_ASSIGN(const size_t n, connection_->write_some(parts.data(), count));
        if (n == 0) return {};
        output_.skip(n);
    }
}

Result<bool> GrpcExchange::receive_pending() {
    std::array<char, kFrameReadBytes> buffer;
    TRY_ASSIGN(const size_t n, connection_->read_some(buffer.data(), buffer.size()));
    if (n == 0) return false;
    const ssize_t read =
        nghttp2_session_mem_recv(session_, reinterpret_cast<const uint8_t*>(buffer.data()), n);
    if (read < 0) {
        return fail(ErrorCode::kUnavailable, "{} does not speak HTTP/2: {}",
                    connector_.endpoint().authority(), nghttp2_strerror(static_cast<int>(read)));
    }
    return true;
}

int GrpcExchange::on_header(nghttp2_session*, const nghttp2_frame* frame, const uint8_t* name,
                            size_t name_size, const uint8_t* value, size_t value_size, uint8_t,
                            void* user) {
    Call& call = *static_cast<GrpcExchange*>(user)->call_;
    if (frame->hd.stream_id != call.stream) return 0;
    const std::string_view key = view_of(name, name_size);
    const std::string_view text = view_of(value, value_size);
    if (key == ":status") {
        call.http_status = static_cast<int>(parse_int(text).value_or(0));
    } else if (key == "grpc-status") {
        call.grpc_status = static_cast<int>(parse_int(text).value_or(kUnknown));
    } else if (key == "grpc-message") {
        call.text = decode_percent(text, false);
    } else if (key == "grpc-status-details-bin") {
        call.details = parse_base64(text).value_or("");
    }
    return 0;
}

int GrpcExchange::on_data(nghttp2_session* session, uint8_t, int32_t stream, const uint8_t* data,
                          size_t size, void* user) {
    Call& call = *static_cast<GrpcExchange*>(user)->call_;
    if (stream != call.stream || call.is_too_long) return 0;
    if (call.body.size() + size > kAnswerBytesMax + kPrefixBytes) {
        call.is_too_long = true;
        nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, stream, NGHTTP2_CANCEL);
        return 0;
    }
    call.body.append(view_of(data, size));
    return 0;
}

int GrpcExchange::on_stream_close(nghttp2_session*, int32_t stream, uint32_t error_code,
                                  void* user) {
    Call& call = *static_cast<GrpcExchange*>(user)->call_;
    if (stream != call.stream) return 0;
    call.is_closed = true;
    call.is_refused = error_code == NGHTTP2_REFUSED_STREAM;
    return 0;
}

ssize_t GrpcExchange::on_send(nghttp2_session*, const uint8_t* data, size_t size, int, void* user) {
    auto& self = *static_cast<GrpcExchange*>(user);
    if (self.output_.left() >= kOutputBytesMax) return NGHTTP2_ERR_WOULDBLOCK;
    self.output_.copy(view_of(data, size));
    return static_cast<ssize_t>(size);
}

ssize_t GrpcExchange::read_request(nghttp2_session*, int32_t, uint8_t*, size_t length,
                                   uint32_t* flags, nghttp2_data_source* source, void*) {
    const size_t left = static_cast<const Call*>(source->ptr)->unsent.left();
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (left <= length) *flags |= NGHTTP2_DATA_FLAG_EOF;
    return static_cast<ssize_t>(std::min(left, length));
}

int GrpcExchange::on_send_data(nghttp2_session*, nghttp2_frame*, const uint8_t* header,
                               size_t length, nghttp2_data_source* source, void* user) {
    auto& self = *static_cast<GrpcExchange*>(user);
    auto& call = *static_cast<Call*>(source->ptr);
    if (self.output_.left() >= kOutputBytesMax) return NGHTTP2_ERR_WOULDBLOCK;
    self.output_.copy(view_of(header, kFrameHeaderBytes));
    for (size_t left = length; left > 0;) {
        const std::string_view part = call.unsent.next(left);
        self.output_.refer(part);
        call.unsent.skip(part.size());
        left -= part.size();
    }
    return 0;
}

Result<Answer> GrpcExchange::finish() {
    const std::string server = connector_.endpoint().authority();
    if (call_->is_too_long) {
        return fail(ErrorCode::kInternal, "{} answered with more than {} bytes", server,
                    kAnswerBytesMax);
    }
    if (call_->http_status == 0) {
        return fail(ErrorCode::kUnavailable, "{} reset the call without an answer", server);
    }
    Answer answer;
    int status = call_->grpc_status;
    if (status < 0) status = grpc_status_of_http(call_->http_status);
    if (call_->http_status == 200 && status == 0) {
        if (call_->body.size() < kPrefixBytes) {
            return fail(ErrorCode::kInternal, "{} answered with a message we cannot read", server);
        }
        answer.body = call_->body.substr(kPrefixBytes);
        if (call_->body[0] == 0) return answer;
        // Some servers answer as they were asked, whether that was allowed or not.
        TRY_ASSIGN(answer.body, inflate_gzip(answer.body, kAnswerBytesMax));
        return answer;
    }
    answer.server_wait_ms = find_retry_info_ms(call_->details);
    answer.is_retryable = is_retryable_grpc(status, answer.server_wait_ms);
    answer.refusal =
        Error{error_code_of_grpc(status),
              fmt::format("{} answered gRPC status {}{}{}", server, status,
                          call_->text.empty() ? "" : ": ", replace_invalid_utf8(call_->text))};
    return answer;
}

}  // namespace

std::unique_ptr<Exchange> make_grpc_exchange(ExchangeOptions options, Connector& connector,
                                             const Clock& clock) {
    return std::make_unique<GrpcExchange>(std::move(options), connector, clock);
}

}  // namespace spanloom::send
