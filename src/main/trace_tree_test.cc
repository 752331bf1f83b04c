#include "main/trace_tree.h"

#include <algorithm>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "otlp/writer.h"

namespace spanloom {
namespace {

struct TestSpan {
    char id;
    char parent;  // '\0': a root
    const char* name;
    uint64_t start_ns;
    uint64_t end_ns;
    bool is_error = false;
};

Batch trace_of(const std::vector<TestSpan>& spans) {
    std::string bytes;
    otlp::WireWriter out(bytes);
    const size_t resource_spans = out.begin(1);
    const size_t scope_spans = out.begin(2);
    for (const TestSpan& span : spans) {
        const size_t mark = out.begin(2);
        out.bytes_field(1, std::string(16, 't'));
        out.bytes_field(2, std::string(8, span.id));
        if (span.parent != '\0') out.bytes_field(4, std::string(8, span.parent));
        out.bytes_field(5, span.name);
        out.fixed64_field(7, span.start_ns);
        out.fixed64_field(8, span.end_ns);
        if (span.is_error) {
            const size_t status = out.begin(15);
            out.varint_field(3, 2);
            out.end(status);
        }
        out.end(mark);
    }
    out.end(scope_spans);
    out.end(resource_spans);
    return otlp::decode(Blob::copy_of(bytes)).value();
}

size_t count_lines(const std::string& text) {
    return static_cast<size_t>(std::count(text.begin(), text.end(), '\n'));
}

}  // namespace

TEST_CASE("children stand below their parent, in order of start, errors marked") {
    const std::string drawn = draw_trace(trace_of({{'c', 'a', "late", 600, 900, true},
                                                   {'a', '\0', "root", 0, 1000},
                                                   {'b', 'a', "early", 100, 300},
                                                   {'d', 'b', "below", 150, 200}}),
                                         {});
    CHECK(drawn.find("4 spans  1 error") != std::string::npos);
    CHECK(drawn.find(" root") < drawn.find("early"));
    CHECK(drawn.find("early") < drawn.find("below"));
    CHECK(drawn.find("below") < drawn.find("x  late"));
}

TEST_CASE("cycles, orphans and self parents are each drawn once") {
    const std::string drawn = draw_trace(trace_of({{'a', 'b', "one", 0, 10},
                                                   {'b', 'a', "two", 1, 10},
                                                   {'c', 'c', "self", 2, 10},
                                                   {'d', 'z', "orphan", 3, 10}}),
                                         {});
    CHECK(count_lines(drawn) == 5);
    CHECK(drawn.find("?  orphan") != std::string::npos);
}

TEST_CASE("text from outside cannot steer the terminal") {
    CHECK(printable("a\x1b[31mb\x9b\nc\u202e") == "a\ufffd[31mb\ufffd\ufffdc\ufffd");
    CHECK(fit("grün und blau", 6) == "grün …");
    CHECK(display_width("grün") == 4);
}

}  // namespace spanloom
