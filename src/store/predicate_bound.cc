#include <algorithm>
#include <cstring>

#include "base/text.h"
#include "store/attribute_cells.h"
#include "store/intrinsic_cells.h"
#include "store/predicate.h"
#include "store/predicate_node.h"

namespace spanloom::store {

namespace {

using Plan = CompiledPredicate::Node;
using Node = BoundPredicate::Node;
using NodeRef = std::unique_ptr<Node>;
using Kind = Node::Kind;

NodeRef make(Kind kind, int cost) {
    auto node = std::make_unique<Node>();
    node->kind = kind;
    node->cost = cost;
    return node;
}

bool is_set(const std::vector<uint8_t>& flags) {
    return std::any_of(flags.begin(), flags.end(), [](uint8_t flag) { return flag != 0; });
}
bool is_full(const std::vector<uint8_t>& flags) {
    return std::all_of(flags.begin(), flags.end(), [](uint8_t flag) { return flag != 0; });
}

// A key's last value in the attributes of a resource or a scope.
template <typename View>
void look_up(const View& view, const Plan& plan, uint8_t& has, uint8_t& hit) {
    has = 0;
    hit = 0;
    for (const otlp::AttributeView attribute : view.attributes()) {
        if (attribute.key != plan.field.key) continue;
        has = 1;
        hit = plan.test && plan.test->on_message(attribute.value.message) ? 1 : 0;
    }
}

class Binder {
  public:
    explicit Binder(SegmentReader& reader) : reader_(reader), segment_(reader.segment()) {}

    Result<NodeRef> bind(const Plan& plan) {
        switch (plan.kind) {
            case Plan::Kind::kTrue:
                return make(Kind::kTrue, 0);
            case Plan::Kind::kFalse:
                return make(Kind::kFalse, 0);
            case Plan::Kind::kAnd:
                return junction(plan, Kind::kAnd, Kind::kTrue, Kind::kFalse);
            case Plan::Kind::kOr:
                return junction(plan, Kind::kOr, Kind::kFalse, Kind::kTrue);
            case Plan::Kind::kNot:
                return negation(plan);
            case Plan::Kind::kSameChild:
                return same_child(plan);
            case Plan::Kind::kField:
                return field(plan);
        }
        return make(Kind::kFalse, 0);
    }

  private:
    Result<NodeRef> junction(const Plan& plan, Kind kind, Kind neutral, Kind deciding) {
        NodeRef node = make(kind, 0);
        for (const auto& child : plan.children) {
            TRY_ASSIGN(NodeRef bound, bind(*child));
            if (bound->kind == deciding) return make(deciding, 0);
            if (bound->kind == neutral) continue;
            node->cost += bound->cost;
            node->children.push_back(std::move(bound));
        }
        if (node->children.empty()) return make(neutral, 0);
        if (node->children.size() == 1) return std::move(node->children.front());
        std::stable_sort(node->children.begin(), node->children.end(),
                         [](const NodeRef& a, const NodeRef& b) { return a->cost < b->cost; });
        return node;
    }

    Result<NodeRef> negation(const Plan& plan) {
        TRY_ASSIGN(NodeRef child, bind(*plan.children.front()));
        if (child->kind == Kind::kTrue) return make(Kind::kFalse, 0);
        if (child->kind == Kind::kFalse) return make(Kind::kTrue, 0);
        NodeRef node = make(Kind::kNot, child->cost);
        node->children.push_back(std::move(child));
        return node;
    }

    Result<NodeRef> field(const Plan& plan) {
        const Field& field = plan.field;
        if (field.scope == Scope::kAny) return any(plan);
        if (field.scope == Scope::kResource || field.scope == Scope::kInstrumentation) {
            return of_scopes(plan);
        }
        if (table_of(field) != Table::kSpans) return lone_child(plan);
        if (field.scope == Scope::kSpan) return span_attribute(plan);
        switch (field.intrinsic) {
            case Intrinsic::kTraceId:
                return trace_id(plan);
            case Intrinsic::kInstrumentationName:
            case Intrinsic::kInstrumentationVersion:
                return of_scopes(plan);
            default:
                return span_intrinsic(plan);
        }
    }

    Result<NodeRef> span_attribute(const Plan& plan) {
        auto cells = std::make_unique<AttributeCells>(reader_, Table::kSpans, plan.field.key);
        const bool absent = plan.mode == Plan::Mode::kAbsent;
        if (cells->is_empty()) return make(absent ? Kind::kTrue : Kind::kFalse, 0);
        if (plan.test && !cells->may_pass(*plan.test)) return make(Kind::kFalse, 0);
        NodeRef node = make(Kind::kAttribute, is_costly(plan) ? 6 : 3);
        node->source = &plan;
        node->mode = plan.mode;
        node->attribute = std::move(cells);
        return node;
    }

    Result<NodeRef> span_intrinsic(const Plan& plan) {
        auto cells = std::make_unique<IntrinsicCells>(reader_, plan.field.intrinsic);
        if (plan.test && !cells->may_pass(*plan.test)) return make(Kind::kFalse, 0);
        if (!plan.test && cells->is_always_there()) {
            return make(plan.mode == Plan::Mode::kAbsent ? Kind::kFalse : Kind::kTrue, 0);
        }
        NodeRef node = make(Kind::kIntrinsic, is_costly(plan) ? 5 : 2);
        node->source = &plan;
        node->mode = plan.mode;
        node->intrinsic = std::move(cells);
        return node;
    }

    static bool is_costly(const Plan& plan) {
        if (!plan.test) return false;
        return plan.test->comparison() >= Comparison::kMatch;
    }

    Result<NodeRef> trace_id(const Plan& plan) {
        if (!plan.test) {
            return make(plan.mode == Plan::Mode::kAbsent ? Kind::kFalse : Kind::kTrue, 0);
        }
        if (plan.test->comparison() != Comparison::kEqual) {
            NodeRef node = make(Kind::kTraceIds, 2);
            node->source = &plan;
            return node;
        }
        const Value& wanted = plan.test->wanted();
        const auto id =
            wanted.kind == ValueKind::kString ? TraceId::parse(wanted.text) : std::nullopt;
        if (!id) return make(Kind::kFalse, 0);
        TRY_ASSIGN(const std::optional<TraceFragment> fragment, segment_.find(*id));
        if (!fragment) return make(Kind::kFalse, 0);
        NodeRef node = make(Kind::kRows, 0);
        node->first_row = fragment->first_row;
        node->end_row = fragment->first_row + fragment->rows;
        return node;
    }

    void look_up_resources(const Plan& plan, std::vector<uint8_t>& has, std::vector<uint8_t>& hit) {
        const uint32_t resources = segment_.resource_count();
        std::vector<uint8_t> of_resource_has(resources);
        std::vector<uint8_t> of_resource_hit(resources);
        for (uint32_t i = 0; i < resources; ++i) {
            look_up(otlp::ResourceView::parse(segment_.resource_message(i)), plan,
                    of_resource_has[i], of_resource_hit[i]);
        }
        has.resize(segment_.scope_count());
        hit.resize(segment_.scope_count());
        for (uint32_t i = 0; i < segment_.scope_count(); ++i) {
            const uint32_t resource = segment_.scope_resource(i);
            if (resource >= resources) continue;
            has[i] = of_resource_has[resource];
            hit[i] = of_resource_hit[resource];
        }
    }

    void look_up_scopes(const Plan& plan, std::vector<uint8_t>& has, std::vector<uint8_t>& hit) {
        has.resize(segment_.scope_count());
        hit.resize(segment_.scope_count());
        for (uint32_t i = 0; i < segment_.scope_count(); ++i) {
            const auto view = otlp::ScopeView::parse(segment_.scope_message(i));
            if (plan.field.scope == Scope::kIntrinsic) {
                const bool is_name = plan.field.intrinsic == Intrinsic::kInstrumentationName;
                const std::string_view text = is_name ? view.name : view.version;
                has[i] = text.empty() ? 0 : 1;
                hit[i] = plan.test && plan.test->on_string(text) ? 1 : 0;
            } else {
                look_up(view, plan, has[i], hit[i]);
            }
        }
    }

    Result<NodeRef> of_scopes(const Plan& plan) {
        std::vector<uint8_t> has;
        std::vector<uint8_t> hit;
        if (plan.field.scope == Scope::kResource) {
            look_up_resources(plan, has, hit);
        } else {
            look_up_scopes(plan, has, hit);
        }
        if (plan.mode == Plan::Mode::kExists) hit = has;
        if (plan.mode == Plan::Mode::kAbsent) {
            for (size_t i = 0; i < has.size(); ++i)
                hit[i] = has[i] == 0 ? 1 : 0;
        }
        if (!is_set(hit)) return make(Kind::kFalse, 0);
        if (is_full(hit)) return make(Kind::kTrue, 0);
        NodeRef node = make(Kind::kScopes, 1);
        node->scope_hit = std::move(hit);
        return node;
    }

    // One condition on the rows of events or links; kFalse where no row can satisfy it.
    NodeRef child(const Plan& plan, Table table) {
        NodeRef node = make(Kind::kChild, is_costly(plan) ? 9 : 7);
        node->source = &plan;
        node->mode = plan.mode;
        node->table = table;
        if (plan.field.scope == Scope::kIntrinsic) {
            node->intrinsic = std::make_unique<IntrinsicCells>(reader_, plan.field.intrinsic);
            if (plan.test && !node->intrinsic->may_pass(*plan.test)) return make(Kind::kFalse, 0);
            return node;
        }
        node->attribute = std::make_unique<AttributeCells>(reader_, table, plan.field.key);
        if (node->attribute->is_empty()) return make(Kind::kFalse, 0);
        if (plan.test && !node->attribute->may_pass(*plan.test)) return make(Kind::kFalse, 0);
        return node;
    }

    Result<NodeRef> same_child(const Plan& plan) {
        NodeRef node = make(Kind::kSameChild, 0);
        node->table = plan.table;
        for (const auto& inner : plan.children) {
            NodeRef bound = child(*inner, plan.table);
            if (bound->kind == Kind::kFalse) return bound;
            node->cost += bound->cost;
            node->children.push_back(std::move(bound));
        }
        return node;
    }

    // Absent: no event (link) of the span has it.
    Result<NodeRef> lone_child(const Plan& plan) {
        const bool absent = plan.mode == Plan::Mode::kAbsent;
        const Table table = table_of(plan.field);
        NodeRef bound = child(plan, table);
        if (bound->kind == Kind::kFalse) return absent ? make(Kind::kTrue, 0) : std::move(bound);
        NodeRef node = make(Kind::kSameChild, bound->cost);
        node->table = table;
        node->children.push_back(std::move(bound));
        if (!absent) return node;
        NodeRef negated = make(Kind::kNot, node->cost);
        negated->children.push_back(std::move(node));
        return negated;
    }

    Result<NodeRef> any(const Plan& plan) {
        NodeRef node = make(Kind::kAny, is_costly(plan) ? 8 : 4);
        node->source = &plan;
        node->mode = plan.mode;
        const std::string& key = plan.field.key;
        node->attribute = std::make_unique<AttributeCells>(reader_, Table::kSpans, key);
        node->of_events = std::make_unique<AttributeCells>(reader_, Table::kEvents, key);
        node->of_links = std::make_unique<AttributeCells>(reader_, Table::kLinks, key);
        look_up_resources(plan, node->resource_has, node->resource_hit);
        look_up_scopes(plan, node->scope_has, node->scope_hit);
        const bool has_columns = !node->attribute->is_empty() || !node->of_events->is_empty() ||
                                 !node->of_links->is_empty();
        const bool has_messages = is_set(node->resource_has) || is_set(node->scope_has);
        const bool absent = plan.mode == Plan::Mode::kAbsent;
        if (!has_columns && !has_messages) return make(absent ? Kind::kTrue : Kind::kFalse, 0);
        if (!plan.test) return node;
        const bool span_may_pass = node->attribute->may_pass(*plan.test);
        const bool other_may_pass = is_set(node->resource_hit) || is_set(node->scope_hit) ||
                                    node->of_events->may_pass(*plan.test) ||
                                    node->of_links->may_pass(*plan.test);
        if (!span_may_pass && !other_may_pass) return make(Kind::kFalse, 0);
        node->is_of_spans = !other_may_pass;
        return node;
    }

    SegmentReader& reader_;
    const Segment& segment_;
};

// Tests the spans of one row group.
class Evaluation {
  public:
    Evaluation(SegmentReader& reader, GroupReader& group) : reader_(reader), group_(group) {}

    Result<RowBitmap> run(Node& node, const RowBitmap& candidates) {
        switch (node.kind) {
            case Kind::kTrue:
                return candidates;
            case Kind::kFalse:
                return RowBitmap(candidates.rows());
            case Kind::kAnd:
                return conjunction(node, candidates);
            case Kind::kOr:
                return disjunction(node, candidates);
            case Kind::kNot: {
                TRY_ASSIGN(const RowBitmap inner, run(*node.children.front(), candidates));
                RowBitmap rest = candidates;
                rest.subtract(inner);
                return rest;
            }
            case Kind::kScopes:
                return by_scope(node.scope_hit, candidates);
            case Kind::kRows:
                return by_row(node, candidates);
            case Kind::kTraceIds:
                return by_trace(node, candidates);
            case Kind::kSameChild:
                return same_child(node, candidates);
            case Kind::kAny:
                return any(node, candidates);
            default:
                return by_cells(node, candidates);
        }
    }

  private:
    Result<RowBitmap> conjunction(Node& node, const RowBitmap& candidates) {
        RowBitmap left = candidates;
        for (auto& child : node.children) {
            if (!left.any()) break;
            TRY_ASSIGN(left, run(*child, left));
        }
        return left;
    }

    Result<RowBitmap> disjunction(Node& node, const RowBitmap& candidates) {
        RowBitmap hit(candidates.rows());
        RowBitmap left = candidates;
        for (auto& child : node.children) {
            if (!left.any()) break;
            TRY_ASSIGN(const RowBitmap found, run(*child, left));
            hit |= found;
            left.subtract(found);
        }
        return hit;
    }

    Result<RowBitmap> by_scope(const std::vector<uint8_t>& flags, const RowBitmap& candidates) {
        TRY_ASSIGN(const ColumnBlock* scopes,
                   group_.block(reader_.column(Table::kSpans, RowField::kScopeIndex)));
        RowBitmap hit(candidates.rows());
        const auto& numbers = scopes->integers;
        candidates.for_each([&](uint32_t row) {
            const auto position = position_of(*scopes, row);
            if (!position || *position >= numbers.size()) return;
            const auto scope = static_cast<uint64_t>(numbers[*position]);
            if (scope < flags.size() && flags[scope] != 0) hit.set(row);
        });
        return hit;
    }

    Result<RowBitmap> by_row(const Node& node, const RowBitmap& candidates) {
        const uint32_t first = group_.rows().first_row;
        RowBitmap hit(candidates.rows());
        const uint32_t from = std::max(node.first_row, first);
        const uint32_t end = std::min(node.end_row, first + candidates.rows());
        if (from < end) hit.fill(from - first, end - first);
        hit &= candidates;
        return hit;
    }

    Result<RowBitmap> by_trace(const Node& node, const RowBitmap& candidates) {
        const uint32_t first = group_.rows().first_row;
        const uint32_t end = first + candidates.rows();
        RowBitmap hit(candidates.rows());
        TRY_ASSIGN(uint32_t index, reader_.fragment_of_row(first));
        for (; index < reader_.segment().fragment_count(); ++index) {
            TRY_ASSIGN(const TraceFragment fragment, reader_.segment().fragment(index));
            if (fragment.first_row >= end) break;
            if (!node.test()->on_string(fragment.trace_id.hex())) continue;
            const uint32_t from = std::max(fragment.first_row, first);
            hit.fill(from - first, std::min(fragment.first_row + fragment.rows, end) - first);
        }
        hit &= candidates;
        return hit;
    }

    // Rows of the node's own table.
    Result<Cells> cells_of(Node& node, const RowBitmap* among) {
        if (node.intrinsic != nullptr) return node.intrinsic->find(group_, node.test(), among);
        return node.attribute->find(group_, node.test(), among);
    }

    Result<RowBitmap> by_cells(Node& node, const RowBitmap& candidates) {
        TRY_ASSIGN(Cells cells, cells_of(node, &candidates));
        RowBitmap left = candidates;
        if (node.mode == Node::Mode::kAbsent) return std::move(left.subtract(cells.has));
        left &= node.mode == Node::Mode::kExists ? cells.has : cells.hit;
        return left;
    }

    // The spans that own rows of a child table.
    Result<RowBitmap> owners(Table table, const RowBitmap& rows) {
        RowBitmap spans(group_.rows().rows);
        TRY_ASSIGN(const ColumnBlock* owner, group_.block(reader_.column(table, RowField::kOwner)));
        rows.for_each([&](uint32_t row) {
            if (row >= owner->integers.size()) return;
            const auto span = static_cast<uint64_t>(owner->integers[row]);
            if (span < spans.rows()) spans.set(static_cast<uint32_t>(span));
        });
        return spans;
    }

    Result<RowBitmap> same_child(Node& node, const RowBitmap& candidates) {
        RowBitmap rows = RowBitmap::all(group_.table_rows(node.table));
        for (auto& child : node.children) {
            if (!rows.any()) return RowBitmap(candidates.rows());
            TRY_ASSIGN(Cells cells, cells_of(*child, &rows));
            rows &= child->mode == Node::Mode::kCompare ? cells.hit : cells.has;
        }
        TRY_ASSIGN(RowBitmap spans, owners(node.table, rows));
        spans &= candidates;
        return spans;
    }

    // Takes from `left` the spans that have the key in this place, adds those that pass to `hit`.
    static void settle(const RowBitmap& has, const RowBitmap& passes, RowBitmap& left,
                       RowBitmap& hit) {
        RowBitmap mine = passes;
        mine &= left;
        hit |= mine;
        left.subtract(has);
    }

    Result<void> settle_by_scope(const std::vector<uint8_t>& has, const std::vector<uint8_t>& hits,
                                 RowBitmap& left, RowBitmap& hit) {
        if (!left.any() || !is_set(has)) return {};
        TRY_ASSIGN(const RowBitmap rows_have, by_scope(has, left));
        TRY_ASSIGN(const RowBitmap rows_hit, by_scope(hits, left));
        settle(rows_have, rows_hit, left, hit);
        return {};
    }

    Result<void> settle_by_child(AttributeCells& cells, Table table, const ValueTest* test,
                                 RowBitmap& left, RowBitmap& hit) {
        if (!left.any() || cells.is_empty() || group_.table_rows(table) == 0) return {};
        TRY_ASSIGN(const Cells found, cells.find(group_, test, nullptr));
        TRY_ASSIGN(const RowBitmap spans_have, owners(table, found.has));
        TRY_ASSIGN(const RowBitmap spans_hit, owners(table, found.hit));
        settle(spans_have, spans_hit, left, hit);
        return {};
    }

    Result<RowBitmap> any(Node& node, const RowBitmap& candidates) {
        RowBitmap left = candidates;
        RowBitmap hit(candidates.rows());
        if (!node.attribute->is_empty()) {
            TRY_ASSIGN(const Cells found, node.attribute->find(group_, node.test(), &candidates));
            settle(found.has, found.hit, left, hit);
        }
        TRY(settle_by_scope(node.resource_has, node.resource_hit, left, hit));
        TRY(settle_by_child(*node.of_events, Table::kEvents, node.test(), left, hit));
        TRY(settle_by_child(*node.of_links, Table::kLinks, node.test(), left, hit));
        TRY(settle_by_scope(node.scope_has, node.scope_hit, left, hit));
        if (node.mode == Node::Mode::kCompare) return hit;
        if (node.mode == Node::Mode::kAbsent) return left;
        RowBitmap has = candidates;
        has.subtract(left);
        return has;
    }

    SegmentReader& reader_;
    GroupReader& group_;
};

bool may_match_node(const Node& node, const RowGroup& group) {
    switch (node.kind) {
        case Kind::kFalse:
            return false;
        case Kind::kAnd:
            return std::all_of(node.children.begin(), node.children.end(),
                               [&](const NodeRef& child) { return may_match_node(*child, group); });
        case Kind::kOr:
            return std::any_of(node.children.begin(), node.children.end(),
                               [&](const NodeRef& child) { return may_match_node(*child, group); });
        case Kind::kRows:
            return node.first_row < group.first_row + group.rows && node.end_row > group.first_row;
        case Kind::kSameChild:
            return (node.table == Table::kEvents ? group.events : group.links) > 0 &&
                   std::all_of(node.children.begin(), node.children.end(),
                               [&](const NodeRef& child) { return may_match_node(*child, group); });
        case Kind::kAttribute:
            return node.attribute->may_pass_in(group);
        case Kind::kChild:
            return node.attribute == nullptr || node.attribute->may_pass_in(group);
        case Kind::kAny:
            return !node.is_of_spans || node.attribute->may_pass_in(group);
        case Kind::kIntrinsic:
            return node.test() == nullptr || node.intrinsic->may_pass(*node.test(), group);
        default:
            return true;
    }
}

}  // namespace

BoundPredicate::BoundPredicate(SegmentReader& reader, std::unique_ptr<Node> root)
    : reader_(&reader), root_(std::move(root)) {}
BoundPredicate::BoundPredicate(BoundPredicate&&) noexcept = default;
BoundPredicate& BoundPredicate::operator=(BoundPredicate&&) noexcept = default;
BoundPredicate::~BoundPredicate() = default;

Result<BoundPredicate> BoundPredicate::bind(const CompiledPredicate& predicate,
                                            SegmentReader& reader) {
    TRY_ASSIGN(NodeRef root, Binder(reader).bind(predicate.root()));
    return BoundPredicate(reader, std::move(root));
}

bool BoundPredicate::is_never() const {
    return root_->kind == Node::Kind::kFalse;
}
bool BoundPredicate::is_always() const {
    return root_->kind == Node::Kind::kTrue;
}
bool BoundPredicate::may_match(const RowGroup& group) const {
    return may_match_node(*root_, group);
}

Result<RowBitmap> BoundPredicate::evaluate(GroupReader& group, const RowBitmap& candidates) {
    return Evaluation(*reader_, group).run(*root_, candidates);
}

}  // namespace spanloom::store
