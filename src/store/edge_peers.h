#pragma once

#include <string>
#include <vector>

#include "store/field_reader.h"
#include "store/search.h"

namespace spanloom::store {

// Finds in the attributes of one segment's spans what is at the other side of them, and how it is
// called: OpenTelemetry's keys, old and new, the most telling first. One thread; lives as long as
// its query.
class PeerReader {
  public:
    explicit PeerReader(SegmentReader& reader);
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
        kHttpRequestMethod,
        kHttpMethod,
        kRpcSystemName,
        kRpcSystem,
        kKeys,
    };
    Result<std::string> text(GroupReader& group, uint32_t row, Key key);
    Result<std::string> client_peer(GroupReader& group, uint32_t row, CallProtocol& protocol);
    Result<CallProtocol> protocol(GroupReader& group, uint32_t row);

    std::vector<FieldReader> fields_;  // by Key
    std::string peer_;
};

}  // namespace spanloom::store
