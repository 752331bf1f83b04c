#include "store/edge_peers.h"

#include <array>
#include <string_view>

namespace spanloom::store {

PeerReader::PeerReader(SegmentReader& reader) {
    constexpr std::array<std::string_view, kKeys> kNames = {
        "peer.service",        "server.address", "network.peer.address", "network.peer.port",
        "db.namespace",        "db.name",        "db.system.name",       "db.system",
        "http.request.method", "http.method",    "rpc.system.name",      "rpc.system"};
    fields_.reserve(kKeys);
    for (const std::string_view name : kNames)
        fields_.emplace_back(reader, Field{Scope::kSpan, Intrinsic::kNone, std::string(name)});
}

// Empty where the row has no text of this key.
Result<std::string> PeerReader::text(GroupReader& group, uint32_t row, Key key) {
    TRY_ASSIGN(Value value, fields_[key].value(group, row, {}));
    return value.kind == ValueKind::kString ? std::move(value.text) : std::string();
}

Result<std::string> PeerReader::client_peer(GroupReader& group, uint32_t row,
                                            CallProtocol& protocol) {
    std::string database;
    for (const Key key :
         {kDatabaseNamespace, kDatabaseName, kDatabaseSystemName, kDatabaseSystem}) {
        if (!database.empty()) break;
        TRY_ASSIGN(database, text(group, row, key));
    }
    if (!database.empty()) protocol = CallProtocol::kDatabase;
    for (const Key key : {kPeerService, kServerAddress}) {
        TRY_ASSIGN(std::string name, text(group, row, key));
        if (!name.empty()) return name;
    }
    TRY_ASSIGN(std::string address, text(group, row, kNetworkPeerAddress));
    if (address.empty()) return database;
    TRY_ASSIGN(const Value port, fields_[kNetworkPeerPort].value(group, row, {}));
    if (port.kind == ValueKind::kInt) address += ":" + std::to_string(port.integer);
    return address;
}

Result<CallProtocol> PeerReader::protocol(GroupReader& group, uint32_t row) {
    for (const Key key : {kHttpRequestMethod, kRpcSystem, kHttpMethod, kRpcSystemName}) {
        TRY_ASSIGN(const Value value, fields_[key].value(group, row, {}));
        if (value.kind == ValueKind::kNil) continue;
        const bool is_http = key == kHttpRequestMethod || key == kHttpMethod;
        return is_http ? CallProtocol::kHttp : CallProtocol::kRpc;
    }
    return CallProtocol::kUnknown;
}

Result<void> PeerReader::read(GroupReader& group, uint32_t row, SpanEdge& edge) {
    using otlp::SpanKind;
    const bool calls = edge.kind == SpanKind::kClient || edge.kind == SpanKind::kProducer;
    if (!calls && edge.kind != SpanKind::kServer && edge.kind != SpanKind::kConsumer) return {};
    peer_.clear();
    if (calls) {
        TRY_ASSIGN(peer_, client_peer(group, row, edge.protocol));
    } else if (edge.kind == SpanKind::kServer && edge.parent_span_id.is_zero()) {
        // The address of a server is its own.
        TRY_ASSIGN(peer_, text(group, row, kPeerService));
    }
    edge.peer = peer_;
    if (edge.kind == SpanKind::kProducer || edge.kind == SpanKind::kConsumer) {
        edge.protocol = CallProtocol::kMessaging;
    } else if (edge.protocol == CallProtocol::kUnknown) {
        TRY_ASSIGN(edge.protocol, protocol(group, row));
    }
    return {};
}

}  // namespace spanloom::store
