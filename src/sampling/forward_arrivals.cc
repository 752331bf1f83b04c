// What a target takes in: traces to be held, late spans, and what is there at a start.
#include <algorithm>
#include <cstring>
#include <utility>

#include "base/log.h"
#include "sampling/forward_target.h"

namespace spanloom::sampling {
namespace {

using store::Segment;
using store::TraceFragment;

constexpr uint64_t kNsPerS = 1'000'000'000;
constexpr uint64_t kHourNs = 3'600 * kNsPerS;
// Segments are sealed, and clocks go, about so far out of order.
constexpr uint64_t kDisorderNs = 300 * kNsPerS;
constexpr size_t kUnwrittenMax = 65'536;

}  // namespace

Result<std::vector<TraceFragment>> ForwardTarget::fragments_of(const Segment& segment) {
    std::vector<TraceFragment> fragments;
    fragments.reserve(segment.fragment_count());
    for (uint32_t index = 0; index < segment.fragment_count(); ++index) {
        TRY_ASSIGN(fragments.emplace_back(), segment.fragment(index));
    }
    return fragments;
}

void ForwardTarget::note_damage(const Error& error) {
    counters_.damaged_reads.add();
    log::error("forward '{}': something is left out: {}", options_.name, error.message);
}

// What is there already is not for it.
Result<void> ForwardTarget::begin_anew(store::Segments recent) {
    ForwardDecisions decisions;
    decisions.at_ns = parts_.clock.wall_ns();
    decisions.held_from_ns = decisions.at_ns;
    for (const auto& segment : recent) {
        // Older hours are never merged with what is to come.
        if (segment->info().arrival_ns_max + kHourNs + kDisorderNs < decisions.at_ns) continue;
        const auto fragments = fragments_of(*segment);
        if (!fragments) {
            note_damage(fragments.error());
            continue;
        }
        for (const TraceFragment& fragment : *fragments) {
            decisions.dropped.push_back(journal_->hash_of(fragment.trace_id));
            decided_.add(decisions.dropped.back(), {});
        }
    }
    // So that the next start knows that there was one.
    if (decisions.dropped.empty()) decisions.dropped.push_back(0);
    return journal_->write(std::move(decisions));
}

// What the journal knows of the stored traces; those that have more rows than were sent go again.
Result<void> ForwardTarget::find_decided(StoredTraces& stored) {
    struct Chosen {
        ForwardEntry entry;
        uint64_t rows = 0;
        bool is_sent = false;
    };
    boost::unordered_flat_map<uint64_t, Chosen> chosen;  // by hash
    struct Numbered {
        uint64_t hash = 0;
        bool is_late = false;
    };
    boost::unordered_flat_map<uint64_t, Numbered> numbered;
    const auto note = [&](uint64_t hash, const DecidedTraces::Fate& fate) {
        decided_.add(hash, fate);
        const auto at = stored.find(hash);
        if (at != stored.end()) at->second.is_decided = true;
        return at != stored.end();
    };
    // That ended, and are not in the history yet.
    boost::unordered_flat_map<uint64_t, ForwardEntry> unwritten;
    ForwardJournal::Visitor visitor;
    visitor.dropped = [&](uint64_t hash) { note(hash, {}); };
    visitor.entry = [&](const ForwardEntry& entry) {
        const bool has_ended = entry.number < journal_->sent_end();
        if (has_ended && entry.number >= history_->end() && unwritten.size() < kUnwrittenMax)
            unwritten[entry.number] = entry;
        const uint64_t hash = journal_->hash_of(entry.id);
        if (!note(hash, {true, entry.threshold})) return;
        chosen[hash].entry = entry;
        numbered[entry.number] = {hash, !entry.spans.empty()};
        if (entry.number >= journal_->sent_end() && unread_.size() < kUnreadMax)
            unread_.insert(hash);
    };
    visitor.sent = [&](uint64_t first, std::span<const uint32_t> rows, const ForwardEnd& end) {
        for (size_t i = 0; i < rows.size(); ++i) {
            if (const auto ended = unwritten.find(first + i); ended != unwritten.end()) {
                history_->add(first + i, ended_entry(ended->second, rows[i], end));
                unwritten.erase(ended);
            }
            const auto at = numbered.find(first + i);
            if (at == numbered.end()) continue;
            Chosen& one = chosen[at->second.hash];
            one.rows =
                at->second.is_late ? one.rows + rows[i] : std::max<uint64_t>(one.rows, rows[i]);
            one.is_sent = true;
        }
    };
    TRY(journal_->visit(visitor));
    for (auto& [hash, one] : chosen) {
        const auto at = stored.find(hash);
        const bool is_behind = at != stored.end() && one.is_sent &&
                               one.entry.number < journal_->sent_end() &&
                               at->second.rows > one.rows;
        if (!is_behind || unread_.contains(hash)) continue;
        one.entry.spans.clear();
        late_.push_back(std::move(one.entry));
        if (unread_.size() < kUnreadMax) unread_.insert(hash);
    }
    return {};
}

Result<void> ForwardTarget::catch_up(store::Segments recent) {
    if (journal_->held_from_ns() == 0) return begin_anew(recent);
    const uint64_t from_ns =
        journal_->held_from_ns() - std::min(journal_->held_from_ns(), kDisorderNs);
    std::vector<std::shared_ptr<const Segment>> segments;
    StoredTraces stored;
    for (const auto& segment : recent) {
        if (segment->info().arrival_ns_max < from_ns) continue;
        const auto fragments = fragments_of(*segment);
        if (!fragments) {
            note_damage(fragments.error());
            continue;
        }
        segments.push_back(segment);
        for (const TraceFragment& fragment : *fragments)
            stored[journal_->hash_of(fragment.trace_id)].rows += fragment.rows;
    }
    TRY(find_decided(stored));
    const uint64_t wall_ns = parts_.clock.wall_ns();
    for (const auto& segment : segments) {
        const uint64_t arrival_ns = segment->info().arrival_ns_max;
        const uint64_t age_ns =
            std::min(arrival_ns < wall_ns ? wall_ns - arrival_ns : 0, 24 * kHourNs);
        hold(segment, now_ds() - static_cast<uint32_t>(age_ns / kTickNs),
             [&](const TraceFragment& fragment) {
                 return !stored[journal_->hash_of(fragment.trace_id)].is_decided;
             });
    }
    update_gauges();
    return {};
}

void ForwardTarget::hold(const std::shared_ptr<const Segment>& segment, uint32_t since_ds,
                         const std::function<bool(const TraceFragment&)>& wants) {
    const auto fragments = fragments_of(*segment);
    if (!fragments) return note_damage(fragments.error());
    const auto rules = held_.rules_of(segment);
    if (!rules) note_damage(rules.error());
    HeldTraces::Held held;
    held.since_ds = since_ds;
    held.arrival_s = static_cast<uint32_t>(segment->info().arrival_ns_min / kNsPerS);
    const std::lock_guard lock(held_mutex_);
    for (uint32_t index = 0; index < fragments->size(); ++index) {
        const TraceFragment& fragment = (*fragments)[index];
        if (!wants(fragment)) continue;
        // What cannot be told counts as found.
        held.rules = rules ? (*rules)[index] : UINT64_MAX;
        held.start_ns = fragment.start_ns;
        held.end_ns = fragment.end_ns;
        held_.add(fragment.trace_id, held);
    }
}

void ForwardTarget::arrive(const std::shared_ptr<const Segment>& segment) {
    const uint64_t arrival_ns = segment->info().arrival_ns_max;
    // Reading passes over segments that seem to be older than the trace.
    const bool is_behind = arrival_ns + kArrivalSlackNs < newest_arrival_ns_;
    newest_arrival_ns_ = std::max(newest_arrival_ns_, arrival_ns);
    // The next tick, so that nothing is decided about before its time.
    hold(segment, now_ds() + 1, [&](const TraceFragment& fragment) {
        if (held_.has(fragment.trace_id)) return true;
        const uint64_t hash = journal_->hash_of(fragment.trace_id);
        const auto fate = decided_.find(hash);
        if (!fate) return true;
        if (fate->is_chosen && (is_behind || !unread_.contains(hash))) {
            const auto noted = note_late(*segment, fragment, fate->threshold);
            if (!noted) note_damage(noted.error());
        }
        return false;
    });
}

Result<void> ForwardTarget::note_late(const Segment& segment, const TraceFragment& fragment,
                                      uint64_t threshold) {
    ForwardEntry entry;
    entry.threshold = threshold;
    entry.id = fragment.trace_id;
    entry.arrived_ns = segment.info().arrival_ns_min;
    const auto columns = segment.columns();
    for (uint32_t column = 0; column < columns.size(); ++column) {
        const bool is_id = columns[column].table == store::Table::kSpans &&
                           columns[column].intrinsic == store::Intrinsic::kSpanId;
        if (!is_id) continue;
        for (uint32_t group = 0; group < segment.row_groups().size(); ++group) {
            const store::RowGroup& rows = segment.row_groups()[group];
            const uint32_t first = std::max(rows.first_row, fragment.first_row);
            const uint32_t end =
                std::min(rows.first_row + rows.rows, fragment.first_row + fragment.rows);
            if (first >= end) continue;
            TRY_ASSIGN(const auto ids, segment.read(column, group));
            for (uint32_t row = first; row < end; ++row) {
                const std::string_view id = ids->fixed.substr(size_t{row - rows.first_row} * 8, 8);
                if (id.size() == 8) {
                    std::memcpy(entry.spans.emplace_back().bytes.data(), id.data(), 8);
                }
            }
        }
    }
    if (!entry.spans.empty()) late_.push_back(std::move(entry));
    return {};
}

}  // namespace spanloom::sampling
