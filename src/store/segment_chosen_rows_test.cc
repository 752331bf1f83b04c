#include <bit>
#include <cstring>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "base/random.h"
#include "otlp/json.h"
#include "store/segment.h"
#include "store/segment_test_spans.h"
#include "store/string_file.h"

namespace spanloom::store {
namespace {

std::shared_ptr<const Segment> opened(std::string_view image) {
    auto segment = Segment::open(Blob::copy_of(image));
    REQUIRE_MESSAGE(segment.has_value(), (segment ? "" : segment.error().message));
    return *segment;
}

std::string value_at_place(const ColumnBlock& block, size_t at) {
    switch (block.type) {
        case ColumnType::kInt:
            return std::to_string(block.integers[at]);
        case ColumnType::kDouble:
            return std::to_string(std::bit_cast<uint64_t>(block.numbers[at]));
        case ColumnType::kFixed:
            return std::string(block.fixed.substr(at * block.width, block.width));
        default:
            return std::string(block.strings[block.codes[at]]);
    }
}

// The values of these rows, each behind its row.
std::vector<std::string> values_of(const ColumnBlock& block, const std::vector<uint32_t>& rows) {
    std::vector<std::string> out;
    size_t next = 0;
    for (size_t at = 0; at < block.size(); ++at) {
        const uint32_t row = block.dense ? static_cast<uint32_t>(at) : block.rows[at];
        while (next < rows.size() && rows[next] < row)
            ++next;
        if (next < rows.size() && rows[next] == row)
            out.push_back(fmt::format("{}: {}", row, value_at_place(block, at)));
    }
    return out;
}

// How many values were compared.
size_t check_chosen(const Segment& segment, std::vector<uint64_t> shares) {
    SeededRandom random(11);
    size_t compared = 0;
    for (uint32_t group = 0; group < segment.row_groups().size(); ++group) {
        for (const uint64_t share : shares) {
            std::vector<uint32_t> rows;
            for (uint32_t row = 0; row < segment.row_groups()[group].rows; ++row)
                if (random.below(share) == 0) rows.push_back(row);
            const auto chosen = segment.choose_rows(group, rows);
            REQUIRE(chosen != nullptr);
            for (uint32_t column = 0; column < segment.columns().size(); ++column) {
                CAPTURE(column);
                const auto whole = segment.read(column, group);
                REQUIRE(whole.has_value());
                const auto some = chosen->read(column);
                REQUIRE_MESSAGE(some.has_value(), (some ? "" : some.error().message));
                CHECK((*some)->type == (*whole)->type);
                const auto expected = values_of(**whole, rows);
                REQUIRE(values_of(**some, rows) == expected);
                compared += expected.size();
            }
        }
    }
    return compared;
}

std::string built(int zstd_level, uint32_t group_rows, const Batch& batch) {
    SegmentBuilder builder({.row_group_rows = group_rows, .zstd_level = zstd_level, .rollup = {}});
    builder.add(batch);
    auto image = builder.finish();
    REQUIRE(image.has_value());
    return std::string(image->view());
}

// Each with other attributes than most others: a key for every bit of its number.
Batch many_orders(uint32_t spans, uint32_t keys) {
    std::string list;
    for (uint32_t i = 0; i < spans; ++i) {
        std::string attributes;
        for (uint32_t key = 0; key < keys; ++key) {
            if ((i >> key & 1) == 0) continue;
            attributes += fmt::format(R"({}{{"key":"k{}","value":{{"intValue":"{}"}}}})",
                                      attributes.empty() ? "" : ",", key, i * 7 + key);
        }
        list += fmt::format(R"({}{{"traceId":"{:032x}","spanId":"{:016x}","name":"n",)"
                            R"("startTimeUnixNano":"{}","attributes":[{}]}})",
                            i > 0 ? "," : "", 1 + i / 9, 1 + i, 1000 + i, attributes);
    }
    const auto bytes = otlp::json_to_protobuf(
        fmt::format(R"({{"resourceSpans":[{{"scopeSpans":[{{"spans":[{}]}}]}}]}})", list));
    REQUIRE(bytes.has_value());
    auto batch = otlp::decode(*bytes);
    REQUIRE(batch.has_value());
    return std::move(*batch);
}

}  // namespace

TEST_CASE("chosen rows have the values that whole columns have there") {
    for (const int level : {0, 1}) {
        OddRequests requests(5);
        const Batch batch = requests.next(3000);
        const auto segment = opened(built(level, 512, batch));
        CHECK(check_chosen(*segment, {1, 3, 40, 5000}) > 10'000);
    }
}

TEST_CASE("chosen rows of merged segments, and of those with models") {
    OddRequests requests(6);
    std::vector<std::shared_ptr<const Segment>> inputs;
    for (int i = 0; i < 3; ++i)
        inputs.push_back(opened(built(0, 256, requests.next(800))));
    for (const bool has_models : {false, true}) {
        SegmentOptions options;
        options.row_group_rows = 700;
        options.has_models = has_models;
        StringFile file;
        REQUIRE(merge_segments(inputs, options, file, {}).has_value());
        CHECK(check_chosen(*opened(file.bytes), {2, 50}) > 10'000);
    }
}

TEST_CASE("chosen rows of segments of every earlier version") {
    for (const uint32_t version : {1U, 2U, 3U, 4U, 5U}) {
        CAPTURE(version);
        std::ifstream file(fmt::format("{}/segment-v{}.seg", SPANLOOM_GOLDEN, version),
                           std::ios::binary);
        std::stringstream content;
        content << file.rdbuf();
        CHECK(check_chosen(*opened(content.str()), {2, 9, 80}) > 1000);
    }
}

TEST_CASE("chosen rows where there are too many orders to count") {
    const auto segment = opened(built(0, 2048, many_orders(2048, 11)));
    CHECK(check_chosen(*segment, {2, 30}) > 5000);
}

TEST_CASE("rows and columns that are not there are refused or have no value") {
    const auto segment = opened(built(0, 64, many_orders(100, 3)));
    CHECK(segment->choose_rows(2, {0}) == nullptr);
    const auto chosen = segment->choose_rows(1, {1, 36, 1000});
    REQUIRE(chosen != nullptr);
    CHECK_FALSE(chosen->read(9999).has_value());
    const auto ids = chosen->read(0);
    REQUIRE(ids.has_value());
    CHECK((*ids)->rows == std::vector<uint32_t>{1});
}

}  // namespace spanloom::store
