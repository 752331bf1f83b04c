#pragma once

#include <string>
#include <vector>

#include "sampling/decision_log.h"
#include "sampling/keeper.h"

namespace spanloom::sampling {

// What was decided about a trace, and what is still there of it.
struct WhyAnswer {
    // kUnknown: it never came, or its fate was decided longer ago than decisions are known.
    enum class State : uint8_t { kUnknown, kRecent, kKept, kDropped };
    struct Noted {
        Decision decision;
        uint64_t at_ns = 0;
        uint64_t hour = 0;      // of arrival
        std::string rule;       // "": none matched
        std::string rule_json;  // as it was then; "" where it is not known
        std::string source;     // of the rules
        uint64_t version = 0;
    };

    State state = State::kUnknown;
    bool is_pinned = false;
    bool is_ambiguous = false;  // two traces of an hour have one hash: either may be meant
    uint64_t stored_spans = 0;
    std::vector<Noted> decisions;  // newest first
    uint64_t known_since_ns = 0;   // the oldest decision of any trace; 0: there are none

    // One sentence for people.
    std::string text(const TraceId& id, uint64_t now_ns) const;
};

// Reads a block of every file of decisions. Any thread.
Result<WhyAnswer> explain_trace(const store::Store& store, const Keeper& keeper,
                                std::string_view tenant, const TraceId& id);

std::string_view fate_name(Fate fate);  // "dropped", "kept", "dropped_late", "kept_late"
std::string_view state_name(WhyAnswer::State state);  // "unknown", "recent", "kept", "dropped"

}  // namespace spanloom::sampling
