#include "receive/admission.h"

#include <utility>

#include <fmt/format.h>

namespace spanloom {

Admission::Admission(const ReceiveParts& parts, const ReceiveOptions& options)
    : quotas_(parts.quotas),
      limits_(options.span_limits),
      decode_(options.decode),
      cut_spans_(parts.metrics.counter("cut_spans_total",
                                       "Spans of which something was beyond the limits.")),
      dropped_attributes_(parts.metrics.counter(
          "dropped_attributes_total", "Attributes dropped because of their number or size.")),
      cut_values_(parts.metrics.counter("cut_values_total",
                                        "Texts and bytes in attributes that were cut.")) {}

OrRefused<void> Admission::admit(Batch& batch) const {
    ServiceQuotas::Verdict verdict;
    if (quotas_ != nullptr && !batch.spans.empty()) verdict = quotas_->judge(batch);
    if (verdict.is_whole)
        return tl::unexpected(
            Refused{RefusalReason::kQuota, {429, 8, verdict.reason, verdict.retry_after_s}});
    if (verdict.spans == 0 && !exceeds(batch, limits_)) return {};
    const auto keeps = [&](uint32_t span) {
        return verdict.is_refused.empty() ||
               !verdict.is_refused[batch.scopes[batch.spans[span].scope].resource];
    };
    CutCounts counts;
    Result<Batch> made = rewrite(batch, keeps, limits_, decode_, counts);
    if (!made) return tl::unexpected(Refused::reading(made.error()));
    cut_spans_.add(counts.spans);
    dropped_attributes_.add(counts.attributes);
    cut_values_.add(counts.values);
    batch = std::move(*made);
    if (verdict.spans == 0) return {};
    batch.spans_rejected += verdict.spans;
    if (!batch.rejection.empty()) batch.rejection += "; ";
    batch.rejection += fmt::format("{} spans refused: {}", verdict.spans, verdict.reason);
    return {};
}

}  // namespace spanloom
