#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "store/group_reader.h"
#include "store/search.h"

namespace spanloom::store {

// Finds in the attributes of one segment's spans what is at the other side of them: OpenTelemetry's
// keys, old and new, the most telling first. One thread; lives as long as its query.
class PeerReader {
  public:
    explicit PeerReader(const SegmentReader& reader);
    // The name is valid until the next call.
    Result<void> read(GroupReader& group, uint32_t row, SpanEdge& edge);

  private:
    enum Key : uint8_t {
        kPeerService,
        kServerAddress,
        kNetworkPeerAddress,
        kNetworkPeerPort,
        kDatabaseNamespace,
        kDatabaseName,
        kDatabaseSystemName,
        kDatabaseSystem,
        kKeys,
    };
    Result<std::string_view> text(GroupReader& group, uint32_t row, Key key);
    Result<std::optional<int64_t>> port(GroupReader& group, uint32_t row);

    const Segment& segment_;
    std::array<std::vector<uint32_t>, kKeys> columns_;
    std::string address_;
};

}  // namespace spanloom::store
