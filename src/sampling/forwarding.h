#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/io.h"
#include "base/result.h"
#include "sampling/forward_history.h"

namespace spanloom::sampling {

// What a target was to get of a trace, and what became of it.
struct Forwarding {
    // kUnknown: nothing was sent since `known_since_ns`.
    enum class State : uint8_t { kUnknown, kHeld, kNotChosen, kWaiting, kEnded };

    std::string target;
    State state = State::kUnknown;
    EndedEntry entry;  // of those that were chosen; of the others the time of the decision
    uint64_t known_since_ns = 0;
    std::string problem;  // why it waits; "": it does not, or that is not known

    // One sentence for people.
    std::string text(uint64_t now_ns) const;
};

// Reads what is on disk of a target, beside the one who writes it. Any thread.
Result<std::vector<Forwarding>> find_forwarded(Io& io, const std::string& target,
                                               const TraceId& id);

// "unknown", "held", "not_chosen", "waiting", "sent", "partly_sent", "dead_letter", "refused",
// "gone", "given_up"
std::string_view state_name(const Forwarding& forwarding);

}  // namespace spanloom::sampling
