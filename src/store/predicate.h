#pragma once

#include <cstdint>
#include <memory>

#include "base/result.h"
#include "store/field.h"
#include "store/group_reader.h"
#include "store/row_bitmap.h"

namespace spanloom::store {

// A Predicate made ready for a query: regular expressions compiled, conditions on one event or link
// put together, constants folded. Immutable; any thread.
class CompiledPredicate {
  public:
    struct Node;

    // kInvalidArgument for a regular expression that does not parse, for a field that only whole
    // traces have, and for conditions nested beyond kDepthMax.
    static Result<CompiledPredicate> compile(const Predicate& predicate);
    bool is_everything() const;
    const Node& root() const { return *root_; }

    static constexpr uint32_t kDepthMax = 200;

  private:
    explicit CompiledPredicate(std::shared_ptr<const Node> root) : root_(std::move(root)) {}
    std::shared_ptr<const Node> root_;
};

// A predicate over one segment: which columns it reads, and what resources and scopes (tested once
// each) decide by themselves. One thread; `reader` and `predicate` outlive it.
class BoundPredicate {
  public:
    struct Node;

    static Result<BoundPredicate> bind(const CompiledPredicate& predicate, SegmentReader& reader);
    BoundPredicate(BoundPredicate&&) noexcept;
    BoundPredicate& operator=(BoundPredicate&&) noexcept;
    ~BoundPredicate();

    bool is_never() const;   // no span of the segment
    bool is_always() const;  // every span of it
    // False: no span of the group, without reading it.
    bool may_match(const RowGroup& group) const;
    // Hints: bind() comes soon for this segment; evaluate() for this row group.
    static void foresee(const CompiledPredicate& predicate, SegmentReader& reader);
    void foresee(uint32_t row_group) const;
    // Those of `candidates` (span rows of the group) that satisfy it.
    Result<RowBitmap> evaluate(GroupReader& group, const RowBitmap& candidates);

  private:
    BoundPredicate(SegmentReader& reader, std::unique_ptr<Node> root);
    SegmentReader* reader_;
    std::unique_ptr<Node> root_;
};

}  // namespace spanloom::store
