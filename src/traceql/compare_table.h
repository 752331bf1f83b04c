#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <boost/container/small_vector.hpp>
#include <boost/unordered/unordered_flat_map.hpp>

#include "base/hash.h"
#include "traceql/series.h"

namespace spanloom::traceql {

// Attributes with very many values, as the first piece of a store tells: so that nobody else counts
// values of theirs that will not be told apart. Written once, before others read it.
class CrowdedAttributes {
  public:
    bool is_known() const { return is_known_; }
    bool has(std::string_view name) const { return names_.contains(name); }
    void know(std::set<std::string, std::less<>> names) {
        names_ = std::move(names);
        is_known_ = true;
    }

  private:
    std::set<std::string, std::less<>> names_;
    bool is_known_ = false;
};

// What compare() has counted: for each attribute how many spans have each of its values, in each
// slot (2 * interval, + 1 where the span is selected). One thread; what it is given outlives it.
class CompareTable {
  public:
    // Counts of values of one attribute that are not told apart.
    static constexpr uint32_t kTooMany = UINT32_MAX;

    struct TextHash {
        using is_avalanching = void;
        using is_transparent = void;
        size_t operator()(std::string_view text) const { return hash64(text); }
    };
    template <typename Text>
    using ByText = boost::unordered_flat_map<Text, uint32_t, TextHash, std::equal_to<>>;
    // In the order in which slots were met.
    struct Counts {
        boost::container::small_vector<std::pair<uint32_t, double>, 2> slots;
        double baseline = 0;
        double selection = 0;
    };
    struct Attribute {
        Attribute() = default;
        Attribute(const Attribute&) = delete;  // by_text shows what is in `values`
        Attribute& operator=(const Attribute&) = delete;

        boost::unordered_flat_map<int64_t, uint32_t> by_integer;  // of values that are integers
        ByText<std::string_view> by_text;                         // theirs, in `values`
        ByText<std::string> by_key;                               // of the others
        std::deque<store::Value> values;                          // stay where they are
        std::vector<Counts> counts;
        Counts totals;
        double overflowed = 0;
        // It has so many values that those of the baseline are not told apart.
        bool is_crowded = false;
    };

    // What is known to be crowded is from the beginning.
    CompareTable(const Stage& stage, const Grid& grid, const CrowdedAttributes& crowded,
                 MemoryShare& memory);

    // Stays where it is. Where no memory is left for one more, one that is not shown.
    Attribute& attribute(const std::string& name);
    // kTooMany where it is not told apart.
    uint32_t number_of(Attribute& attribute, const store::Value& value);
    uint32_t number_of(Attribute& attribute, std::string_view text);
    void count_value(Attribute& attribute, uint32_t number, uint32_t slot, double weight);
    void count_total(Attribute& attribute, uint32_t slot, double weight);
    // Whether only selected spans' values are worth counting any more.
    static bool is_crowded(Attribute& attribute);
    // False where the memory is used up.
    bool charge(size_t bytes) { return memory_.take(bytes); }
    bool is_full() const { return is_full_ || memory_.is_used_up(); }

    std::set<std::string, std::less<>> crowded() const;
    // What another table of the same stage has counted.
    void add(const CompareTable& other);
    // For each attribute its most frequent values, of the baseline and of the selection; every
    // count times `scale`.
    std::vector<Series> finish(double scale, const Sharing& share) const;

  private:
    void count_slot(Counts& counts, uint32_t slot, double weight);
    uint32_t number_of_integer(Attribute& attribute, const store::Value& value);
    bool has_room(const Attribute& attribute, size_t bytes);
    void add_series(const std::string& name, const Attribute& attribute, double scale,
                    std::vector<Series>& out) const;
    std::vector<double> values_of(const Counts& counts, double scale, bool of_selection) const;

    const Stage& stage_;
    const Grid& grid_;
    const CrowdedAttributes& crowded_;
    MemoryAllowance memory_;
    bool is_full_ = false;     // another that was joined was
    bool is_joining_ = false;  // what several tables have counted
    std::map<std::string, Attribute> attributes_;
    Attribute left_out_;
};

}  // namespace spanloom::traceql
