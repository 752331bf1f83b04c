// tempopb.StreamingQuerier (tempo.proto): what Grafana asks over gRPC on the data source's own
// address.
#include <algorithm>

#include "api/tempo.h"
#include "api/tempo_metrics.h"
#include "api/tempo_search.h"
#include "api/tempo_tags.h"
#include "api/trace_chunks.h"
#include "send/proto_reader.h"

namespace spanloom::api {
namespace {

using send::ProtoReader;

constexpr std::string_view kService = "tempopb.StreamingQuerier";
// Results that come fast are sent together; the first goes out at once.
constexpr uint64_t kGatherNs = 50'000'000;

// A map entry of logfmt tags.
void add_tag(std::string_view entry, std::string& tags) {
    std::string_view key;
    std::string_view value;
    ProtoReader reader(entry);
    while (reader.next()) {
        if (reader.field() == 1) key = reader.bytes();
        if (reader.field() == 2) value = reader.bytes();
    }
    if (!tags.empty()) tags += ' ';
    tags += key;
    tags += "=\"";
    for (const char c : value) {
        if (c == '"' || c == '\\') tags += '\\';
        tags += c;
    }
    tags += '"';
}

Result<TempoQuestion> read_search(const Call& call, std::string_view message) {
    TempoQuestion question;
    uint64_t limit = question.traces;
    uint64_t start = 0;
    uint64_t end = 0;
    ProtoReader reader(message);
    while (reader.next()) {
        switch (reader.field()) {
            case 1:
                add_tag(reader.bytes(), question.tags);
                break;
            case 2:
                if (reader.number() != 0)
                    question.duration_min = std::to_string(reader.number()) + "ms";
                break;
            case 3:
                if (reader.number() != 0)
                    question.duration_max = std::to_string(reader.number()) + "ms";
                break;
            case 4:
                if (reader.number() != 0) limit = reader.number();
                break;
            case 5:
                start = reader.number();
                break;
            case 6:
                end = reader.number();
                break;
            case 8:
                question.query = reader.bytes();
                break;
            case 9:
                if (reader.number() != 0) question.set_spans(reader.number());
                break;
            default:
                break;
        }
    }
    if (reader.is_damaged()) return malformed_message();
    const uint32_t max = call.context.options.limits.traces_max;
    if (limit > max)
        return fail(ErrorCode::kInvalidArgument, "limit {} exceeds the largest that is taken, {}",
                    limit, max);
    question.traces = static_cast<uint32_t>(limit);
    TRY_ASSIGN(question.range, seconds_range(start, end));
    return question;
}

// Sends traces as they are found.
class TraceSender {
  public:
    TraceSender(const Clock& clock, GrpcStream& stream) : clock_(clock), stream_(stream) {}

    void add(const traceql::TraceFound& trace) {
        otlp::WireWriter out(waiting_);
        write_tempo_trace(out, 1, trace);
        ++traces_;
        const uint64_t now = clock_.monotonic_ns();
        if (waiting_.size() < kChunkBytesMax && traces_ > 1 && now - sent_ns_ < kGatherNs) return;
        sent_ns_ = now;
        stream_.send(waiting_);
        waiting_.clear();
    }
    void finish(const traceql::QueryStats& stats, uint64_t segment_bytes) {
        otlp::WireWriter out(waiting_);
        write_search_metrics(out, 2, {stats, traces_, segment_bytes});
        stream_.send(waiting_);
    }

  private:
    const Clock& clock_;
    GrpcStream& stream_;
    std::string waiting_;
    uint64_t traces_ = 0;
    uint64_t sent_ns_ = 0;
};

Result<void> search(Call& call, std::string_view message, GrpcStream& stream) {
    TRY_ASSIGN(const TempoQuestion question, read_search(call, message));
    TraceSender sender(call.context.options.clock, stream);
    TRY_ASSIGN(
        const auto answer,
        tempo_search(call, question, [&](const traceql::TraceFound& trace) { sender.add(trace); }));
    sender.finish(answer.stats, segment_bytes_in(call, question.range));
    return {};
}

// SearchTagsRequest and SearchTagValuesRequest differ in the meaning of field 1 and where times
// are.
Result<TempoTagQuestion> read_tags(std::string_view message, bool is_values) {
    TempoTagQuestion question;
    uint64_t start = 0;
    uint64_t end = 0;
    const uint32_t first_time = is_values ? 4 : 3;
    ProtoReader reader(message);
    while (reader.next()) {
        const uint32_t field = reader.field();
        if (field == 1) {
            (is_values ? question.tag : question.scope) = reader.bytes();
        } else if (field == 2) {
            question.query = reader.bytes();
        } else if (field == first_time) {
            start = reader.number();
        } else if (field == first_time + 1) {
            end = reader.number();
        } else if (field == first_time + 2) {
            question.limit = static_cast<uint32_t>(std::min<uint64_t>(reader.number(), UINT32_MAX));
        }
    }
    if (reader.is_damaged()) return malformed_message();
    TRY_ASSIGN(question.range, seconds_range(start, end == 0 ? 0 : std::max(end, start + 1)));
    return question;
}

Result<void> tags(Call& call, std::string_view message, GrpcStream& stream) {
    TRY_ASSIGN(const TempoTagQuestion question, read_tags(message, false));
    TRY_ASSIGN(const auto scopes, tempo_tags(call, question));
    stream.send(tag_names_message(scopes, question.scope));
    return {};
}

Result<void> tags_v2(Call& call, std::string_view message, GrpcStream& stream) {
    TRY_ASSIGN(const TempoTagQuestion question, read_tags(message, false));
    TRY_ASSIGN(const auto scopes, tempo_tags(call, question));
    stream.send(tag_scopes_message(scopes));
    return {};
}

Result<void> values(Call& call, std::string_view message, GrpcStream& stream) {
    TRY_ASSIGN(const TempoTagQuestion question, read_tags(message, true));
    TRY_ASSIGN(const auto found, tempo_tag_values(call, question, true));
    stream.send(tag_texts_message(found));
    return {};
}

Result<void> values_v2(Call& call, std::string_view message, GrpcStream& stream) {
    TRY_ASSIGN(const TempoTagQuestion question, read_tags(message, true));
    TRY_ASSIGN(const auto found, tempo_tag_values(call, question, false));
    stream.send(tag_values_message(found));
    return {};
}

// QueryRangeRequest and QueryInstantRequest share their first fields.
Result<void> metrics(Call& call, std::string_view message, GrpcStream& stream, bool is_instant) {
    TempoMetricsQuestion question;
    question.is_instant = is_instant;
    ProtoReader reader(message);
    while (reader.next()) {
        switch (reader.field()) {
            case 1:
                question.query = reader.bytes();
                break;
            case 2:
                question.start_ns = reader.number();
                break;
            case 3:
                question.end_ns = reader.number();
                break;
            case 4:
                if (!is_instant) question.step_ns = reader.number();
                break;
            case 16:
                question.exemplars =
                    static_cast<uint32_t>(std::min<uint64_t>(reader.number(), UINT32_MAX));
                break;
            case 17:
                question.series_max =
                    static_cast<uint32_t>(std::min<uint64_t>(reader.number(), UINT32_MAX));
                break;
            default:
                break;
        }
    }
    if (reader.is_damaged()) return malformed_message();
    constexpr uint64_t kHourNs = 3'600'000'000'000;
    if (question.end_ns == 0) question.end_ns = call.now_ns();
    if (question.start_ns == 0)
        question.start_ns = question.end_ns - std::min(question.end_ns, kHourNs);
    TRY_ASSIGN(const auto answer, tempo_metrics(call, question));
    send_series(call, answer, is_instant,
                [&](std::string_view bytes) { return stream.send(bytes); });
    return {};
}

}  // namespace

void add_tempo_streams(Router& router) {
    router.add_grpc(kService, "Search", search);
    router.add_grpc(kService, "SearchTags", tags);
    router.add_grpc(kService, "SearchTagsV2", tags_v2);
    router.add_grpc(kService, "SearchTagValues", values);
    router.add_grpc(kService, "SearchTagValuesV2", values_v2);
    router.add_grpc(kService, "MetricsQueryRange",
                    [](Call& call, std::string_view message, GrpcStream& stream) {
                        return metrics(call, message, stream, false);
                    });
    router.add_grpc(kService, "MetricsQueryInstant",
                    [](Call& call, std::string_view message, GrpcStream& stream) {
                        return metrics(call, message, stream, true);
                    });
}

}  // namespace spanloom::api
