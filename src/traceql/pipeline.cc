#include "traceql/pipeline.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <unordered_map>

#include "traceql/arithmetic.h"
#include "traceql/printer.h"

namespace spanloom::traceql {
namespace {

using store::Value;
using store::ValueKind;

// Equal values, equal texts; an integer and a double are two values.
std::string group_key(const Value& value) {
    std::string key(1, static_cast<char>(value.kind));
    if (value.kind == ValueKind::kString || value.kind == ValueKind::kOther)
        return key + value.text;
    if (value.kind == ValueKind::kDouble) {
        key.append(reinterpret_cast<const char*>(&value.number), sizeof value.number);
    } else {
        key.append(reinterpret_cast<const char*>(&value.integer), sizeof value.integer);
    }
    return key;
}

bool has_pipeline(const Expression& expression) {
    return expression.kind == Expression::Kind::kPipeline ||
           std::any_of(expression.operands.begin(), expression.operands.end(), has_pipeline);
}

bool any(const std::vector<uint8_t>& mask) {
    return std::find(mask.begin(), mask.end(), 1) != mask.end();
}

void note(SpansetState& set, std::string name, Value value) {
    for (auto& [known, was] : set.attributes) {
        if (known != name) continue;
        was = std::move(value);
        return;
    }
    set.attributes.emplace_back(std::move(name), std::move(value));
}

// The smaller, the larger or the sum: in the kind of the values.
Value join(Aggregate aggregate, const Value& a, const Value& b) {
    if (aggregate == Aggregate::kMin) return compare_values(Operator::kLess, b, a) ? b : a;
    if (aggregate == Aggregate::kMax) return compare_values(Operator::kGreater, b, a) ? b : a;
    Value sum = compute(Operator::kAdd, a, b);
    const bool is_duration = a.kind == ValueKind::kDuration && b.kind == ValueKind::kDuration;
    if (is_duration && sum.kind == ValueKind::kInt) sum.kind = ValueKind::kDuration;
    return sum;
}

}  // namespace

Pipeline::Pipeline(const std::vector<Stage>& stages) : stages_(stages) {}

std::vector<SpansetState> Pipeline::run(TraceRows& rows) {
    rows_ = &rows;
    by_depth_.clear();
    conditions_.use(rows);
    std::vector<SpansetState> sets = run(stages_, Mask(rows.size(), 1));
    sort_by_time(sets);
    return sets;
}

const std::vector<uint32_t>& Pipeline::rows_left(TraceRows& rows) {
    rows_ = &rows;
    by_depth_.clear();
    conditions_.use(rows);
    const Mask mask = flatten(run(stages_, Mask(rows.size(), 1)));
    left_.clear();
    for (uint32_t row = 0; row < mask.size(); ++row) {
        if (mask[row] != 0) left_.push_back(row);
    }
    return left_;
}

std::vector<SpansetState> Pipeline::run(const std::vector<Stage>& stages, const Mask& universe) {
    std::vector<SpansetState> sets(1);
    const auto rows_of = [](const Mask& mask) {
        std::vector<uint32_t> rows;
        for (uint32_t row = 0; row < mask.size(); ++row) {
            if (mask[row] != 0) rows.push_back(row);
        }
        return rows;
    };
    sets[0].rows = rows_of(universe);
    for (const Stage& stage : stages) {
        std::vector<SpansetState> next;
        for (SpansetState& set : sets) {
            if (stage.kind == Stage::Kind::kSpanset) {
                Mask mask(universe.size(), 0);
                for (const uint32_t row : set.rows)
                    mask[row] = 1;
                set.rows = rows_of(evaluate(stage.spanset, mask));
                next.push_back(std::move(set));
            } else if (stage.kind == Stage::Kind::kAggregates) {
                if (passes(*stage.condition, set)) next.push_back(std::move(set));
            } else if (stage.function == FunctionKind::kBy) {
                for (SpansetState& group : grouped(std::move(set), stage.arguments[0]))
                    next.push_back(std::move(group));
            } else {
                next.push_back(std::move(set));
            }
        }
        if (stage.kind == Stage::Kind::kFunction && stage.function == FunctionKind::kCoalesce) {
            SpansetState merged;
            merged.rows = rows_of(flatten(next));
            next.clear();
            next.push_back(std::move(merged));
        }
        std::erase_if(next, [](const SpansetState& set) { return set.rows.empty(); });
        sets = std::move(next);
        if (sets.empty()) break;
    }
    std::erase_if(sets, [](const SpansetState& set) { return set.rows.empty(); });
    return sets;
}

Pipeline::Mask Pipeline::flatten(const std::vector<SpansetState>& sets) const {
    Mask mask(rows_->size(), 0);
    for (const SpansetState& set : sets) {
        for (const uint32_t row : set.rows)
            mask[row] = 1;
    }
    return mask;
}

void Pipeline::sort_by_time(std::vector<SpansetState>& sets) const {
    if (sets.size() < 2) return;
    const auto first_of = [&](const SpansetState& set) {
        std::pair<uint64_t, SpanId> first{UINT64_MAX, {}};
        for (const uint32_t row : set.rows)
            first = std::min(first, std::pair(rows_->start_ns(row), rows_->span_id(row)));
        return first;
    };
    std::vector<std::pair<std::pair<uint64_t, SpanId>, size_t>> order;
    for (size_t i = 0; i < sets.size(); ++i)
        order.emplace_back(first_of(sets[i]), i);
    std::sort(order.begin(), order.end());
    std::vector<SpansetState> sorted;
    for (const auto& [first, index] : order)
        sorted.push_back(std::move(sets[index]));
    sets = std::move(sorted);
}

// ---- spansets

Pipeline::Mask Pipeline::evaluate(const Spanset& spanset, const Mask& universe) {
    switch (spanset.kind) {
        case Spanset::Kind::kFilter:
            return spanset.filter ? filter(*spanset.filter, universe) : universe;
        case Spanset::Kind::kPipeline:
            return flatten(run(spanset.pipeline, universe));
        case Spanset::Kind::kRelation:
            break;
    }
    return related(spanset, universe);
}

Pipeline::Mask Pipeline::filter(const Expression& condition, const Mask& universe) {
    bool is_exact = false;
    const Mask* known = rows_->candidates(condition, is_exact);
    Mask mask = universe;
    for (uint32_t row = 0; row < mask.size(); ++row) {
        if (mask[row] == 0) continue;
        if (known != nullptr && (*known)[row] == 0) {
            mask[row] = 0;
        } else if (!is_exact) {
            mask[row] = conditions_.holds(condition, row) ? 1 : 0;
        }
    }
    return mask;
}

Pipeline::Mask Pipeline::related(const Spanset& spanset, const Mask& universe) {
    const Mask left = evaluate(spanset.operands[0], universe);
    if (spanset.relation == Relation::kAnd && !any(left)) return Mask(universe.size(), 0);
    const Mask right = evaluate(spanset.operands[1], universe);
    Mask result(universe.size(), 0);
    if (spanset.relation == Relation::kAnd || spanset.relation == Relation::kOr) {
        if (spanset.relation == Relation::kAnd && !any(right)) return result;
        for (size_t row = 0; row < result.size(); ++row)
            result[row] = left[row] | right[row];
        return result;
    }
    if (!any(right)) return result;
    result = relation(spanset.relation, spanset.hops_max, left, right);
    if (spanset.form == RelationForm::kNegated) {
        for (size_t row = 0; row < result.size(); ++row)
            result[row] = right[row] != 0 && result[row] == 0;
    } else if (spanset.form == RelationForm::kUnion) {
        // Those of the left that some span of the right is related to: the relation backwards.
        constexpr Relation kBackwards[] = {
            Relation::kAnd,   Relation::kOr,         Relation::kParent, Relation::kAncestor,
            Relation::kChild, Relation::kDescendant, Relation::kSibling};
        const Mask lefts = relation(kBackwards[static_cast<size_t>(spanset.relation)],
                                    spanset.hops_max, right, left);
        for (size_t row = 0; row < result.size(); ++row)
            result[row] |= lefts[row];
    }
    return result;
}

// The rows of `to` that stand in the relation to some row of `from`.
Pipeline::Mask Pipeline::relation(Relation relation, uint32_t hops_max, const Mask& from,
                                  const Mask& to) {
    const std::span<const int32_t> parents = rows_->parents();
    Mask result(to.size(), 0);
    if (!any(from)) return result;
    switch (relation) {
        case Relation::kChild:
            for (size_t row = 0; row < to.size(); ++row)
                result[row] = to[row] != 0 && parents[row] >= 0 && from[parents[row]] != 0;
            return result;
        case Relation::kParent:
            for (size_t row = 0; row < to.size(); ++row) {
                const int32_t parent = parents[row];
                if (from[row] != 0 && parent >= 0 && to[parent] != 0) result[parent] = 1;
            }
            return result;
        case Relation::kDescendant:
            return descendants(from, to, hops_max);
        case Relation::kAncestor:
            return ancestors(from, to, hops_max);
        default:
            return siblings(from, to);
    }
}

const std::vector<uint32_t>& Pipeline::rows_by_depth() {
    const std::span<const int32_t> parents = rows_->parents();
    if (by_depth_.size() == parents.size()) return by_depth_;
    // A row is written when its parent is; what waits for it lies on the path.
    by_depth_.clear();
    Mask written(parents.size(), 0);
    std::vector<uint32_t> path;
    for (uint32_t row = 0; row < parents.size(); ++row) {
        for (int32_t at = static_cast<int32_t>(row); at >= 0 && written[at] == 0; at = parents[at])
            path.push_back(static_cast<uint32_t>(at));
        while (!path.empty()) {
            written[path.back()] = 1;
            by_depth_.push_back(path.back());
            path.pop_back();
        }
    }
    return by_depth_;
}

// Levels below the nearest row of `from`, from the roots down.
Pipeline::Mask Pipeline::descendants(const Mask& from, const Mask& to, uint32_t hops_max) {
    constexpr uint32_t kFar = UINT32_MAX;
    const std::span<const int32_t> parents = rows_->parents();
    Mask result(to.size(), 0);
    std::vector<uint32_t> levels(to.size(), kFar);
    for (const uint32_t row : rows_by_depth()) {
        const int32_t parent = parents[row];
        if (parent < 0) continue;
        if (from[parent] != 0) {
            levels[row] = 1;
        } else if (levels[parent] != kFar) {
            levels[row] = levels[parent] + 1;
        }
        result[row] =
            to[row] != 0 && levels[row] != kFar && (hops_max == 0 || levels[row] <= hops_max);
    }
    return result;
}

// Levels above the nearest row of `from`, from the leaves up.
Pipeline::Mask Pipeline::ancestors(const Mask& from, const Mask& to, uint32_t hops_max) {
    constexpr uint32_t kFar = UINT32_MAX;
    const std::span<const int32_t> parents = rows_->parents();
    Mask result(to.size(), 0);
    std::vector<uint32_t> levels(to.size(), kFar);
    const std::vector<uint32_t>& order = rows_by_depth();
    for (size_t i = order.size(); i-- > 0;) {
        const uint32_t row = order[i];
        result[row] =
            to[row] != 0 && levels[row] != kFar && (hops_max == 0 || levels[row] <= hops_max);
        const int32_t parent = parents[row];
        if (parent < 0) continue;
        const uint32_t below = from[row] != 0 ? 1 : levels[row] != kFar ? levels[row] + 1 : kFar;
        levels[parent] = std::min(levels[parent], below);
    }
    return result;
}

Pipeline::Mask Pipeline::siblings(const Mask& from, const Mask& to) {
    const std::span<const int32_t> parents = rows_->parents();
    std::vector<uint32_t> children(to.size(), 0);  // of `from`, by parent
    for (size_t row = 0; row < to.size(); ++row) {
        if (from[row] != 0 && parents[row] >= 0) ++children[parents[row]];
    }
    Mask result(to.size(), 0);
    for (size_t row = 0; row < to.size(); ++row) {
        if (to[row] == 0 || parents[row] < 0) continue;
        const uint32_t others = children[parents[row]] - (from[row] != 0 ? 1 : 0);
        result[row] = others > 0;
    }
    return result;
}

// ---- stages

std::vector<SpansetState> Pipeline::grouped(SpansetState set, const Expression& by) {
    std::vector<SpansetState> groups;
    std::unordered_map<std::string, size_t> by_key;
    const std::string name = "by(" + print(by) + ")";
    for (const uint32_t row : set.rows) {
        Value value = conditions_.value(by, row);
        const auto [at, is_new] = by_key.emplace(group_key(value), groups.size());
        if (is_new) {
            groups.emplace_back();
            groups.back().attributes = set.attributes;
            note(groups.back(), name, std::move(value));
        }
        groups[at->second].rows.push_back(row);
    }
    return groups;
}

// Where whole pipelines are compared, the spans that they leave stand for the trace.
bool Pipeline::passes(const Expression& condition, SpansetState& set) {
    chosen_.assign(rows_->size(), 0);
    const Value left = aggregate(condition.operands[0], set);
    const Value right = aggregate(condition.operands[1], set);
    if (!compare_values(condition.op, left, right)) return false;
    if (has_pipeline(condition) && any(chosen_))
        std::erase_if(set.rows, [&](uint32_t row) { return chosen_[row] == 0; });
    return true;
}

Value Pipeline::aggregate(const Expression& expression, SpansetState& set) {
    switch (expression.kind) {
        case Expression::Kind::kLiteral:
            return expression.literal;
        case Expression::Kind::kAggregate: {
            Value value = aggregate_of_rows(expression, set.rows);
            if (value.kind != ValueKind::kNil) note(set, print(expression), value);
            return value;
        }
        case Expression::Kind::kPipeline: {
            SpansetState inner;
            Mask before = std::move(chosen_);
            const Mask mask = flatten(run(expression.pipeline, Mask(rows_->size(), 1)));
            chosen_ = std::move(before);
            for (uint32_t row = 0; row < mask.size(); ++row) {
                if (mask[row] == 0) continue;
                inner.rows.push_back(row);
                chosen_[row] = 1;
            }
            return aggregate(expression.operands[0], inner);
        }
        case Expression::Kind::kUnary:
            return negate(aggregate(expression.operands[0], set));
        case Expression::Kind::kBinary: {
            const Value left = aggregate(expression.operands[0], set);
            return compute(expression.op, left, aggregate(expression.operands[1], set));
        }
        case Expression::Kind::kField:
            break;
    }
    return Value::nil();
}

Value Pipeline::aggregate_of_rows(const Expression& call, const std::vector<uint32_t>& rows) {
    if (call.aggregate == Aggregate::kCount)
        return Value::of_int(static_cast<int64_t>(rows.size()));
    Value result;
    int64_t count = 0;
    for (const uint32_t row : rows) {
        Value value = conditions_.value(call.operands[0], row);
        if (!value.is_number()) continue;
        ++count;
        if (count == 1) {
            result = std::move(value);
        } else {
            const bool adds = call.aggregate == Aggregate::kAverage;
            result = join(adds ? Aggregate::kSum : call.aggregate, result, value);
        }
    }
    if (call.aggregate != Aggregate::kAverage || count == 0) return result;
    const double mean = result.as_number() / static_cast<double>(count);
    if (result.kind == ValueKind::kDuration) return Value::of_duration(std::llround(mean));
    return Value::of_double(mean);
}

}  // namespace spanloom::traceql
