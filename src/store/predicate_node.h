#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "store/attribute_cells.h"
#include "store/intrinsic_cells.h"
#include "store/predicate.h"
#include "store/values.h"

namespace spanloom::store {

// A condition as predicate.cc has simplified it.
struct CompiledPredicate::Node {
    enum class Kind : uint8_t {
        kTrue,
        kFalse,
        kAnd,
        kOr,
        kNot,
        kField,      // one comparison, kExists or kAbsent
        kSameChild,  // children (kField) that one event or link must satisfy together
    };
    enum class Mode : uint8_t { kCompare, kExists, kAbsent };

    Kind kind = Kind::kTrue;
    std::vector<std::shared_ptr<const Node>> children;
    Table table = Table::kEvents;  // kSameChild
    Field field;
    Mode mode = Mode::kCompare;
    std::optional<ValueTest> test;  // kCompare
};

// One condition on one segment.
struct BoundPredicate::Node {
    enum class Kind : uint8_t {
        kTrue,
        kFalse,
        kAnd,
        kOr,
        kNot,
        kScopes,     // decided by resource or instrumentation scope
        kRows,       // rows [first_row, end_row) of the segment
        kTraceIds,   // decided by the fragment
        kIntrinsic,  // of spans
        kAttribute,  // of spans
        kChild,      // of events or links: below kSameChild only
        kSameChild,
        kAny,  // Scope::kAny
    };
    using Mode = CompiledPredicate::Node::Mode;

    Kind kind = Kind::kTrue;
    int cost = 0;
    std::vector<std::unique_ptr<Node>> children;
    const CompiledPredicate::Node* source = nullptr;
    Mode mode = Mode::kCompare;
    Table table = Table::kSpans;                // kSameChild, kChild
    std::unique_ptr<AttributeCells> attribute;  // kAttribute, kChild, kAny (of spans)
    std::unique_ptr<IntrinsicCells> intrinsic;  // kIntrinsic, kChild
    std::unique_ptr<AttributeCells> of_events;  // kAny
    std::unique_ptr<AttributeCells> of_links;   // kAny
    std::vector<uint8_t> resource_has;          // kAny; by scope
    std::vector<uint8_t> resource_hit;          // kAny
    std::vector<uint8_t> scope_has;             // kAny
    std::vector<uint8_t> scope_hit;             // kScopes, kAny
    bool is_of_spans = false;                   // kAny: only an attribute of the span can pass
    uint32_t first_row = 0;
    uint32_t end_row = 0;

    const ValueTest* test() const {
        return source != nullptr && source->test ? &*source->test : nullptr;
    }
};

// The table of the rows that a field belongs to: a scope or an intrinsic of events or of links.
Table table_of(const Field& field);

}  // namespace spanloom::store
