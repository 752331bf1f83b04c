#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <spanloom/asio.h>
#include <spanloom/tracer.h>

#include "traced.h"

int main() {
    return traced(2, [](const spanloom::Tracer& tracer) {
        boost::asio::io_context io;
        {
            const auto request = tracer.start_active("request");
            boost::asio::post(spanloom::carry_context(io.get_executor()),
                              [tracer] { tracer.start_span("posted").end(); });
        }
        io.run();
    });
}
