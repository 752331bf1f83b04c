#include "sampling/forwarding.h"

#include <algorithm>
#include <map>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "base/hash.h"
#include "base/log.h"
#include "base/text.h"
#include "otlp/tracestate.h"
#include "sampling/ago.h"
#include "sampling/forward_journal_format.h"

namespace spanloom::sampling {
namespace {

using State = Forwarding::State;

// What the files of a journal say of one trace, in their order.
class JournalSearch {
  public:
    explicit JournalSearch(const TraceId& id) : id_(id) {}

    Result<void> read(const ReadableFile& file) {
        if (file.size() < journal::kHeaderBytes) return {};
        TRY_ASSIGN(const Blob head, file.read(0, journal::kHeaderBytes));
        const auto header = journal::decode_header(head.view());
        if (!header) return {};
        // What stands before with this number or a later one was written again.
        found_.erase(found_.lower_bound(header->first), found_.end());
        hash_ = hash64(id_.view(), header->seed);
        rules_.clear();
        TRY(journal::read_records(
            file, [this](uint32_t kind, std::string_view payload) { take(kind, payload); }));
        return {};
    }

    // By number; those that did not end have no time of it.
    std::map<uint64_t, std::pair<State, EndedEntry>> found_;
    std::optional<uint64_t> dropped_ns_;
    uint64_t since_ns_ = 0;

  private:
    void take(uint32_t kind, std::string_view payload) {
        if (kind == journal::kRules) rules_ = journal::read_rules(payload);
        if (kind == journal::kSent)
            journal::read_sent(payload, [this](uint64_t first, std::span<const uint32_t> rows,
                                               const ForwardEnd& end) { ended(first, rows, end); });
        if (kind != journal::kEntries && kind != journal::kDropped) return;
        journal::Fields fields(payload);
        const uint64_t at_ns = journal::read_head(fields).at_ns;
        if (since_ns_ == 0) since_ns_ = at_ns;
        if (kind == journal::kDropped) {
            journal::read_dropped(payload, [&](uint64_t hash) {
                if (hash == hash_ && !dropped_ns_) dropped_ns_ = at_ns;
            });
        } else {
            journal::read_entries(payload, [this](const ForwardEntry& entry) { chosen(entry); });
        }
    }

    void chosen(const ForwardEntry& entry) {
        if (!(entry.id == id_)) return;
        auto& [state, noted] = found_[entry.number];
        state = State::kWaiting;
        noted.rule = entry.rule < rules_.size() ? rules_[entry.rule] : std::string();
        noted.threshold = entry.threshold;
        noted.is_late = !entry.spans.empty();
        noted.spans = static_cast<uint32_t>(entry.spans.size());
        noted.decided_ns = entry.at_ns;
    }

    void ended(uint64_t first, std::span<const uint32_t> rows, const ForwardEnd& end) {
        for (auto at = found_.lower_bound(first);
             at != found_.end() && at->first - first < rows.size(); ++at) {
            auto& [state, noted] = at->second;
            if (state == State::kEnded) continue;
            state = State::kEnded;
            noted.spans = rows[at->first - first];
            noted.ended_ns = end.at_ns;
            const bool is_gone = noted.spans == 0 && end.fate == ForwardFate::kTaken;
            noted.fate = is_gone ? ForwardFate::kGone : end.fate;
        }
    }

    const TraceId& id_;
    uint64_t hash_ = 0;
    std::vector<std::string> rules_;  // of the file
};

// The files with that extension, in order; those that went meanwhile are passed over.
Result<void> each_file(Io& io, const std::string& directory, std::string_view extension,
                       const std::function<Result<void>(const ReadableFile&)>& visit) {
    TRY_ASSIGN(const std::vector<std::string> names, io.list(directory));
    for (const std::string& name : names) {
        if (!name.ends_with(extension)) continue;
        auto file = io.open(directory + "/" + name);
        if (!file && file.error().code == ErrorCode::kNotFound) continue;
        if (!file) return tl::unexpected(std::move(file).error());
        TRY(visit(**file));
    }
    return {};
}

// Late spans that ended alike are one line.
void add_forwarding(std::vector<Forwarding>& all, Forwarding one) {
    const auto main = std::find_if(all.begin(), all.end(),
                                   [](const Forwarding& other) { return !other.entry.is_late; });
    if (main != all.end()) one.entry.is_late = true;
    const auto alike = std::find_if(all.begin(), all.end(), [&](const Forwarding& other) {
        return one.entry.is_late && other.entry.is_late && other.state == one.state &&
               other.entry.fate == one.entry.fate;
    });
    if (alike == all.end()) {
        all.push_back(std::move(one));
        return;
    }
    alike->entry.spans += one.entry.spans;
    alike->entry.decided_ns = std::max(alike->entry.decided_ns, one.entry.decided_ns);
    alike->entry.ended_ns = std::max(alike->entry.ended_ns, one.entry.ended_ns);
}

}  // namespace

Result<std::vector<Forwarding>> find_forwarded(Io& io, const std::string& target,
                                               const TraceId& id) {
    const std::string directory = "forward/" + target;
    // The journal first: what leaves it meanwhile is in the history by then.
    JournalSearch journal(id);
    TRY(each_file(io, directory, journal::kExtension,
                  [&](const ReadableFile& file) { return journal.read(file); }));
    std::vector<EndedEntry> earlier;
    uint64_t earlier_end = 0;
    uint64_t since_ns = journal.since_ns_;
    TRY(each_file(io, directory, kHistoryExtension, [&](const ReadableFile& file) -> Result<void> {
        TRY_ASSIGN(const Blob bytes, file.read(0, file.size()));
        auto part = decode_history(bytes.view(), &id);
        if (!part) {
            log::error("forward '{}': {}", target, part.error().message);
            return {};
        }
        earlier_end = std::max(earlier_end, part->end);
        since_ns = since_ns == 0 ? part->oldest_ns : std::min(since_ns, part->oldest_ns);
        std::move(part->entries.begin(), part->entries.end(), std::back_inserter(earlier));
        return {};
    }));
    std::sort(earlier.begin(), earlier.end(), [](const EndedEntry& a, const EndedEntry& b) {
        return a.is_late != b.is_late ? b.is_late : a.decided_ns < b.decided_ns;
    });
    std::vector<Forwarding> all;
    Forwarding one;
    one.target = target;
    one.known_since_ns = since_ns;
    for (EndedEntry& entry : earlier) {
        one.state = State::kEnded;
        one.entry = std::move(entry);
        add_forwarding(all, one);
    }
    for (auto& [number, found] : journal.found_) {
        if (found.first == State::kEnded && number < earlier_end) continue;
        one.state = found.first;
        one.entry = std::move(found.second);
        add_forwarding(all, one);
    }
    if (all.empty()) {
        one.state = journal.dropped_ns_ ? State::kNotChosen : State::kUnknown;
        one.entry = {};
        one.entry.decided_ns = journal.dropped_ns_.value_or(0);
        all.push_back(one);
    }
    return all;
}

std::string_view state_name(const Forwarding& forwarding) {
    switch (forwarding.state) {
        case State::kUnknown:
            return "unknown";
        case State::kHeld:
            return "held";
        case State::kNotChosen:
            return "not_chosen";
        case State::kWaiting:
            return "waiting";
        case State::kEnded:
            break;
    }
    switch (forwarding.entry.fate) {
        case ForwardFate::kTaken:
            return "sent";
        case ForwardFate::kPartlyTaken:
            return "partly_sent";
        case ForwardFate::kDeadLetter:
            return "dead_letter";
        case ForwardFate::kRefused:
            return "refused";
        case ForwardFate::kGone:
            return "gone";
        case ForwardFate::kGivenUp:
            return "given_up";
    }
    return "unknown";
}

std::string Forwarding::text(uint64_t now_ns) const {
    std::string text = fmt::format("'{}': ", target);
    const std::string when =
        entry.ended_ns == 0 ? std::string() : " " + format_ago(entry.ended_ns, now_ns);
    switch (state) {
        case State::kUnknown:
            return text + (known_since_ns == 0
                               ? "nothing was sent yet"
                               : "not sent since " + format_rfc3339_ns(known_since_ns));
        case State::kHeld:
            return text + "not decided yet: it waits for more of the trace";
        case State::kNotChosen:
            return text + "not sent: its rules did not choose it, " +
                   format_ago(entry.decided_ns, now_ns);
        case State::kWaiting:
            text +=
                fmt::format("waits to be sent, chosen {}", format_ago(entry.decided_ns, now_ns));
            break;
        case State::kEnded:
            switch (entry.fate) {
                case ForwardFate::kTaken:
                    text += "sent" + when;
                    break;
                case ForwardFate::kPartlyTaken:
                    text += "sent" + when + " in a request of which it rejected some spans";
                    break;
                case ForwardFate::kDeadLetter:
                    text += "refused for good" + when + ", and in its dead letters";
                    break;
                case ForwardFate::kRefused:
                    text += "refused for good" + when + ", with no room in its dead letters";
                    break;
                case ForwardFate::kGone:
                    text += "not stored any more when it was to be sent" + when;
                    break;
                case ForwardFate::kGivenUp:
                    text += "given up" + when + ", as too many waited for it";
                    break;
            }
            break;
    }
    if (!entry.rule.empty()) text += fmt::format(" by rule '{}'", entry.rule);
    if (entry.threshold > 0)
        text += fmt::format(", 1 in {:.4g}", otlp::adjusted_count(entry.threshold).value);
    if (entry.spans > 0)
        text += fmt::format("; {} span{}{}", entry.spans, entry.spans == 1 ? "" : "s",
                            entry.is_late ? " that came late" : "");
    if (!problem.empty()) text += ": " + problem;
    return text;
}

}  // namespace spanloom::sampling
