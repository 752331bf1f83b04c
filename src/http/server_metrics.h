#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <string>
#include <string_view>

#include "base/metrics.h"
#include "http/session.h"

namespace spanloom::http {

enum class Protocol : uint8_t { kHttp1, kHttp2, kGrpc };

// What one endpoint counts. Labels are fixed here, never taken from requests. Any thread.
class EndpointMetrics {
  public:
    EndpointMetrics(MetricsRegistry& registry, const std::string& endpoint);

    void answered(Protocol protocol, const Response& response);
    void refused(RefusalReason reason) { refused_[static_cast<size_t>(reason)]->add(); }
    void received(uint64_t bytes) { received_bytes_->add(bytes); }
    void sent(uint64_t bytes) { sent_bytes_->add(bytes); }
    void opened() {
        connections_->add();
        open_->fetch_add(1, std::memory_order_relaxed);
    }
    void closed() { open_->fetch_sub(1, std::memory_order_relaxed); }

  private:
    static constexpr size_t kClasses = 5;  // 1xx to 5xx

    std::array<std::array<Counter*, kClasses>, 3> requests_{};
    std::array<Counter*, kRefusalReasons> refused_{};
    Counter* connections_;
    Counter* received_bytes_;
    Counter* sent_bytes_;
    // Shared with the gauge, which lives as long as the registry.
    std::shared_ptr<std::atomic<int64_t>> open_;
};

std::string_view refusal_reason_name(RefusalReason reason);

}  // namespace spanloom::http
