#include "spanloom/propagators.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <utility>

#include "base/text.h"
#include "sdk/baggage_text.h"
#include "sdk/trace_headers.h"

namespace spanloom {
namespace {

// No tracestate within its limits is longer (32 members of 256 + 1 + 256 bytes
// and their commas).
constexpr size_t kTraceStateBytesMax = 32 * 514;
// Of Jaeger's baggage headers, that are looked at.
constexpr size_t kJaegerPrefixBytesMax = 512;

sdk::TraceHeader header_of(const SpanContext& context) noexcept {
    return {context.trace_id(), context.span_id(), context.flags().bits};
}

Context with_header(const Context& context, const sdk::TraceHeader& header,
                    TraceState state = {}) noexcept {
    SpanContext span(header.trace_id, header.span_id, TraceFlags{header.flags}, std::move(state),
                     true);
    if (context.baggage().empty() && !context.is_suppressed()) return Context(std::move(span));
    return context.with_span_context(std::move(span));
}

// Joins the values of all headers of one name, as RFC 9110 says; false where
// that is too much.
bool join_values(const TextMapGetter& carrier, std::string_view name, size_t bytes_max,
                 std::string_view& first, std::string& joined) {
    size_t count = 0;
    bool fits = true;
    carrier.for_each_value(name, [&](std::string_view value) {
        if (++count == 1) {
            first = value;
            fits = value.size() <= bytes_max;
            return;
        }
        if (count == 2) joined = first.substr(0, bytes_max);
        fits = fits && joined.size() + value.size() + 1 <= bytes_max;
        if (fits) joined.append(",").append(value);
    });
    if (count > 1) first = joined;
    return fits;
}

class TraceContextPropagator final : public TextMapPropagator {
  public:
    void inject(const Context& context, TextMapSetter& carrier) const noexcept override {
        const SpanContext& span = context.span_context();
        if (!span.is_valid()) return;
        char text[sdk::kTraceparentBytes];
        sdk::format_traceparent(header_of(span), text);
        carrier.set("traceparent", {text, sizeof text});
        if (!span.trace_state().empty()) carrier.set("tracestate", span.trace_state().text());
    }

    Context extract(const Context& context, const TextMapGetter& carrier) const noexcept override {
        size_t count = 0;
        sdk::TraceHeader header;
        bool good = false;
        carrier.for_each_value("traceparent", [&](std::string_view value) {
            if (++count == 1) good = sdk::parse_traceparent(value, header);
        });
        // Of two, nobody knows which is right.
        if (!good || count > 1) return context;
        try {
            std::string_view state;
            std::string joined;
            const bool fits =
                join_values(carrier, "tracestate", kTraceStateBytesMax, state, joined);
            if (state.empty() || !fits) return with_header(context, header);
            return with_header(context, header, TraceState::parse(state));
        } catch (...) {  // out of memory: the trace goes on without its state
            return with_header(context, header);
        }
    }
    std::vector<std::string> fields() const override { return {"traceparent", "tracestate"}; }
};

class BaggagePropagator final : public TextMapPropagator {
  public:
    void inject(const Context& context, TextMapSetter& carrier) const noexcept override {
        if (context.baggage().empty()) return;
        try {
            const std::string text = sdk::format_baggage(context.baggage());
            if (!text.empty()) carrier.set("baggage", text);
        } catch (...) {  // out of memory: the request goes without
        }
    }
    Context extract(const Context& context, const TextMapGetter& carrier) const noexcept override {
        try {
            std::optional<sdk::BaggageReader> reader;
            carrier.for_each_value("baggage", [&reader](std::string_view value) {
                if (!reader) reader.emplace();
                reader->add(value);
            });
            Baggage baggage = reader ? reader->take() : Baggage();
            return baggage.empty() ? context : context.with_baggage(std::move(baggage));
        } catch (...) {  // out of memory
            return context;
        }
    }
    std::vector<std::string> fields() const override { return {"baggage"}; }
};

class B3Propagator final : public TextMapPropagator {
  public:
    explicit B3Propagator(B3Format format) : format_(format) {}

    void inject(const Context& context, TextMapSetter& carrier) const noexcept override {
        const SpanContext& span = context.span_context();
        if (!span.is_valid()) return;
        char text[sdk::kB3Bytes];
        sdk::format_b3(header_of(span), text);
        const std::string_view view(text, sizeof text);
        if (format_ == B3Format::kSingleHeader) {
            carrier.set("b3", view);
            return;
        }
        carrier.set("X-B3-TraceId", view.substr(0, 32));
        carrier.set("X-B3-SpanId", view.substr(33, 16));
        // Debug implies sampled, and then says it alone.
        if (view.back() == 'd') {
            carrier.set("X-B3-Flags", "1");
        } else {
            carrier.set("X-B3-Sampled", view.substr(50));
        }
    }

    Context extract(const Context& context, const TextMapGetter& carrier) const noexcept override {
        sdk::TraceHeader header;
        if (const auto single = carrier.get("b3"); single && sdk::parse_b3(*single, header))
            return with_header(context, header);
        const auto value = [&carrier](std::string_view name) {
            return carrier.get(name).value_or(std::string_view());
        };
        const std::string_view trace_id = value("X-B3-TraceId");
        if (trace_id.empty() ||
            !sdk::parse_b3_multi(trace_id, value("X-B3-SpanId"), value("X-B3-Sampled"),
                                 value("X-B3-Flags"), header))
            return context;
        return with_header(context, header);
    }
    std::vector<std::string> fields() const override {
        if (format_ == B3Format::kSingleHeader) return {"b3"};
        return {"X-B3-TraceId", "X-B3-SpanId", "X-B3-Sampled", "X-B3-Flags"};
    }

  private:
    B3Format format_;
};

class JaegerPropagator final : public TextMapPropagator {
  public:
    void inject(const Context& context, TextMapSetter& carrier) const noexcept override {
        const SpanContext& span = context.span_context();
        if (span.is_valid()) {
            char text[sdk::kUberTraceIdBytes];
            sdk::format_uber_trace_id(header_of(span), text);
            carrier.set("uber-trace-id", {text, sizeof text});
        }
        context.baggage().for_each(
            [&carrier](const Baggage::Entry& entry) { set_baggage(carrier, entry); });
    }

    Context extract(const Context& context, const TextMapGetter& carrier) const noexcept override {
        sdk::TraceHeader header;
        const auto value = carrier.get("uber-trace-id");
        const Context found = value && sdk::parse_uber_trace_id(*value, header)
                                  ? with_header(context, header)
                                  : context;
        Baggage baggage = extract_baggage(carrier);
        return baggage.empty() ? found : found.with_baggage(std::move(baggage));
    }
    std::vector<std::string> fields() const override { return {"uber-trace-id"}; }

  private:
    static constexpr std::string_view kPrefix = "uberctx-";

    // A header's name can hold no more than a token.
    static bool is_header_name(std::string_view name) noexcept {
        return !name.empty() && std::all_of(name.begin(), name.end(), [](char c) {
            return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                   c == '-' || c == '_' || c == '.';
        });
    }
    static void set_baggage(TextMapSetter& carrier, const Baggage::Entry& entry) noexcept {
        if (!is_header_name(entry.key) || entry.key.size() > kJaegerPrefixBytesMax) return;
        try {
            const Baggage one = Baggage().set("v", entry.value);
            carrier.set(std::string(kPrefix) + std::string(entry.key),
                        std::string_view(sdk::format_baggage(one)).substr(2));
        } catch (...) {  // out of memory: the request goes without
        }
    }
    static Baggage extract_baggage(const TextMapGetter& carrier) noexcept {
        try {
            std::vector<std::pair<std::string, std::string>> items;
            size_t bytes = 0;
            carrier.for_each_name([&](std::string_view name) {
                if (name.size() <= kPrefix.size() || name.size() > kJaegerPrefixBytesMax ||
                    !starts_with_prefix(name) || items.size() == sdk::kBaggageMembersMax)
                    return;
                const std::string_view value = carrier.get(name).value_or("");
                bytes += name.size() + value.size();
                if (bytes > sdk::kBaggageBytesMax) return;
                items.emplace_back(name.substr(kPrefix.size()),
                                   replace_invalid_utf8(decode_percent(value, false)));
            });
            if (items.empty()) return {};
            std::vector<Baggage::Entry> entries;
            for (const auto& [key, value] : items)
                entries.push_back({key, value, {}});
            return Baggage::of(entries.data(), entries.size());
        } catch (...) {  // out of memory
            return {};
        }
    }
    static bool starts_with_prefix(std::string_view name) noexcept {
        return std::equal(kPrefix.begin(), kPrefix.end(), name.begin(), [](char a, char b) {
            return a == (b >= 'A' && b <= 'Z' ? static_cast<char>(b - 'A' + 'a') : b);
        });
    }
};

class CompositePropagator final : public TextMapPropagator {
  public:
    explicit CompositePropagator(std::vector<std::shared_ptr<const TextMapPropagator>> propagators)
        : propagators_(std::move(propagators)) {}

    void inject(const Context& context, TextMapSetter& carrier) const noexcept override {
        for (const auto& propagator : propagators_)
            propagator->inject(context, carrier);
    }
    Context extract(const Context& context, const TextMapGetter& carrier) const noexcept override {
        Context found = context;
        for (const auto& propagator : propagators_)
            found = propagator->extract(found, carrier);
        return found;
    }
    std::vector<std::string> fields() const override {
        std::vector<std::string> all;
        for (const auto& propagator : propagators_) {
            for (std::string& field : propagator->fields()) {
                if (std::find(all.begin(), all.end(), field) == all.end())
                    all.push_back(std::move(field));
            }
        }
        return all;
    }

  private:
    std::vector<std::shared_ptr<const TextMapPropagator>> propagators_;
};

// What is set stays for ever: readers hold no reference, so nothing that was
// global may go.
std::atomic<const TextMapPropagator*> set_propagator = nullptr;
std::atomic<IncomingContext> set_incoming = IncomingContext::kContinue;

const TextMapPropagator& default_propagator() noexcept {
    static const CompositePropagator propagator(
        {make_trace_context_propagator(), make_baggage_propagator()});
    return propagator;
}

}  // namespace

std::shared_ptr<const TextMapPropagator> make_trace_context_propagator() {
    return std::make_shared<TraceContextPropagator>();
}

std::shared_ptr<const TextMapPropagator> make_baggage_propagator() {
    return std::make_shared<BaggagePropagator>();
}

std::shared_ptr<const TextMapPropagator> make_b3_propagator(B3Format format) {
    return std::make_shared<B3Propagator>(format);
}

std::shared_ptr<const TextMapPropagator> make_jaeger_propagator() {
    return std::make_shared<JaegerPropagator>();
}

std::shared_ptr<const TextMapPropagator> make_composite_propagator(
    std::vector<std::shared_ptr<const TextMapPropagator>> propagators) {
    return std::make_shared<CompositePropagator>(std::move(propagators));
}

const TextMapPropagator& global_propagator() noexcept {
    const TextMapPropagator* propagator = set_propagator.load(std::memory_order_acquire);
    return propagator != nullptr ? *propagator : default_propagator();
}

void set_global_propagator(std::shared_ptr<const TextMapPropagator> propagator) noexcept {
    static std::mutex mutex;
    static auto* kept = new std::vector<std::shared_ptr<const TextMapPropagator>>;
    const std::lock_guard lock(mutex);
    try {
        kept->push_back(propagator);
        set_propagator.store(propagator.get(), std::memory_order_release);
    } catch (...) {  // out of memory: the one before stays
    }
}

void set_incoming_context(IncomingContext incoming) noexcept {
    if (incoming == IncomingContext::kConfigured) incoming = IncomingContext::kContinue;
    set_incoming.store(incoming, std::memory_order_relaxed);
}

IncomingParent extract_incoming(const TextMapGetter& carrier, IncomingContext incoming) noexcept {
    if (incoming == IncomingContext::kConfigured)
        incoming = set_incoming.load(std::memory_order_relaxed);
    Context context = global_propagator().extract(Context::root(), carrier);
    if (incoming == IncomingContext::kContinue) return {std::move(context), {}};
    IncomingParent parent;
    parent.linked = context.span_context();
    if (incoming == IncomingContext::kRestartWithBaggage)
        parent.context = Context::root().with_baggage(context.baggage());
    return parent;
}

}  // namespace spanloom
