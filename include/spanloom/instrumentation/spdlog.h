#pragma once

// trace_id and span_id in the log lines of spdlog. Header-only, because spdlog's classes depend on
// how it was built.
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include <spdlog/pattern_formatter.h>
#include <spdlog/spdlog.h>

#include "spanloom/context.h"

namespace spanloom {

// A flag of a pattern that writes the active span's trace id or span id, as many zeros where there
// is none. For loggers that format on the caller's thread, which is all but asynchronous ones.
class SpdlogIdFlag : public ::spdlog::custom_flag_formatter {
  public:
    enum class Id { kTrace, kSpan };
    explicit SpdlogIdFlag(Id id) noexcept : id_(id) {}

    void format(const ::spdlog::details::log_msg&, const std::tm&,
                ::spdlog::memory_buf_t& out) override {
        const SpanContext context = Context::current().span_context();
        const std::string hex =
            id_ == Id::kTrace ? context.trace_id().hex() : context.span_id().hex();
        out.append(hex.data(), hex.data() + hex.size());
    }
    std::unique_ptr<::spdlog::custom_flag_formatter> clone() const override {
        return std::make_unique<SpdlogIdFlag>(id_);
    }

  private:
    Id id_;
};

// A formatter in whose pattern %* is the trace id and %~ the span id:
//
//     logger->set_formatter(spanloom::make_spdlog_formatter(
//         "[%H:%M:%S.%e] [%^%l%$] [trace_id=%* span_id=%~] %v"));
inline std::unique_ptr<::spdlog::formatter> make_spdlog_formatter(const std::string& pattern) {
    auto formatter = std::make_unique<::spdlog::pattern_formatter>();
    formatter->add_flag<SpdlogIdFlag>('*', SpdlogIdFlag::Id::kTrace);
    formatter->add_flag<SpdlogIdFlag>('~', SpdlogIdFlag::Id::kSpan);
    formatter->set_pattern(pattern);
    return formatter;
}

// An asynchronous logger formats on a thread of its own, where no span is active. This one stands
// before it and writes the ids behind the message, on the caller's thread:
//
//     auto logger = std::make_shared<spanloom::SpdlogAsyncLogger>(
//         spdlog::create_async<spdlog::sinks::stdout_color_sink_mt>("shop"));
class SpdlogAsyncLogger : public ::spdlog::logger {
  public:
    explicit SpdlogAsyncLogger(std::shared_ptr<::spdlog::logger> asynchronous)
        : ::spdlog::logger(asynchronous->name(), asynchronous->sinks().begin(),
                           asynchronous->sinks().end()),
          asynchronous_(std::move(asynchronous)) {
        set_level(asynchronous_->level());
        asynchronous_->set_level(::spdlog::level::trace);
    }

  protected:
    void sink_it_(const ::spdlog::details::log_msg& message) override {
        const SpanContext context = Context::current().span_context();
        if (!context.is_valid()) {
            asynchronous_->log(message.time, message.source, message.level, message.payload);
            return;
        }
        std::string text(message.payload.data(), message.payload.size());
        text.append(" trace_id=").append(context.trace_id().hex());
        text.append(" span_id=").append(context.span_id().hex());
        asynchronous_->log(message.time, message.source, message.level, text);
    }
    void flush_() override { asynchronous_->flush(); }

  private:
    std::shared_ptr<::spdlog::logger> asynchronous_;
};

}  // namespace spanloom
