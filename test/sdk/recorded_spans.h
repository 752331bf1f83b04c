#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>

#include "spanloom/in_memory_exporter.h"
#include "spanloom/tracer_provider.h"

namespace spanloom::test {

// A provider whose spans can be looked at as soon as they end.
class RecordedSpans {
  public:
    RecordedSpans() {
        ProviderOptions options;
        options.processors = {make_simple_processor(exporter_)};
        provider_ = TracerProvider::create(std::move(options));
        tracer = provider_.get_tracer("test");
    }
    RecordedSpans(const RecordedSpans&) = delete;
    RecordedSpans& operator=(const RecordedSpans&) = delete;
    ~RecordedSpans() { provider_.shutdown(Duration::from_ms(1'000)); }

    std::vector<FinishedSpan> all() const { return exporter_->spans(); }
    // The only one of a name.
    FinishedSpan named(std::string_view name) const {
        std::vector<FinishedSpan> found;
        for (const FinishedSpan& span : all()) {
            if (span.name == name) {
                found.push_back(span);
            }
        }
        CAPTURE(std::string(name));
        REQUIRE(found.size() == 1);
        return found[0];
    }
    FinishedSpan last() const {
        const auto spans = all();
        REQUIRE(!spans.empty());
        return spans.back();
    }
    void clear() { exporter_->clear(); }

    Tracer tracer;

  private:
    std::shared_ptr<InMemoryExporter> exporter_ = std::make_shared<InMemoryExporter>();
    TracerProvider provider_;
};

inline bool is_child(const FinishedSpan& child, const FinishedSpan& parent) {
    return child.trace_id == parent.trace_id && child.parent_span_id == parent.span_id;
}

// A text attribute's value as the exporter shows it, which is ready for HTML.
inline std::string as_json(std::string_view text) {
    std::string json = "\"";
    for (const char c : text) {
        if (c == '&') {
            json += "\\u0026";
        } else {
            json += c;
        }
    }
    return json + '"';
}

}  // namespace spanloom::test
