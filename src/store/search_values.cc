#include <algorithm>
#include <cstring>
#include <optional>
#include <set>
#include <unordered_set>
#include <utility>

#include "store/predicate_node.h"
#include "store/search.h"
#include "store/trace_summary.h"

namespace spanloom::store {
namespace {

struct ValueOrder {
    bool operator()(const Value& a, const Value& b) const { return value_before(a, b); }
};

// The smallest `limit` distinct values.
class DistinctValues {
  public:
    explicit DistinctValues(uint32_t limit) : limit_(limit) {}

    void add(Value value) {
        if (value.kind == ValueKind::kNil || limit_ == 0) return;
        if (values_.size() >= limit_ && !value_before(value, *values_.rbegin())) return;
        values_.insert(std::move(value));
        if (values_.size() > limit_) values_.erase(std::prev(values_.end()));
    }
    void add_text(std::string_view text) {
        if (values_.size() >= limit_ && !values_.empty()) {
            const Value& last = *values_.rbegin();
            if (last.kind == ValueKind::kString && text >= last.text) return;
        }
        add(Value::of_string(std::string(text)));
    }
    std::vector<Value> sorted() && { return {values_.begin(), values_.end()}; }

  private:
    uint32_t limit_;
    std::set<Value, ValueOrder> values_;
};

bool is_scope_field(const Field& field) {
    return field.scope == Scope::kResource || field.scope == Scope::kInstrumentation ||
           field.intrinsic == Intrinsic::kInstrumentationName ||
           field.intrinsic == Intrinsic::kInstrumentationVersion;
}

bool is_inside(uint64_t start_ns, uint64_t end_ns, TimeRange range) {
    return start_ns >= range.start_ns && end_ns < range.end_ns;
}

// Collects the values of one field in one segment.
class ValueScan {
  public:
    ValueScan(const std::shared_ptr<const Segment>& segment, const Field& field, TimeRange range,
              const CompiledPredicate& predicate, DistinctValues& values)
        : reader_(segment),
          field_(field),
          range_(range),
          predicate_(predicate),
          values_(values),
          fields_(reader_, shown_field(field)),
          columns_(reader_.attribute_columns(Table::kSpans, field.key)),
          scope_is_known_(segment->scope_count(), 0) {}

    Result<void> run() {
        TRY_ASSIGN(BoundPredicate bound, BoundPredicate::bind(predicate_, reader_));
        if (bound.is_never()) return {};
        const SegmentInfo& info = reader_.segment().info();
        if (bound.is_always() && is_scope_field(field_) &&
            is_inside(info.start_ns_min, info.end_ns_max, range_)) {
            for (uint32_t i = 0; i < reader_.segment().scope_count(); ++i)
                add_scope(i);
            return {};
        }
        for (uint32_t i = 0; i < reader_.segment().row_groups().size(); ++i) {
            const RowGroup& rows = reader_.segment().row_groups()[i];
            if (!overlaps(rows.start_ns_min, rows.end_ns_max, range_) || !bound.may_match(rows))
                continue;
            TRY(scan_group(bound, i));
        }
        return {};
    }

  private:
    // What stands for a trace-level field in single spans.
    static Field shown_field(const Field& field) {
        if (field.intrinsic == Intrinsic::kRootName)
            return {Scope::kIntrinsic, Intrinsic::kName, {}};
        if (field.intrinsic == Intrinsic::kRootService) {
            return {Scope::kResource, Intrinsic::kNone, "service.name"};
        }
        return field;
    }

    Result<void> scan_group(BoundPredicate& bound, uint32_t index) {
        const auto group = reader_.group(index);
        const RowGroup& rows = group->rows();
        RowBitmap chosen = RowBitmap::all(rows.rows);
        const bool whole =
            bound.is_always() && is_inside(rows.start_ns_min, rows.end_ns_max, range_);
        if (!bound.is_always()) {
            TRY_ASSIGN(chosen, bound.evaluate(*group, chosen));
        }
        if (!is_inside(rows.start_ns_min, rows.end_ns_max, range_)) {
            TRY(leave_in_range(*group, chosen));
        }
        if (field_.is_trace_level()) TRY(leave_roots(*group, chosen));
        if (!chosen.any()) return {};
        const Field shown = shown_field(field_);
        if (is_scope_field(shown)) return add_scopes(*group, chosen);
        if (whole && shown.scope == Scope::kIntrinsic && shown.intrinsic == Intrinsic::kName) {
            return add_names(*group, chosen);
        }
        if (shown.intrinsic == Intrinsic::kTraceId) return add_trace_ids(rows, chosen);
        if (whole && shown.scope == Scope::kSpan) {
            TRY_ASSIGN(const bool is_done, add_column(*group));
            if (is_done) return {};
        }
        return add_rows(*group, chosen);
    }

    Result<void> leave_in_range(GroupReader& group, RowBitmap& chosen) {
        TRY_ASSIGN(const ColumnBlock* starts,
                   group.block(reader_.column(Table::kSpans, Intrinsic::kStart)));
        TRY_ASSIGN(const ColumnBlock* durations,
                   group.block(reader_.column(Table::kSpans, Intrinsic::kDuration)));
        if (starts->integers.size() < chosen.rows() || durations->integers.size() < chosen.rows()) {
            return fail(ErrorCode::kDataLoss, "spans without time");
        }
        RowBitmap inside(chosen.rows());
        chosen.for_each([&](uint32_t row) {
            const auto start = static_cast<uint64_t>(starts->integers[row]);
            const auto end = start + static_cast<uint64_t>(durations->integers[row]);
            if (overlaps(start, std::max(start, end), range_)) inside.set(row);
        });
        chosen = std::move(inside);
        return {};
    }

    Result<void> leave_roots(GroupReader& group, RowBitmap& chosen) {
        TRY_ASSIGN(const ColumnBlock* parents,
                   group.block(reader_.column(Table::kSpans, Intrinsic::kParentId)));
        RowBitmap children(chosen.rows());
        if (parents->dense) children.fill(0, chosen.rows());
        for (const uint32_t row : parents->rows)
            children.set(row);
        chosen.subtract(children);
        return {};
    }

    void add_scope(uint32_t scope) {
        if (scope >= scope_is_known_.size() || scope_is_known_[scope] != 0) return;
        scope_is_known_[scope] = 1;
        const Field shown = shown_field(field_);
        const Scope place =
            shown.scope == Scope::kResource ? Scope::kResource : Scope::kInstrumentation;
        values_.add(scope_value(reader_.segment(), shown, place, scope));
    }

    Result<void> add_scopes(GroupReader& group, const RowBitmap& chosen) {
        TRY_ASSIGN(const ColumnBlock* scopes,
                   group.block(reader_.column(Table::kSpans, RowField::kScopeIndex)));
        chosen.for_each([&](uint32_t row) {
            if (row < scopes->integers.size())
                add_scope(static_cast<uint32_t>(scopes->integers[row]));
        });
        return {};
    }

    // By dictionary entry.
    Result<void> add_names(GroupReader& group, const RowBitmap& chosen) {
        TRY_ASSIGN(const ColumnBlock* names,
                   group.block(reader_.column(Table::kSpans, Intrinsic::kName)));
        known_names_.follow(*names);
        chosen.for_each([&](uint32_t row) {
            const auto at = position_of(*names, row);
            if (!at) return values_.add_text({});
            known_names_.of(names->codes[*at], [&](std::string_view text) {
                values_.add_text(text);
                return true;
            });
        });
        return {};
    }

    // Whole, where one column alone has the values of the group; false: rows must be looked at.
    Result<bool> add_column(GroupReader& group) {
        if (reader_.column(Table::kSpans, RowField::kOverflow) != kNoColumn) return false;
        std::optional<uint32_t> only;
        for (const uint32_t column : columns_) {
            TRY_ASSIGN(const ColumnBlock* block, group.block(column));
            if (block->size() == 0) continue;
            if (only) return false;
            only = column;
        }
        if (!only) return true;
        TRY_ASSIGN(const ColumnBlock* block, group.block(*only));
        const bool is_single =
            block->dense ||
            std::adjacent_find(block->rows.begin(), block->rows.end()) == block->rows.end();
        if (!is_single) return false;
        const ColumnKey& key = reader_.segment().columns()[*only];
        const bool has_codes = !block->codes.empty();
        if (has_codes) known_texts_.follow(*block);
        if (std::exchange(integers_of_, *only) != *only) known_integers_.clear();
        for (uint32_t at = 0; at < block->size(); ++at) {
            const auto add = [&] { values_.add(value_at(key, *block, at)); };
            if (has_codes) {
                known_texts_.of(block->codes[at], [&](std::string_view) {
                    add();
                    return true;
                });
            } else if (key.type != ColumnType::kInt ||
                       known_integers_.insert(block->integers[at]).second) {
                add();
            }
        }
        return true;
    }

    Result<void> add_trace_ids(const RowGroup& rows, const RowBitmap& chosen) {
        TRY_ASSIGN(uint32_t index, reader_.fragment_of_row(rows.first_row));
        for (; index < reader_.segment().fragment_count(); ++index) {
            TRY_ASSIGN(const TraceFragment fragment, reader_.segment().fragment(index));
            if (fragment.first_row >= rows.first_row + rows.rows) break;
            const uint32_t end = fragment.first_row + fragment.rows;
            for (uint32_t row = std::max(fragment.first_row, rows.first_row);
                 row < std::min(end, rows.first_row + rows.rows); ++row) {
                if (!chosen.test(row - rows.first_row)) continue;
                values_.add_text(fragment.trace_id.hex());
                break;
            }
        }
        return {};
    }

    Result<void> add_rows(GroupReader& group, const RowBitmap& chosen) {
        const Table table = table_of(field_);
        if (table != Table::kSpans) return add_children(group, table, chosen);
        Result<void> outcome;
        chosen.for_each([&](uint32_t row) {
            if (!outcome) return;
            auto value = fields_.value(group, row, TraceId{});
            if (value) {
                values_.add(std::move(*value));
            } else {
                outcome = tl::unexpected<Error>(std::move(value).error());
            }
        });
        return outcome;
    }

    // Every event (link) of the chosen spans, not only the first of each.
    Result<void> add_children(GroupReader& group, Table table, const RowBitmap& chosen) {
        if (group.table_rows(table) == 0) return {};
        TRY_ASSIGN(const ColumnBlock* owners, group.block(reader_.column(table, RowField::kOwner)));
        IntrinsicCells intrinsic(reader_, field_.intrinsic);
        AttributeCells attribute(reader_, table, field_.key);
        for (uint32_t row = 0; row < owners->integers.size(); ++row) {
            const auto owner = static_cast<uint64_t>(owners->integers[row]);
            if (owner >= chosen.rows() || !chosen.test(static_cast<uint32_t>(owner))) continue;
            if (field_.scope == Scope::kIntrinsic) {
                TRY_ASSIGN(Value value, intrinsic.value(group, row));
                values_.add(std::move(value));
            } else {
                TRY_ASSIGN(Value value, attribute.value(group, row));
                values_.add(std::move(value));
            }
        }
        return {};
    }

    SegmentReader reader_;
    const Field& field_;
    TimeRange range_;
    const CompiledPredicate& predicate_;
    DistinctValues& values_;
    FieldReader fields_;
    std::vector<uint32_t> columns_;  // of the attribute, where it is one
    std::vector<uint8_t> scope_is_known_;
    CodeVerdicts known_names_;
    CodeVerdicts known_texts_;
    std::unordered_set<int64_t> known_integers_;
    uint32_t integers_of_ = kNoColumn;
};

bool is_in(const Segment& segment, TimeRange range) {
    const SegmentInfo& info = segment.info();
    return info.spans > 0 && overlaps(info.start_ns_min, info.end_ns_max, range);
}

}  // namespace

Result<std::vector<KeyCount>> attribute_keys(Segments segments, TimeRange range) {
    std::set<std::pair<Scope, std::string>> keys;
    for (const auto& segment : segments) {
        if (!is_in(*segment, range)) continue;
        const auto columns = segment->columns();
        for (uint32_t i = 0; i < columns.size(); ++i) {
            if (columns[i].scope == Scope::kIntrinsic || !segment->has_values(i)) continue;
            keys.emplace(columns[i].scope, columns[i].key);
        }
        for (uint32_t i = 0; i < segment->resource_count(); ++i) {
            const auto view = otlp::ResourceView::parse(segment->resource_message(i));
            for (const auto attribute : view.attributes())
                keys.emplace(Scope::kResource, attribute.key);
        }
        for (uint32_t i = 0; i < segment->scope_count(); ++i) {
            const auto view = otlp::ScopeView::parse(segment->scope_message(i));
            for (const auto attribute : view.attributes()) {
                keys.emplace(Scope::kInstrumentation, attribute.key);
            }
        }
    }
    std::vector<KeyCount> listed;
    listed.reserve(keys.size());
    for (const auto& [scope, key] : keys)
        listed.push_back({scope, key});
    return listed;
}

Result<std::vector<Value>> field_values(Segments segments, const Field& field, TimeRange range,
                                        const Predicate& where, uint32_t limit) {
    TRY_ASSIGN(const CompiledPredicate predicate, CompiledPredicate::compile(where));
    DistinctValues values(limit);
    for (const auto& segment : segments) {
        if (!is_in(*segment, range)) continue;
        TRY(ValueScan(segment, field, range, predicate, values).run());
    }
    return std::move(values).sorted();
}

}  // namespace spanloom::store
