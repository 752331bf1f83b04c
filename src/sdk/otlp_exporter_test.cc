#include "spanloom/otlp_exporter.h"

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <mutex>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <sys/wait.h>

#include "otlp/wire.h"
#include "otlp/writer.h"
#include "sdk/otlp_request.h"
#include "send/test_server.h"

using namespace spanloom;
using send::RawServer;

namespace {

std::string text_field(uint32_t field, std::string_view text) {
    std::string out;
    otlp::WireWriter(out).bytes_field(field, text);
    return out;
}

std::string span_message(size_t n, size_t filler = 0) {
    std::string out;
    otlp::WireWriter writer(out);
    writer.bytes_field(1, std::string(15, 't') + static_cast<char>(1 + n % 100));
    writer.bytes_field(2, std::string(7, 's') + static_cast<char>(1 + n % 100));
    writer.bytes_field(5, "span " + std::to_string(n) + std::string(filler, '.'));
    writer.fixed64_field(7, 1'000 + n);
    writer.fixed64_field(8, 2'000 + n);
    return out;
}

// `counts`: spans of each scope.
struct TestBatch {
    explicit TestBatch(const std::vector<size_t>& counts, size_t filler = 0)
        : resource(text_field(1, text_field(1, "service.name"))) {
        size_t total = 0;
        for (const size_t count : counts)
            total += count;
        for (size_t i = 0; i < total; ++i)
            messages.push_back(span_message(i, filler));
        views.assign(messages.begin(), messages.end());
        size_t from = 0;
        for (const size_t count : counts) {
            scopes.push_back(text_field(1, "scope " + std::to_string(from)));
            from += count;
        }
        from = 0;
        for (size_t i = 0; i < counts.size(); ++i) {
            groups.push_back(
                {scopes[i], i % 2 == 1 ? "schema" : "", views.data() + from, counts[i]});
            from += counts[i];
        }
        batch = {resource, "of resource", groups.data(), groups.size(), total, 0};
        for (const std::string& message : messages)
            batch.span_bytes += message.size();
    }

    std::string resource;
    std::vector<std::string> messages;
    std::vector<std::string_view> views;
    std::vector<std::string> scopes;
    std::vector<SpanGroup> groups;
    SpanBatch batch;
};

std::string joined(const send::Pieces& pieces) {
    std::string all;
    for (const std::string_view part : pieces.parts())
        all += part;
    return all;
}

// The spans of a request, and whether each lies in the place it came from.
size_t spans_in_place(const send::Pieces& pieces, const TestBatch& batch) {
    size_t found = 0;
    for (const std::string_view part : pieces.parts()) {
        for (const std::string& message : batch.messages)
            found += part.data() == message.data() && part.size() == message.size();
    }
    return found;
}

struct Problems {
    static void tell(std::string_view message, void* self) {
        auto* problems = static_cast<Problems*>(self);
        const std::lock_guard lock(problems->mutex);
        problems->texts.emplace_back(message);
    }
    std::mutex mutex;
    std::vector<std::string> texts;
};

OtlpOptions options_for(const RawServer& server, Problems& problems) {
    OtlpOptions options;
    options.endpoint = server.url();
    options.on_problem = Problems::tell;
    options.on_problem_user = &problems;
    return options;
}

// Takes requests one after the other and answers each with what `answer` says.
void serve(int descriptor, const std::atomic<bool>& stopping, const std::string& answer,
           std::vector<std::string>& bodies) {
    std::string seen;
    char buffer[16'384];
    while (!stopping) {
        pollfd waited = {descriptor, POLLIN, 0};
        if (::poll(&waited, 1, 5) <= 0) continue;
        const ssize_t n = ::recv(descriptor, buffer, sizeof buffer, 0);
        if (n <= 0) return;
        seen.append(buffer, static_cast<size_t>(n));
        const size_t end = seen.find("\r\n\r\n");
        const size_t length = seen.find("content-length: ");
        if (end == std::string::npos || length == std::string::npos) continue;
        const size_t size = std::stoul(seen.substr(length + 16));
        if (seen.size() < end + 4 + size) continue;
        bodies.push_back(seen.substr(end + 4, size));
        seen.clear();
        RawServer::write(descriptor,
                         "HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\n"
                         "content-length: " +
                             std::to_string(answer.size()) + "\r\n\r\n" + answer);
    }
}

}  // namespace

TEST_CASE("a request is made around the spans, which stay where they are") {
    OtlpRequest request;
    for (const std::vector<size_t>& counts :
         {std::vector<size_t>{1}, {3, 0, 5}, {200, 1}, {0}, {}}) {
        const TestBatch batch(counts);
        const send::Pieces& pieces = request.build(batch.batch);
        CHECK(spans_in_place(pieces, batch) == batch.messages.size());
        CHECK(pieces.size() <= request_bytes_bound(batch.batch));
        const std::string all = joined(pieces);
        CHECK(all.size() == pieces.size());
        // The same fields as the plain encoder writes, whose lengths are padded.
        const otlp::WireReader reader(all);
        otlp::WireReader outer = reader;
        REQUIRE(outer.next());
        CHECK(outer.field() == 1);
        CHECK(outer.bytes().size() + 2 <= all.size());
        CHECK(!outer.next());
    }
}

TEST_CASE("a batch over the limit goes in parts, a span over it not at all") {
    const TestBatch batch({10, 7, 1}, 100);
    size_t refused = 0;
    OtlpRequest request;
    for (const size_t bytes_max : {400U, 700U, 1'500U, 1'000'000U}) {
        CAPTURE(bytes_max);
        refused = 0;
        size_t spans = 0;
        for (const auto& groups : split_batch(batch.batch, bytes_max, refused)) {
            const SpanBatch part = batch_of(batch.batch, groups);
            CHECK(request.build(part).size() <= bytes_max);
            CHECK(part.span_count > 0);
            spans += part.span_count;
        }
        CHECK(spans == 18);
        CHECK(refused == 0);
    }
    CHECK(split_batch(batch.batch, 100, refused).empty());
    CHECK(refused == 18);
}

TEST_CASE("spans are exported; what the receiver rejects is counted and told") {
    std::vector<std::string> bodies;
    const std::string partial(
        "\x0a\x09\x08\x03\x12\x05"
        "no id",
        11);
    RawServer server([&](int descriptor, const std::atomic<bool>& stopping) {
        serve(descriptor, stopping, partial, bodies);
    });
    Problems problems;
    const auto exporter = make_otlp_exporter(options_for(server, problems));
    const TestBatch batch({5});
    const ExportResult result = exporter->export_spans(batch.batch, Duration::from_ms(5'000));
    CHECK(result.status == ExportResult::Status::kSuccess);
    CHECK(result.rejected_spans == 3);
    REQUIRE(problems.texts.size() == 1);
    CHECK(problems.texts[0].find("no id") != std::string::npos);
    OtlpRequest request;
    CHECK(bodies.at(0) == joined(request.build(batch.batch)));
}

TEST_CASE("a batch over the exporter's limit arrives whole, in several requests") {
    std::vector<std::string> bodies;
    RawServer server([&](int descriptor, const std::atomic<bool>& stopping) {
        serve(descriptor, stopping, "", bodies);
    });
    Problems problems;
    OtlpOptions options = options_for(server, problems);
    options.request_bytes_max = 1'000;
    const auto exporter = make_otlp_exporter(options);
    const TestBatch batch({40}, 100);
    const ExportResult result = exporter->export_spans(batch.batch, Duration::from_ms(5'000));
    CHECK(result.status == ExportResult::Status::kSuccess);
    CHECK(result.rejected_spans == 0);
    CHECK(bodies.size() > 3);
    std::string all;
    for (const std::string& body : bodies) {
        CHECK(body.size() <= 1'000);
        all += body;
    }
    for (const std::string& message : batch.messages)
        CHECK(all.find(message) != std::string::npos);
}

TEST_CASE("an export returns by its deadline, and at once after shutdown") {
    RawServer server(RawServer::swallow);
    Problems problems;
    const auto exporter = make_otlp_exporter(options_for(server, problems));
    const TestBatch batch({1});
    const Deadline deadline(Duration::from_ms(50));
    CHECK(exporter->export_spans(batch.batch, deadline).status == ExportResult::Status::kTimeout);
    CHECK(deadline.has_passed());
    CHECK(problems.texts.size() == 1);
    const Deadline later(Duration::from_ms(60'000));
    exporter->shutdown(later);
    CHECK(exporter->export_spans(batch.batch, later).status == ExportResult::Status::kFailure);
    CHECK(!later.has_passed());
}

TEST_CASE("what cannot work is told when the exporter is made, and fails quietly afterwards") {
    Problems problems;
    OtlpOptions options;
    options.endpoint = "ftp://collector";
    options.on_problem = Problems::tell;
    options.on_problem_user = &problems;
    std::string problem;
    const auto exporter = make_otlp_exporter(options, &problem);
    REQUIRE(exporter != nullptr);
    CHECK(problem.find("ftp://collector") != std::string::npos);
    const TestBatch batch({1});
    const Deadline deadline(Duration::from_ms(60'000));
    CHECK(exporter->export_spans(batch.batch, deadline).status == ExportResult::Status::kFailure);
    CHECK(!deadline.has_passed());
}

TEST_CASE("a file gets one line of OTLP/JSON a batch") {
    char path[] = "/tmp/spanloom_file_XXXXXX";
    ::close(::mkstemp(path));
    std::string problem;
    {
        const auto exporter = make_otlp_file_exporter(path, &problem);
        const TestBatch batch({2, 1});
        for (int i = 0; i < 2; ++i) {
            CHECK(exporter->export_spans(batch.batch, Duration::from_ms(1'000)).status ==
                  ExportResult::Status::kSuccess);
        }
    }
    CHECK(problem.empty());
    std::ifstream file(path);
    const std::string text((std::istreambuf_iterator<char>(file)),
                           std::istreambuf_iterator<char>());
    std::remove(path);
    CHECK(std::count(text.begin(), text.end(), '\n') == 2);
    CHECK(text.starts_with("{\"resourceSpans\":["));
    CHECK(text.find("\"name\":\"span 2\"") != std::string::npos);
    const auto nowhere = make_otlp_file_exporter("/no/such/folder/spans", &problem);
    CHECK(problem.find("/no/such/folder/spans") != std::string::npos);
    CHECK(nowhere->export_spans(TestBatch({1}).batch, Duration::from_ms(1'000)).status ==
          ExportResult::Status::kFailure);
}
