#include <map>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "base/random.h"
#include "otlp/batch.h"
#include "otlp/json.h"
#include "store/attribute_cells.h"
#include "store/group_reader.h"
#include "store/row_bitmap.h"
#include "store/segment.h"
#include "store/string_file.h"
#include "store/values.h"

namespace spanloom::store {
namespace {

// Attributes that follow from names, texts with patterns of every kind, and spans without any.
std::string many_spans() {
    std::string spans;
    for (int i = 0; i < 900; ++i) {
        const int name = i % 7;
        std::string attributes;
        const auto add = [&](std::string_view key, const std::string& value) {
            attributes += fmt::format(R"({}{{"key":"{}","value":{}}})",
                                      attributes.empty() ? "" : ",", key, value);
        };
        if (name != 0) add("route", fmt::format(R"({{"stringValue":"/r/{}"}})", name));
        if (name != 0) add("port", fmt::format(R"({{"intValue":"{}"}})", 8000 + name));
        if (name > 2)
            add("text", fmt::format(R"({{"stringValue":"q{} {:08x} 5f{:06x}-0000 x{}"}})", name % 3,
                                    i * 2654435761U, i, i));
        if (i % 5 == 0) add("code", fmt::format(R"({{"intValue":"{}"}})", i % 10 == 0 ? 500 : 200));
        spans += fmt::format(
            R"({}{{"traceId":"{:032x}","spanId":"{:016x}","name":"n{}","startTimeUnixNano":"{}",)"
            R"("endTimeUnixNano":"{}","kind":{},"status":{{"code":{}}},"attributes":[{}]}})",
            i > 0 ? "," : "", 1 + i / 9, 1 + i, name, 1000 + i, 2000 + i, 1 + i % 3,
            i % 11 == 0 ? 2 : 0, attributes);
    }
    return R"({"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":)"
           R"({"stringValue":"a"}}]},"scopeSpans":[{"spans":[)" +
           spans + "]}]}]}";
}

std::shared_ptr<const Segment> merged() {
    const auto bytes = otlp::json_to_protobuf(many_spans());
    REQUIRE(bytes.has_value());
    const auto batch = otlp::decode(*bytes);
    REQUIRE(batch.has_value());
    SegmentBuilder builder({.row_group_rows = 256, .zstd_level = 0, .rollup = {}});
    builder.add(*batch);
    auto image = builder.finish();
    REQUIRE(image.has_value());
    auto fresh = Segment::open(std::move(*image));
    REQUIRE(fresh.has_value());
    StringFile file;
    REQUIRE(
        merge_segments({&*fresh, 1}, {.row_group_rows = 256, .rollup = {}}, file, {}).has_value());
    auto segment = Segment::open(Blob::copy_of(file.bytes));
    REQUIRE(segment.has_value());
    return *segment;
}

std::string text_at(const Segment& segment, uint32_t column, const ColumnBlock& block,
                    uint32_t row) {
    const auto position = position_of(block, row);
    if (!position || *position >= block.size()) return "none";
    return value_text(value_at(segment.columns()[column], block, *position));
}

}  // namespace

TEST_CASE("some rows of a column are what all of it says of them") {
    const auto segment = merged();
    SeededRandom random(3);
    size_t texts = 0;
    for (uint32_t group = 0; group < segment->row_groups().size(); ++group) {
        const uint32_t rows = segment->row_groups()[group].rows;
        for (uint32_t column = 0; column < segment->columns().size(); ++column) {
            const ColumnKey& key = segment->columns()[column];
            if (key.table != Table::kSpans || key.scope != Scope::kSpan) continue;
            const auto whole = segment->read(column, group);
            REQUIRE(whole.has_value());
            for (const uint32_t share : {1U, 2U, 10U, 1000U}) {
                RowBitmap wanted(rows);
                for (uint32_t row = 0; row < rows; ++row) {
                    if (random.below(share) == 0) wanted.set(row);
                }
                const auto some = segment->read_some(column, group, wanted);
                REQUIRE(some.has_value());
                CHECK((*some)->size() == (*whole)->size());
                wanted.for_each([&](uint32_t row) {
                    const std::string text = text_at(*segment, column, **whole, row);
                    CHECK(text_at(*segment, column, **some, row) == text);
                    texts += key.key == "text" && text != "none" ? 1 : 0;
                });
            }
        }
    }
    CHECK(texts > 100);
    CHECK(!segment->read_some(9999, 0, RowBitmap(1)).has_value());
}

TEST_CASE("values are counted as often as they come, and read one by one") {
    const auto segment = merged();
    SegmentReader reader(segment);
    const auto each_text = [&](uint32_t column, const ColumnBlock& block, auto&& visit) {
        for (uint32_t i = 0; i < block.size(); ++i)
            visit(i, value_text(value_at(segment->columns()[column], block, i)));
    };
    size_t counted = 0;
    for (uint32_t group = 0; group < segment->row_groups().size(); ++group) {
        for (uint32_t column = 0; column < segment->columns().size(); ++column) {
            const ColumnKey& key = segment->columns()[column];
            if (key.table != Table::kSpans || key.scope != Scope::kSpan) continue;
            CAPTURE(key.key);
            const auto whole = segment->read(column, group);
            REQUIRE(whole.has_value());
            const size_t count = (*whole)->size();
            const auto counts = segment->value_counts(column, group, count);
            REQUIRE(counts.has_value());
            if (!*counts) continue;
            ++counted;
            std::map<std::string, uint32_t> expected;
            std::vector<std::string> texts;
            each_text(column, **whole, [&](uint32_t, const std::string& text) {
                ++expected[text];
                texts.push_back(text);
            });
            std::map<std::string, uint32_t> found;
            each_text(column, *(*counts)->values, [&](uint32_t i, const std::string& text) {
                found[text] = (*counts)->counts[i];
            });
            CHECK(found == expected);
            std::vector<uint32_t> places;
            std::vector<uint32_t> rows;
            for (uint32_t at = 1; at < count; at += 5) {
                places.push_back(at);
                rows.push_back((*whole)->dense ? at : (*whole)->rows[at]);
            }
            const auto some = segment->read_values_at(column, group, count, places, rows);
            REQUIRE(some.has_value());
            REQUIRE((*some)->size() == places.size());
            each_text(column, **some, [&](uint32_t i, const std::string& text) {
                CHECK(text == texts[places[i]]);
            });
        }
        const uint32_t rows = segment->row_groups()[group].rows;
        for (const uint32_t column : {reader.column(Table::kSpans, Intrinsic::kKind),
                                      reader.column(Table::kSpans, Intrinsic::kStatus),
                                      reader.column(Table::kSpans, RowField::kScopeIndex)}) {
            if (column == kNoColumn) continue;
            const auto counts = segment->value_counts(column, group, rows);
            REQUIRE(counts.has_value());
            REQUIRE(counts->has_value());
            uint32_t sum = 0;
            for (const uint32_t times : (*counts)->counts)
                sum += times;
            CHECK(sum == rows);
            const std::vector<uint32_t> last = {rows - 1};
            const auto one = segment->read_values_at(column, group, rows, last, last);
            REQUIRE(one.has_value());
            const auto whole = segment->read(column, group);
            REQUIRE(whole.has_value());
            const auto at = position_of(**whole, rows - 1);
            CHECK((*one)->integers.at(0) == (at ? (*whole)->integers.at(*at) : 0));
        }
    }
    CHECK(counted >= 2);
    // Names are told by kinds, and not counted here.
    CHECK(
        !segment->value_counts(reader.column(Table::kSpans, Intrinsic::kName), 0, 1)->has_value());
}

TEST_CASE("rows of one kind and order have equal values where a column follows kinds") {
    const auto segment = merged();
    SegmentReader reader(segment);
    const uint32_t orders = reader.column(Table::kSpans, RowField::kAttributeOrder);
    size_t followed = 0;
    for (uint32_t group = 0; group < segment->row_groups().size(); ++group) {
        const auto kinds = segment->row_kinds(group);
        REQUIRE(kinds.has_value());
        REQUIRE(*kinds != nullptr);
        const uint32_t rows = segment->row_groups()[group].rows;
        REQUIRE((*kinds)->size() == rows);
        const auto order = segment->read(orders, group);
        REQUIRE(order.has_value());
        for (uint32_t column = 0; column < segment->columns().size(); ++column) {
            if (!segment->follows_row_kinds(column, group)) continue;
            const auto block = segment->read(column, group);
            REQUIRE(block.has_value());
            followed += (*block)->size();
            std::map<std::pair<uint32_t, uint32_t>, std::string> known;
            for (uint32_t row = 0; row < rows; ++row) {
                const auto at = position_of(**order, row);
                const std::pair which{
                    at && *at < (*order)->codes.size() ? (*order)->codes[*at] : UINT32_MAX,
                    (**kinds)[row]};
                const std::string text = text_at(*segment, column, **block, row);
                const auto [first, is_new] = known.try_emplace(which, text);
                if (!is_new) CHECK(first->second == text);
            }
        }
    }
    CHECK(followed > 500);
    CHECK(!segment->follows_row_kinds(9999, 0));
    CHECK(segment->row_kinds(9999).value() == nullptr);
}

}  // namespace spanloom::store
