#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "base/metrics.h"

namespace spanloom {

enum class Protocol : uint8_t {
    kOtlpGrpc,
    kOtlpProtobuf,
    kOtlpJson,
    kZipkinJson,
    kZipkinProtobuf,
    kZipkinGrpc,
    kJaegerThrift,  // over HTTP
    kJaegerGrpc,
    kJaegerCompact,  // datagrams
    kJaegerBinary,
    kOther,  // not recognised as any of them
};

constexpr size_t kProtocols = 11;

// Why a whole request was refused.
enum class RefusalReason : uint8_t {
    kMalformed,
    kTooLarge,
    kEncoding,
    kContentType,
    kMethod,
    kPath,
    kSignal,  // logs, metrics, profiles
    kTenant,
    kMemory,      // no room at the moment
    kQuota,       // its service's share is used up
    kOverloaded,  // what comes after us says "later"
    kFailed,      // what comes after us failed
};

// What was received, by protocol and reason. Thread-safe; lives as long as the registry.
class ReceiveCounts {
  public:
    explicit ReceiveCounts(MetricsRegistry& registry);

    void request(Protocol protocol, uint64_t bytes);
    void spans(Protocol protocol, uint64_t good, uint64_t rejected);
    void accepted(Protocol protocol, uint64_t spans);
    void refused(Protocol protocol, RefusalReason reason);

  private:
    struct Series {
        Counter* requests;
        Counter* bytes;
        Counter* spans;
        Counter* accepted;
        Counter* rejected;
    };
    Series& of(Protocol protocol) { return series_[static_cast<size_t>(protocol)]; }

    MetricsRegistry& registry_;
    std::array<Series, kProtocols> series_;
};

}  // namespace spanloom
