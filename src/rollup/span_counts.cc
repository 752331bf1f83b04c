#include "rollup/span_counts.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "store/segment_bytes.h"

namespace spanloom {
namespace {

constexpr uint8_t kVersion = 1;

}  // namespace

std::string encode_span_counts(const SpanCounts& counts) {
    std::string bytes;
    if (counts.operations.cells.empty() && counts.edges.cells.empty()) return bytes;
    store::ByteWriter out(bytes);
    out.u8(kVersion);
    out.varint(std::max(counts.operations.step_minutes, counts.edges.step_minutes));
    out.text(encode_section(counts.operations));
    out.text(encode_section(counts.edges));
    return bytes;
}

Result<SpanCounts> decode_span_counts(std::string_view bytes) {
    SpanCounts counts;
    if (bytes.empty()) return counts;
    store::ByteReader in(bytes);
    const uint8_t version = in.u8();
    if (version != kVersion)
        return fail(ErrorCode::kUnsupported,
                    "counts: version {} is not known here, only {}; use a newer spanloom", version,
                    kVersion);
    const auto step = static_cast<uint32_t>(in.varint_max(kRollupHourMinutes));
    const std::string_view operations = in.text();
    const std::string_view edges = in.text();
    if (!in.ok() || (step != 1 && step != kRollupHourMinutes))
        return fail(ErrorCode::kDataLoss, "counts: they are damaged");
    TRY_ASSIGN(counts.operations, decode_rollup(operations));
    TRY_ASSIGN(counts.edges, decode_rollup(edges));
    counts.operations.step_minutes = step;
    counts.edges.step_minutes = step;
    return counts;
}

void RollupSum::Cell::add(uint64_t more_errors, double more_weighted,
                          const DurationHistogram& more) {
    errors += more_errors;
    weighted += more_weighted;
    durations.add(more);
}

void RollupSum::add(const RollupSection& section) {
    Operation* operation = nullptr;
    uint32_t number = UINT32_MAX;
    for (const RollupCell& from : section.cells) {
        if (operation == nullptr || from.operation != number) {
            number = from.operation;
            const RollupOperation& one = section.operations[number];
            operation = &operations_[Key(section.services[one.service], one.name, one.kind)];
        }
        operation->spans += from.count;
        Cell& to = cell(*operation, from.minute);
        to.errors += from.errors;
        to.weighted += from.weighted;
        section.add_durations(from, to.durations);
    }
}

void RollupSum::add(std::string_view service, std::string_view name, otlp::SpanKind kind,
                    uint32_t minute, uint64_t errors, double weighted,
                    const DurationHistogram& durations) {
    Operation& operation = operations_[Key(service, name, kind)];
    operation.spans += durations.count();
    cell(operation, minute).add(errors, weighted, durations);
}

// What is over the limit becomes one operation of each kind.
void RollupSum::join_rarest() {
    if (operations_.size() <= kSectionOperationsMax) return;
    std::vector<std::map<Key, Operation>::iterator> order;
    for (auto at = operations_.begin(); at != operations_.end(); ++at)
        order.push_back(at);
    std::stable_sort(order.begin(), order.end(), [](const auto& a, const auto& b) {
        return a->second.spans > b->second.spans;
    });
    std::map<otlp::SpanKind, Operation> others;
    for (size_t i = kSectionOperationsMax; i < order.size(); ++i) {
        Operation& other = others[std::get<2>(order[i]->first)];
        for (const auto& [minute, from] : order[i]->second.cells)
            other.cells[minute].add(from.errors, from.weighted, from.durations);
        operations_.erase(order[i]);
    }
    for (auto& [kind, other] : others) {
        Operation& at = operations_[Key(kOtherOperation, kOtherOperation, kind)];
        for (const auto& [minute, from] : other.cells)
            at.cells[minute].add(from.errors, from.weighted, from.durations);
    }
}

RollupSection RollupSum::finish() {
    join_rarest();
    RollupSection section;
    section.step_minutes = step_minutes_;
    for (const auto& [key, operation] : operations_) {
        const auto& [service, name, kind] = key;
        if (section.services.empty() || section.services.back() != service)
            section.services.push_back(service);
        const auto number = static_cast<uint32_t>(section.operations.size());
        section.operations.push_back(
            {static_cast<uint32_t>(section.services.size() - 1), name, kind});
        for (const auto& [minute, from] : operation.cells) {
            RollupCell cell;
            cell.operation = number;
            cell.minute = minute;
            cell.count = from.durations.count();
            cell.errors = from.errors;
            cell.weighted = from.weighted;
            cell.first_bucket = static_cast<uint32_t>(section.buckets.size());
            for (const auto& [bucket, count] : from.durations.buckets())
                section.buckets.emplace_back(
                    static_cast<uint16_t>(bucket),
                    static_cast<uint32_t>(std::min<uint64_t>(count, UINT32_MAX)));
            cell.buckets = static_cast<uint32_t>(section.buckets.size()) - cell.first_bucket;
            section.cells.push_back(cell);
        }
    }
    operations_.clear();
    return section;
}

}  // namespace spanloom
