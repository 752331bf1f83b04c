#include "store/segment_rollup.h"

#include <algorithm>
#include <map>
#include <memory>
#include <tuple>
#include <unordered_map>
#include <vector>

#include "otlp/tracestate.h"
#include "otlp/view.h"

namespace spanloom::store {
namespace {

// Values of one column by row; rows come in order.
class RowValues {
  public:
    explicit RowValues(std::shared_ptr<const ColumnBlock> block) : block_(std::move(block)) {}

    // Where the row's value is; false: it has none.
    bool find(uint32_t row, size_t& at) {
        if (block_->dense) {
            at = row;
            return row < block_->size();
        }
        while (next_ < block_->rows.size() && block_->rows[next_] < row)
            ++next_;
        at = next_;
        return next_ < block_->rows.size() && block_->rows[next_] == row;
    }
    int64_t integer(uint32_t row) {
        size_t at = 0;
        return find(row, at) ? block_->integers[at] : 0;
    }
    std::string_view text(uint32_t row) {
        size_t at = 0;
        return find(row, at) ? block_->strings[block_->codes[at]] : std::string_view();
    }
    // Equal for equal texts of the block, as far as its dictionary has each once.
    uint32_t code(uint32_t row) {
        size_t at = 0;
        return find(row, at) ? block_->codes[at] : UINT32_MAX;
    }
    std::string_view text_of(uint32_t code) const {
        return code == UINT32_MAX ? std::string_view() : block_->strings[code];
    }

  private:
    std::shared_ptr<const ColumnBlock> block_;
    size_t next_ = 0;
};

class Counting {
  public:
    explicit Counting(const Segment& segment) : segment_(segment) {}

    Result<std::string> run(const Blob& counted, const RollupFunction& rollup) {
        for (uint32_t scope = 0; scope < segment_.scope_count(); ++scope)
            services_.emplace_back(
                otlp::ResourceView::parse(segment_.resource_message(segment_.scope_resource(scope)))
                    .service_name());
        for (uint32_t group = 0; group < segment_.row_groups().size(); ++group)
            if (segment_.row_groups()[group].rows > 0) TRY(add_group(group));
        std::vector<OperationKey> keys(operations_.size());
        for (const auto& [key, number] : operations_)
            keys[number] = {std::get<0>(key), std::get<1>(key), std::get<2>(key)};
        return rollup({keys,
                       operation_,
                       start_ns_,
                       duration_ns_,
                       is_error_,
                       weight_,
                       {},
                       std::span(&counted, 1)});
    }

  private:
    using Key = std::tuple<std::string, std::string, otlp::SpanKind>;

    // What a group's rows say of their operation.
    struct RowOperation {
        uint32_t scope = 0;
        uint32_t name = 0;  // its code
        uint8_t kind = 0;
        bool operator==(const RowOperation&) const = default;
        struct Hash {
            size_t operator()(const RowOperation& one) const {
                const uint64_t both = uint64_t{one.scope} << 32 | one.name;
                return static_cast<size_t>((both * 8 + one.kind) * 0x9e3779b97f4a7c15ULL >> 16);
            }
        };
    };
    uint32_t operation_of(const RowOperation& row, const RowValues& names) {
        const std::string service = row.scope < services_.size() ? services_[row.scope] : "";
        const auto number = static_cast<uint32_t>(operations_.size());
        return operations_
            .try_emplace(
                Key(service, names.text_of(row.name), static_cast<otlp::SpanKind>(row.kind)),
                number)
            .first->second;
    }

    template <typename Wanted>
    Result<RowValues> values(uint32_t group, Wanted wanted) const {
        const auto columns = segment_.columns();
        const auto at = std::find_if(columns.begin(), columns.end(), [&](const ColumnKey& key) {
            return key.table == Table::kSpans && key.scope == Scope::kIntrinsic && wanted(key);
        });
        TRY_ASSIGN(auto block, segment_.read(static_cast<uint32_t>(at - columns.begin()), group));
        return RowValues(std::move(block));
    }
    Result<RowValues> values(uint32_t group, Intrinsic intrinsic) const {
        return values(group, [&](const ColumnKey& key) { return key.intrinsic == intrinsic; });
    }

    Result<void> add_group(uint32_t group) {
        TRY_ASSIGN(RowValues names, values(group, Intrinsic::kName));
        TRY_ASSIGN(RowValues kinds, values(group, Intrinsic::kKind));
        TRY_ASSIGN(RowValues statuses, values(group, Intrinsic::kStatus));
        TRY_ASSIGN(RowValues starts, values(group, Intrinsic::kStart));
        TRY_ASSIGN(RowValues durations, values(group, Intrinsic::kDuration));
        TRY_ASSIGN(RowValues states, values(group, Intrinsic::kTraceState));
        TRY_ASSIGN(RowValues scopes, values(group, [](const ColumnKey& key) {
                       return key.row_field == RowField::kScopeIndex;
                   }));
        std::unordered_map<RowOperation, uint32_t, RowOperation::Hash> numbers;
        const size_t first = weight_.size();
        for (uint32_t row = 0; row < segment_.row_groups()[group].rows; ++row) {
            const int64_t kind = kinds.integer(row);
            const auto scope = static_cast<uint32_t>(scopes.integer(row));
            const auto [known, is_new] = numbers.try_emplace(
                {scope, names.code(row), static_cast<uint8_t>(kind >= 0 && kind <= 5 ? kind : 0)});
            if (is_new) known->second = operation_of(known->first, names);
            operation_.push_back(known->second);
            start_ns_.push_back(static_cast<uint64_t>(starts.integer(row)));
            duration_ns_.push_back(
                static_cast<uint64_t>(std::max<int64_t>(durations.integer(row), 0)));
            is_error_.push_back(statuses.integer(row) ==
                                static_cast<int64_t>(otlp::StatusCode::kError));
            const std::string_view state = states.text(row);
            weight_.push_back(state.empty() ? 1 : otlp::adjusted_count(state).value);
        }
        return weigh(group, first);
    }

    // The rows of a group lie from `first` on.
    Result<void> weigh(uint32_t group, size_t first) {
        TRY_ASSIGN(const auto thresholds, segment_.thresholds());
        if (thresholds == nullptr) return {};
        const RowGroup& rows = segment_.row_groups()[group];
        for (uint32_t row = rows.first_row; row < rows.first_row + rows.rows; ++row) {
            TRY_ASSIGN(TraceFragment fragment, segment_.fragment(fragment_));
            while (row >= fragment.first_row + fragment.rows) {
                TRY_ASSIGN(fragment, segment_.fragment(++fragment_));
            }
            double& weight = weight_[first + row - rows.first_row];
            weight = std::max(weight, otlp::adjusted_count((*thresholds)[fragment_]).value);
        }
        return {};
    }

    const Segment& segment_;
    std::vector<std::string> services_;  // by scope
    std::map<Key, uint32_t> operations_;
    uint32_t fragment_ = 0;  // of the row read last
    std::vector<uint32_t> operation_;
    std::vector<uint64_t> start_ns_;
    std::vector<uint64_t> duration_ns_;
    std::vector<uint8_t> is_error_;
    std::vector<double> weight_;
};

}  // namespace

Result<std::string> count_rows(const Segment& segment, const Blob& counted,
                               const RollupFunction& rollup) {
    return Counting(segment).run(counted, rollup);
}

}  // namespace spanloom::store
