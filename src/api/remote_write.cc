#include "api/remote_write.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <optional>

#include <fmt/format.h>
#include <simdjson.h>
#include <snappy-c.h>

#include "base/json_writer.h"
#include "base/log.h"
#include "base/text.h"
#include "otlp/writer.h"
#include "send/connection.h"
#include "send/endpoint.h"
#include "send/exchange.h"
#include "send/retry.h"
#include "send/tls.h"

namespace spanloom::api {
namespace {

using simdjson::dom::element;

constexpr uint64_t kNsPerMs = 1'000'000;
constexpr uint64_t kEveryMsMin = 1'000;
constexpr uint64_t kEveryMsMax = 3'600'000;
constexpr uint64_t kTimeoutNs = 10'000'000'000;
constexpr size_t kHeadersMax = 32;
constexpr size_t kRequestBytesMax = 1U << 20;  // before compression
constexpr send::RetryPolicy kRetry = {
    .initial_backoff_ms = 1'000, .backoff_ms_max = 30'000, .multiplier = 2};

bool is_header(std::string_view name, std::string_view value) {
    const auto is_token = [](unsigned char c) {
        return std::isalnum(c) != 0 || c == '-' || c == '_';
    };
    return !name.empty() && std::all_of(name.begin(), name.end(), is_token) &&
           std::none_of(value.begin(), value.end(),
                        [](unsigned char c) { return c < 0x20 || c == 0x7f; });
}

Result<send::Endpoint> endpoint_of(std::string_view url) {
    TRY_ASSIGN(send::Endpoint endpoint,
               send::parse_endpoint(url, url.starts_with("https://") ? 443 : 80));
    if (endpoint.path.empty()) endpoint.path = "/";
    return endpoint;
}

Result<void> read_headers(element value, RemoteWriteTarget& target) {
    simdjson::dom::object headers;
    if (value.get(headers) || headers.size() > kHeadersMax)
        return fail(ErrorCode::kInvalidArgument, "headers: must be at most {} names with texts",
                    kHeadersMax);
    for (const auto& [name, one] : headers) {
        std::string_view text;
        if (one.get(text) || !is_header(name, text))
            return fail(ErrorCode::kInvalidArgument, "headers: '{}' is no header with a text",
                        name.substr(0, 80));
        target.headers.emplace_back(name, text);
    }
    return {};
}

Result<RemoteWriteTarget> read_target(element value) {
    simdjson::dom::object settings;
    if (value.get(settings))
        return fail(ErrorCode::kInvalidArgument, "must be an object with url, headers, every");
    RemoteWriteTarget target;
    for (const auto& [key, one] : settings) {
        std::string_view text;
        if (key == "headers") {
            TRY(read_headers(one, target));
        } else if (key == "url") {
            if (one.get(text) || text.find("://") == std::string_view::npos || !endpoint_of(text))
                return fail(ErrorCode::kInvalidArgument,
                            "url: must be one like http://127.0.0.1:9090/api/v1/write");
            target.url = text;
        } else if (key == "every") {
            const Result<int64_t> ns = one.get(text) ? Result<int64_t>(0) : parse_duration_ns(text);
            target.every_ms = ns && *ns > 0 ? static_cast<uint64_t>(*ns) / kNsPerMs : 0;
            if (target.every_ms < kEveryMsMin || target.every_ms > kEveryMsMax)
                return fail(ErrorCode::kInvalidArgument, "every: must be a duration from 1s to 1h");
        } else {
            return fail(ErrorCode::kInvalidArgument,
                        "there is no setting '{}': url, headers, every", key.substr(0, 80));
        }
    }
    if (target.url.empty()) return fail(ErrorCode::kInvalidArgument, "needs url");
    return target;
}

// ---- the exposition

// `name{a="b",c="d"} 1.5`, taken apart; perhaps with ` # {trace_id="e"} 0.4 1700000000.123`.
struct Sample {
    using Labels = std::vector<std::pair<std::string, std::string>>;
    struct Exemplar {
        Labels labels;
        double value = 0;
        int64_t time_ms = 0;
    };
    Labels labels;  // sorted
    double value = 0;
    std::optional<Exemplar> exemplar;
};

// From behind the opening quote to behind the closing one.
bool read_label_value(std::string_view& rest, std::string& value) {
    for (size_t i = 0; i < rest.size(); ++i) {
        if (rest[i] == '"') {
            rest.remove_prefix(i + 1);
            return true;
        }
        if (rest[i] == '\\' && i + 1 < rest.size()) {
            ++i;
            value += rest[i] == 'n' ? '\n' : rest[i];
        } else {
            value += rest[i];
        }
    }
    return false;
}

// From behind the opening brace to behind the closing one.
bool read_labels(std::string_view& rest, Sample::Labels& labels) {
    while (!rest.starts_with('}')) {
        const size_t equal = rest.find("=\"");
        if (equal == std::string_view::npos) return false;
        auto& [name, value] = labels.emplace_back();
        name = rest.substr(0, equal);
        rest.remove_prefix(equal + 2);
        if (!read_label_value(rest, value)) return false;
        if (rest.starts_with(',')) rest.remove_prefix(1);
    }
    rest.remove_prefix(1);
    return true;
}

// What follows its opening brace.
std::optional<Sample::Exemplar> read_exemplar(std::string_view rest) {
    Sample::Exemplar exemplar;
    if (!read_labels(rest, exemplar.labels)) return std::nullopt;
    rest = trim(rest);
    const size_t space = rest.find(' ');
    if (space == std::string_view::npos) return std::nullopt;
    const auto value = parse_double(rest.substr(0, space));
    const auto seconds = parse_double(trim(rest.substr(space)));
    if (!value || !seconds || !(std::abs(*seconds) < 1e12)) return std::nullopt;
    exemplar.value = *value;
    exemplar.time_ms = static_cast<int64_t>(std::llround(*seconds * 1000));
    return exemplar;
}

bool read_sample(std::string_view line, Sample& sample) {
    if (line.empty() || line[0] == '#') return false;
    const size_t name_end = line.find_first_of("{ ");
    if (name_end == std::string_view::npos) return false;
    sample.labels.emplace_back("__name__", line.substr(0, name_end));
    line.remove_prefix(name_end);
    if (line[0] == '{') {
        line.remove_prefix(1);
        if (!read_labels(line, sample.labels)) return false;
    }
    const size_t mark = line.find(" # {");
    const auto value = parse_double(trim(line.substr(0, mark)));
    sample.value = value.value_or(0);
    std::sort(sample.labels.begin(), sample.labels.end());
    if (mark != std::string_view::npos)
        sample.exemplar = read_exemplar(line.substr(mark + std::string_view(" # {").size()));
    return value.has_value();
}

// TimeSeries of prometheus/prompb/types.proto.
void write_sample(const Sample& sample, int64_t time_ms, otlp::WireWriter& out) {
    const auto write_labels = [&](const Sample::Labels& labels) {
        for (const auto& [name, value] : labels) {
            const size_t label = out.begin(1);
            out.bytes_field(1, name);
            out.bytes_field(2, value);
            out.end(label);
        }
    };
    const size_t series = out.begin(1);
    write_labels(sample.labels);
    const size_t one = out.begin(2);
    out.double_field(1, sample.value);
    out.varint_field(2, static_cast<uint64_t>(time_ms));
    out.end(one);
    if (sample.exemplar) {
        const size_t exemplar = out.begin(3);
        write_labels(sample.exemplar->labels);
        out.double_field(2, sample.exemplar->value);
        out.varint_field(3, static_cast<uint64_t>(sample.exemplar->time_ms));
        out.end(exemplar);
    }
    out.end(series);
}

std::string compress(std::string_view bytes) {
    std::string out(snappy_max_compressed_length(bytes.size()), '\0');
    size_t size = out.size();
    snappy_compress(bytes.data(), bytes.size(), out.data(), &size);
    out.resize(size);
    return out;
}

// ---- sending

class HttpRemoteWriteSender final : public RemoteWriteSender {
  public:
    HttpRemoteWriteSender(send::Endpoint endpoint, std::unique_ptr<send::TlsClient> tls,
                          const RemoteWriteTarget& target, const Clock& clock)
        : connector_(std::move(endpoint), std::move(tls), clock, interrupt_) {
        send::ExchangeOptions options;
        options.content_type = "application/x-protobuf";
        options.user_agent = "spanloom";
        options.headers = target.headers;
        options.headers.emplace_back("content-encoding", "snappy");
        options.headers.emplace_back("x-prometheus-remote-write-version", "0.1.0");
        exchange_ = send::make_http_exchange(std::move(options), connector_, clock);
    }

    Result<Answer> post(std::string_view body, uint64_t deadline_ns) override {
        TRY_ASSIGN(const send::Answer answer,
                   exchange_->call(send::Pieces(body), send::Coding::kIdentity, deadline_ns));
        return Answer{answer.status, answer.server_wait_ms.value_or(0),
                      answer.refusal ? answer.refusal->message : ""};
    }
    void interrupt() override { interrupt_.trigger(); }

  private:
    send::Interrupt interrupt_;
    send::Connector connector_;
    std::unique_ptr<send::Exchange> exchange_;
};

}  // namespace

Result<std::vector<RemoteWriteTarget>> parse_remote_write(std::string_view json) {
    simdjson::dom::parser parser;
    simdjson::dom::array list;
    if (parser.parse(json.data(), json.size()).get(list) || list.size() > kRemoteWriteTargetsMax)
        return fail(ErrorCode::kInvalidArgument, "must be a list of at most {} targets",
                    kRemoteWriteTargetsMax);
    std::vector<RemoteWriteTarget> targets;
    for (const element one : list) {
        Result<RemoteWriteTarget> target = read_target(one);
        if (!target)
            return fail(ErrorCode::kInvalidArgument, "[{}]: {}", targets.size(),
                        target.error().message);
        targets.push_back(std::move(*target));
    }
    return targets;
}

std::string print_remote_write(const std::vector<RemoteWriteTarget>& targets, HeaderValues values) {
    std::string out;
    JsonWriter json(out);
    json.begin_array();
    for (const RemoteWriteTarget& target : targets) {
        json.begin_object().field("url", target.url).key("headers").begin_object();
        for (const auto& [name, value] : target.headers)
            json.field(name, values == HeaderValues::kHidden ? "(hidden)" : value);
        json.end_object().field("every", fmt::format("{}ms", target.every_ms)).end_object();
    }
    json.end_array();
    return out;
}

std::vector<std::string> encode_write_requests(std::string_view exposition, int64_t time_ms,
                                               size_t bytes_max) {
    std::vector<std::string> requests;
    while (!exposition.empty()) {
        const size_t end = std::min(exposition.find('\n'), exposition.size());
        Sample sample;
        const bool is_sample = read_sample(exposition.substr(0, end), sample);
        exposition.remove_prefix(std::min(end + 1, exposition.size()));
        if (!is_sample) continue;
        if (requests.empty() || requests.back().size() >= bytes_max) requests.emplace_back();
        otlp::WireWriter out(requests.back());
        write_sample(sample, time_ms, out);
    }
    return requests;
}

Result<std::unique_ptr<RemoteWriteSender>> make_remote_write_sender(const RemoteWriteTarget& target,
                                                                    const Clock& clock) {
    TRY_ASSIGN(send::Endpoint endpoint, endpoint_of(target.url));
    std::unique_ptr<send::TlsClient> tls;
    if (endpoint.is_tls) {
        TRY_ASSIGN(tls, send::TlsClient::create({}));
    }
    return std::make_unique<HttpRemoteWriteSender>(std::move(endpoint), std::move(tls), target,
                                                   clock);
}

RemoteWriter::RemoteWriter(RemoteWriteTarget target, std::unique_ptr<RemoteWriteSender> sender,
                           std::function<Result<std::string>()> scrape, const Clock& clock,
                           std::unique_ptr<Random> random, MetricsRegistry& metrics,
                           size_t queue_bytes_max)
    : target_(std::move(target)),
      sender_(std::move(sender)),
      scrape_(std::move(scrape)),
      clock_(clock),
      random_(std::move(random)),
      queue_bytes_max_(queue_bytes_max),
      sent_(metrics.counter("remote_write_requests_total",
                            "Requests with samples that a server has taken.")),
      dropped_(metrics.counter("remote_write_dropped_total",
                               "Requests that were given up as newer ones needed their room.")),
      refused_(metrics.counter("remote_write_refused_total",
                               "Requests that a server refused for good.")),
      retries_(metrics.counter("remote_write_retries_total",
                               "Requests that were not taken and are sent again.")),
      scrape_failures_(metrics.counter("remote_write_scrape_failures_total",
                                       "Times that there were no samples to send.")) {}

void RemoteWriter::step() {
    if (clock_.monotonic_ns() >= due_ns_) take();
    if (clock_.monotonic_ns() >= retry_ns_) send();
}

void RemoteWriter::take() {
    due_ns_ = clock_.monotonic_ns() + target_.every_ms * kNsPerMs;
    const Result<std::string> text = scrape_();
    if (!text) {
        scrape_failures_.add();
        log::warning("no samples for {}: {}", target_.url, text.error().message);
        return;
    }
    const auto time_ms = static_cast<int64_t>(clock_.wall_ns() / kNsPerMs);
    for (const std::string& request : encode_write_requests(*text, time_ms, kRequestBytesMax)) {
        queue_.push_back(compress(request));
        queue_bytes_ += queue_.back().size();
    }
    // Counters only grow: the newest say what the oldest said.
    while (queue_bytes_ > queue_bytes_max_ && !queue_.empty()) {
        dropped_.add();
        pop();
    }
}

void RemoteWriter::pop() {
    queue_bytes_ -= queue_.front().size();
    queue_.pop_front();
}

// What is refused for good is let go: the same again would be refused again.
void RemoteWriter::send() {
    while (!queue_.empty()) {
        const auto answer = sender_->post(queue_.front(), clock_.monotonic_ns() + kTimeoutNs);
        if (!answer) return wait_after_failure(0, answer.error().message);
        if (answer->status == 429 || answer->status >= 500)
            return wait_after_failure(answer->wait_ms, answer->text);
        const bool is_taken = answer->status >= 200 && answer->status < 300;
        (is_taken ? sent_ : refused_).add();
        if (!is_taken) log::warning("samples are refused, and given up: {}", answer->text);
        failures_ = 0;
        pop();
    }
}

void RemoteWriter::wait_after_failure(uint64_t wait_ms, std::string_view why) {
    retries_.add();
    ++failures_;
    if (failures_ == 1)
        log::warning("samples for {} wait, they are sent again: {}", target_.url, why);
    const uint64_t pause_ms = send::backoff_ms(kRetry, failures_, wait_ms, *random_);
    retry_ns_ = clock_.monotonic_ns() + pause_ms * kNsPerMs;
}

}  // namespace spanloom::api
