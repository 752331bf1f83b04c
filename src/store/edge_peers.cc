#include "store/edge_peers.h"

namespace spanloom::store {
namespace {

constexpr std::array<std::string_view, 8> kNames = {
    "peer.service", "server.address", "network.peer.address", "network.peer.port",
    "db.namespace", "db.name",        "db.system.name",       "db.system"};

}  // namespace

PeerReader::PeerReader(const SegmentReader& reader) : segment_(reader.segment()) {
    static_assert(kNames.size() == kKeys);
    for (size_t key = 0; key < kNames.size(); ++key)
        columns_[key] = reader.attribute_columns(Table::kSpans, kNames[key]);
}

// Empty where the row has no text of this key.
Result<std::string_view> PeerReader::text(GroupReader& group, uint32_t row, Key key) {
    for (const uint32_t column : columns_[key]) {
        if (segment_.columns()[column].type != ColumnType::kString) continue;
        TRY_ASSIGN(const ColumnBlock* block, group.block(column));
        const auto at = position_of(*block, row);
        if (at && *at < block->codes.size()) return block->strings[block->codes[*at]];
    }
    return std::string_view();
}

Result<std::optional<int64_t>> PeerReader::port(GroupReader& group, uint32_t row) {
    for (const uint32_t column : columns_[kNetworkPeerPort]) {
        const ColumnKey& key = segment_.columns()[column];
        if (key.type != ColumnType::kInt || key.is_boolean) continue;
        TRY_ASSIGN(const ColumnBlock* block, group.block(column));
        const auto at = position_of(*block, row);
        if (at && *at < block->integers.size()) return block->integers[*at];
    }
    return std::nullopt;
}

Result<void> PeerReader::read(GroupReader& group, uint32_t row, SpanEdge& edge) {
    using otlp::SpanKind;
    if (edge.kind == SpanKind::kServer && edge.parent_span_id.is_zero()) {
        // The address of a server is its own.
        TRY_ASSIGN(edge.peer, text(group, row, kPeerService));
        return {};
    }
    if (edge.kind != SpanKind::kClient && edge.kind != SpanKind::kProducer) return {};
    std::string_view database;
    for (const Key key :
         {kDatabaseNamespace, kDatabaseName, kDatabaseSystemName, kDatabaseSystem}) {
        TRY_ASSIGN(const std::string_view name, text(group, row, key));
        edge.is_database = edge.is_database || !name.empty();
        if (database.empty()) database = name;
    }
    for (const Key key : {kPeerService, kServerAddress}) {
        TRY_ASSIGN(edge.peer, text(group, row, key));
        if (!edge.peer.empty()) return {};
    }
    TRY_ASSIGN(const std::string_view address, text(group, row, kNetworkPeerAddress));
    if (!address.empty()) {
        TRY_ASSIGN(const auto number, port(group, row));
        address_ = address;
        if (number) address_ += ":" + std::to_string(*number);
        edge.peer = address_;
        return {};
    }
    edge.peer = database;
    return {};
}

}  // namespace spanloom::store
