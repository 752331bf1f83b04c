#include "rollup/span_counts.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "rollup/rollup_series.h"
#include "store/segment_bytes.h"

namespace spanloom {
namespace {

constexpr uint8_t kVersion = 3;
constexpr uint8_t kVersionMin = 1;

// Of steps that are numbered by the minute with which they begin.
PackedRollup renumbered(const PackedRollup& section) {
    PackedRollup to;
    static_cast<RollupFacts&>(to) = section;
    RollupPacker packer(to);
    for (PackedGroups groups(section); groups.next();) {
        std::vector<RollupCell> cells(groups.cells().begin(), groups.cells().end());
        for (RollupCell& cell : cells)
            cell.step /= section.step_s / kMinuteStepS;
        packer.add(cells, groups.durations());
    }
    packer.finish();
    return to;
}

}  // namespace

// Short steps do not stay for long, and are many: they are written as segments have theirs.
std::string encode_counted(const RollupSection& section) {
    return section.step_s == kShortStepS ? encode_section(section) : encode_series(section);
}

std::string encode_span_counts(const RollupSection& operations, const RollupSection& edges) {
    return join_span_counts(std::max(operations.step_s, edges.step_s), encode_counted(operations),
                            encode_counted(edges));
}

std::string join_span_counts(uint32_t step_s, std::string_view operations, std::string_view edges) {
    std::string bytes;
    if (operations.empty() && edges.empty()) return bytes;
    store::ByteWriter out(bytes);
    out.u8(kVersion);
    out.varint(step_s);
    out.text(operations);
    out.text(edges);
    return bytes;
}

Result<SpanCounts> decode_span_counts(std::string_view bytes) {
    SpanCounts counts;
    if (bytes.empty()) return counts;
    const auto damaged = [] { return fail(ErrorCode::kDataLoss, "counts: they are damaged"); };
    store::ByteReader in(bytes);
    const uint8_t version = in.u8();
    if (version < kVersionMin || version > kVersion)
        return fail(ErrorCode::kUnsupported,
                    "counts: version {} is not known here, only {} to {}; use a newer spanloom",
                    version, kVersionMin, kVersion);
    // Version 1 has it in minutes, and numbers steps by the minute with which they begin.
    const bool is_in_minutes = version == 1;
    const auto unit_s = is_in_minutes ? kMinuteStepS : 1;
    const auto step_s = static_cast<uint32_t>(in.varint_max(kHourStepS / unit_s)) * unit_s;
    const std::string_view operations = in.text();
    const std::string_view edges = in.text();
    if (!in.ok() || !in.at_end() || !is_rollup_step(step_s)) return damaged();
    TRY_ASSIGN(counts.operations, decode_rollup(operations, step_s));
    TRY_ASSIGN(counts.edges, decode_rollup(edges, step_s));
    if (!is_in_minutes) return counts;
    return SpanCounts{renumbered(counts.operations), renumbered(counts.edges)};
}

// Buckets that lie beside each other become one, which is known by the one in the middle.
uint16_t RollupSum::merged(uint32_t bucket) const {
    const uint32_t bits = detail_.merged_bits;
    if (bits == 0) return static_cast<uint16_t>(bucket);
    return static_cast<uint16_t>(bucket >> bits << bits | 1U << (bits - 1));
}

void RollupSum::Cell::add(const Cell& more) {
    spans += more.spans;
    errors += more.errors;
    weighted += more.weighted;
    bytes += more.bytes;
    Buckets sum;
    sum.reserve(buckets.size() + more.buckets.size());
    auto left = buckets.begin();
    auto right = more.buckets.begin();
    while (left != buckets.end() || right != more.buckets.end()) {
        const bool is_right =
            left == buckets.end() || (right != more.buckets.end() && right->first < left->first);
        const auto& next = is_right ? *right++ : *left++;
        if (sum.empty() || sum.back().first != next.first)
            sum.push_back(next);
        else
            sum.back().second += next.second;
    }
    buckets = std::move(sum);
}

void RollupSum::Operation::add(const Operation& more) {
    spans += more.spans;
    for (const auto& [step, from] : more.cells)
        cells[step].add(from);
}

void RollupSum::add(const PackedRollup& section) {
    Operation* operation = nullptr;
    uint32_t number = UINT32_MAX;
    for (PackedGroups groups(section); groups.next();) {
        if (operation == nullptr || groups.operation() != number) {
            number = groups.operation();
            const RollupOperation& one = section.operations[number];
            operation =
                &operations_[Key(section.services[one.service], one.name, one.kind, one.is_error)];
        }
        for (size_t i = 0; i < groups.cells().size(); ++i) {
            const RollupCell& from = groups.cells()[i];
            Cell more{0, from.errors, from.weighted, from.bytes, {}};
            for (const auto& [bucket, count] : groups.durations_of(i)) {
                more.buckets.emplace_back(merged(bucket), count);
                more.spans += count;
            }
            operation->spans += more.spans;
            cell(*operation, section.begin_ns(from)).add(more);
        }
    }
}

void RollupSum::add(std::string_view service, std::string_view name, otlp::SpanKind kind,
                    uint64_t begin_ns, uint64_t errors, double weighted,
                    const DurationHistogram& durations) {
    Operation& operation = operations_[Key(service, name, kind, false)];
    Cell more{durations.count(), errors, weighted, 0, {}};
    for (const auto& [bucket, count] : durations.buckets())
        more.buckets.emplace_back(merged(bucket), count);
    operation.spans += more.spans;
    cell(operation, begin_ns).add(more);
}

// What is over the limits becomes one operation of each kind and status.
void RollupSum::join_rarest() {
    std::vector<std::map<Key, Operation>::iterator> order;
    for (auto at = operations_.begin(); at != operations_.end(); ++at)
        order.push_back(at);
    std::stable_sort(order.begin(), order.end(), [](const auto& a, const auto& b) {
        return a->second.spans > b->second.spans;
    });
    size_t kept = 0;
    size_t cells = 0;
    for (; kept < std::min<size_t>(order.size(), kSectionOperationsMax); ++kept) {
        cells += order[kept]->second.cells.size();
        if (cells > cells_max_) break;
    }
    std::map<std::pair<otlp::SpanKind, bool>, Operation> others;
    for (size_t i = kept; i < order.size(); ++i) {
        const auto& [service, name, kind, is_error] = order[i]->first;
        others[{kind, is_error}].add(order[i]->second);
        operations_.erase(order[i]);
    }
    for (auto& [key, other] : others)
        operations_[Key(kOtherOperation, kOtherOperation, key.first, key.second)].add(other);
}

RollupSection RollupSum::finish() {
    join_rarest();
    RollupSection section;
    section.step_s = step_s_;
    section.detail = detail_;
    for (const auto& [key, operation] : operations_) {
        const auto& [service, name, kind, is_error] = key;
        if (section.services.empty() || section.services.back() != service)
            section.services.push_back(service);
        const auto number = static_cast<uint32_t>(section.operations.size());
        section.operations.push_back(
            {static_cast<uint32_t>(section.services.size() - 1), name, kind, is_error});
        for (const auto& [step, from] : operation.cells) {
            RollupCell cell;
            cell.operation = number;
            cell.step = step;
            cell.errors = from.errors;
            cell.weighted = from.weighted;
            cell.bytes = from.bytes;
            cell.first_bucket = static_cast<uint32_t>(section.buckets.size());
            for (const auto& [bucket, count] : from.buckets) {
                section.buckets.emplace_back(
                    bucket, static_cast<uint32_t>(std::min<uint64_t>(count, UINT32_MAX)));
                cell.count += section.buckets.back().second;
            }
            cell.buckets = static_cast<uint32_t>(section.buckets.size()) - cell.first_bucket;
            section.cells.push_back(cell);
        }
    }
    operations_.clear();
    return section;
}

}  // namespace spanloom
