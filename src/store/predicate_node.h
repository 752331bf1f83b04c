#pragma once

#include <memory>
#include <optional>
#include <vector>

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

// The table of the rows that a field belongs to: a scope or an intrinsic of events or of links.
Table table_of(const Field& field);

}  // namespace spanloom::store
