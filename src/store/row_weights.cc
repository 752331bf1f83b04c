#include "store/row_weights.h"

#include <algorithm>

#include "otlp/tracestate.h"

namespace spanloom::store {
namespace {

Result<const ColumnBlock*> states_of(SegmentReader& reader, GroupReader& group) {
    return group.block(reader.column(Table::kSpans, Intrinsic::kTraceState));
}

}  // namespace

Result<std::vector<double>> row_weights(SegmentReader& reader, GroupReader& group) {
    std::vector<double> weights;
    const RowGroup& rows = group.rows();
    TRY_ASSIGN(const ColumnBlock* const states, states_of(reader, group));
    if (!states->codes.empty()) {
        weights.assign(rows.rows, 1);
        std::vector<double> by_code(states->strings.size(), 0);
        for (size_t i = 0; i < states->codes.size(); ++i) {
            double& weight = by_code[states->codes[i]];
            if (weight == 0) weight = otlp::adjusted_count(states->strings[states->codes[i]]).value;
            weights[states->dense ? i : states->rows[i]] = weight;
        }
    }
    const Segment& segment = reader.segment();
    TRY_ASSIGN(const auto thresholds, segment.thresholds());
    if (thresholds == nullptr || rows.rows == 0) return weights;
    weights.resize(rows.rows, 1);
    TRY_ASSIGN(uint32_t index, reader.fragment_of_row(rows.first_row));
    const uint32_t end = rows.first_row + rows.rows;
    for (uint32_t row = rows.first_row; row < end; ++index) {
        if (index >= thresholds->size())
            return fail(ErrorCode::kDataLoss, "segment: rows of no fragment");
        TRY_ASSIGN(const TraceFragment fragment, segment.fragment(index));
        const double weight = otlp::adjusted_count((*thresholds)[index]).value;
        for (; row < std::min(end, fragment.first_row + fragment.rows); ++row)
            weights[row - rows.first_row] = std::max(weights[row - rows.first_row], weight);
    }
    return weights;
}

Result<double> row_weight(SegmentReader& reader, GroupReader& group, uint32_t row) {
    double weight = 1;
    TRY_ASSIGN(const ColumnBlock* const states, states_of(reader, group));
    if (const auto at = position_of(*states, row); at && *at < states->codes.size())
        weight = otlp::adjusted_count(states->strings[states->codes[*at]]).value;
    TRY_ASSIGN(const auto thresholds, reader.segment().thresholds());
    if (thresholds == nullptr) return weight;
    TRY_ASSIGN(const uint32_t index, reader.fragment_of_row(group.rows().first_row + row));
    if (index >= thresholds->size()) return weight;
    return std::max(weight, otlp::adjusted_count((*thresholds)[index]).value);
}

}  // namespace spanloom::store
