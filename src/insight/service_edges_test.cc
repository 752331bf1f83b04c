#include "insight/service_edges.h"

#include <utility>
#include <vector>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "otlp/json.h"
#include "store/segment.h"

using namespace spanloom;

namespace {

struct TestSpan {
    int id = 0;
    int parent = 0;  // 0: none
    int kind = 0;
    std::string_view service = {};
    std::string_view attributes = {};  // key=value, key=value; numbers as they are
    bool is_error = false;
    int trace = 1;
    std::vector<std::pair<int, int>> links = {};  // trace, span
};

std::string attribute_json(std::string_view pair) {
    const size_t equals = pair.find('=');
    const std::string_view value = pair.substr(equals + 1);
    const bool is_number = value.find_first_not_of("0123456789") == std::string_view::npos;
    return fmt::format(R"({{"key":"{}","value":{{"{}":"{}"}}}})", pair.substr(0, equals),
                       is_number ? "intValue" : "stringValue", value);
}

std::string span_json(const TestSpan& span) {
    std::string attributes;
    for (std::string_view rest = span.attributes; !rest.empty();) {
        const size_t comma = rest.find(", ");
        attributes += (attributes.empty() ? "" : ",") + attribute_json(rest.substr(0, comma));
        rest = comma == std::string_view::npos ? "" : rest.substr(comma + 2);
    }
    std::string links;
    for (const auto& [trace, id] : span.links)
        links += fmt::format(R"({}{{"traceId":"{:032x}","spanId":"{:016x}"}})",
                             links.empty() ? "" : ",", trace, id);
    return fmt::format(
        R"({{"resource":{{"attributes":[{{"key":"service.name","value":{{"stringValue":"{}"}}}}]}},)"
        R"("scopeSpans":[{{"spans":[{{"traceId":"{:032x}","spanId":"{:016x}","parentSpanId":"{}",)"
        R"("name":"n","kind":{},"startTimeUnixNano":"{}","endTimeUnixNano":"{}",)"
        R"("status":{{"code":{}}},"attributes":[{}],"links":[{}]}}]}}]}})",
        span.service, span.trace, span.id,
        span.parent == 0 ? "" : fmt::format("{:016x}", span.parent), span.kind,
        1'000'000'000 + span.id, 1'000'000'000 + 1000 * span.id, span.is_error ? 2 : 0, attributes,
        links);
}

std::shared_ptr<const store::Segment> segment_of(const std::vector<TestSpan>& spans) {
    std::string json;
    for (const TestSpan& span : spans)
        json += (json.empty() ? "" : ",") + span_json(span);
    const auto bytes = otlp::json_to_protobuf(R"({"resourceSpans":[)" + json + "]}");
    REQUIRE(bytes.has_value());
    const auto batch = otlp::decode(*bytes);
    REQUIRE(batch.has_value());
    REQUIRE(batch->spans_rejected == 0);
    store::SegmentBuilder builder{store::SegmentOptions{}};
    builder.add(*batch);
    auto image = builder.finish();
    REQUIRE(image.has_value());
    auto segment = store::Segment::open(*image);
    REQUIRE(segment.has_value());
    return *segment;
}

// "client>server type spans,errors".
std::string edges_of(std::vector<std::shared_ptr<const store::Segment>> segments) {
    const auto found = insight::find_service_edges(segments, {});
    REQUIRE(found.has_value());
    std::string out;
    for (const insight::ServiceEdge& edge : found->edges) {
        uint64_t spans = 0;
        uint64_t errors = 0;
        for (const auto& [number, cell] : edge.as_client.steps.at(kMinuteStepS)) {
            spans += cell.spans;
            errors += cell.errors;
        }
        out +=
            fmt::format("{}>{} {} {},{}\n", edge.client, edge.server,
                        edge.connection_type.empty() ? "-" : edge.connection_type, spans, errors);
    }
    for (const insight::ServiceEdge& edge : found->unpaired)
        out += fmt::format("{} unpaired {}\n", edge.client, edge.as_client.spans());
    return out;
}

constexpr int kInternal = 1;
constexpr int kServer = 2;
constexpr int kClient = 3;
constexpr int kProducer = 4;
constexpr int kConsumer = 5;

}  // namespace

TEST_CASE("edges between services, from users, over queues") {
    const auto segment = segment_of({{1, 0, kServer, "front"},
                                     {2, 1, kClient, "front"},
                                     {3, 2, kServer, "cart", "", true},
                                     {4, 3, kProducer, "cart"},
                                     {5, 4, kConsumer, "mail"},
                                     {6, 3, kInternal, "cart"}});
    CHECK(edges_of({segment}) ==
          "cart>mail messaging_system 1,0\n"
          "front>cart - 1,1\n"
          "user>front virtual_node 1,0\n");
}

TEST_CASE("databases and peers that sent no spans are named by their clients") {
    const auto segment = segment_of(
        {{1, 0, kServer, "cart", "peer.service=mobile app, server.address=own.address"},
         {2, 1, kClient, "cart", "db.system.name=redis", true},
         {3, 1, kClient, "cart", "db.system=postgresql, db.namespace=shop, db.name=old"},
         {4, 1, kClient, "cart", "db.system=mysql, server.address=db-1, server.port=3306"},
         {5, 1, kClient, "cart", "network.peer.address=10.0.0.7, network.peer.port=443"},
         {6, 1, kClient, "cart", "peer.service=billing, server.address=b.example"},
         {7, 1, kProducer, "cart", "server.address=kafka"},
         {8, 1, kInternal, "cart", "db.system=sqlite"},
         {9, 1, kClient, "cart", "http.route=/x"}});
    CHECK(edges_of({segment}) ==
          "cart>10.0.0.7:443 virtual_node 1,0\n"
          "cart>billing virtual_node 1,0\n"
          "cart>db-1 database 1,0\n"
          "cart>kafka virtual_node 1,0\n"
          "cart>redis database 1,1\n"
          "cart>shop database 1,0\n"
          "mobile app>cart virtual_node 1,0\n"
          "cart unpaired 1\n");
}

TEST_CASE("what was answered is no virtual node, wherever the answer lies") {
    const TestSpan client{2, 1, kClient, "front", "server.address=cart.local"};
    const TestSpan server{3, 2, kServer, "cart"};
    const TestSpan root{1, 0, kServer, "front"};
    const std::string expected =
        "front>cart - 1,0\n"
        "user>front virtual_node 1,0\n";
    CHECK(edges_of({segment_of({root, client, server})}) == expected);
    CHECK(edges_of({segment_of({root, client}), segment_of({server})}) == expected);
    // A service may call itself; a client whose children are its own was not answered.
    CHECK(edges_of({segment_of({root, client, {3, 2, kServer, "front"}})}) ==
          "user>front virtual_node 1,0\n");
    CHECK(edges_of({segment_of({root, client, {3, 2, kInternal, "front"}})}) ==
          "front>cart.local virtual_node 1,0\n"
          "user>front virtual_node 1,0\n");
}

TEST_CASE("how long a message waited is from the start of sending to that of receiving") {
    const auto found = insight::find_service_edges(
        std::vector{segment_of({{4, 0, kProducer, "cart"}, {500, 4, kConsumer, "mail"}})}, {});
    REQUIRE(found.has_value());
    REQUIRE(found->edges.size() == 1);
    const auto& minutes = found->edges[0].in_queue.steps.at(kMinuteStepS);
    REQUIRE(minutes.size() == 1);
    DurationHistogram expected;
    expected.add(DurationHistogram::bucket_of(496), 1);
    CHECK(minutes.begin()->second.durations.quantile_ns(0.5) == expected.quantile_ns(0.5));
}

TEST_CASE("edges say by which protocol one calls the other") {
    const auto segment = segment_of({{1, 0, kServer, "front", "http.request.method=GET"},
                                     {2, 1, kClient, "front", "rpc.system=grpc"},
                                     {3, 2, kServer, "cart", "rpc.system=grpc"},
                                     {4, 3, kClient, "cart", "db.system=redis, server.address=r"},
                                     {5, 3, kProducer, "cart"},
                                     {6, 5, kConsumer, "mail"},
                                     {7, 1, kInternal, "front"},
                                     {8, 7, kServer, "cart", "http.method=GET"},
                                     {9, 1, kClient, "front"},
                                     {10, 9, kServer, "cart"}});
    const auto found = insight::find_service_edges(std::vector{segment}, {});
    REQUIRE(found.has_value());
    std::string shown;
    for (const insight::ServiceEdge& edge : found->edges)
        shown += fmt::format("{}>{} {} {}\n", edge.client, edge.server, edge.protocol,
                             edge.as_server.spans());
    CHECK(shown ==
          "cart>mail messaging 1\ncart>r database 1\nfront>cart  1\nfront>cart http 1\n"
          "front>cart rpc 1\nuser>front http 1\n");
}

TEST_CASE("a consumer that links to what it takes in one go makes an edge of each message") {
    // Two messages of different senders, in traces of their own, and a link to what nobody knows.
    const auto segment =
        segment_of({{1, 0, kProducer, "shop", "", false, 1},
                    {2, 0, kProducer, "till", "", false, 2},
                    {3, 0, kInternal, "shop", "", false, 2},
                    {4, 0, kConsumer, "mail", "", true, 3, {{1, 1}, {2, 2}, {9, 9}, {2, 3}}},
                    {5, 4, kInternal, "mail", "", false, 3}});
    CHECK(edges_of({segment}) ==
          "shop>mail messaging_system 1,1\ntill>mail messaging_system 1,1\n");
    // One whose parent sent it is counted once.
    const auto one = segment_of({{1, 0, kProducer, "shop", "", false, 1},
                                 {2, 1, kConsumer, "mail", "", false, 1, {{1, 1}}}});
    CHECK(edges_of({one}) == "shop>mail messaging_system 1,0\n");
    // The sender may lie in another segment, of an hour before.
    const auto sent = segment_of({{1, 0, kProducer, "shop", "", false, 1}});
    const auto taken = segment_of({{2, 0, kConsumer, "mail", "", false, 2, {{1, 1}}}});
    const auto found = insight::find_service_edges(std::vector{taken}, {}, {}, std::vector{sent});
    REQUIRE(found.has_value());
    REQUIRE(found->edges.size() == 1);
    CHECK(found->edges[0].client == "shop");
    CHECK(found->edges[0].in_queue.spans() == 1);
}

namespace {

TestSpan sent(int id, std::string_view service, int trace, std::string_view attributes = {}) {
    return {id, 0, kProducer, service, attributes, false, trace};
}
TestSpan taken(int id, std::string_view service, int trace,
               std::vector<std::pair<int, int>> links) {
    return {id, 0, kConsumer, service, "", false, trace, std::move(links)};
}

insight::ServiceEdges found_in(std::vector<std::shared_ptr<const store::Segment>> segments,
                               const insight::DependencyLimits& limits,
                               store::TimeRange range = {}) {
    auto found = insight::find_service_edges(segments, range, limits);
    REQUIRE(found.has_value());
    return std::move(*found);
}

uint64_t unpaired_in(const insight::ServiceEdges& found) {
    uint64_t spans = 0;
    for (const insight::ServiceEdge& edge : found.unpaired)
        spans += edge.as_client.spans();
    return spans;
}

}  // namespace

TEST_CASE("a producer that a consumer links to is answered, wherever the consumer lies") {
    const auto producers = segment_of(
        {sent(1, "shop", 1), sent(2, "till", 2, "server.address=kafka"), sent(3, "shop", 3)});
    CHECK(edges_of({producers}) == "till>kafka virtual_node 1,0\nshop unpaired 2\n");
    // The consumer comes later, in a trace and a segment of its own.
    const auto consumer = segment_of({taken(9, "mail", 4, {{1, 1}, {2, 2}})});
    const std::string expected =
        "shop>mail messaging_system 1,0\ntill>mail messaging_system 1,0\nshop unpaired 1\n";
    CHECK(edges_of({producers, consumer}) == expected);
    CHECK(edges_of({consumer, producers}) == expected);
    // Beside what is asked, and when it started after the range that is asked.
    const auto beside =
        insight::find_service_edges(std::vector{producers}, {}, {}, std::vector{consumer});
    REQUIRE(beside.has_value());
    CHECK(unpaired_in(*beside) == 1);
    CHECK(beside->edges.empty());
    CHECK(unpaired_in(found_in({producers, consumer}, {}, {0, 1'000'000'009})) == 1);
    CHECK(unpaired_in(found_in({producers}, {}, {0, 1'000'000'009})) == 2);
}

TEST_CASE("each consumer of a message makes an edge, and only consumers answer by links") {
    CHECK(edges_of({segment_of({sent(1, "shop", 1),
                                taken(2, "mail", 2, {{1, 1}}),
                                taken(3, "stock", 3, {{1, 1}}),
                                {4, 0, kInternal, "audit", "", false, 4, {{1, 1}}}})}) ==
          "shop>mail messaging_system 1,0\nshop>stock messaging_system 1,0\n");
    // A consumer in its trace, and one elsewhere.
    CHECK(edges_of({segment_of({sent(1, "shop", 1),
                                {2, 1, kConsumer, "mail", "", false, 1},
                                taken(3, "stock", 3, {{1, 1}})})}) ==
          "shop>mail messaging_system 1,0\nshop>stock messaging_system 1,0\n");
    CHECK(edges_of({segment_of({sent(1, "shop", 1),
                                {4, 0, kInternal, "audit", "", false, 4, {{1, 1}}},
                                {5, 0, kClient, "audit", "", false, 5, {{1, 1}}}})}) ==
          "audit unpaired 1\nshop unpaired 1\n");
}

TEST_CASE("a consumer that takes many messages answers each of them") {
    std::vector<TestSpan> spans;
    std::vector<std::pair<int, int>> links;
    constexpr int kMessages = 700;
    for (int i = 1; i <= kMessages; ++i) {
        spans.push_back(sent(i, "shop", i));
        links.emplace_back(i, i);
    }
    const auto producers = segment_of(spans);
    const auto consumer = segment_of({taken(5000, "mail", 5000, links)});
    CHECK(edges_of({producers, consumer}) ==
          fmt::format("shop>mail messaging_system {},0\n", kMessages));
}

TEST_CASE("links are looked at up to a limit, which is said") {
    std::vector<TestSpan> spans;
    for (int i = 1; i <= 10; ++i)
        spans.push_back(sent(i, "shop", i));
    std::vector<std::shared_ptr<const store::Segment>> segments = {segment_of(spans)};
    for (int i = 1; i <= 10; ++i)
        segments.push_back(segment_of({taken(100 + i, "mail", 100 + i, {{i, i}})}));
    const auto all = found_in(segments, {});
    CHECK(unpaired_in(all) == 0);
    CHECK(all.note.empty());
    // Nobody looks further once all are answered.
    CHECK(found_in(segments, {.links_max = 10}).note.empty());
    // The next in time are looked at first.
    const auto some = found_in(segments, {.links_max = 4});
    CHECK(unpaired_in(some) == 6);
    CHECK(some.note.find("more than 4 links") != std::string::npos);
    CHECK_FALSE(some.partial);
    const auto few = found_in(segments, {.waiting_max = 3});
    CHECK(unpaired_in(few) == 7);
    CHECK(few.note.find("more than 3 producers") != std::string::npos);
    // Where nothing waits no link is looked at.
    segments.erase(segments.begin());
    CHECK(found_in(segments, {.links_max = 0}).note.empty());
}
