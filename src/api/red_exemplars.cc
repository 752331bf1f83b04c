#include "api/red_exemplars.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "api/jaeger_search.h"
#include "store/scan.h"

namespace spanloom::api {
namespace {

using store::Intrinsic;
using store::Scope;

constexpr size_t kOfEachBucket = 10;
constexpr size_t kExemplarsMax = 1'000;  // of one answer

store::Field intrinsic(Intrinsic one) {
    return {Scope::kIntrinsic, one, ""};
}

store::Predicate is(Intrinsic one, store::Value value) {
    return store::Predicate::compare(intrinsic(one), store::Comparison::kEqual, std::move(value));
}

// The spans that a selector of operations counts, as far as its matchers are equalities; others are
// looked at afterwards.
store::Predicate spans_of(const PromNode& selector) {
    std::vector<store::Predicate> all;
    for (const PromMatcher& matcher : selector.matchers) {
        if (matcher.op != PromMatcher::Op::kEqual) continue;
        if (matcher.label == "service" || matcher.label == "service_name")
            all.push_back(service_predicate(matcher.value));
        if (matcher.label == "span_name")
            all.push_back(is(Intrinsic::kName, store::Value::of_string(matcher.value)));
        if (matcher.label == "span_kind") {
            if (const auto kind = parse_kind(matcher.value))
                all.push_back(is(Intrinsic::kKind, store::Value::of_kind(*kind)));
        }
        if (matcher.label == "status_code" && matcher.value == kStatusError)
            all.push_back(
                is(Intrinsic::kStatus, store::Value::of_status(otlp::StatusCode::kError)));
    }
    return all.empty() ? store::Predicate::everything() : store::Predicate::all_of(std::move(all));
}

}  // namespace

Result<RedExemplars> RedExemplars::find(const Call& call, store::TimeRange range,
                                        store::Predicate where, size_t of_each_bucket) {
    RedExemplars found;
    store::ScanRequest request;
    request.scope.range = range;
    request.scope.where = std::move(where);
    request.scope.cancelled = call.request.cancelled;
    request.scope.deadline_monotonic_ns = call.deadline_ns;
    request.columns = {{Scope::kResource, Intrinsic::kNone, "service.name"},
                       intrinsic(Intrinsic::kName),
                       intrinsic(Intrinsic::kKind),
                       intrinsic(Intrinsic::kStatus),
                       intrinsic(Intrinsic::kStart),
                       intrinsic(Intrinsic::kDuration)};
    request.with_ids = true;
    size_t spans = 0;
    const auto visit = [&](const store::ScanBlock& block) {
        const auto& columns = block.columns;
        const auto text = [&](size_t column, size_t row) {
            const bool is_text = columns[column].kind_of(row) == store::ValueKind::kString;
            return is_text ? std::string(columns[column].text(row)) : std::string();
        };
        const auto number = [&](size_t column, size_t row) {
            const bool is_there = columns[column].kind_of(row) != store::ValueKind::kNil;
            return is_there ? static_cast<uint64_t>(columns[column].cells[row]) : 0;
        };
        for (const store::ScanTrace& trace : block.traces) {
            for (uint32_t row = trace.first_row; row < trace.first_row + trace.rows; ++row) {
                const auto status = static_cast<otlp::StatusCode>(number(3, row));
                const uint64_t duration_ns = number(5, row);
                const Key key{text(0, row), text(1, row),
                              kind_label(static_cast<otlp::SpanKind>(number(2, row))),
                              status == otlp::StatusCode::kError ? kStatusError : kStatusUnset,
                              bound_of(duration_ns)};
                auto& of_bucket = found.by_series_[key];
                if (of_bucket.size() < of_each_bucket)
                    of_bucket.push_back(
                        {trace.trace_id, block.span_ids[row], number(4, row), duration_ns});
            }
        }
        spans += block.rows;
        return spans < kSpansMax;
    };
    TRY(store::scan(call.segments(), request, visit));
    return found;
}

const RedExemplar* RedExemplars::newest(const RedFamily& family, const PromLabels& labels) const {
    const auto label = [&](std::string_view name) {
        const auto at = std::find_if(labels.begin(), labels.end(),
                                     [&](const auto& one) { return one.first == name; });
        return at == labels.end() ? std::string() : at->second;
    };
    const std::string kind = label("span_kind");
    const std::string status = label("status_code");
    const auto bound = bound_of_text(label("le"), family.is_ms);
    if (!bound) return nullptr;
    const Key key{label(service_label(family)), label("span_name"), kind, status, *bound};
    const auto at = by_series_.find(key);
    return at == by_series_.end() || at->second.empty() ? nullptr : &at->second.front();
}

void RedExemplars::each(
    const RedFamily& family,
    const std::function<void(PromLabels, const std::vector<RedExemplar>&)>& visit) const {
    for (const auto& [key, exemplars] : by_series_) {
        const auto& [service, name, kind, status, bound] = key;
        PromLabels labels = {{"__name__", std::string(family.name)},
                             {std::string(service_label(family)), service},
                             {"span_kind", std::string(kind)},
                             {"span_name", name},
                             {"status_code", std::string(status)}};
        if (family.value == RedFamily::Value::kBucket)
            labels.emplace_back("le", bound_text(bound, family.is_ms));
        std::sort(labels.begin(), labels.end());
        visit(std::move(labels), exemplars);
    }
}

Result<void> write_exemplars(const Call& call, const PromNode& selector, store::TimeRange range,
                             JsonWriter& json) {
    TRY_ASSIGN(const RedExemplars found,
               RedExemplars::find(call, range, spans_of(selector), kOfEachBucket));
    size_t written = 0;
    for (const RedFamily& family : red_families()) {
        if (family.source != RedFamily::Source::kOperations || !is_selected(selector, family))
            continue;
        found.each(family, [&](const PromLabels& labels, const std::vector<RedExemplar>& all) {
            if (!matches_labels(selector, labels) || written >= kExemplarsMax) return;
            json.begin_object().key("seriesLabels").begin_object();
            for (const auto& [name, value] : labels)
                json.field(name, value);
            json.end_object().key("exemplars").begin_array();
            for (const RedExemplar& one : all) {
                ++written;
                json.begin_object().key("labels").begin_object();
                json.field("trace_id", one.trace_id.hex()).field("span_id", one.span_id.hex());
                json.end_object();
                const double unit = family.is_ms ? 1e6 : 1e9;
                json.field("value", fmt::format("{}", static_cast<double>(one.duration_ns) / unit));
                json.key("timestamp")
                    .raw(fmt::format("{:.3f}", static_cast<double>(one.start_ns) / 1e9));
                json.end_object();
            }
            json.end_array().end_object();
        });
    }
    return {};
}

}  // namespace spanloom::api
