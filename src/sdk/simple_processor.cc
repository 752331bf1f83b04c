#include <mutex>
#include <utility>

#include "sdk/background_thread.h"
#include "sdk/fork.h"
#include "spanloom/processor.h"

namespace spanloom {
namespace {

// What a SimpleProcessor works with, shared with calls that outlast their deadline. A fork makes a
// new one in the child.
class SimpleExport {
  public:
    SimpleExport(std::shared_ptr<SpanExporter> to, Duration timeout)
        : exporter(std::move(to)), export_timeout(timeout) {}

    void add(const ReadableSpan& span) noexcept {
        count(&ProcessorStats::received);
        const Scope silent(Context().with_suppression());
        const std::lock_guard lock(export_mutex_);
        if (is_shut_down()) return count(&ProcessorStats::dropped_after_shutdown);
        const std::string_view message = span.message();
        const SpanSource& source = span.source();
        const SpanGroup group{source.scope, source.scope_schema_url, &message, 1};
        if (source.resource != resource_) {
            resource_ = source.resource;
            encoded_resource_ = resource_ == nullptr ? "" : resource_->encode();
        }
        const ExportResult result = exporter->export_spans(
            {encoded_resource_, resource_ == nullptr ? std::string_view() : resource_->schema_url(),
             &group, 1, 1, message.size()},
            export_timeout);
        if (result.status != ExportResult::Status::kSuccess) return count(&ProcessorStats::failed);
        count(result.rejected_spans == 0 ? &ProcessorStats::exported : &ProcessorStats::rejected);
    }
    // Behind the export that may be going on.
    bool flush(Deadline deadline) noexcept {
        const std::lock_guard lock(export_mutex_);
        return exporter->force_flush(deadline);
    }
    // True for the first that asks.
    bool begin_shutdown() noexcept {
        const std::lock_guard lock(mutex_);
        return !std::exchange(is_shut_down_, true);
    }
    ProcessorStats stats() const noexcept {
        const std::lock_guard lock(mutex_);
        return stats_;
    }

    const std::shared_ptr<SpanExporter> exporter;
    const Duration export_timeout;

  private:
    void count(uint64_t ProcessorStats::* what) noexcept {
        const std::lock_guard lock(mutex_);
        ++(stats_.*what);
    }
    bool is_shut_down() const noexcept {
        const std::lock_guard lock(mutex_);
        return is_shut_down_;
    }

    std::mutex export_mutex_;  // of the exporter and the next two; held while it exports
    const Resource* resource_ = nullptr;
    std::string encoded_resource_;
    mutable std::mutex mutex_;  // of the rest
    ProcessorStats stats_;
    bool is_shut_down_ = false;
};

// Exports on the thread that ends the span, one span at a time.
class SimpleProcessor final : public SpanProcessor {
  public:
    SimpleProcessor(std::shared_ptr<SpanExporter> exporter, Duration export_timeout)
        : export_(std::make_shared<SimpleExport>(std::move(exporter), export_timeout)) {}

    unsigned interests() const noexcept override { return kOnEnd; }
    void on_end(const ReadableSpan& span) noexcept override {
        if (span.context().is_sampled()) export_->add(span);
    }
    bool force_flush(Deadline deadline) noexcept override {
        return sdk::call_punctually([to = export_, deadline] { return to->flush(deadline); },
                                    deadline);
    }
    bool shutdown(Deadline deadline) noexcept override {
        if (!export_->begin_shutdown()) return true;
        return sdk::call_punctually(
            [to = export_, deadline] { return to->exporter->shutdown(deadline); }, deadline);
    }
    ProcessorStats stats() const noexcept override { return export_->stats(); }

    void after_fork_in_child() noexcept override {
        // Another thread of the parent may have been exporting: its locks stay taken here.
        detail::leave_to_parent(export_);
        export_->exporter->after_fork_in_child();
        export_ = std::make_shared<SimpleExport>(export_->exporter, export_->export_timeout);
    }

  private:
    std::shared_ptr<SimpleExport> export_;
};

}  // namespace

std::shared_ptr<SpanProcessor> make_simple_processor(std::shared_ptr<SpanExporter> exporter,
                                                     Duration export_timeout) {
    return std::make_shared<SimpleProcessor>(std::move(exporter), export_timeout);
}

}  // namespace spanloom
