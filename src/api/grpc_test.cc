#include <functional>
#include <map>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "api/test_server.h"
#include "otlp/writer.h"
#include "send/proto_reader.h"

using namespace spanloom;
using namespace spanloom::api;

namespace {

// A message built field by field.
template <typename Write>
std::string message(Write write) {
    std::string bytes;
    otlp::WireWriter out(bytes);
    write(out);
    return bytes;
}

// The first length-delimited field of that number.
std::string field(std::string_view bytes, uint32_t number) {
    send::ProtoReader reader(bytes);
    while (reader.next()) {
        if (reader.field() == number) return std::string(reader.bytes());
    }
    return {};
}

uint64_t number(std::string_view bytes, uint32_t which) {
    send::ProtoReader reader(bytes);
    while (reader.next()) {
        if (reader.field() == which) return reader.number();
    }
    return 0;
}

std::string seconds(uint64_t s) {
    return message([&](otlp::WireWriter& out) { out.varint_field(1, s); });
}

std::string search(std::string_view query) {
    return message([&](otlp::WireWriter& out) {
        out.varint_field(4, 20);
        out.varint_field(5, 1'763'818'000);
        out.varint_field(6, 1'763'820'000);
        out.bytes_field(8, query);
        out.varint_field(9, 3);
    });
}

}  // namespace

TEST_CASE("Tempo's search streams traces, then metrics") {
    TestServer server({kShopTrace, kLaterTrace});
    const auto reply =
        server.call("tempopb.StreamingQuerier/Search",
                    search("{ resource.service.name = \"front\" }"), {{"x-scope-orgid", "1"}});
    CHECK(reply.status == "0");
    REQUIRE(reply.messages.size() >= 2);
    const std::string newest = field(reply.messages.front(), 1);
    CHECK(field(newest, 1) == "00000000000000000000000000000def");
    CHECK(field(newest, 2) == "front");
    CHECK(field(newest, 3) == "GET /later");
    CHECK(number(newest, 4) == 1'763'819'500'000'000'000);
    const std::string spanset = field(newest, 7);
    CHECK(field(newest, 6) == spanset);
    CHECK(number(spanset, 2) == 1);
    CHECK(field(field(spanset, 1), 1) == "0000000000000009");
    CHECK(field(field(newest, 8), 1) == "front");
    const std::string metrics = field(reply.messages.back(), 2);
    CHECK(number(metrics, 1) == 2);
    const auto& segments = server.store.segments;
    const uint64_t bytes = segments[0]->info().bytes + segments[1]->info().bytes;
    CHECK(number(metrics, 6) == bytes);
    const auto series = server.call("tempopb.StreamingQuerier/MetricsQueryInstant",
                                    message([&](otlp::WireWriter& out) {
                                        out.bytes_field(1, "{} | rate()");
                                        out.varint_field(2, 1'763'818'000'000'000'000);
                                        out.varint_field(3, 1'763'820'000'000'000'000);
                                    }));
    REQUIRE(!series.messages.empty());
    CHECK(number(field(series.messages.back(), 2), 6) == bytes);
}

TEST_CASE("a call that fails has a status and no message") {
    TestServer server({kShopTrace});
    const auto bad = server.call("tempopb.StreamingQuerier/Search", search("{ nothing"));
    CHECK(bad.status == "3");
    CHECK(bad.text.starts_with("invalid TraceQL query: parse error at line 1, col "));
    CHECK(bad.messages.empty());
    CHECK(server.call("tempopb.StreamingQuerier/Search", "\x09\x01").status == "3");
    CHECK(server.call("tempopb.StreamingQuerier/Nothing", "").status == "12");
    CHECK(server
              .call("jaeger.api_v3.QueryService/GetTrace",
                    message([](otlp::WireWriter& out) { out.bytes_field(1, "fff"); }))
              .status == "5");
}

TEST_CASE("Tempo's tags and values over gRPC") {
    TestServer server({kShopTrace});
    auto reply =
        server.call("tempopb.StreamingQuerier/SearchTagsV2",
                    message([](otlp::WireWriter& out) { out.bytes_field(1, "resource"); }));
    REQUIRE(reply.messages.size() == 1);
    CHECK(field(field(reply.messages[0], 1), 1) == "resource");
    CHECK(field(field(reply.messages[0], 1), 2) == "host.name");
    reply = server.call("tempopb.StreamingQuerier/SearchTags", "");
    CHECK(field(reply.messages.at(0), 1) == "count");
    reply = server.call(
        "tempopb.StreamingQuerier/SearchTagValuesV2",
        message([](otlp::WireWriter& out) { out.bytes_field(1, "resource.service.name"); }));
    CHECK(field(field(reply.messages.at(0), 1), 1) == "string");
    CHECK(field(field(reply.messages.at(0), 1), 2) == "db");
    reply = server.call("tempopb.StreamingQuerier/SearchTagValues",
                        message([](otlp::WireWriter& out) { out.bytes_field(1, "service.name"); }));
    CHECK(field(reply.messages.at(0), 1) == "db");
}

TEST_CASE("Jaeger's QueryService: services, operations, traces, summaries") {
    TestServer server({kShopTrace, kLaterTrace});
    const std::string service = "jaeger.api_v3.QueryService/";
    CHECK(field(server.call(service + "GetServices", "").messages.at(0), 1) == "db");
    auto reply = server.call(service + "GetOperations", message([](otlp::WireWriter& out) {
                                 out.bytes_field(1, "db");
                                 out.bytes_field(2, "client");
                             }));
    CHECK(field(field(reply.messages.at(0), 1), 1) == "SELECT");
    CHECK(field(field(reply.messages.at(0), 1), 2) == "client");
    reply = server.call(service + "GetTrace",
                        message([](otlp::WireWriter& out) { out.bytes_field(1, "abc"); }));
    REQUIRE(reply.messages.size() == 1);
    CHECK(otlp::decode(Blob::copy_of(reply.messages[0])).value().spans.size() == 2);

    const auto question = [](std::string_view tag, int32_t depth = 10) {
        return message([&](otlp::WireWriter& out) {
            const size_t query = out.begin(1);
            out.bytes_field(1, "front");
            if (!tag.empty()) {
                const size_t entry = out.begin(3);
                out.bytes_field(1, "user.id");
                out.bytes_field(2, tag);
                out.end(entry);
            }
            out.bytes_field(4, seconds(1'763'818'000));
            out.bytes_field(5, seconds(1'763'820'000));
            out.varint_field(8, static_cast<uint64_t>(int64_t{depth}));
            out.end(query);
        });
    };
    reply = server.call(service + "FindTraces", question(""));
    CHECK(reply.messages.size() == 2);
    reply = server.call(service + "FindTraces", question("4815"));
    CHECK(reply.messages.size() == 1);
    CHECK(server.call(service + "FindTraces", question("", 1)).messages.size() == 1);
    for (const int32_t none : {0, -1})
        CHECK(server.call(service + "FindTraces", question("", none)).messages.size() == 2);
    reply = server.call(service + "GetTrace",
                        message([](otlp::WireWriter& out) { out.bytes_field(1, "fff"); }));
    CHECK(reply.status == "5");
    reply = server.call(service + "FindTraceSummaries", question("4815"));
    const std::string summary = field(reply.messages.at(0), 1);
    CHECK(field(summary, 1) == "00000000000000000000000000000abc");
    CHECK(field(summary, 3) == "GET /");
    CHECK(number(summary, 6) == 2);
    CHECK(number(summary, 7) == 1);
    reply = server.call(service + "FindTraces",
                        message([](otlp::WireWriter& out) { out.end(out.begin(1)); }));
    CHECK(reply.status == "3");
    reply = server.call(service + "GetDependencies", message([](otlp::WireWriter& out) {
                            out.bytes_field(1, seconds(1'763'818'000));
                            out.bytes_field(2, seconds(1'763'820'000));
                        }));
    CHECK(field(field(reply.messages.at(0), 1), 1) == "front");
    CHECK(field(field(reply.messages.at(0), 1), 2) == "db");
}

TEST_CASE("Jaeger's older QueryService: services, operations, dependencies, traces as its model") {
    TestServer server({kShopTrace, kLaterTrace});
    const std::string service = "jaeger.api_v2.QueryService/";
    CHECK(field(server.call(service + "GetServices", "").messages.at(0), 1) == "db");
    auto reply = server.call(service + "GetOperations",
                             message([](otlp::WireWriter& out) { out.bytes_field(1, "front"); }));
    CHECK(field(reply.messages.at(0), 1) == "GET /");
    CHECK(field(field(reply.messages.at(0), 2), 1) == "GET /");
    CHECK(field(field(reply.messages.at(0), 2), 2) == "server");
    CHECK(field(field(server
                          .call(service + "GetDependencies", message([](otlp::WireWriter& out) {
                                    out.bytes_field(1, seconds(1'763'818'000));
                                    out.bytes_field(2, seconds(1'763'820'000));
                                }))
                          .messages.at(0),
                      1),
                2) == "db");

    const std::string id = std::string(14, '\0') + "\x0a\xbc";
    const auto trace_request = [](std::string_view bytes) {
        return message([&](otlp::WireWriter& out) { out.bytes_field(1, bytes); });
    };
    reply = server.call(service + "GetTrace", trace_request(id));
    REQUIRE(reply.status == "0");
    REQUIRE(reply.messages.size() == 1);
    CHECK(server.call(service + "GetTrace", trace_request(id.substr(8))).messages ==
          reply.messages);
    const std::string span = field(reply.messages[0], 1);
    CHECK(field(span, 1) == id);
    CHECK(field(span, 2) == std::string(7, '\0') + "\x01");
    CHECK(field(span, 3) == "GET /");
    const std::string link = field(span, 4);
    CHECK(field(link, 1) == std::string(14, '\0') + "\xde\xad");
    CHECK(number(link, 3) == 1);
    CHECK(number(span, 5) == 1);
    CHECK(number(field(span, 6), 1) == 1'763'819'000);
    CHECK(number(field(span, 7), 1) == 2);
    CHECK(field(field(span, 9), 2) == message([](otlp::WireWriter& out) {
              out.bytes_field(1, "event");
              out.bytes_field(3, "boom");
          }));
    CHECK(field(field(span, 10), 1) == "front");
    CHECK(field(field(field(span, 10), 2), 3) == "web-1");
    // What each kind of value became, by key: type and the field that holds it.
    std::map<std::string, std::string> tags;
    send::ProtoReader reader(span);
    while (reader.next()) {
        if (reader.field() != 8) continue;
        const std::string tag(reader.bytes());
        tags[field(tag, 1)] = std::to_string(number(tag, 2)) + field(tag, 3) + field(tag, 7) +
                              std::to_string(number(tag, 4)) + std::to_string(number(tag, 5));
    }
    CHECK(tags["text"] == "0x\"y00");
    CHECK(tags["yes"] == "110");
    CHECK(tags["count"] == "20500");
    CHECK(tags["huge"] == "209223372036854775807");
    CHECK(tags["ratio"] == "300");
    CHECK(tags["raw"] == "4\x01\x02\x03" + std::string("00"));
    CHECK(tags["list"] == "0[1,\"b\"]00");
    CHECK(tags["span.kind"] == "0server00");
    CHECK(tags["error"] == "110");
    CHECK(tags["otel.status_description"] == "0broke00");

    // Without times: the last two days.
    const auto find = [&](std::string_view name) {
        return server.call(service + "FindTraces", message([&](otlp::WireWriter& out) {
                               const size_t query = out.begin(1);
                               out.bytes_field(1, "front");
                               out.bytes_field(2, name);
                               out.end(query);
                           }));
    };
    reply = find("GET /later");
    CHECK(reply.messages.size() == 1);
    CHECK(field(field(reply.messages.at(0), 1), 3) == "GET /later");
    CHECK(find("").messages.size() == 2);

    CHECK(server.call(service + "FindTraces", "").status == "3");
    CHECK(server.call(service + "GetOperations", "").status == "3");
    CHECK(server.call(service + "GetTrace", trace_request("short")).status == "3");
    CHECK(server.call(service + "GetTrace", trace_request(std::string(16, '\7'))).status == "5");
    CHECK(server.call(service + "GetTrace", "\x09\x01").status == "3");
    CHECK(server.call(service + "ArchiveTrace", trace_request(id)).status == "12");
}

TEST_CASE("structured filters of Jaeger's QueryService") {
    TestServer server({kShopTrace, kLaterTrace});
    using Write = std::function<void(otlp::WireWriter&)>;
    const auto inside = [](otlp::WireWriter& out, uint32_t number, const Write& write) {
        const size_t mark = out.begin(number);
        write(out);
        out.end(mark);
    };
    const auto texts = [](std::string_view first, std::string_view second) {
        return [=](otlp::WireWriter& out) {
            out.bytes_field(1, first);
            if (!second.empty()) out.bytes_field(2, second);
        };
    };
    // A call of two terms, given as their field numbers in Expression and what is in them.
    using Term = std::pair<uint32_t, Write>;
    const auto call = [&](std::string op, std::vector<Term> terms) {
        return [=](otlp::WireWriter& out) {
            out.bytes_field(1, op);
            for (const auto& [number, write] : terms)
                inside(out, 2, [&](otlp::WireWriter& one) { inside(one, number, write); });
        };
    };
    const auto ask_bytes = [&](std::string_view filter, std::string_view service = "") {
        const auto reply = server.call("jaeger.api_v3.QueryService/FindTraceSummaries",
                                       message([&](otlp::WireWriter& out) {
                                           inside(out, 1, [&](otlp::WireWriter& query) {
                                               if (!service.empty()) query.bytes_field(1, service);
                                               query.bytes_field(4, seconds(1'763'818'000));
                                               query.bytes_field(5, seconds(1'763'820'000));
                                               query.bytes_field(6, seconds(0));
                                               query.bytes_field(10, filter);
                                           });
                                       }));
        if (reply.status != "0") return "status " + reply.status;
        std::string found;
        for (const std::string& summaries : reply.messages)
            found += summaries.find("0abc") != std::string::npos ? "shop " : "";
        for (const std::string& summaries : reply.messages)
            found += summaries.find("0def") != std::string::npos ? "later " : "";
        return found;
    };
    const auto ask = [&](const Write& filter, std::string_view service = "") {
        return ask_bytes(message(filter), service);
    };
    const Write rows = call("gte", {{1, texts("rows", "span")}, {4, texts("3", "int")}});
    const Write front = call("eq", {{2, texts("service", "resource")}, {4, texts("front", "")}});
    CHECK(ask(rows) == "shop ");
    CHECK(ask(front) == "shop later ");
    CHECK(ask(call("not", {{6, rows}})) == "shop later ");
    CHECK(ask(call("or", {{6, rows}, {6, front}})) == "shop later ");
    CHECK(ask(call("in", {{2, texts("name", "span")}, {5, [](otlp::WireWriter& out) {
                                                           out.bytes_field(1, "GET /later");
                                                           out.bytes_field(1, "none");
                                                       }}})) == "later ");
    CHECK(ask(call("some",
                   {{3, texts("event", "")},
                    {6, call("eq", {{1, texts("why", "event")}, {4, texts("because", "")}})}})) ==
          "shop ");
    CHECK(ask(front, "front") == "status 3");
    CHECK(ask(call("near", {{1, texts("a", "")}, {4, texts("1", "")}})) == "status 12");
    CHECK(ask([](otlp::WireWriter&) {}) == "status 3");
    Write deep = rows;
    for (int i = 0; i < 100; ++i)
        deep = call("not", {{6, deep}});
    CHECK(ask(deep) == "status 3");
    // Whatever comes, it is answered or refused.
    const std::string whole = message(call("and", {{6, rows}, {6, front}}));
    for (size_t i = 0; i < whole.size(); ++i) {
        std::string damaged = whole;
        damaged[i] = static_cast<char>(damaged[i] ^ 0x55);
        for (const std::string& bytes : {whole.substr(0, i), damaged}) {
            const std::string answer = ask_bytes(bytes);
            CHECK((answer.find("status") == std::string::npos || answer == "status 3" ||
                   answer == "status 12"));
        }
    }
}

TEST_CASE("a trace that is larger than a message goes out in several, each whole in itself") {
    std::string trace = R"({"resourceSpans":[{"resource":{"attributes":[{"key":"service.name",)"
                        R"("value":{"stringValue":"big"}}]},"scopeSpans":[{"scope":{"name":"s"},)"
                        R"("spans":[)";
    const std::string text(4000, 'x');
    for (int i = 1; i <= 600; ++i) {
        if (i > 1) trace += ',';
        trace += fmt::format(
            R"({{"traceId":"00000000000000000000000000000b16","spanId":"{:016x}","name":"n",)"
            R"("startTimeUnixNano":"1763819000000000000","endTimeUnixNano":"1763819000000000001",)"
            R"("attributes":[{{"key":"t","value":{{"stringValue":"{}"}}}}]}})",
            i, text);
    }
    trace += "]}]}]}";
    TestServer server({trace});
    const auto reply =
        server.call("jaeger.api_v3.QueryService/GetTrace",
                    message([](otlp::WireWriter& out) { out.bytes_field(1, "b16"); }));
    CHECK(reply.messages.size() >= 3);
    size_t spans = 0;
    for (const std::string& part : reply.messages) {
        CHECK(part.size() < 2'000'000);
        const auto batch = otlp::decode(Blob::copy_of(part));
        REQUIRE(batch.has_value());
        CHECK(batch->resource(batch->resources.at(0)).service_name() == "big");
        CHECK(batch->scope(batch->scopes.at(0)).name == "s");
        spans += batch->spans.size();
    }
    CHECK(spans == 600);
}
