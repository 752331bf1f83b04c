#include "traceql/compare_table.h"

#include <algorithm>

#include "store/values.h"

namespace spanloom::traceql {
namespace {

using store::Value;
using store::ValueKind;

constexpr size_t kTopDefault = 10;
// Values of one attribute that are told apart; an attribute with more tells nothing anyway.
constexpr size_t kValuesMax = 20'000;
// Those of an attribute that is crowded: what is frequent among selected spans is among them.
constexpr size_t kCrowdedMax = 5'000;
// Those of the baseline are told apart up to here: beyond it most values are rare, the most
// frequent ones say little, and counting all of them would take most of the time. Of the selection,
// which is small, they are always counted.
constexpr size_t kCrowd = 2'000;

// Also of one that has become so while its values were counted.
bool has_many(const CompareTable::Attribute& attribute) {
    return attribute.is_crowded || attribute.values.size() > kCrowd;
}

bool is_integer(ValueKind kind) {
    return kind == ValueKind::kInt || kind == ValueKind::kBool || kind == ValueKind::kStatus ||
           kind == ValueKind::kSpanKind;
}

}  // namespace

CompareTable::CompareTable(const Stage& stage, const Grid& grid, const CrowdedAttributes& crowded,
                           MemoryShare& memory)
    : stage_(stage), grid_(grid), crowded_(crowded), memory_(memory) {}

CompareTable::Attribute& CompareTable::attribute(const std::string& name) {
    const auto known = attributes_.find(name);
    if (known != attributes_.end()) return known->second;
    if (!memory_.take(name.size() + sizeof(Attribute) + 128)) return left_out_;
    Attribute& made = attributes_[name];
    made.is_crowded = crowded_.has(name);
    return made;
}

std::set<std::string, std::less<>> CompareTable::crowded() const {
    std::set<std::string, std::less<>> names;
    for (const auto& [name, attribute] : attributes_) {
        if (has_many(attribute)) names.insert(name);
    }
    return names;
}

bool CompareTable::is_crowded(Attribute& attribute) {
    attribute.is_crowded = has_many(attribute);
    return attribute.is_crowded;
}

void CompareTable::count_total(Attribute& attribute, uint32_t slot, double weight) {
    count_slot(attribute.totals, slot, weight);
}

void CompareTable::count_value(Attribute& attribute, uint32_t number, uint32_t slot,
                               double weight) {
    if (number == kTooMany) {
        attribute.overflowed += weight;
    } else {
        count_slot(attribute.counts[number], slot, weight);
    }
}

void CompareTable::count_slot(Counts& counts, uint32_t slot, double weight) {
    (slot % 2 != 0 ? counts.selection : counts.baseline) += weight;
    // Spans come nearly in the order of time.
    constexpr size_t kLook = 4;
    for (size_t i = 0; i < kLook && i < counts.slots.size(); ++i) {
        auto& known = counts.slots[counts.slots.size() - 1 - i];
        if (known.first != slot) continue;
        known.second += weight;
        return;
    }
    if (memory_.take(sizeof(counts.slots[0]))) counts.slots.emplace_back(slot, weight);
}

uint32_t CompareTable::number_of(Attribute& attribute, const Value& value) {
    if (is_integer(value.kind)) return number_of_integer(attribute, value);
    if (value.kind == ValueKind::kString) return number_of(attribute, std::string_view(value.text));
    std::string key;
    append_key(key, value);
    const auto known = attribute.by_key.find(key);
    if (known != attribute.by_key.end()) return known->second;
    if (!has_room(attribute, key.size() * 2 + 256)) return kTooMany;
    const auto number = static_cast<uint32_t>(attribute.values.size());
    attribute.by_key.emplace(std::move(key), number);
    attribute.values.push_back(value);
    attribute.counts.emplace_back();
    return number;
}

uint32_t CompareTable::number_of(Attribute& attribute, std::string_view text) {
    const auto known = attribute.by_text.find(text);
    if (known != attribute.by_text.end()) return known->second;
    if (!has_room(attribute, text.size() * 2 + 256)) return kTooMany;
    const auto number = static_cast<uint32_t>(attribute.values.size());
    attribute.values.push_back(Value::of_string(std::string(text)));
    attribute.by_text.emplace(attribute.values.back().text, number);
    attribute.counts.emplace_back();
    return number;
}

// For one more value.
bool CompareTable::has_room(const Attribute& attribute, size_t bytes) {
    const size_t most = attribute.is_crowded && !is_joining_ ? kCrowdedMax : kValuesMax;
    return attribute.values.size() < most && memory_.take(bytes);
}

// Kinds of integers of one name are told apart by their upper bits; integers that large are rare
// enough to be looked up as texts.
uint32_t CompareTable::number_of_integer(Attribute& attribute, const Value& value) {
    constexpr int kShift = 60;
    const bool is_small = value.integer >> (kShift - 1) == 0 || value.integer >> (kShift - 1) == -1;
    if (!is_small) {
        std::string key;
        append_key(key, value);
        const auto known = attribute.by_key.find(key);
        if (known != attribute.by_key.end()) return known->second;
        if (!has_room(attribute, 512)) return kTooMany;
        attribute.by_key.emplace(std::move(key), static_cast<uint32_t>(attribute.values.size()));
    } else {
        const uint64_t low = static_cast<uint64_t>(value.integer) & ((uint64_t{1} << kShift) - 1);
        const auto key = static_cast<int64_t>(low | static_cast<uint64_t>(value.kind) << kShift);
        const auto known = attribute.by_integer.find(key);
        if (known != attribute.by_integer.end()) return known->second;
        if (!has_room(attribute, 256)) return kTooMany;
        attribute.by_integer.emplace(key, static_cast<uint32_t>(attribute.values.size()));
    }
    attribute.values.push_back(value);
    attribute.counts.emplace_back();
    return static_cast<uint32_t>(attribute.values.size() - 1);
}

void CompareTable::add(const CompareTable& other) {
    is_full_ = is_full_ || other.is_full();
    is_joining_ = true;
    const auto join = [&](Counts& counts, const Counts& theirs) {
        for (const auto& [slot, weight] : theirs.slots)
            count_slot(counts, slot, weight);
    };
    for (const auto& [name, theirs] : other.attributes_) {
        Attribute& attribute = this->attribute(name);
        join(attribute.totals, theirs.totals);
        attribute.overflowed += theirs.overflowed;
        attribute.is_crowded = attribute.is_crowded || theirs.is_crowded;
        for (size_t i = 0; i < theirs.values.size(); ++i) {
            if (is_crowded(attribute) && theirs.counts[i].selection == 0) continue;
            const uint32_t number = number_of(attribute, theirs.values[i]);
            if (number == kTooMany) {
                ++attribute.overflowed;
            } else {
                join(attribute.counts[number], theirs.counts[i]);
            }
        }
    }
}

std::vector<double> CompareTable::values_of(const Counts& counts, double scale,
                                            bool of_selection) const {
    std::vector<double> values(grid_.intervals, 0);
    for (const auto& [slot, weight] : counts.slots) {
        if ((slot % 2 != 0) == of_selection) values[slot / 2] += weight * scale;
    }
    return values;
}

void CompareTable::add_series(const std::string& name, const Attribute& attribute, double scale,
                              std::vector<Series>& out) const {
    const size_t top =
        stage_.arguments.empty()
            ? kTopDefault
            : static_cast<size_t>(std::min<int64_t>(stage_.arguments[0].literal.integer, 1'000));
    const auto series = [&](std::string_view type, std::vector<Label> labels,
                            std::vector<double> values) {
        Series& one = out.emplace_back();
        one.labels.push_back({"__meta_type", Value::of_string(std::string(type))});
        for (Label& label : labels)
            one.labels.push_back(std::move(label));
        one.values = std::move(values);
    };
    const Value nil = Value::of_string("nil");
    // However many pieces it was counted in.
    const bool is_crowd = has_many(attribute);
    for (const bool of_selection : {false, true}) {
        const std::string_view type = of_selection ? "selection" : "baseline";
        const auto sum = [&](const Counts& counts) {
            return of_selection ? counts.selection : counts.baseline;
        };
        if (sum(attribute.totals) == 0) continue;
        std::vector<uint32_t> order;
        const bool is_told_apart = of_selection || !is_crowd;
        for (uint32_t i = 0; is_told_apart && i < attribute.counts.size(); ++i) {
            if (sum(attribute.counts[i]) > 0) order.push_back(i);
        }
        std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
            const double left = sum(attribute.counts[a]);
            const double right = sum(attribute.counts[b]);
            return left != right ? left > right
                                 : store::value_before(attribute.values[a], attribute.values[b]);
        });
        if (order.size() > top || attribute.overflowed != 0 || !is_told_apart)
            series(type, {{"__meta_error", Value::of_string("__too_many_values__")}, {name, nil}},
                   std::vector<double>(grid_.intervals, 0));
        for (size_t i = 0; i < std::min(top, order.size()); ++i)
            series(type, {{name, attribute.values[order[i]]}},
                   values_of(attribute.counts[order[i]], scale, of_selection));
        series(of_selection ? "selection_total" : "baseline_total", {{name, nil}},
               values_of(attribute.totals, scale, of_selection));
    }
}

std::vector<Series> CompareTable::finish(double scale, const Sharing& share) const {
    std::vector<const std::pair<const std::string, Attribute>*> all;
    for (const auto& one : attributes_)
        all.push_back(&one);
    std::vector<std::vector<Series>> finished(all.size());
    share(all.size(),
          [&](size_t i) { add_series(all[i]->first, all[i]->second, scale, finished[i]); });
    std::vector<Series> out;
    for (std::vector<Series>& of_attribute : finished) {
        for (Series& one : of_attribute)
            out.push_back(std::move(one));
    }
    return out;
}

}  // namespace spanloom::traceql
