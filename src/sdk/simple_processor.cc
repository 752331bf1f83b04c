#include <mutex>
#include <utility>

#include "spanloom/processor.h"

namespace spanloom {
namespace {

// Exports on the thread that ends the span, one span at a time.
class SimpleProcessor final : public SpanProcessor {
  public:
    SimpleProcessor(std::shared_ptr<SpanExporter> exporter, Duration export_timeout)
        : exporter_(std::move(exporter)), export_timeout_(export_timeout) {}

    unsigned interests() const noexcept override { return kOnEnd; }

    void on_end(const ReadableSpan& span) noexcept override {
        if (!span.context().is_sampled()) return;
        const Scope silent(Context().with_suppression());
        const std::lock_guard lock(mutex_);
        ++stats_.received;
        if (is_shut_down_) {
            ++stats_.dropped_after_shutdown;
            return;
        }
        const std::string_view message = span.message();
        const SpanSource& source = span.source();
        const SpanGroup group{source.scope, source.scope_schema_url, &message, 1};
        if (source.resource != resource_) {
            resource_ = source.resource;
            encoded_resource_ = resource_ == nullptr ? "" : resource_->encode();
        }
        const ExportResult result = exporter_->export_spans(
            {encoded_resource_, resource_ == nullptr ? std::string_view() : resource_->schema_url(),
             &group, 1, 1, message.size()},
            export_timeout_);
        if (result.status != ExportResult::Status::kSuccess) {
            ++stats_.failed;
        } else {
            ++(result.rejected_spans == 0 ? stats_.exported : stats_.rejected);
        }
    }

    bool force_flush(Deadline deadline) noexcept override {
        return exporter_->force_flush(deadline);
    }
    bool shutdown(Deadline deadline) noexcept override {
        {
            const std::lock_guard lock(mutex_);
            if (std::exchange(is_shut_down_, true)) return true;
        }
        return exporter_->shutdown(deadline);
    }
    ProcessorStats stats() const noexcept override {
        const std::lock_guard lock(mutex_);
        return stats_;
    }

  private:
    std::shared_ptr<SpanExporter> exporter_;
    Duration export_timeout_;
    mutable std::mutex mutex_;
    const Resource* resource_ = nullptr;
    std::string encoded_resource_;
    ProcessorStats stats_;
    bool is_shut_down_ = false;
};

// Hands everything on, in order.
class MultiProcessor final : public SpanProcessor {
  public:
    explicit MultiProcessor(std::vector<std::shared_ptr<SpanProcessor>> processors)
        : processors_(std::move(processors)) {}

    unsigned interests() const noexcept override {
        unsigned all = 0;
        for (const auto& processor : processors_)
            all |= processor->interests();
        return all;
    }
    void on_start(Span& span, const Context& parent) noexcept override {
        for (const auto& processor : processors_)
            processor->on_start(span, parent);
    }
    void on_ending(Span& span) noexcept override {
        for (const auto& processor : processors_)
            processor->on_ending(span);
    }
    void on_end(const ReadableSpan& span) noexcept override {
        for (const auto& processor : processors_)
            processor->on_end(span);
    }
    bool force_flush(Deadline deadline) noexcept override {
        bool is_done = true;
        for (const auto& processor : processors_)
            is_done = processor->force_flush(deadline) && is_done;
        return is_done;
    }
    bool shutdown(Deadline deadline) noexcept override {
        bool is_done = true;
        for (const auto& processor : processors_)
            is_done = processor->shutdown(deadline) && is_done;
        return is_done;
    }
    void after_fork_in_child() noexcept override {
        for (const auto& processor : processors_)
            processor->after_fork_in_child();
    }

  private:
    std::vector<std::shared_ptr<SpanProcessor>> processors_;
};

}  // namespace

std::shared_ptr<SpanProcessor> make_simple_processor(std::shared_ptr<SpanExporter> exporter,
                                                     Duration export_timeout) {
    return std::make_shared<SimpleProcessor>(std::move(exporter), export_timeout);
}

std::shared_ptr<SpanProcessor> make_multi_processor(
    std::vector<std::shared_ptr<SpanProcessor>> processors) {
    return std::make_shared<MultiProcessor>(std::move(processors));
}

}  // namespace spanloom
