#include "receive/quota.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/text.h"

namespace spanloom {
namespace {

constexpr const char* kOthers = "<other>";

}  // namespace

Result<ServiceQuota> parse_quota(std::string_view text) {
    const auto malformed = [&] {
        return fail(ErrorCode::kInvalidArgument,
                    "\"{}\" is no quota: write it like \"checkout 5000 spans/s\" or "
                    "\"checkout 2MiB/s\"; * stands for every other service",
                    text);
    };
    std::string_view rest = trim(text);
    if (!rest.ends_with("/s")) return malformed();
    rest = trim(rest.substr(0, rest.size() - 2));
    const bool is_spans = rest.ends_with("spans");
    if (is_spans) rest = trim(rest.substr(0, rest.size() - 5));
    const size_t space = rest.rfind(' ');
    if (space == std::string_view::npos) return malformed();
    ServiceQuota quota;
    quota.service = trim(rest.substr(0, space));
    const std::string_view number = rest.substr(space + 1);
    if (is_spans) {
        const auto spans = parse_int(number);
        if (!spans || *spans <= 0) return malformed();
        quota.spans_per_s = static_cast<uint64_t>(*spans);
    } else {
        const Result<uint64_t> bytes = parse_bytes(number);
        if (!bytes || *bytes == 0) return malformed();
        quota.bytes_per_s = *bytes;
    }
    if (quota.service.empty()) return malformed();
    return quota;
}

ServiceQuotas::ServiceQuotas(std::vector<ServiceQuota> quotas, std::function<double()> pressure,
                             const Clock& clock, MetricsRegistry& metrics)
    : quotas_(std::move(quotas)),
      pressure_(std::move(pressure)),
      clock_(clock),
      metrics_(metrics) {}

const ServiceQuota* ServiceQuotas::quota_of(std::string_view service) const {
    const ServiceQuota* any = nullptr;
    for (const ServiceQuota& quota : quotas_) {
        if (quota.service == service) return &quota;
        if (quota.service == "*") any = &quota;
    }
    return any;
}

ServiceQuotas::Bucket& ServiceQuotas::bucket(std::string_view service, uint64_t now_ns) {
    auto found = services_.find(service);
    if (found == services_.end()) {
        const bool has_own = std::any_of(quotas_.begin(), quotas_.end(), [&](const auto& quota) {
            return quota.service == service;
        });
        if (services_.size() >= kServicesMax && !has_own) service = kOthers;
        found = services_.try_emplace(std::string(service)).first;
        Bucket& made = found->second;
        if (made.filled_ns == 0) {
            made.quota = quota_of(service);
            made.filled_ns = now_ns;
            if (made.quota != nullptr) {
                made.spans = static_cast<double>(made.quota->spans_per_s * kBurst_s);
                made.bytes = static_cast<double>(made.quota->bytes_per_s * kBurst_s);
            }
        }
    }
    refill(found->second, now_ns);
    return found->second;
}

void ServiceQuotas::refill(Bucket& bucket, uint64_t now_ns) const {
    if (bucket.quota == nullptr || now_ns <= bucket.filled_ns) return;
    const double seconds = static_cast<double>(now_ns - bucket.filled_ns) * 1e-9;
    const auto fill = [&](double& held, uint64_t per_s) {
        held = std::min(held + seconds * static_cast<double>(per_s),
                        static_cast<double>(per_s * kBurst_s));
    };
    fill(bucket.spans, bucket.quota->spans_per_s);
    fill(bucket.bytes, bucket.quota->bytes_per_s);
    bucket.filled_ns = now_ns;
}

void ServiceQuotas::turn_window(uint64_t now_ns) {
    if (now_ns - window_ns_ < kWindowNs) return;
    const bool is_next = now_ns - window_ns_ < 2 * kWindowNs;
    last_services_ = 0;
    for (auto at = services_.begin(); at != services_.end();) {
        Bucket& bucket = at->second;
        const bool was_idle = bucket.window_bytes == 0 && bucket.last_bytes == 0;
        bucket.last_bytes = is_next ? bucket.window_bytes : 0;
        bucket.window_bytes = 0;
        if (bucket.last_bytes > 0) ++last_services_;
        // Its counter stays; a bucket that refilled is as good as a new one.
        at = was_idle ? services_.erase(at) : std::next(at);
    }
    last_bytes_ = is_next ? window_bytes_ : 0;
    window_bytes_ = 0;
    window_ns_ = now_ns;
}

bool ServiceQuotas::is_over_share(const Bucket& bucket) const {
    if (last_services_ < 2) return false;
    const uint64_t mean = last_bytes_ / last_services_;
    return bucket.last_bytes > mean * kFairTimes && bucket.window_bytes > mean;
}

ServiceQuotas::Verdict ServiceQuotas::judge(const Batch& batch) {
    const uint64_t now_ns = clock_.monotonic_ns();
    const bool is_pressed = pressure_ && pressure_() >= kPressure;
    struct Part {
        uint64_t spans = 0;
        uint64_t bytes = 0;
    };
    std::vector<Part> parts(batch.resources.size());
    for (const SpanRef& span : batch.spans) {
        Part& part = parts[batch.scopes[span.scope].resource];
        part.spans += 1;
        part.bytes += span.message.size;
    }
    Verdict verdict;
    const std::lock_guard lock(mutex_);
    turn_window(now_ns);
    for (size_t i = 0; i < parts.size(); ++i) {
        if (parts[i].spans == 0) continue;
        const std::string_view service = batch.resource(batch.resources[i]).service_name();
        Bucket& bucket = this->bucket(service, now_ns);
        const ServiceQuota* quota = bucket.quota;
        const bool has_no_spans = quota != nullptr && quota->spans_per_s != 0 && bucket.spans <= 0;
        const bool has_no_bytes = quota != nullptr && quota->bytes_per_s != 0 && bucket.bytes <= 0;
        const bool is_unfair = is_pressed && is_over_share(bucket);
        if (!has_no_spans && !has_no_bytes && !is_unfair) {
            bucket.spans -= static_cast<double>(parts[i].spans);
            bucket.bytes -= static_cast<double>(parts[i].bytes);
            bucket.window_bytes += parts[i].bytes;
            window_bytes_ += parts[i].bytes;
            continue;
        }
        if (bucket.refused == nullptr) {
            const std::string name(service.substr(0, 100));
            const bool is_known = counted_.contains(name) || counted_.size() < kServicesMax;
            if (is_known) counted_.insert(name);
            bucket.refused = &metrics_.counter("quota_refused_spans_total",
                                               "Spans refused because of their service's share.",
                                               {{"service", is_known ? name : kOthers}});
        }
        bucket.refused->add(parts[i].spans);
        verdict.is_refused.resize(batch.resources.size());
        verdict.is_refused[i] = true;
        verdict.spans += parts[i].spans;
        verdict.retry_after_s = is_unfair ? 2 : 1;
        verdict.reason =
            is_unfair
                ? fmt::format(
                      "the service '{}' sends more than its fair share while "
                      "the store is under pressure",
                      service.substr(0, 100))
                : fmt::format("the service '{}' is over its quota of {}", service.substr(0, 100),
                              has_no_spans ? fmt::format("{} spans/s", quota->spans_per_s)
                                           : format_bytes(quota->bytes_per_s) + "/s");
    }
    verdict.is_whole = verdict.spans == batch.spans.size() && verdict.spans > 0;
    return verdict;
}

}  // namespace spanloom
