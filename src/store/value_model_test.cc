#include "store/value_model.h"

#include <doctest/doctest.h>

#include "base/random.h"
#include "store/segment_rows.h"

namespace spanloom::store {
namespace {

struct Column {
    std::vector<uint8_t> contexts;
    std::vector<int64_t> values;
};

// Values near ten times their context, mostly the first of them; one in `odd` is any number.
Column column_of(uint64_t seed, size_t count, uint64_t odd) {
    SeededRandom random(seed);
    Column column;
    for (size_t i = 0; i < count; ++i) {
        const auto context = static_cast<uint8_t>(random.below(200));
        column.contexts.push_back(context);
        const uint64_t step = random.below(8);
        column.values.push_back(odd > 0 && random.below(odd) == 0
                                    ? static_cast<int64_t>(random.next())
                                    : int64_t{context} * 10 +
                                          static_cast<int64_t>(step < 5 ? 0 : step));
    }
    return column;
}

std::string written(const ValueModel& model) {
    std::string bytes;
    model.write(1, bytes);
    return bytes;
}

ValueModel read_back(const std::string& bytes) {
    ByteReader reader(bytes);
    auto model = ValueModel::parse(reader);
    REQUIRE(model.has_value());
    CHECK(reader.at_end());
    return *model;
}

}  // namespace

TEST_CASE("values of a model come back, the uncommon ones too") {
    const Column learnt = column_of(1, 20'000, 100);
    ModelLearner learner;
    learner.count(learnt.contexts, learnt.values);
    const ValueModel* const model = learner.model();
    REQUIRE(model != nullptr);
    const std::string bytes = written(*model);
    const ValueModel reader = read_back(bytes);
    for (const uint64_t odd : {0U, 1000U, 20U}) {
        for (const size_t count : {size_t{0}, size_t{1}, size_t{2}, size_t{4095}, size_t{4096}}) {
            CAPTURE(odd);
            CAPTURE(count);
            Column column = column_of(odd + 7, count, odd);
            if (count > 10) column.contexts[3] = 255;  // that nobody saw
            std::string body;
            REQUIRE(model->encode(column.contexts, column.values, 1, body));
            std::vector<int64_t> values;
            REQUIRE(reader.decode(std::string_view(body).substr(1), column.contexts, values));
            CHECK(values == column.values);
            // 1.7 bits of chance in each.
            if (odd == 0 && count > 4000) CHECK(body.size() < count * 2 / 8);
        }
    }
}

TEST_CASE("a model gives up where most values are uncommon, and before it has seen enough") {
    ModelLearner learner;
    const Column column = column_of(3, 4096, 0);
    learner.count(column.contexts, column.values);
    CHECK(learner.model() == nullptr);
    for (int i = 0; i < 3; ++i)
        learner.count(column.contexts, column.values);
    REQUIRE(learner.model() != nullptr);
    std::vector<int64_t> others(column.values.size(), 5000);
    std::string body;
    CHECK_FALSE(learner.model()->encode(column.contexts, others, 1, body));
    CHECK(body.empty());
}

TEST_CASE("models and their values that are damaged are refused or give other values") {
    const Column column = column_of(5, 16'000, 0);
    ModelLearner learner;
    learner.count(column.contexts, column.values);
    const ValueModel* const model = learner.model();
    REQUIRE(model != nullptr);
    std::string body;
    REQUIRE(model->encode(column.contexts, column.values, 1, body));
    body.erase(0, 1);
    std::vector<int64_t> values;
    for (size_t size = 0; size < body.size(); size += 53)
        CHECK_FALSE(model->decode(std::string_view(body).substr(0, size), column.contexts, values));
    CHECK_FALSE(model->decode(body + "xx", column.contexts, values));
    size_t passed = 0;
    for (size_t at = 0; at < body.size(); at += 31) {
        std::string hit = body;
        hit[at] ^= 0x10;
        passed += model->decode(hit, column.contexts, values).has_value();
    }
    CHECK(passed <= 2);
    const std::string bytes = written(*model);
    for (size_t at = 0; at < bytes.size(); ++at) {
        std::string hit = bytes;
        hit[at] ^= 0x21;
        ByteReader reader(hit);
        if (const auto read = ValueModel::parse(reader); read && !read->empty())
            (void)read->decode(body, column.contexts, values);
        ByteReader cut(std::string_view(bytes).substr(0, at));
        (void)ValueModel::parse(cut);
    }
}

TEST_CASE("links to parents become steps up the tree, and links again") {
    SeededRandom random(11);
    for (int round = 0; round < 50; ++round) {
        std::vector<int64_t> links;
        for (int64_t row = 0; row < 300; ++row) {
            switch (random.below(8)) {
                case 0:
                    links.push_back(kParentNone);
                    break;
                case 1:
                    links.push_back(kParentElsewhere);
                    break;
                case 2:  // after this row, or before the group
                    links.push_back(static_cast<int64_t>(random.below(900)) + 3);
                    break;
                default:
                    links.push_back(
                        2 * (1 + static_cast<int64_t>(random.below(
                                     static_cast<uint64_t>(std::min<int64_t>(row, 5)) + 1))));
                    break;
            }
        }
        std::vector<int64_t> steps;
        steps_of_links(links, steps);
        std::vector<int64_t> back;
        REQUIRE(links_of_steps(steps, back));
        CHECK(back == links);
    }
    const std::vector<int64_t> chain = {0, 2, 2, 2, 4, 8, 6};
    std::vector<int64_t> steps;
    steps_of_links(chain, steps);
    CHECK(steps == std::vector<int64_t>{0, 2, 2, 2, 3, 4, kFarParent + 6});
    for (const std::vector<int64_t>& broken :
         {std::vector<int64_t>{2}, {-1}, {0, 3}, {0, 2, 2, 5}}) {
        std::vector<int64_t> links;
        CHECK_FALSE(links_of_steps(broken, links));
    }
}

}  // namespace spanloom::store
