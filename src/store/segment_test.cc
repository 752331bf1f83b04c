#include "store/segment.h"

#include <algorithm>

#include <doctest/doctest.h>

#include "store/segment_test_spans.h"
#include "store/test_spans.h"

namespace spanloom::store {
namespace {

std::vector<std::string> sorted(std::vector<std::string> texts) {
    std::sort(texts.begin(), texts.end());
    return texts;
}

// As it is written to a disk at once, by a builder that was to make one in memory.
Blob image_at_once(std::span<const Batch> batches, const SegmentOptions& options) {
    SegmentBuilder builder({64, 0, options.rollup, PlacesForm::kNone});
    for (const Batch& batch : batches)
        builder.add(batch);
    auto image = builder.finish_as(options);
    REQUIRE(image.has_value());
    return *image;
}

Blob image_of(std::span<const Batch> batches, SegmentOptions options) {
    SegmentBuilder builder(std::move(options));
    for (const Batch& batch : batches)
        builder.add(batch);
    auto image = builder.finish();
    REQUIRE(image.has_value());
    return *image;
}

void check_equal(const std::vector<std::string>& got, const std::vector<std::string>& wanted) {
    REQUIRE(got.size() == wanted.size());
    for (size_t i = 0; i < got.size(); ++i)
        REQUIRE(got[i] == wanted[i]);
}

}  // namespace

TEST_CASE("every field of odd spans comes back from a segment as it came in") {
    for (const int level : {0, 1}) {
        for (const uint32_t rows : {7U, 64U, 4096U}) {
            OddRequests requests(rows + 1000 * level);
            std::vector<Batch> batches;
            std::vector<std::string> wanted;
            for (int i = 0; i < 5; ++i) {
                batches.push_back(requests.next(120));
                for (auto& text : shown_spans(batches.back()))
                    wanted.push_back(text);
            }
            const SegmentOptions options{rows, level, {}, PlacesForm::kGroups, level > 0};
            for (const Blob& image :
                 {image_of(batches, options), image_at_once(batches, options)}) {
                auto segment = Segment::open(image);
                REQUIRE_MESSAGE(segment.has_value(), (segment ? "" : segment.error().message));
                CHECK((*segment)->info().spans == wanted.size());
                auto got = shown_spans(**segment);
                REQUIRE_MESSAGE(got.has_value(), (got ? "" : got.error().message));
                check_equal(sorted(*got), sorted(wanted));
                const auto verified = (*segment)->verify();
                CHECK_MESSAGE(verified.has_value(), (verified ? "" : verified.error().message));
            }
        }
    }
}

TEST_CASE("a segment that is written at once is as one by these options from the beginning") {
    OddRequests requests(3);
    std::vector<Batch> batches;
    for (int i = 0; i < 5; ++i)
        batches.push_back(requests.next(120));
    SegmentOptions options{64, 1, {}, PlacesForm::kGroups, true};
    options.rollup = [](const RollupRows& rows) {
        return std::to_string(rows.operation.size()) + " " + std::to_string(rows.bytes.size());
    };
    CHECK(image_at_once(batches, options).view() == image_of(batches, options).view());
}

TEST_CASE("an empty segment opens and holds nothing") {
    const Blob image = image_of({}, {});
    auto segment = Segment::open(image);
    REQUIRE_MESSAGE(segment.has_value(), (segment ? "" : segment.error().message));
    CHECK((*segment)->info().spans == 0);
    CHECK((*segment)->row_groups().empty());
    CHECK(!(*segment)->find(TraceId{{1}})->has_value());
    CHECK((*segment)->verify().has_value());
}

namespace {

// A request of a service, with one scope whose fields and spans write(writer) makes.
template <typename Write>
Batch request_from(const std::string& service, Write write) {
    std::string bytes;
    otlp::WireWriter out(bytes);
    const size_t resource_spans = out.begin(1);
    write_test_resource(out, service);
    const size_t scope_spans = out.begin(2);
    write(out);
    out.end(scope_spans);
    out.end(resource_spans);
    auto batch = otlp::decode(Blob::copy_of(bytes));
    REQUIRE(batch.has_value());
    return *batch;
}

// A request of spans with the attributes that write(writer, number of the span) makes.
template <typename Write>
Batch request_of(uint32_t spans, Write write) {
    Batch batch = request_from("shop", [&](otlp::WireWriter& out) {
        for (uint32_t i = 0; i < spans; ++i) {
            const size_t span = out.begin(2);
            out.bytes_field(1, std::string(15, 't') + static_cast<char>('a' + i % 3));
            out.bytes_field(2, "span" + std::to_string(1000 + i));
            out.bytes_field(5, "work");
            out.fixed64_field(7, 1000 + i);
            out.fixed64_field(8, 2000 + i);
            write(out, i);
            out.end(span);
        }
    });
    REQUIRE(batch.spans.size() == spans);
    return batch;
}

void add_text(otlp::WireWriter& out, std::string_view key, std::string_view text) {
    const size_t mark = out.begin(9);
    out.bytes_field(1, key);
    const size_t value = out.begin(2);
    out.bytes_field(1, text);
    out.end(value);
    out.end(mark);
}
void add_integer(otlp::WireWriter& out, std::string_view key, int64_t number) {
    const size_t mark = out.begin(9);
    out.bytes_field(1, key);
    const size_t value = out.begin(2);
    out.varint_field(3, static_cast<uint64_t>(number));
    out.end(value);
    out.end(mark);
}

std::shared_ptr<const Segment> opened(const Blob& image) {
    auto segment = Segment::open(image);
    REQUIRE_MESSAGE(segment.has_value(), (segment ? "" : segment.error().message));
    return *segment;
}

}  // namespace

TEST_CASE("keys without number are kept within bounded columns") {
    const Batch batch = request_of(60, [](otlp::WireWriter& out, uint32_t span) {
        add_text(out, "first", "here");
        for (uint32_t i = 0; i < 150; ++i)
            add_text(out, "key" + std::to_string(span * 150 + i), "value");
        add_integer(out, "last", span);
        add_text(out, "key1", "of the first span");
        add_integer(out, "last", 7);
        add_text(out, "only" + std::to_string(span), "a");
        add_integer(out, "only" + std::to_string(span), 3);
    });
    const auto segment = opened(image_of(std::span(&batch, 1), {}));
    CHECK(segment->columns().size() < 4100);
    auto got = shown_spans(*segment);
    REQUIRE_MESSAGE(got.has_value(), (got ? "" : got.error().message));
    check_equal(sorted(*got), sorted(shown_spans(batch)));
    CHECK(segment->may_contain({Scope::kSpan, Intrinsic::kNone, "key8999"},
                               Value::of_string("value")));
}

TEST_CASE("a span with very many attributes comes back") {
    const Batch batch = request_of(2, [](otlp::WireWriter& out, uint32_t span) {
        for (uint32_t i = 0; i < 3000; ++i)
            add_integer(out, span == 0 ? "same" : "key" + std::to_string(i % 1500), i);
    });
    const auto segment = opened(image_of(std::span(&batch, 1), {}));
    auto got = shown_spans(*segment);
    REQUIRE_MESSAGE(got.has_value(), (got ? "" : got.error().message));
    check_equal(sorted(*got), sorted(shown_spans(batch)));
}

TEST_CASE("a segment says no to most values that it does not have, never to one that it has") {
    const Batch batch = request_of(500, [](otlp::WireWriter& out, uint32_t span) {
        add_text(out, "user.id", std::to_string(span));
        add_integer(out, "size", span * 10);
    });
    const std::span<const Batch> batches(&batch, 1);
    for (const Blob& image : {image_of(batches, {64, 0}), image_of(batches, {64, 1}),
                              image_of(batches, {64, 1, {}, PlacesForm::kFilter}),
                              image_at_once(batches, {64, 1, {}, PlacesForm::kFilter})}) {
        const auto segment = opened(image);
        const auto may = [&](Scope scope, const std::string& key, const Value& value) {
            return segment->may_contain({scope, Intrinsic::kNone, key}, value);
        };
        int wrong = 0;
        int wrong_anywhere = 0;
        for (int i = 0; i < 500; ++i) {
            REQUIRE(may(Scope::kSpan, "user.id", Value::of_string(std::to_string(i))));
            REQUIRE(may(Scope::kAny, "size", Value::of_int(i * 10)));
            REQUIRE(may(Scope::kSpan, "size", Value::of_double(i * 10)));
            wrong += may(Scope::kSpan, "user.id", Value::of_string(std::to_string(i + 500)));
            wrong_anywhere += may(Scope::kAny, "size", Value::of_int(i * 10 + 1));
        }
        // Places of eight groups let 9 of 256 absent pairs pass, a filter fewer; a field of any
        // scope is up to five.
        CHECK(wrong < 2 * 500 * 9 / 256);
        CHECK(wrong_anywhere < 2 * 5 * 500 * 9 / 256);
        CHECK(may(Scope::kResource, "service.name", Value::of_string("shop")));
        CHECK(!may(Scope::kResource, "service.name", Value::of_string("other shop")));
        CHECK(!may(Scope::kSpan, "no.such.key", Value::of_int(1)));
        CHECK(!may(Scope::kSpan, "size", Value::of_string("10")));
        CHECK(segment->may_contain({Scope::kIntrinsic, Intrinsic::kName, ""},
                                   Value::of_string("work")));
        CHECK(!segment->may_contain({Scope::kIntrinsic, Intrinsic::kName, ""},
                                    Value::of_string("play")));
    }
}

TEST_CASE("a filter says of a value that it is somewhere, places say where") {
    const Batch batch = request_of(500, [](otlp::WireWriter& out, uint32_t span) {
        add_text(out, "user.id", std::to_string(span));
    });
    const std::span<const Batch> batches(&batch, 1);
    const auto places_in = [&](PlacesForm form) {
        const auto segment = opened(image_of(batches, {64, 1, {}, form}));
        CHECK(segment->verify().has_value());
        return segment->places_of({Scope::kSpan, Intrinsic::kNone, "user.id"},
                                  Value::of_string("77"));
    };
    CHECK(places_in(PlacesForm::kNone).is_anywhere);
    CHECK(places_in(PlacesForm::kFilter).is_anywhere);
    const ValuePlaces places = places_in(PlacesForm::kGroups);
    CHECK_FALSE(places.is_anywhere);
    CHECK(places.groups.size() == 1);
    const auto filtered = opened(image_of(batches, {64, 1, {}, PlacesForm::kFilter}));
    const auto plain = opened(image_of(batches, {64, 1, {}, PlacesForm::kNone}));
    const Field user = {Scope::kSpan, Intrinsic::kNone, "user.id"};
    CHECK(plain->may_contain(user, Value::of_string("nobody")));
    CHECK_FALSE(filtered->may_contain(user, Value::of_string("nobody")));
}

TEST_CASE("scopes with the same bytes are told apart by their resources") {
    const auto named = [](const std::string& service) {
        return request_from(service, [&](otlp::WireWriter& out) {
            const size_t scope = out.begin(1);
            out.bytes_field(1, "instrumentation");
            out.end(scope);
            const size_t span = out.begin(2);
            out.bytes_field(1, std::string(16, 't'));
            out.bytes_field(2, service.substr(0, 8));
            out.end(span);
        });
    };
    // The last one is known from the second.
    const std::vector<Batch> batches = {named("first one"), named("second one"),
                                        named("first one again"), named("second one")};
    std::vector<std::string> wanted;
    for (const Batch& batch : batches)
        wanted.push_back(shown_spans(batch).front());
    const auto segment = opened(image_of(batches, {}));
    auto got = shown_spans(*segment);
    REQUIRE_MESSAGE(got.has_value(), (got ? "" : got.error().message));
    check_equal(sorted(*got), sorted(wanted));
}

TEST_CASE("the only trace of a segment is read whatever bytes its id has") {
    for (const std::string& id :
         {std::string(16, '\x11'), std::string(15, '\0') + "a", std::string("0123456789abcdef")}) {
        CAPTURE(id);
        const Batch batch = request_from("shop", [&](otlp::WireWriter& out) {
            const size_t span = out.begin(2);
            out.bytes_field(1, id);
            out.bytes_field(2, "12345678");
            out.end(span);
        });
        const auto segment = opened(image_of(std::span(&batch, 1), {}));
        const auto fragment = segment->fragment(0);
        REQUIRE_MESSAGE(fragment.has_value(), (fragment ? "" : fragment.error().message));
        CHECK(fragment->trace_id.view() == id);
        const auto found = segment->find(batch.spans[0].trace_id);
        REQUIRE(found.has_value());
        CHECK(found->has_value());
        CHECK(segment->verify().has_value());
    }
}

}  // namespace spanloom::store
