#include <algorithm>
#include <deque>
#include <string>
#include <utility>
#include <vector>

#include "privacy/redact_otlp.h"
#include "privacy/redactor.h"
#include "spanloom/privacy.h"

namespace spanloom {
namespace {

privacy::DetectorSet detectors_of(const std::vector<std::string>& names) {
    if (names.empty()) return privacy::DetectorSet::defaults();
    privacy::DetectorSet set;
    for (size_t i = 0; i < privacy::kDetectors; ++i) {
        const auto detector = static_cast<privacy::Detector>(i);
        const std::string_view name = privacy::detector_name(detector);
        if (std::find(names.begin(), names.end(), name) != names.end()) set.add(detector);
    }
    return set;
}

privacy::Rules rules_of(RedactionOptions options) {
    privacy::Rules rules;
    rules.detectors = detectors_of(options.detectors);
    rules.exempt_keys = std::move(options.exempt_keys);
    rules.blocked_keys = std::move(options.blocked_keys);
    rules.removed_keys = std::move(options.removed_keys);
    rules.allowed_keys = std::move(options.allowed_keys);
    rules.hides_secret_names = options.hides_secret_names;
    rules.sanitizes_urls = options.sanitizes_urls;
    rules.sanitizes_statements = options.sanitizes_statements;
    rules.mask = std::move(options.mask);
    rules.hash_key = std::move(options.hash_key);
    if (!rules.hash_key.empty()) rules.replacement = privacy::Replacement::kHash;
    return rules;
}

// Rewrites what is exported. Memory for what changed lives for one export. One
// thread at a time, as exporters have it.
class RedactingExporter final : public SpanExporter {
  public:
    RedactingExporter(std::shared_ptr<SpanExporter> exporter, RedactionOptions options)
        : exporter_(std::move(exporter)), redactor_(rules_of(std::move(options))) {}

    ExportResult export_spans(const SpanBatch& batch, Deadline deadline) noexcept override {
        try {
            SpanBatch changed = batch;
            Changed pieces;
            rewrite(batch, changed, pieces);
            return exporter_->export_spans(changed, deadline);
        } catch (...) {  // out of memory: better lost than told
            return ExportResult::failure();
        }
    }
    bool force_flush(Deadline deadline) noexcept override {
        return exporter_->force_flush(deadline);
    }
    bool shutdown(Deadline deadline) noexcept override { return exporter_->shutdown(deadline); }
    void after_fork_in_child() noexcept override { exporter_->after_fork_in_child(); }

  private:
    struct Changed {
        std::deque<std::string> texts;
        std::vector<SpanGroup> groups;
        std::deque<std::vector<std::string_view>> spans;
    };

    template <typename Redact>
    std::string_view apply(Redact redact, std::string_view message, Changed& changed) {
        std::string& text = changed.texts.emplace_back();
        if (redact(message, redactor_, text)) return text;
        changed.texts.pop_back();
        return message;
    }

    void rewrite(const SpanBatch& batch, SpanBatch& out, Changed& changed) {
        out.resource = apply(privacy::redact_resource, batch.resource, changed);
        out.span_bytes = 0;
        for (const SpanGroup& group : batch) {
            std::vector<std::string_view>& spans = changed.spans.emplace_back();
            spans.reserve(group.span_count);
            for (size_t i = 0; i < group.span_count; ++i) {
                spans.push_back(apply(privacy::redact_span, group.spans[i], changed));
                out.span_bytes += spans.back().size();
            }
            changed.groups.push_back({apply(privacy::redact_scope, group.scope, changed),
                                      group.schema_url, spans.data(), spans.size()});
        }
        out.groups = changed.groups.data();
        out.group_count = changed.groups.size();
    }

    std::shared_ptr<SpanExporter> exporter_;
    privacy::Redactor redactor_;
};

}  // namespace

std::shared_ptr<SpanExporter> make_redacting_exporter(std::shared_ptr<SpanExporter> exporter,
                                                      RedactionOptions options) {
    return std::make_shared<RedactingExporter>(std::move(exporter), std::move(options));
}

}  // namespace spanloom
