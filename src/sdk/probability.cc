#include "sdk/probability.h"

#include <algorithm>
#include <cmath>

#include "otlp/ids.h"

namespace spanloom::sdk {
namespace {

constexpr int kDigits = 14;
constexpr int kPrecision = 4;
constexpr size_t kListBytesMax = 256;

bool is_sub_key(std::string_view key) noexcept {
    return !key.empty() && key[0] >= 'a' && key[0] <= 'z' &&
           std::all_of(key.begin(), key.end(),
                       [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); });
}

// Calls `visit` with each "key:value" of the list that is well formed.
template <typename Visit>
void for_each_part(std::string_view list, Visit visit) {
    while (!list.empty()) {
        const size_t end = std::min(list.find(';'), list.size());
        const std::string_view part = list.substr(0, end);
        const size_t colon = part.find(':');
        if (colon != std::string_view::npos && is_sub_key(part.substr(0, colon)))
            visit(part.substr(0, colon), part);
        list.remove_prefix(std::min(end + 1, list.size()));
    }
}

}  // namespace

uint64_t threshold_of(double probability) noexcept {
    if (!(probability >= kProbabilityMin)) return kThresholdEnd;
    if (probability >= 1) return 0;
    const auto kept = static_cast<uint64_t>(std::llround(std::ldexp(probability, 56)));
    int exponent = 0;
    std::frexp(probability, &exponent);
    // One digit more for each leading f.
    const int digits = std::min(kDigits, kPrecision + -exponent / 4);
    const uint64_t unit = uint64_t{1} << (4 * (kDigits - digits));
    const uint64_t threshold = (kThresholdEnd - kept + unit / 2) / unit * unit;
    return std::min(threshold, kThresholdEnd - unit);
}

double probability_of(uint64_t threshold) noexcept {
    return static_cast<double>(kThresholdEnd - threshold) / static_cast<double>(kThresholdEnd);
}

std::string encode_threshold(uint64_t threshold) {
    if (threshold == 0) return "0";
    std::string text(kDigits, '0');
    for (int i = kDigits - 1; i >= 0; --i) {
        text[static_cast<size_t>(i)] = "0123456789abcdef"[threshold & 15];
        threshold >>= 4;
    }
    text.resize(text.find_last_not_of('0') + 1);
    return text;
}

uint64_t randomness_of(const TraceId& trace_id, const TraceState& state) noexcept {
    if (!state.empty()) {
        const otlp::SamplingState sampling = otlp::SamplingState::parse(state.text());
        if (sampling.randomness) return *sampling.randomness;
    }
    return otlp::randomness_of(trace_id);
}

TraceState with_threshold(const TraceState& state, std::optional<uint64_t> threshold,
                          bool* fits) noexcept {
    try {
        const std::string_view before = state.get("ot");
        if (before.empty() && !threshold) return state;
        std::string list;
        for_each_part(before, [&list](std::string_view key, std::string_view part) {
            if (key == "th") return;
            if (!list.empty()) list += ';';
            list += part;
        });
        if (threshold) {
            std::string member = "th:" + encode_threshold(*threshold);
            const bool is_room = list.size() + member.size() + 1 <= kListBytesMax;
            if (fits != nullptr) *fits = is_room;
            if (is_room) list = list.empty() ? std::move(member) : list + ";" + member;
        }
        if (list == before) return state;
        return list.empty() ? state.erase("ot") : state.set("ot", list);
    } catch (...) {  // out of memory: a count that is unknown is better than a
                     // wrong one
        return state.erase("ot");
    }
}

TraceState consistent_state(const SpanContext& parent) noexcept {
    const TraceState& state = parent.trace_state();
    if (state.empty()) return state;
    const otlp::SamplingState sampling = otlp::SamplingState::parse(state.text());
    if (!sampling.threshold) return state;
    const bool is_kept = randomness_of(parent.trace_id(), state) >= *sampling.threshold;
    return is_kept == parent.is_sampled() ? state : with_threshold(state, std::nullopt);
}

}  // namespace spanloom::sdk
