#pragma once

#include "receive/body.h"
#include "receive/otlp_receiver.h"
#include "receive/quota.h"
#include "receive/span_limits.h"

namespace spanloom {

// What happens to a decoded request before the store gets it: quotas of its services, and limits of
// its spans. Shared by the receivers. Thread-safe.
class Admission {
  public:
    Admission(const ReceiveParts& parts, const ReceiveOptions& options);

    // Refused as a whole, or what is left of it: the rest is counted in spans_rejected.
    OrRefused<void> admit(Batch& batch) const;

  private:
    ServiceQuotas* const quotas_;
    const SpanLimits limits_;
    const otlp::DecodeLimits decode_;
    Counter& cut_spans_;
    Counter& dropped_attributes_;
    Counter& cut_values_;
};

}  // namespace spanloom
