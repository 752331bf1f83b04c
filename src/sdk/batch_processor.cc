#include <utility>

#include "sdk/batch_drain.h"
#include "sdk/fork.h"
#include "spanloom/processor.h"

namespace spanloom {
namespace {

// How long a processor that nobody has shut down waits for its last spans.
constexpr uint64_t kLastSpansMs = 5'000;

// The specification's batching processor; all of its work is the drain's.
class BatchProcessor final : public SpanProcessor {
  public:
    BatchProcessor(std::shared_ptr<SpanExporter> exporter, const BatchOptions& options)
        : drain_(std::make_shared<sdk::BatchDrain>(std::move(exporter), options)) {}
    ~BatchProcessor() override { drain_->shutdown(Duration::from_ms(kLastSpansMs)); }

    unsigned interests() const noexcept override { return kOnEnd; }
    void on_end(const ReadableSpan& span) noexcept override {
        if (span.context().is_sampled()) drain_->add(span.source().tracer, span.message());
    }
    bool force_flush(Deadline deadline) noexcept override { return drain_->force_flush(deadline); }
    bool shutdown(Deadline deadline) noexcept override { return drain_->shutdown(deadline); }
    ProcessorStats stats() const noexcept override { return drain_->stats(); }

    void after_fork_in_child() noexcept override {
        // What waits in the queues is the parent's to send; its threads and locks are not here. The
        // old drain is left as it is: nobody in this process may touch it again.
        const auto exporter = drain_->exporter();
        const BatchOptions options = drain_->options();
        detail::leave_to_parent(drain_);
        exporter->after_fork_in_child();
        drain_ = std::make_shared<sdk::BatchDrain>(exporter, options);
    }

  private:
    std::shared_ptr<sdk::BatchDrain> drain_;
};

}  // namespace

std::shared_ptr<SpanProcessor> make_batch_processor(std::shared_ptr<SpanExporter> exporter,
                                                    BatchOptions options) {
    return std::make_shared<BatchProcessor>(std::move(exporter), options);
}

}  // namespace spanloom
