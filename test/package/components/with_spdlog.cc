#include <sstream>

#include <spanloom/instrumentation/spdlog.h>
#include <spdlog/sinks/ostream_sink.h>

#include "traced.h"

int main() {
    return traced(1, [](const spanloom::Tracer& tracer) {
        std::ostringstream out;
        spdlog::logger logger("shop", std::make_shared<spdlog::sinks::ostream_sink_mt>(out));
        logger.set_formatter(spanloom::make_spdlog_formatter("%* %~ %v"));
        const auto span = tracer.start_active("work");
        logger.info("hello");
        if (out.str().find(span.context().trace_id().hex()) != 0) throw 1;
    });
}
