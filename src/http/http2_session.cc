#include "http/http2_session.h"

#include <algorithm>
#include <array>
#include <unordered_map>

#include <fmt/format.h>
#include <nghttp2/nghttp2.h>

#include "base/text.h"
#include "http/http2_flood.h"
#include "http/http2_stream.h"

namespace spanloom::http {
namespace {

// Wide enough that a request of a usual size never waits for a WINDOW_UPDATE.
constexpr int32_t kStreamWindowBytes = 1 << 20;
constexpr int32_t kConnectionWindowBytes = 16 << 20;
constexpr size_t kGrpcPrefixBytes = 5;
constexpr size_t kFrameHeaderBytes = 9;
// Frames of unknown types pass nghttp2 silently; this many of their bytes between two requests are
// an extension, more are a flood.
constexpr uint64_t kUnexplainedBytesMax = 1U << 20;
constexpr size_t kReadBytesMax = 256U << 10;
constexpr size_t kHeaderFieldsMax = 200;
// A header this many times over the limit is no mistake, but an attack.
constexpr size_t kHeaderAbuseFactor = 4;
// Part of the budget that must be free for windows to be reopened at once.
constexpr size_t kBudgetReserveShare = 8;
constexpr uint64_t kHoldBackNs = 50'000'000;

std::string_view view_of(const uint8_t* data, size_t size) {
    return {reinterpret_cast<const char*>(data), size};
}

nghttp2_nv field_of(std::string_view name, std::string_view value) {
    return {reinterpret_cast<uint8_t*>(const_cast<char*>(name.data())),
            reinterpret_cast<uint8_t*>(const_cast<char*>(value.data())), name.size(), value.size(),
            NGHTTP2_NV_FLAG_NONE};
}

class Http2Session final : public Session {
  public:
    Http2Session(SessionHost& host, std::string peer);
    ~Http2Session() override;
    Http2Session(const Http2Session&) = delete;
    Http2Session& operator=(const Http2Session&) = delete;

    void receive(std::string_view bytes) override;
    size_t read_bytes_max() const override { return kReadBytesMax; }
    void receive_end() override { ended_ = true; }
    void reply(int32_t request_id, Reply reply) override;
    void produce(OutputQueue& out) override;
    bool wants_close() const override;
    size_t in_flight() const override { return streams_.size(); }
    void shut_down() override;
    bool check_deadlines() override;
    void abandon() override;

  private:
    using Stream = Http2Stream;

    static nghttp2_session_callbacks* callbacks();
    static int on_begin_frame(nghttp2_session*, const nghttp2_frame_hd*, void*);
    static int on_begin_headers(nghttp2_session*, const nghttp2_frame*, void*);
    static int on_header(nghttp2_session*, const nghttp2_frame*, const uint8_t*, size_t,
                         const uint8_t*, size_t, uint8_t, void*);
    static int on_frame_recv(nghttp2_session*, const nghttp2_frame*, void*);
    static int on_data(nghttp2_session*, uint8_t, int32_t, const uint8_t*, size_t, void*);
    static int on_frame_send(nghttp2_session*, const nghttp2_frame*, void*);
    static int on_stream_close(nghttp2_session*, int32_t, uint32_t, void*);
    static ssize_t on_send(nghttp2_session*, const uint8_t*, size_t, int, void*);
    static int on_send_data(nghttp2_session*, nghttp2_frame*, const uint8_t*, size_t,
                            nghttp2_data_source*, void*);
    static ssize_t read_reply(nghttp2_session*, int32_t, uint8_t*, size_t, uint32_t*,
                              nghttp2_data_source*, void*);

    Stream* find(int32_t id) const;
    void begin_frame(const nghttp2_frame_hd& header);
    void begin_request(int32_t id);
    void add_header(Stream& stream, std::string_view name, std::string_view value);
    void end_header(Stream& stream);
    void add_body(Stream& stream, std::string_view bytes);
    bool admit(Stream& stream, Admission admission);
    void size_grpc_body(Stream& stream);
    void end_body(Stream& stream);
    void refuse(Stream& stream, Refusal refusal, RefusalReason reason);
    void start_reply(Stream& stream, Response response, bool is_streaming);
    void add_part(Stream& stream, Blob part);
    void resume(Stream& stream);
    void give_credit();
    void terminate(uint32_t error_code, RefusalReason reason);
    bool check_stream(Stream& stream, uint64_t now_ns);

    SessionHost& host_;
    std::string peer_;
    nghttp2_session* session_ = nullptr;
    std::unordered_map<int32_t, std::unique_ptr<Stream>> streams_;
    SkippedStreamIds skipped_;
    Http2Flood flood_;
    OutputQueue* out_ = nullptr;  // only inside produce
    uint64_t header_started_ns_;  // of the header block being received, or of the preface
    bool in_header_ = true;
    uint64_t idle_since_ns_;
    uint64_t unexplained_bytes_ = 0;  // received, less the frames we were told of
    uint64_t held_since_ns_ = 0;
    std::unordered_map<int32_t, size_t> held_credit_;  // bytes taken, credit not given back yet
    bool ended_ = false;
    bool failed_ = false;
    bool terminated_ = false;  // a GOAWAY with the reason is on its way; nothing more is read
    bool stopping_ = false;
};

Http2Session::Http2Session(SessionHost& host, std::string peer)
    : host_(host),
      peer_(std::move(peer)),
      flood_(host.now_ns()),
      header_started_ns_(host.now_ns()),
      idle_since_ns_(host.now_ns()) {
    nghttp2_option* option = nullptr;
    nghttp2_option_new(&option);
    nghttp2_option_set_no_auto_window_update(option, 1);
    // Our own buckets answer floods; these stand behind them.
    nghttp2_option_set_max_outbound_ack(option, 1'000);
    nghttp2_option_set_max_settings(option, 32);
    nghttp2_option_set_stream_reset_rate_limit(option, 10'000, 1'000);
    nghttp2_session_server_new2(&session_, callbacks(), this, option);
    nghttp2_option_del(option);
    const ServerLimits& limits = host_.limits();
    const std::array<nghttp2_settings_entry, 3> settings = {{
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, limits.streams_max},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, kStreamWindowBytes},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, static_cast<uint32_t>(limits.header_bytes_max)},
    }};
    nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings.data(), settings.size());
    nghttp2_session_set_local_window_size(session_, NGHTTP2_FLAG_NONE, 0, kConnectionWindowBytes);
}

Http2Session::~Http2Session() {
    nghttp2_session_del(session_);
}

nghttp2_session_callbacks* Http2Session::callbacks() {
    static nghttp2_session_callbacks* const kCallbacks = [] {
        nghttp2_session_callbacks* made = nullptr;
        nghttp2_session_callbacks_new(&made);
        nghttp2_session_callbacks_set_on_begin_frame_callback(made, on_begin_frame);
        nghttp2_session_callbacks_set_on_begin_headers_callback(made, on_begin_headers);
        nghttp2_session_callbacks_set_on_header_callback(made, on_header);
        nghttp2_session_callbacks_set_on_frame_recv_callback(made, on_frame_recv);
        nghttp2_session_callbacks_set_on_data_chunk_recv_callback(made, on_data);
        nghttp2_session_callbacks_set_on_frame_send_callback(made, on_frame_send);
        nghttp2_session_callbacks_set_on_stream_close_callback(made, on_stream_close);
        nghttp2_session_callbacks_set_send_callback(made, on_send);
        nghttp2_session_callbacks_set_send_data_callback(made, on_send_data);
        return made;
    }();
    return kCallbacks;
}

Http2Session::Stream* Http2Session::find(int32_t id) const {
    const auto at = streams_.find(id);
    return at == streams_.end() ? nullptr : at->second.get();
}

// ---- receiving

void Http2Session::receive(std::string_view bytes) {
    if (failed_ || terminated_) return;
    const ssize_t read = nghttp2_session_mem_recv(
        session_, reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
    if (read < 0) {
        failed_ = true;
        host_.refused(read == NGHTTP2_ERR_FLOODED ? RefusalReason::kFlood
                                                  : RefusalReason::kBadRequest);
        nghttp2_session_terminate_session(session_, read == NGHTTP2_ERR_FLOODED
                                                        ? NGHTTP2_ENHANCE_YOUR_CALM
                                                        : NGHTTP2_PROTOCOL_ERROR);
        return;
    }
    unexplained_bytes_ += bytes.size();
    if (unexplained_bytes_ > kUnexplainedBytesMax) {
        terminate(NGHTTP2_ENHANCE_YOUR_CALM, RefusalReason::kFlood);
    }
    give_credit();
}

int Http2Session::on_begin_frame(nghttp2_session*, const nghttp2_frame_hd* header, void* user) {
    static_cast<Http2Session*>(user)->begin_frame(*header);
    return 0;
}

void Http2Session::begin_frame(const nghttp2_frame_hd& header) {
    unexplained_bytes_ -= std::min<uint64_t>(unexplained_bytes_, kFrameHeaderBytes + header.length);
    if (header.type == NGHTTP2_HEADERS) {
        in_header_ = true;
        header_started_ns_ = host_.now_ns();
        const int32_t id = header.stream_id;
        if (id % 2 == 1 && id < skipped_.last() && skipped_.contains(id)) {
            // RFC 9113 5.1.1: opening a stream closes all idle ones below it.
            terminate(NGHTTP2_PROTOCOL_ERROR, RefusalReason::kBadRequest);
        } else if (id % 2 == 1 && id > skipped_.last()) {
            skipped_.opened(id);
        }
        return;
    }
    if (header.type == NGHTTP2_DATA && header.length > 0) return;
    const bool is_ack = (header.type == NGHTTP2_PING || header.type == NGHTTP2_SETTINGS) &&
                        (header.flags & NGHTTP2_FLAG_ACK) != 0;
    const bool ends_stream =
        header.type == NGHTTP2_DATA && (header.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    if (is_ack || ends_stream) return;
    if (!flood_.control_frame(host_.now_ns())) {
        terminate(NGHTTP2_ENHANCE_YOUR_CALM, RefusalReason::kFlood);
    }
}

int Http2Session::on_begin_headers(nghttp2_session*, const nghttp2_frame* frame, void* user) {
    if (frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
        static_cast<Http2Session*>(user)->begin_request(frame->hd.stream_id);
    }
    return 0;
}

void Http2Session::begin_request(int32_t id) {
    auto stream = std::make_unique<Stream>();
    stream->id = id;
    stream->started_ns = host_.now_ns();
    stream->request.is_http2 = true;
    stream->request.peer = peer_;
    nghttp2_session_set_stream_user_data(session_, id, stream.get());
    streams_[id] = std::move(stream);
}

int Http2Session::on_header(nghttp2_session*, const nghttp2_frame* frame, const uint8_t* name,
                            size_t name_size, const uint8_t* value, size_t value_size, uint8_t,
                            void* user) {
    auto& self = *static_cast<Http2Session*>(user);
    if (Stream* stream = self.find(frame->hd.stream_id)) {
        self.add_header(*stream, view_of(name, name_size), view_of(value, value_size));
    }
    return 0;
}

void Http2Session::add_header(Stream& stream, std::string_view name, std::string_view value) {
    constexpr size_t kFieldOverheadBytes = 32;  // as SETTINGS_MAX_HEADER_LIST_SIZE counts
    stream.header_bytes += name.size() + value.size() + kFieldOverheadBytes;
    const size_t bytes_max = host_.limits().header_bytes_max;
    if (stream.header_bytes > bytes_max * kHeaderAbuseFactor) {
        terminate(NGHTTP2_ENHANCE_YOUR_CALM, RefusalReason::kHeaderTooLarge);
        return;
    }
    if (stream.header_bytes > bytes_max || stream.header_done) return;  // trailers are not kept
    Request& request = stream.request;
    if (name == ":method") {
        request.method = value;
    } else if (name == ":path") {
        const size_t mark = value.find('?');
        request.path = value.substr(0, mark);
        if (mark != std::string_view::npos) request.raw_query = value.substr(mark + 1);
    } else if (name == ":authority") {
        request.headers.add("host", std::string(value));
    } else if (!name.starts_with(':') && !(name == "host" && request.headers.has("host"))) {
        if (request.headers.size() < kHeaderFieldsMax) {
            request.headers.add(std::string(name), std::string(value));
        } else {
            stream.header_bytes = bytes_max + 1;
        }
    }
}

int Http2Session::on_frame_recv(nghttp2_session*, const nghttp2_frame* frame, void* user) {
    auto& self = *static_cast<Http2Session*>(user);
    const bool ends = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    Stream* stream = nullptr;
    switch (frame->hd.type) {
        case NGHTTP2_HEADERS:
            self.in_header_ = false;
            self.unexplained_bytes_ = 0;
            stream = self.find(frame->hd.stream_id);
            if (stream == nullptr) return 0;
            if (!stream->header_done) self.end_header(*stream);
            if (ends) self.end_body(*stream);
            return 0;
        case NGHTTP2_DATA:
            stream = self.find(frame->hd.stream_id);
            if (stream != nullptr && ends) self.end_body(*stream);
            // A frame of padding alone is as empty as one of length 0.
            if (!ends && frame->hd.length > 0 && frame->hd.length <= frame->data.padlen &&
                !self.flood_.control_frame(self.host_.now_ns())) {
                self.terminate(NGHTTP2_ENHANCE_YOUR_CALM, RefusalReason::kFlood);
            }
            return 0;
        case NGHTTP2_SETTINGS:
            self.in_header_ = false;
            return 0;
        case NGHTTP2_RST_STREAM:
            if (!self.flood_.reset_stream(self.host_.now_ns())) {
                self.terminate(NGHTTP2_ENHANCE_YOUR_CALM, RefusalReason::kFlood);
            }
            return 0;
        default:
            return 0;
    }
}

void Http2Session::end_header(Stream& stream) {
    stream.header_done = true;
    stream.is_grpc = stream.request.is_grpc();
    const ServerLimits& limits = host_.limits();
    if (stream.header_bytes > limits.header_bytes_max) {
        refuse(stream,
               {431, 8,
                fmt::format("request header is larger than {} bytes or {} fields, the limits",
                            limits.header_bytes_max, kHeaderFieldsMax)},
               RefusalReason::kHeaderTooLarge);
        return;
    }
    if (!stream.request.path.starts_with('/')) {
        refuse(stream, {400, 12, "request path does not begin with '/'"},
               RefusalReason::kBadRequest);
        return;
    }
    const std::string_view length = stream.request.headers.get("content-length");
    if (length.empty()) return;
    const std::optional<int64_t> size = parse_int(length);
    if (!size || *size <= 0) return;  // nghttp2 has refused what is no number
    admit(stream,
          stream.body.reserve(host_.budget(), static_cast<size_t>(*size), limits.body_bytes_max));
}

int Http2Session::on_data(nghttp2_session*, uint8_t, int32_t id, const uint8_t* data, size_t size,
                          void* user) {
    auto& self = *static_cast<Http2Session*>(user);
    Stream* stream = self.find(id);
    if (stream != nullptr && !stream->is_refused) self.add_body(*stream, view_of(data, size));
    self.held_credit_[id] += size;
    return 0;
}

// A gRPC request names its size in its first bytes, so that one allocation is enough.
void Http2Session::size_grpc_body(Stream& stream) {
    const uint8_t* prefix = stream.body.data();
    const size_t size = static_cast<size_t>(prefix[1]) << 24 |
                        static_cast<size_t>(prefix[2]) << 16 | static_cast<size_t>(prefix[3]) << 8 |
                        prefix[4];
    admit(stream, stream.body.reserve(host_.budget(), kGrpcPrefixBytes + size,
                                      host_.limits().body_bytes_max));
}

void Http2Session::add_body(Stream& stream, std::string_view bytes) {
    const size_t bytes_max = host_.limits().body_bytes_max;
    const bool needs_prefix = stream.is_grpc && stream.body.used() < kGrpcPrefixBytes &&
                              !stream.request.headers.has("content-length");
    if (needs_prefix && stream.body.used() == 0 && bytes.size() >= kGrpcPrefixBytes) {
        const auto* prefix = reinterpret_cast<const uint8_t*>(bytes.data());
        const size_t size = static_cast<size_t>(prefix[1]) << 24 |
                            static_cast<size_t>(prefix[2]) << 16 |
                            static_cast<size_t>(prefix[3]) << 8 | prefix[4];
        if (!admit(stream,
                   stream.body.reserve(host_.budget(), kGrpcPrefixBytes + size, bytes_max))) {
            return;
        }
    }
    if (!admit(stream, stream.body.append(host_.budget(), bytes, bytes_max))) return;
    if (needs_prefix && stream.body.used() >= kGrpcPrefixBytes) size_grpc_body(stream);
}

bool Http2Session::admit(Stream& stream, Admission admission) {
    if (admission == Admission::kAdmitted) return true;
    const ServerLimits& limits = host_.limits();
    if (admission == Admission::kTooLarge) {
        refuse(
            stream,
            {413, 8,
             fmt::format("request body is larger than {} bytes, the limit; send smaller requests",
                         limits.body_bytes_max)},
            RefusalReason::kBodyTooLarge);
    } else {
        refuse(stream, {503, 14, "no memory free for this request; try again", 1},
               RefusalReason::kNoMemory);
    }
    return false;
}

void Http2Session::end_body(Stream& stream) {
    if (stream.body_done) return;
    stream.body_done = true;
    if (stream.is_refused) return;
    auto [body, memory] = stream.body.take();
    stream.request.body = std::move(body);
    stream.request.memory = std::move(memory);
    stream.request.cancelled = stream.gone.get_token();
    // What `answered` counts by must outlive the move.
    Request kept;
    kept.method = stream.request.method;
    kept.is_http2 = true;
    if (stream.is_grpc) kept.headers.add("content-type", "application/grpc");
    Request request = std::exchange(stream.request, std::move(kept));
    flood_.request_done();
    host_.handle(std::move(request), stream.id);
}

void Http2Session::refuse(Stream& stream, Refusal refusal, RefusalReason reason) {
    if (stream.is_refused || stream.reply_begun) return;
    stream.is_refused = true;
    stream.body = BodyBuffer();
    host_.refused(reason);
    start_reply(stream, error_reply(refusal, stream.request.headers.get("content-type")), false);
}

// Windows are reopened at once while memory is plentiful, and late while it is short: senders slow
// down before anything has to be refused.
void Http2Session::give_credit() {
    if (held_credit_.empty()) return;
    const MemoryBudget& budget = host_.budget();
    const size_t reserve = budget.limit_bytes() / kBudgetReserveShare;
    const bool is_short = budget.used_bytes() > budget.limit_bytes() - reserve;
    const uint64_t now_ns = host_.now_ns();
    if (is_short) {
        if (held_since_ns_ == 0) held_since_ns_ = now_ns;
        if (now_ns - held_since_ns_ < kHoldBackNs) return;
    }
    held_since_ns_ = 0;
    for (const auto& [id, bytes] : held_credit_) {
        Stream* stream = find(id);
        if (stream != nullptr && !stream->body_done) {
            nghttp2_session_consume(session_, id, bytes);
        } else {
            nghttp2_session_consume_connection(session_, bytes);
        }
    }
    held_credit_.clear();
}

int Http2Session::on_stream_close(nghttp2_session*, int32_t id, uint32_t, void* user) {
    auto& self = *static_cast<Http2Session*>(user);
    const auto at = self.streams_.find(id);
    if (at == self.streams_.end()) return 0;
    Stream& stream = *at->second;
    // In this order: a writer that gets room must already see that nobody reads.
    stream.gone.request_stop();
    if (stream.is_streaming) self.host_.released(stream.unsent);
    self.streams_.erase(at);
    if (self.streams_.empty()) self.idle_since_ns_ = self.host_.now_ns();
    return 0;
}

// ---- replying

void Http2Session::reply(int32_t request_id, Reply reply) {
    Stream* stream = find(request_id);
    if (stream == nullptr || stream->is_refused) {
        if (reply.kind == Reply::Kind::kPart) host_.released(reply.part.size());
        return;
    }
    switch (reply.kind) {
        case Reply::Kind::kSend:
            if (!stream->reply_begun) start_reply(*stream, std::move(reply.response), false);
            return;
        case Reply::Kind::kBegin:
            if (!stream->reply_begun) start_reply(*stream, std::move(reply.response), true);
            return;
        case Reply::Kind::kPart:
            add_part(*stream, blob_of(std::move(reply.part)));
            resume(*stream);
            return;
        case Reply::Kind::kFinish:
            stream->trailers = std::move(reply.trailers);
            stream->reply_finished = true;
            resume(*stream);
            return;
        case Reply::Kind::kAbandoned:
            if (stream->reply_begun) {
                nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, request_id,
                                          NGHTTP2_INTERNAL_ERROR);
            } else {
                const Refusal refusal = {500, 13, "the request was given up inside spanloom"};
                const std::string_view type = stream->request.headers.get("content-type");
                start_reply(*stream, error_reply(refusal, type), false);
            }
            return;
    }
}

void Http2Session::add_part(Stream& stream, Blob part) {
    if (part.empty()) return;
    if (stream.unsent == 0) stream.progress_ns = host_.now_ns();
    stream.unsent += part.size();
    stream.parts.push_back(std::move(part));
}

void Http2Session::start_reply(Stream& stream, Response response, bool is_streaming) {
    host_.answered(stream.request, response);
    stream.reply_begun = true;
    stream.progress_ns = host_.now_ns();
    const bool is_head = stream.request.method == "HEAD";
    const bool has_no_body = is_head || response.status == 204 || response.status == 304;
    const size_t body_size =
        response.shared_body.empty() ? response.body.size() : response.shared_body.size();
    const std::string status = std::to_string(response.status);
    const std::string length = std::to_string(body_size);
    std::vector<nghttp2_nv> fields;
    fields.reserve(response.headers.size() + 3);
    fields.push_back(field_of(":status", status));
    if (!stream.is_grpc) {
        fields.push_back(field_of("date", host_.http_date()));
        const bool has_length = response.headers.has("content-length");
        if (!is_streaming && !has_length && (is_head || !has_no_body)) {
            fields.push_back(field_of("content-length", length));
        }
    }
    for (const auto& [name, value] : response.headers) {
        if (name == "connection" || name == "transfer-encoding") continue;
        fields.push_back(field_of(name, value));
    }
    stream.trailers = std::move(response.trailers);
    if (is_streaming && has_no_body) host_.released(body_size);
    if (!has_no_body) {
        if (!response.shared_body.empty()) {
            add_part(stream, std::move(response.shared_body));
        } else if (!response.body.empty()) {
            add_part(stream, blob_of(std::move(response.body)));
        }
    }
    stream.is_streaming = is_streaming;
    stream.reply_finished = !is_streaming;
    const bool ends_here =
        stream.reply_finished && stream.unsent == 0 && stream.trailers.size() == 0;
    nghttp2_data_provider provider = {};
    provider.source.ptr = &stream;
    provider.read_callback = read_reply;
    nghttp2_submit_response(session_, stream.id, fields.data(), fields.size(),
                            ends_here || is_head ? nullptr : &provider);
}

void Http2Session::resume(Stream& stream) {
    if (!stream.is_deferred) return;
    stream.is_deferred = false;
    nghttp2_session_resume_data(session_, stream.id);
}

ssize_t Http2Session::read_reply(nghttp2_session* session, int32_t id, uint8_t*, size_t length,
                                 uint32_t* flags, nghttp2_data_source* source, void*) {
    auto& stream = *static_cast<Stream*>(source->ptr);
    const size_t size = std::min(length, stream.unsent);
    const bool is_last = stream.reply_finished && size == stream.unsent;
    if (size == 0 && !is_last) {
        stream.is_deferred = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (!is_last) return static_cast<ssize_t>(size);
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (stream.trailers.size() == 0) return static_cast<ssize_t>(size);
    *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
    std::vector<nghttp2_nv> fields;
    for (const auto& [name, value] : stream.trailers)
        fields.push_back(field_of(name, value));
    nghttp2_submit_trailer(session, id, fields.data(), fields.size());
    return static_cast<ssize_t>(size);
}

ssize_t Http2Session::on_send(nghttp2_session*, const uint8_t* data, size_t size, int, void* user) {
    auto& self = *static_cast<Http2Session*>(user);
    if (self.out_->bytes() >= kOutputBytesMax) return NGHTTP2_ERR_WOULDBLOCK;
    self.out_->append(view_of(data, size));
    return static_cast<ssize_t>(size);
}

int Http2Session::on_send_data(nghttp2_session*, nghttp2_frame*, const uint8_t* header,
                               size_t length, nghttp2_data_source* source, void* user) {
    auto& self = *static_cast<Http2Session*>(user);
    auto& stream = *static_cast<Stream*>(source->ptr);
    if (self.out_->bytes() >= kOutputBytesMax) return NGHTTP2_ERR_WOULDBLOCK;
    self.out_->append(view_of(header, kFrameHeaderBytes));
    size_t left = length;
    while (left > 0) {
        Blob& part = stream.parts.front();
        const size_t take = std::min(left, part.size() - stream.part_sent);
        self.out_->append(part.slice(stream.part_sent, take));
        left -= take;
        stream.part_sent += take;
        if (stream.part_sent == part.size()) {
            stream.parts.pop_front();
            stream.part_sent = 0;
        }
    }
    stream.unsent -= length;
    stream.progress_ns = self.host_.now_ns();
    if (stream.is_streaming) self.host_.released(length);
    self.flood_.sent(length);
    return 0;
}

int Http2Session::on_frame_send(nghttp2_session* session, const nghttp2_frame* frame, void* user) {
    auto& self = *static_cast<Http2Session*>(user);
    const bool ends = (frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA) &&
                      (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    if (!ends) return 0;
    Stream* stream = self.find(frame->hd.stream_id);
    if (stream != nullptr && !stream->body_done) {
        // RFC 9113 8.1: a whole answer went out early; the rest of the request is not wanted.
        nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id,
                                  NGHTTP2_NO_ERROR);
    }
    return 0;
}

void Http2Session::produce(OutputQueue& out) {
    out_ = &out;
    if (!failed_) give_credit();
    const int result = nghttp2_session_send(session_);
    if (result != 0) failed_ = true;
    out_ = nullptr;
}

// ---- life

bool Http2Session::wants_close() const {
    if (failed_ && nghttp2_session_want_write(session_) == 0) return true;
    if (ended_) return true;  // no client waits behind a closed half
    return nghttp2_session_want_read(session_) == 0 && nghttp2_session_want_write(session_) == 0;
}

void Http2Session::shut_down() {
    if (stopping_) return;
    stopping_ = true;
    // Ids up to what was seen are still answered; the rest the client sends elsewhere.
    nghttp2_submit_goaway(session_, NGHTTP2_FLAG_NONE,
                          nghttp2_session_get_last_proc_stream_id(session_), NGHTTP2_NO_ERROR,
                          nullptr, 0);
}

void Http2Session::terminate(uint32_t error_code, RefusalReason reason) {
    if (failed_ || terminated_) return;
    terminated_ = true;
    host_.refused(reason);
    nghttp2_session_terminate_session(session_, error_code);
}

bool Http2Session::check_stream(Stream& stream, uint64_t now_ns) {
    const ServerLimits& limits = host_.limits();
    if (!stream.body_done && !stream.is_refused && stream.header_done &&
        now_ns - stream.started_ns > limits.body_timeout_ms * 1'000'000ULL) {
        refuse(stream,
               {408, 4, fmt::format("request body took longer than {} ms", limits.body_timeout_ms)},
               RefusalReason::kBodyTimeout);
    }
    return stream.unsent == 0 ||
           now_ns - stream.progress_ns <= limits.write_timeout_ms * 1'000'000ULL;
}

bool Http2Session::check_deadlines() {
    const ServerLimits& limits = host_.limits();
    const uint64_t now_ns = host_.now_ns();
    if (in_header_ && now_ns - header_started_ns_ > limits.header_timeout_ms * 1'000'000ULL) {
        host_.refused(RefusalReason::kHeaderTimeout);
        return false;
    }
    if (streams_.empty() && now_ns - idle_since_ns_ > limits.idle_timeout_ms * 1'000'000ULL) {
        shut_down();
    }
    for (const auto& [id, stream] : streams_) {
        if (check_stream(*stream, now_ns)) continue;
        host_.refused(RefusalReason::kWriteTimeout);
        nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, id, NGHTTP2_CANCEL);
        stream->progress_ns = now_ns;
    }
    return true;
}

void Http2Session::abandon() {
    for (const auto& [id, stream] : streams_) {
        stream->gone.request_stop();
        if (stream->is_streaming) host_.released(stream->unsent);
    }
    streams_.clear();
}

}  // namespace

std::unique_ptr<Session> make_http2_session(SessionHost& host, std::string peer) {
    return std::make_unique<Http2Session>(host, std::move(peer));
}

}  // namespace spanloom::http
