#include "api/jaeger_grpc_messages.h"

#include <algorithm>
#include <optional>

#include "api/jaeger_filter.h"
#include "insight/edge_counts.h"
#include "otlp/writer.h"
#include "send/proto_reader.h"

namespace spanloom::api {
namespace {

using send::ProtoReader;

constexpr uint64_t kSecondNs = 1'000'000'000;
constexpr uint64_t kDayNs = 86'400 * kSecondNs;

// Timestamp and Duration have the same fields; times before 1970 are 1970.
Result<uint64_t> read_time(std::string_view message) {
    constexpr int64_t kSecondsMax = INT64_MAX / 1'000'000'000 - 1;
    int64_t seconds = 0;
    int64_t nanos = 0;
    ProtoReader reader(message);
    while (reader.next()) {
        if (reader.field() == 1) seconds = static_cast<int64_t>(reader.number());
        if (reader.field() == 2) nanos = static_cast<int32_t>(reader.number());
    }
    if (reader.is_damaged()) return malformed_message();
    if (seconds < 0) return 0;
    return static_cast<uint64_t>(std::min(seconds, kSecondsMax)) * kSecondNs +
           static_cast<uint64_t>(std::clamp<int64_t>(nanos, 0, 999'999'999));
}

Result<void> read_attribute(std::string_view entry, JaegerQuestion& question) {
    constexpr size_t kTagsMax = 64;
    std::string_view key;
    std::string_view value;
    ProtoReader reader(entry);
    while (reader.next()) {
        if (reader.field() == 1) key = reader.bytes();
        if (reader.field() == 2) value = reader.bytes();
    }
    if (reader.is_damaged()) return malformed_message();
    if (question.tags.size() >= kTagsMax)
        return fail(ErrorCode::kInvalidArgument, "more than {} attributes in one question",
                    kTagsMax);
    question.tags.emplace_back(key, value);
    return {};
}

Result<JaegerQuestion> read_parameters(const Call& call, std::string_view message,
                                       JaegerTimes times) {
    JaegerQuestion question;
    bool has_start = false;
    bool has_end = false;
    std::optional<std::string_view> filter;
    ProtoReader reader(message);
    while (reader.next()) {
        const std::string_view bytes = reader.bytes();
        switch (reader.field()) {
            case 1:
                question.service = bytes;
                break;
            case 2:
                question.operation = bytes;
                break;
            case 3:
                TRY(read_attribute(bytes, question));
                break;
            case 4: {
                TRY_ASSIGN(question.range.start_ns, read_time(bytes));
                has_start = true;
                break;
            }
            case 5: {
                TRY_ASSIGN(question.range.end_ns, read_time(bytes));
                has_end = true;
                break;
            }
            case 6: {
                TRY_ASSIGN(const uint64_t min, read_time(bytes));
                if (min > 0) question.duration_min_ns = static_cast<int64_t>(min);
                break;
            }
            case 7: {
                TRY_ASSIGN(const uint64_t max, read_time(bytes));
                if (max > 0) question.duration_max_ns = static_cast<int64_t>(max);
                break;
            }
            case 8: {
                // None is the default, as 0 is.
                const auto given = static_cast<int32_t>(reader.number());
                const std::string depth = std::to_string(std::max(given, 0));
                TRY(question.set_limit({"search_depth", depth},
                                       call.context.options.limits.traces_max));
                break;
            }
            case 10:
                filter = bytes;
                break;
            default:
                break;
        }
    }
    if (reader.is_damaged()) return malformed_message();
    if (times == JaegerTimes::kRequired && (!has_start || !has_end))
        return fail(ErrorCode::kInvalidArgument,
                    "start time min and start time max are required parameters");
    if (!has_end) question.range.end_ns = call.now_ns();
    if (!has_start)
        question.range.start_ns =
            question.range.end_ns - std::min(question.range.end_ns, 2 * kDayNs);
    if (question.range.start_ns >= question.range.end_ns)
        return fail(ErrorCode::kInvalidArgument, "start time min must be before start time max");
    if (question.duration_min_ns && question.duration_max_ns &&
        *question.duration_max_ns < *question.duration_min_ns)
        return fail(ErrorCode::kInvalidArgument,
                    "duration max should be greater than or equal to duration min");
    if (filter) {
        TRY_ASSIGN(store::Predicate predicate, parse_jaeger_filter_message(*filter));
        TRY(question.set_filter(std::move(predicate)));
    }
    return question;
}

}  // namespace

Result<JaegerQuestion> read_jaeger_question(const Call& call, std::string_view message,
                                            JaegerTimes times) {
    std::string_view query;
    bool has_query = false;
    ProtoReader reader(message);
    while (reader.next()) {
        if (reader.field() != 1) continue;
        query = reader.bytes();
        has_query = true;
    }
    if (reader.is_damaged()) return malformed_message();
    if (!has_query) return fail(ErrorCode::kInvalidArgument, "missing query");
    return read_parameters(call, query, times);
}

Result<std::vector<Operation>> read_operations(const Call& call, std::string_view message) {
    std::string_view service;
    std::string_view word;
    ProtoReader reader(message);
    while (reader.next()) {
        if (reader.field() == 1) service = reader.bytes();
        if (reader.field() == 2) word = reader.bytes();
    }
    if (reader.is_damaged()) return malformed_message();
    if (service.empty()) return fail(ErrorCode::kInvalidArgument, "service is required");
    TRY_ASSIGN(const auto kind, kind_parameter({"span_kind", word}));
    return operations(call, service, kind);
}

Result<void> send_services(Call& call, std::string_view, GrpcStream& stream) {
    TRY_ASSIGN(const auto names, service_names(call));
    std::string bytes;
    otlp::WireWriter out(bytes);
    for (const std::string& name : names)
        out.bytes_field(1, name);
    stream.send(bytes);
    return {};
}

Result<void> send_dependencies(Call& call, std::string_view message, GrpcStream& stream) {
    store::TimeRange range;
    range.end_ns = call.now_ns();
    range.start_ns = range.end_ns - std::min(range.end_ns, kDayNs);
    ProtoReader reader(message);
    while (reader.next()) {
        if (reader.field() == 1) {
            TRY_ASSIGN(range.start_ns, read_time(reader.bytes()));
        } else if (reader.field() == 2) {
            TRY_ASSIGN(range.end_ns, read_time(reader.bytes()));
        }
    }
    if (reader.is_damaged()) return malformed_message();
    TRY_ASSIGN(const auto graph,
               insight::find_all_dependencies(call.counted(), range, call.context.rollups));
    std::string bytes;
    otlp::WireWriter out(bytes);
    for (const insight::DependencyEdge& edge : graph.edges) {
        const size_t mark = out.begin(1);
        out.bytes_field(1, edge.parent);
        out.bytes_field(2, edge.child);
        out.varint_field(3, edge.calls);
        out.end(mark);
    }
    stream.send(bytes);
    return {};
}

void write_operation(std::string& out, uint32_t field, const Operation& operation) {
    otlp::WireWriter writer(out);
    const std::string_view name = kind_name(operation.kind);
    const size_t mark = writer.begin(field);
    writer.bytes_field(1, operation.name);
    writer.bytes_field(2, name.empty() ? "internal" : name);
    writer.end(mark);
}

}  // namespace spanloom::api
