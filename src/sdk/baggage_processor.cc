#include "spanloom/baggage_processor.h"

#include <algorithm>
#include <utility>

#include "base/glob.h"

namespace spanloom {
namespace {

class BaggageProcessor final : public SpanProcessor {
  public:
    explicit BaggageProcessor(std::function<bool(std::string_view)> wants)
        : wants_(std::move(wants)) {}

    unsigned interests() const noexcept override { return kOnStart; }
    void on_start(Span& span, const Context& parent) noexcept override {
        parent.baggage().for_each([&](const Baggage::Entry& entry) {
            if (wants_(entry.key)) span.set_attribute(entry.key, entry.value);
        });
    }

  private:
    const std::function<bool(std::string_view)> wants_;
};

}  // namespace

std::shared_ptr<SpanProcessor> make_baggage_processor(std::function<bool(std::string_view)> wants) {
    return std::make_shared<BaggageProcessor>(std::move(wants));
}

std::shared_ptr<SpanProcessor> make_baggage_processor(std::vector<std::string> key_patterns) {
    return make_baggage_processor(std::function<bool(std::string_view)>(
        [patterns = std::move(key_patterns)](std::string_view key) {
            return std::any_of(patterns.begin(), patterns.end(), [key](const std::string& pattern) {
                return glob_match(pattern, key);
            });
        }));
}

}  // namespace spanloom
