#include "spanloom/instrumentation/spdlog.h"

#include <sstream>

#include <spdlog/async.h>
#include <spdlog/sinks/ostream_sink.h>

#include "test/sdk/recorded_spans.h"

using namespace spanloom;
using spanloom::test::RecordedSpans;

TEST_CASE("spdlog: lines carry the active span's ids") {
    RecordedSpans spans;
    std::ostringstream lines;
    ::spdlog::logger logger("test", std::make_shared<::spdlog::sinks::ostream_sink_mt>(lines));
    logger.set_formatter(make_spdlog_formatter("[%l] [trace_id=%* span_id=%~] %v"));
    std::string expected;
    {
        const ActiveSpan span = spans.tracer.start_active("span");
        logger.info("inside {}", 1);
        expected = "[info] [trace_id=" + span.context().trace_id().hex() +
                   " span_id=" + span.context().span_id().hex() + "] inside 1\n";
    }
    logger.warn("outside");
    expected +=
        "[warning] [trace_id=00000000000000000000000000000000 span_id=0000000000000000] outside\n";
    CHECK(lines.str() == expected);
}

TEST_CASE("spdlog: asynchronous loggers write the ids of the thread that logs") {
    RecordedSpans spans;
    std::ostringstream lines;
    auto pool = std::make_shared<::spdlog::details::thread_pool>(8, 1);
    SpdlogAsyncLogger logger(std::make_shared<::spdlog::async_logger>(
        "test", std::make_shared<::spdlog::sinks::ostream_sink_mt>(lines), pool));
    logger.set_pattern("%v");
    std::string expected;
    {
        const ActiveSpan span = spans.tracer.start_active("span");
        logger.info("inside");
        expected = "inside trace_id=" + span.context().trace_id().hex() +
                   " span_id=" + span.context().span_id().hex() + "\n";
    }
    logger.info("outside");
    expected += "outside\n";
    logger.flush();
    pool.reset();  // its thread writes what waits, and ends
    CHECK(lines.str() == expected);
}
