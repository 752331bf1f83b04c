#include "rollup/rollup_operations.h"

#include <algorithm>
#include <map>
#include <string_view>
#include <tuple>

namespace spanloom {

ChosenOperations choose_operations(const store::RollupRows& rows) {
    ChosenOperations chosen;
    std::vector<uint64_t> counts(rows.operations.size());
    for (const uint32_t operation : rows.operation)
        ++counts[operation];
    std::vector<uint32_t> order;
    for (uint32_t i = 0; i < counts.size(); ++i) {
        if (counts[i] > 0) order.push_back(i);
    }
    const auto key = [&](uint32_t i) {
        const store::OperationKey& one = rows.operations[i];
        return std::make_tuple(one.service, one.name, one.kind);
    };
    if (order.size() > kSectionOperationsMax) {
        std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
            return counts[a] != counts[b] ? counts[a] > counts[b] : key(a) < key(b);
        });
    }
    chosen.place.assign(counts.size(), 0);
    const size_t kept = std::min<size_t>(order.size(), kSectionOperationsMax);
    std::sort(order.begin(), order.begin() + static_cast<ptrdiff_t>(kept),
              [&](uint32_t a, uint32_t b) { return key(a) < key(b); });
    for (size_t i = 0; i < kept; ++i) {
        chosen.place[order[i]] = static_cast<uint32_t>(i);
        chosen.kept.push_back(rows.operations[order[i]]);
    }
    // What is over: one operation of each kind, of a service by that name too.
    std::map<otlp::SpanKind, uint32_t> others;
    for (size_t i = kept; i < order.size(); ++i) {
        const otlp::SpanKind kind = rows.operations[order[i]].kind;
        const auto [at, is_new] = others.emplace(kind, static_cast<uint32_t>(chosen.kept.size()));
        if (is_new) chosen.kept.push_back({kOtherOperation, kOtherOperation, kind});
        chosen.place[order[i]] = at->second;
    }
    return chosen;
}

// Of the byte that has the kind.
constexpr uint8_t kIsError = 8;

void write_operations(const std::vector<std::string>& services,
                      const std::vector<RollupOperation>& operations, store::ByteWriter& out) {
    out.varint(services.size());
    for (const std::string& service : services)
        out.text(service);
    out.varint(operations.size());
    for (const RollupOperation& operation : operations) {
        out.varint(operation.service);
        out.u8(static_cast<uint8_t>(static_cast<uint8_t>(operation.kind) |
                                    (operation.is_error ? kIsError : 0)));
        out.text(operation.name);
    }
}

bool read_operations(store::ByteReader& in, RollupFacts& facts) {
    const uint64_t services = in.varint_max(in.rest().size());
    for (uint64_t i = 0; i < services && in.ok(); ++i)
        facts.services.emplace_back(in.text());
    const uint64_t operations = in.varint_max(in.rest().size());
    for (uint64_t i = 0; i < operations && in.ok(); ++i) {
        RollupOperation& operation = facts.operations.emplace_back();
        operation.service = static_cast<uint32_t>(in.varint_max(UINT32_MAX));
        const uint8_t flags = in.u8();
        const uint8_t kind = flags & (kIsError - 1);
        operation.is_error = (flags & kIsError) != 0;
        operation.kind = static_cast<otlp::SpanKind>(kind <= 5 ? kind : 0);
        operation.name = in.text();
        if (operation.service >= facts.services.size()) return false;
    }
    return in.ok();
}

}  // namespace spanloom
