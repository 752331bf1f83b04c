#include "store/predicate.h"

#include <algorithm>

#include "store/predicate_node.h"

namespace spanloom::store {
namespace {

using Node = CompiledPredicate::Node;
using NodeRef = std::shared_ptr<const Node>;

NodeRef constant(Node::Kind kind) {
    auto node = std::make_shared<Node>();
    node->kind = kind;
    return node;
}

bool is_child_condition(const Node& node) {
    return node.kind == Node::Kind::kField && node.mode != Node::Mode::kAbsent &&
           node.field.scope != Scope::kAny && table_of(node.field) != Table::kSpans;
}

// Puts the conditions on events (or links) directly below an "and" under one node.
void gather_child_conditions(std::vector<NodeRef>& children, Table table) {
    auto together = std::make_shared<Node>();
    together->kind = Node::Kind::kSameChild;
    together->table = table;
    auto rest = std::stable_partition(children.begin(), children.end(), [&](const NodeRef& child) {
        return !(is_child_condition(*child) && table_of(child->field) == table);
    });
    together->children.assign(rest, children.end());
    children.erase(rest, children.end());
    if (!together->children.empty()) children.push_back(std::move(together));
}

// Ids are kept as bytes and compared as lower-case hexadecimal; what people write may be upper
// case.
Value normalized(const Field& field, Comparison comparison, Value value) {
    const Intrinsic intrinsic = field.intrinsic;
    const bool is_trace_id =
        intrinsic == Intrinsic::kTraceId || intrinsic == Intrinsic::kLinkTraceId;
    const bool is_span_id = intrinsic == Intrinsic::kSpanId || intrinsic == Intrinsic::kParentId ||
                            intrinsic == Intrinsic::kLinkSpanId;
    if (field.scope != Scope::kIntrinsic || value.kind != ValueKind::kString) return value;
    if (comparison != Comparison::kEqual && comparison != Comparison::kNotEqual) return value;
    if (is_trace_id) {
        if (const auto id = TraceId::parse(value.text)) value.text = id->hex();
    } else if (is_span_id) {
        if (const auto id = SpanId::parse(value.text)) value.text = id->hex();
    }
    return value;
}

class Compiler {
  public:
    Result<NodeRef> compile(const Predicate& predicate, uint32_t depth) {
        if (depth > CompiledPredicate::kDepthMax) {
            return fail(ErrorCode::kInvalidArgument,
                        "the condition is nested more than {} deep; simplify it",
                        CompiledPredicate::kDepthMax);
        }
        switch (predicate.kind) {
            case Predicate::Kind::kTrue:
                return constant(Node::Kind::kTrue);
            case Predicate::Kind::kFalse:
                return constant(Node::Kind::kFalse);
            case Predicate::Kind::kAnd:
                return junction(predicate, Node::Kind::kAnd, depth);
            case Predicate::Kind::kOr:
                return junction(predicate, Node::Kind::kOr, depth);
            case Predicate::Kind::kNot:
                return negation(predicate, depth);
            default:
                return leaf(predicate);
        }
    }

  private:
    Result<NodeRef> junction(const Predicate& predicate, Node::Kind kind, uint32_t depth) {
        const bool is_and = kind == Node::Kind::kAnd;
        const Node::Kind neutral = is_and ? Node::Kind::kTrue : Node::Kind::kFalse;
        const Node::Kind deciding = is_and ? Node::Kind::kFalse : Node::Kind::kTrue;
        auto node = std::make_shared<Node>();
        node->kind = kind;
        bool decided = false;
        for (const Predicate& child : predicate.children) {
            TRY_ASSIGN(NodeRef made, compile(child, depth + 1));
            if (made->kind == deciding) decided = true;
            if (made->kind == neutral) continue;
            if (made->kind == kind) {
                // Conditions already put together are taken apart, to join with ours.
                for (const NodeRef& inner : made->children) {
                    if (is_and && inner->kind == Node::Kind::kSameChild) {
                        node->children.insert(node->children.end(), inner->children.begin(),
                                              inner->children.end());
                    } else {
                        node->children.push_back(inner);
                    }
                }
                continue;
            }
            if (is_and && made->kind == Node::Kind::kSameChild) {
                node->children.insert(node->children.end(), made->children.begin(),
                                      made->children.end());
                continue;
            }
            node->children.push_back(std::move(made));
        }
        if (decided) return constant(deciding);
        if (is_and) {
            gather_child_conditions(node->children, Table::kEvents);
            gather_child_conditions(node->children, Table::kLinks);
        }
        if (node->children.empty()) return constant(neutral);
        if (node->children.size() == 1) return node->children.front();
        return NodeRef(std::move(node));
    }

    Result<NodeRef> negation(const Predicate& predicate, uint32_t depth) {
        if (predicate.children.size() != 1) {
            return fail(ErrorCode::kInternal, "a negation of {} conditions, not of one",
                        predicate.children.size());
        }
        TRY_ASSIGN(NodeRef child, compile(predicate.children.front(), depth + 1));
        if (child->kind == Node::Kind::kTrue) return constant(Node::Kind::kFalse);
        if (child->kind == Node::Kind::kFalse) return constant(Node::Kind::kTrue);
        auto node = std::make_shared<Node>();
        node->kind = Node::Kind::kNot;
        node->children.push_back(std::move(child));
        return NodeRef(std::move(node));
    }

    Result<NodeRef> leaf(const Predicate& predicate) {
        const bool is_intrinsic = predicate.field.scope == Scope::kIntrinsic;
        if (is_intrinsic && predicate.field.is_trace_level()) {
            return fail(ErrorCode::kInvalidArgument,
                        "a condition on whole traces cannot be tested on single spans");
        }
        if (is_intrinsic && predicate.field.intrinsic == Intrinsic::kNone) {
            return fail(ErrorCode::kInternal, "a condition on an intrinsic that names none");
        }
        auto node = std::make_shared<Node>();
        node->kind = Node::Kind::kField;
        node->field = predicate.field;
        if (predicate.kind == Predicate::Kind::kExists) node->mode = Node::Mode::kExists;
        if (predicate.kind == Predicate::Kind::kAbsent) node->mode = Node::Mode::kAbsent;
        if (node->mode == Node::Mode::kCompare) {
            const Value wanted = normalized(predicate.field, predicate.comparison, predicate.value);
            TRY_ASSIGN(ValueTest test, ValueTest::make(predicate.comparison, wanted));
            node->test.emplace(std::move(test));
        }
        return NodeRef(std::move(node));
    }
};

}  // namespace

Table table_of(const Field& field) {
    if (field.scope == Scope::kEvent) return Table::kEvents;
    if (field.scope == Scope::kLink) return Table::kLinks;
    if (field.scope != Scope::kIntrinsic) return Table::kSpans;
    switch (field.intrinsic) {
        case Intrinsic::kEventName:
        case Intrinsic::kEventTimeSinceStart:
            return Table::kEvents;
        case Intrinsic::kLinkTraceId:
        case Intrinsic::kLinkSpanId:
            return Table::kLinks;
        default:
            return Table::kSpans;
    }
}

Result<CompiledPredicate> CompiledPredicate::compile(const Predicate& predicate) {
    TRY_ASSIGN(NodeRef root, Compiler().compile(predicate, 0));
    return CompiledPredicate(std::move(root));
}

bool CompiledPredicate::is_everything() const {
    return root_->kind == Node::Kind::kTrue;
}

}  // namespace spanloom::store
