#include "store/scan.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <tuple>

#include <doctest/doctest.h>

#include "store/search_test_model.h"
#include "store/values.h"

using namespace spanloom;
using namespace spanloom::store;

namespace {

Field attribute(Scope scope, std::string key) {
    return {scope, Intrinsic::kNone, std::move(key)};
}
Field intrinsic(Intrinsic which) {
    return {Scope::kIntrinsic, which, {}};
}
const Field kService = attribute(Scope::kResource, "service.name");
const Field kUser = attribute(Scope::kSpan, "user.id");
const Field kDuration = intrinsic(Intrinsic::kDuration);
const Field kName = intrinsic(Intrinsic::kName);
const Field kEverything = {Scope::kAny, Intrinsic::kNone, {}};

std::vector<Predicate> conditions() {
    const Predicate in_cart =
        Predicate::compare(kService, Comparison::kEqual, Value::of_string("cart"));
    const Predicate is_long =
        Predicate::compare(kDuration, Comparison::kGreater, Value::of_duration(500));
    return {Predicate::everything(),
            in_cart,
            is_long,
            Predicate::all_of({in_cart, is_long}),
            Predicate::negation(in_cart),
            Predicate::compare(kUser, Comparison::kEqual, Value::of_string("u3"))};
}

bool starts_in(const ModelSpan& span, TimeRange range) {
    return span.start >= range.start_ns && span.start < range.end_ns;
}

std::vector<ModelSpan> chosen(const ModelStore& model, const ScanScope& scope) {
    std::vector<ModelSpan> spans;
    for (const ModelSpan& span : model.spans())
        if (starts_in(span, scope.range) && ModelStore::holds(scope.where, span))
            spans.push_back(span);
    return spans;
}

std::string shown_user(const Value& value) {
    return value.kind == ValueKind::kNil ? "" : value_text(value);
}

}  // namespace

TEST_CASE("a scan delivers exactly the spans that a plain model chooses") {
    for (uint64_t seed = 1; seed <= 10; ++seed) {
        CAPTURE(seed);
        SeededRandom random(seed);
        const ModelStore model(random, 1 + random.below(4), 60 + random.below(200));
        for (const Predicate& where : conditions()) {
            ScanRequest request;
            request.scope.where = where;
            if (random.below(2) == 0) request.scope.range = model.some_range(random);
            request.columns = {kService,
                               kName,
                               kUser,
                               kDuration,
                               intrinsic(Intrinsic::kTraceId),
                               attribute(Scope::kAny, "service.name"),
                               attribute(Scope::kSpan, "nobody.has.this")};
            request.marks = {conditions()[1], conditions()[2]};
            request.with_ids = true;
            std::vector<std::string> found;
            const auto stats = scan(model.segments(), request, [&](const ScanBlock& block) {
                for (const ScanTrace& trace : block.traces) {
                    for (uint32_t row = trace.first_row; row < trace.first_row + trace.rows; ++row)
                        found.push_back(trace.trace_id.hex() + block.span_ids[row].hex() +
                                        block.parent_ids[row].hex() +
                                        value_text(block.columns[0].value(row)) +
                                        value_text(block.columns[1].value(row)) +
                                        shown_user(block.columns[2].value(row)) + " " +
                                        std::to_string(block.columns[3].cells[row]) + " " +
                                        std::to_string(block.marks[row]) +
                                        value_text(block.columns[4].value(row)) +
                                        value_text(block.columns[5].value(row)) +
                                        shown_user(block.columns[6].value(row)));
                }
                return true;
            });
            REQUIRE(stats.has_value());
            CHECK_FALSE(stats->partial);
            std::vector<std::string> expected;
            for (const ModelSpan& span : chosen(model, request.scope)) {
                const uint64_t marks =
                    (span.service == "cart" ? 1 : 0) | (span.duration > 500 ? 2 : 0);
                expected.push_back(test_trace_id(span.trace).hex() + test_span_id(span.span).hex() +
                                   (span.parent == 0 ? SpanId{} : test_span_id(span.parent)).hex() +
                                   span.service + span.name + span.user + " " +
                                   std::to_string(span.duration) + " " + std::to_string(marks) +
                                   test_trace_id(span.trace).hex() + span.service);
            }
            std::sort(found.begin(), found.end());
            std::sort(expected.begin(), expected.end());
            CHECK(found == expected);
        }
    }
}

TEST_CASE("a scan ends when it is told to") {
    SeededRandom random(7);
    const ModelStore model(random, 3, 200);
    int blocks = 0;
    ScanRequest request;
    REQUIRE(scan(model.segments(), request, [&](const ScanBlock&) { return ++blocks < 2; }));
    CHECK(blocks == 2);
    std::stop_source source;
    source.request_stop();
    request.scope.cancelled = source.get_token();
    const auto stats = scan(model.segments(), request, [](const ScanBlock&) { return true; });
    REQUIRE(stats.has_value());
    CHECK(stats->partial);
    CHECK(stats->scanned_spans == 0);
}

TEST_CASE("aggregates equal those counted span by span, with and without helpers") {
    const auto pool = make_thread_pool(2, "helpers");
    for (uint64_t seed = 1; seed <= 10; ++seed) {
        CAPTURE(seed);
        SeededRandom random(seed);
        const ModelStore model(random, 1 + random.below(4), 60 + random.below(200));
        for (const Predicate& where : conditions()) {
            AggregateRequest request;
            request.scope.where = where;
            request.scope.range = {900, 9000};
            request.scope.executor = random.below(2) == 0 ? pool.get() : nullptr;
            request.scope.helpers = 2;
            request.group_by = {kService, kUser};
            request.step_ns = 700;
            using Kind = Aggregate::Kind;
            request.aggregates = {{Kind::kCount, kEverything}, {Kind::kCount, kUser},
                                  {Kind::kSum, kDuration},     {Kind::kMin, kDuration},
                                  {Kind::kMax, kDuration},     {Kind::kHistogram, kDuration}};
            const auto answer = aggregate(model.segments(), request);
            REQUIRE(answer.has_value());
            CHECK(answer->first_step_ns == 700);
            CHECK(answer->steps == 12);
            std::map<std::tuple<std::string, std::string, uint64_t>, std::vector<uint64_t>>
                expected;
            for (const ModelSpan& span : chosen(model, request.scope))
                expected[{span.service, span.user, span.start / 700 - 1}].push_back(span.duration);
            size_t cells = 0;
            for (const AggregateGroup& group : answer->groups) {
                for (uint32_t step = 0; step < answer->steps; ++step) {
                    const AggregateCell& cell = group.cells[step];
                    if (cell.rows == 0) continue;
                    ++cells;
                    auto durations = expected[{group.key[0].text, shown_user(group.key[1]), step}];
                    std::sort(durations.begin(), durations.end());
                    REQUIRE(cell.rows == durations.size());
                    CHECK(cell.weighted == static_cast<double>(cell.rows));
                    CHECK(cell.numbers[0].count == cell.rows);
                    CHECK(cell.numbers[1].count ==
                          (group.key[1].kind == ValueKind::kNil ? 0 : cell.rows));
                    uint64_t sum = 0;
                    for (const uint64_t duration : durations)
                        sum += duration;
                    CHECK(cell.numbers[2].value == static_cast<double>(sum));
                    CHECK(cell.numbers[3].value == static_cast<double>(durations.front()));
                    CHECK(cell.numbers[4].value == static_cast<double>(durations.back()));
                    const double median = histogram_quantile(cell.histograms[5], 0.5);
                    const auto true_median =
                        static_cast<double>(durations[(durations.size() - 1) / 2]);
                    CHECK(std::abs(median - true_median) <= true_median / 16 + 1e-9);
                }
            }
            CHECK(cells == expected.size());
        }
    }
}

TEST_CASE("an aggregation refuses what would take too much memory, and says what to do") {
    SeededRandom random(3);
    const ModelStore model(random, 2, 300);
    AggregateRequest request;
    request.group_by = {intrinsic(Intrinsic::kSpanId)};
    request.groups_max = 20;
    auto answer = aggregate(model.segments(), request);
    REQUIRE_FALSE(answer.has_value());
    CHECK(answer.error().code == ErrorCode::kResourceExhausted);
    CHECK(answer.error().message.find("group by fewer") != std::string::npos);
    request.groups_max = 1'000'000;
    request.memory_bytes_max = 4096;
    answer = aggregate(model.segments(), request);
    REQUIRE_FALSE(answer.has_value());
    CHECK(answer.error().code == ErrorCode::kResourceExhausted);
    request.scope.range = {0, UINT64_MAX};
    request.step_ns = 1;
    answer = aggregate(model.segments(), request);
    REQUIRE_FALSE(answer.has_value());
    CHECK(answer.error().code == ErrorCode::kInvalidArgument);
}

TEST_CASE("the first spans by duration are those of the model, in order") {
    for (uint64_t seed = 1; seed <= 10; ++seed) {
        CAPTURE(seed);
        SeededRandom random(seed);
        const ModelStore model(random, 1 + random.below(4), 60 + random.below(200));
        for (const bool ascending : {false, true}) {
            TopRequest request;
            request.order = kDuration;
            request.ascending = ascending;
            request.limit = 7;
            request.columns = {kName};
            if (random.below(2) == 0) request.scope.where = conditions()[1];
            std::vector<uint64_t> durations;
            for (const ModelSpan& span : chosen(model, request.scope))
                durations.push_back(span.duration);
            std::sort(durations.begin(), durations.end());
            if (!ascending) std::reverse(durations.begin(), durations.end());
            const auto answer = top_spans(model.segments(), request);
            REQUIRE(answer.has_value());
            // Spans that are equal in two segments are shown once.
            REQUIRE(answer->rows.size() <= 7);
            for (const TopRow& row : answer->rows)
                CHECK(std::binary_search(
                    durations.begin(), durations.begin() + std::min<long>(7, durations.size()),
                    static_cast<uint64_t>(row.order.integer),
                    [&](uint64_t a, uint64_t b) { return ascending ? a < b : a > b; }));
            CHECK(std::is_sorted(answer->rows.begin(), answer->rows.end(),
                                 [&](const TopRow& a, const TopRow& b) {
                                     return ascending ? a.order.integer < b.order.integer
                                                      : a.order.integer > b.order.integer;
                                 }));
            if (!durations.empty())
                CHECK(answer->rows.front().order.integer == static_cast<int64_t>(durations[0]));
        }
    }
}

TEST_CASE("histogram buckets are ordered as numbers are and a sixteenth wide") {
    int32_t before = INT32_MIN;
    for (const double value : {-1e300, -17.0, -16.0, -0.3, -1e-300, 0.0, 1e-300, 0.25, 1.0, 1.05,
                               1.07, 15.0, 16.0, 1e9, 1e300}) {
        CAPTURE(value);
        const int32_t bucket = histogram_bucket(value);
        CHECK(bucket >= before);
        before = bucket;
        const double begin = std::abs(histogram_bucket_begin(bucket));
        const double end = std::abs(histogram_bucket_end(bucket));
        CHECK(begin <= std::abs(value));
        CHECK(std::abs(value) < end);
        // Below the normal numbers, where 0 is, the mantissa alone counts.
        CHECK(end - begin <= std::max(begin, std::numeric_limits<double>::min()) / 16);
    }
    const std::vector<HistogramBucket> one = {{histogram_bucket(100.0), 1}};
    CHECK(histogram_quantile(one, 0.99) == doctest::Approx(100).epsilon(0.05));
    CHECK(histogram_quantile({}, 0.5) == 0);
}

namespace {

constexpr uint64_t kLargeRows = 2'000;  // too many different ones for a dictionary

// Two segments of small rows, and one of large ones.
std::vector<std::shared_ptr<const Segment>> with_large_rows() {
    ModelStore model;
    SeededRandom random(3);
    model.add_segment(random, 200, 0);
    model.add_segment(random, 200, 20'000);
    std::vector<ModelSpan> large;
    for (uint64_t i = 0; i < kLargeRows; ++i)
        large.push_back({.trace = 900 + i,
                         .span = 5000 + i,
                         .start = 9'000 + i,
                         .service = "cart",
                         .name = "large",
                         .user = std::to_string(i) + std::string(4096, 'x')});
    SegmentBuilder builder({.row_group_rows = 16, .zstd_level = 1, .rollup = {}});
    builder.add(batch_of(large));
    auto image = builder.finish();
    REQUIRE(image.has_value());
    auto segment = Segment::open(std::move(*image));
    REQUIRE(segment.has_value());
    std::vector<std::shared_ptr<const Segment>> all(model.segments().begin(),
                                                    model.segments().end());
    all.push_back(std::move(*segment));
    return all;
}

}  // namespace

TEST_CASE("rows for which memory is short are left out, and the answer says so") {
    const auto segments = with_large_rows();
    ScanRequest request;
    request.columns = {kName, kUser};
    uint64_t rows = 0;
    uint64_t large = 0;
    const auto count = [&](const ScanBlock& block) {
        rows += block.rows;
        for (size_t row = 0; row < block.rows; ++row)
            large += block.columns[0].text(row) == "large" ? 1 : 0;
        return true;
    };
    const auto all = scan(segments, request, count);
    REQUIRE(all.has_value());
    CHECK_FALSE(all->partial);
    CHECK(large == kLargeRows);
    const uint64_t small = rows - large;

    rows = 0;
    large = 0;
    request.scope.memory_bytes_max = 48U << 10;  // a group has 16 rows
    const auto some = scan(segments, request, count);
    REQUIRE(some.has_value());
    CHECK(some->partial);
    CHECK(some->reason.find("needs more than") != std::string::npos);
    CHECK(large == 0);
    CHECK(rows == small);

    // What is not read costs nothing.
    large = 0;
    request.columns = {kName};
    const auto names = scan(segments, request, count);
    REQUIRE(names.has_value());
    CHECK_FALSE(names->partial);
    CHECK(large == kLargeRows);
}

TEST_CASE("a search lets go of row groups when memory is short, and finds the same") {
    ModelStore model;
    SeededRandom random(8);
    for (uint64_t i = 0; i < 30; ++i)
        model.add_segment(random, 300, i * 10'000);
    SearchRequest request;
    request.where = conditions()[2];
    request.limit = 10'000;
    const auto all = search(model.segments(), request);
    REQUIRE(all.has_value());
    REQUIRE(all->traces.size() > 50);
    request.memory_bytes_max = 16U << 10;
    const auto again = search(model.segments(), request);
    REQUIRE(again.has_value());
    CHECK_MESSAGE(!again->stats.partial, again->stats.reason);
    REQUIRE(again->traces.size() == all->traces.size());
    for (size_t i = 0; i < all->traces.size(); ++i)
        CHECK(shown(again->traces[i]) == shown(all->traces[i]));
}
