#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include <boost/unordered/unordered_flat_map.hpp>

#include "store/group_reader.h"
#include "traceql/compare_table.h"

namespace spanloom::traceql {

// Spans of one kind (name, service, instrumentation) with the same attributes in the same order are
// a class. What a column has for all of a class alike is counted once for the class. One thread.
class CompareClasses {
  public:
    // A column whose values must be read.
    struct Column {
        uint32_t number = 0;
        uint32_t values = 0;  // of the group
        bool has_selected = false;
        // Where among all values of the group those of selected rows are, and these rows; nullopt:
        // not found out.
        std::optional<std::vector<uint32_t>> selected;
        std::vector<uint32_t> selected_rows;
    };

    // `table` outlives it.
    explicit CompareClasses(CompareTable& table) : table_(table) {}

    // From now on rows are of this segment, whose columns count for these attributes (nullptr: not
    // at all), and names for this one. What was counted before has been flushed.
    void use(std::span<CompareTable::Attribute* const> attributes, CompareTable::Attribute& names);
    // Counts how many rows have each attribute, names, and the values of columns that follow from
    // classes; `others` are the columns that do not. All rows are of one interval; where
    // `selects_few`, all of the group count, and their selected values are found out. false:
    // nothing is counted, as the segment cannot tell or there are too many classes.
    Result<bool> count(const store::SegmentReader& reader, store::GroupReader& group,
                       const store::RowBitmap& rows, const store::RowBitmap* selected,
                       bool selects_few, uint32_t interval, std::vector<Column>& others);
    // Whether names were counted, too, where count() said true.
    bool tells_names() const { return tells_names_; }
    // Everything that was counted goes to the table.
    void flush();

  private:
    using Pair = std::array<uint32_t, 2>;  // of the baseline, of the selection

    struct Cell {
        uint32_t column = 0;
        uint32_t number = 0;  // kUnknown: not looked up yet
        Pair counts{};
    };
    struct Class {
        std::vector<Cell> cells;
        uint32_t name;  // number of its value; kUnknown: not looked up yet
        Pair totals{};
        uint32_t row = 0;      // one of those in the row group at hand
        bool repeats = false;  // a key comes more than once
    };
    struct ColumnState {
        CompareTable::Attribute* attribute = nullptr;
        Pair here{};
        Pair totals{};
        bool is_here = false;
        bool follows = false;
        std::vector<uint32_t> classes_here;  // that have it, where it does not follow
    };

    void find_selected(const store::RowBitmap& selected, std::vector<Column>& others);
    Result<bool> find_classes(const store::SegmentReader& reader, store::GroupReader& group,
                              const store::RowBitmap& rows, const store::RowBitmap* selected);
    void leave_group();
    void forget_classes();
    uint32_t class_of(uint32_t order, uint32_t kind, std::string_view columns);
    Result<void> count_class(const store::SegmentReader& reader, store::GroupReader& group,
                             uint32_t number);
    Result<uint32_t> look_up_name(const store::SegmentReader& reader, store::GroupReader& group,
                                  uint32_t row);
    Result<uint32_t> look_up(const store::SegmentReader& reader, store::GroupReader& group,
                             uint32_t column, uint32_t row);

    CompareTable& table_;
    CompareTable::Attribute* names_ = nullptr;
    uint32_t interval_ = 0;
    bool tells_names_ = false;
    std::vector<ColumnState> columns_;
    std::shared_ptr<const void> orders_;  // whose numbers the classes have
    boost::unordered_flat_map<uint64_t, uint32_t> by_pair_;
    // Those of rows a moment ago, so that most need not be looked up.
    static constexpr uint32_t kRecentClasses = 512;
    struct Recent {
        uint64_t pair = 0;
        uint32_t number = UINT32_MAX;  // none
    };
    std::array<Recent, kRecentClasses> recent_;
    std::vector<Class> classes_;
    // Of the row group at hand.
    std::vector<Pair> here_;  // rows of each class
    std::vector<uint32_t> order_of_row_;
    std::vector<uint32_t> class_of_row_;
    std::vector<uint32_t> before_;  // rows of each class before one
    std::vector<uint32_t> place_of_column_;
    std::vector<uint32_t> classes_here_;
    std::vector<uint32_t> columns_here_;
};

}  // namespace spanloom::traceql
