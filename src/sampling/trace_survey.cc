#include "sampling/trace_survey.h"

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <unordered_map>
#include <utility>

#include <boost/unordered/unordered_flat_map.hpp>

#include "base/hash.h"
#include "otlp/tracestate.h"
#include "store/field_reader.h"
#include "store/values.h"
#include "traceql/trace_match.h"

namespace spanloom::sampling {
namespace {

using store::GroupReader;
using store::Segment;
using store::SegmentReader;
using store::TraceFragment;
using traceql::TracePart;

constexpr uint32_t kNone = UINT32_MAX;

const std::vector<std::string> kService = {"resource.service.name"};

// The values of some fields as one number. One thread.
class KeyTexts {
  public:
    uint32_t number_of(std::string text) {
        const auto [at, is_new] =
            numbers_.try_emplace(std::move(text), static_cast<uint32_t>(numbers_.size()));
        return at->second;
    }
    std::vector<std::string> take_texts() {
        std::vector<std::string> texts(numbers_.size());
        for (const auto& [text, number] : numbers_)
            texts[number] = text;
        return texts;
    }

  private:
    std::unordered_map<std::string, uint32_t> numbers_;
};

// One segment as the survey reads it. One thread.
class SurveyedSegment {
  public:
    SurveyedSegment(std::shared_ptr<const Segment> segment,
                    const std::vector<std::vector<store::Field>>& fields)
        : reader_(std::move(segment)) {
        for (const auto& of_key : fields) {
            auto& readers = fields_.emplace_back();
            for (const store::Field& field : of_key)
                readers.push_back(std::make_unique<store::FieldReader>(reader_, field));
        }
    }

    SegmentReader& reader() { return reader_; }

    // The first row without a parent; the first of all where each has one.
    Result<std::pair<uint32_t, bool>> root_of(const TraceFragment& fragment) {
        const uint32_t end = fragment.first_row + fragment.rows;
        for (uint32_t row = fragment.first_row; row < end;) {
            TRY(read_parents(reader_.group_of_row(row)));
            const store::RowGroup& meta = reader_.segment().row_groups()[group_];
            for (; row < std::min(end, meta.first_row + meta.rows); ++row) {
                if (is_root_[row - meta.first_row] != 0) return std::pair(row, true);
            }
        }
        return std::pair(fragment.first_row, false);
    }
    Result<std::string> key_of(size_t key, uint32_t row, const TraceId& id) {
        const auto group = reader_.group(reader_.group_of_row(row));
        std::string text;
        for (const auto& field : fields_[key]) {
            TRY_ASSIGN(const store::Value value,
                       field->value(*group, row - group->rows().first_row, id));
            if (!text.empty()) text += '\n';
            text += store::value_text(value);
        }
        return text;
    }

  private:
    Result<void> read_parents(uint32_t number) {
        if (number == group_) return {};
        const uint32_t rows = reader_.segment().row_groups()[number].rows;
        TRY_ASSIGN(const auto parents, reader_.segment().parent_rows(number));
        is_root_.assign(rows, 1);
        if (parents) {
            for (uint32_t row = 0; row < rows; ++row)
                is_root_[row] = (*parents)[row] == Segment::kNoParent ? 1 : 0;
        } else {
            const auto group = reader_.group(number);
            TRY_ASSIGN(
                const store::ColumnBlock* const ids,
                group->block(reader_.column(store::Table::kSpans, store::Intrinsic::kParentId)));
            if (ids->dense && ids->size() == rows) is_root_.assign(rows, 0);
            for (const uint32_t row : ids->rows)
                is_root_[row] = 0;
        }
        group_ = number;
        return {};
    }

    SegmentReader reader_;
    std::vector<std::vector<std::unique_ptr<store::FieldReader>>> fields_;
    uint32_t group_ = kNone;
    std::vector<uint8_t> is_root_;  // of that group
};

class Survey {
  public:
    Survey(store::Segments segments, store::Segments others, const KeepRules& rules,
           const SurveyLimits& limits)
        : rules_(rules), limits_(limits), own_(segments.size()) {
        all_.assign(segments.begin(), segments.end());
        all_.insert(all_.end(), others.begin(), others.end());
        add_keys(kService, {{store::Scope::kResource, store::Intrinsic::kNone, "service.name"}});
        for (const KeepRule& rule : rules.keep)
            out_.keys_of_rule.push_back(rule.by.empty() ? SurveyedTraces::kNoKeys
                                                        : add_keys(rule.by, rule.fields));
        key_texts_.resize(out_.keys.size());
    }

    Result<SurveyedTraces> run() {
        for (uint32_t segment = 0; segment < own_; ++segment)
            TRY(list(segment));
        TRY(find_in_others());
        for (TraceKeys& keys : out_.keys)
            keys.number_of.resize(out_.size());
        TRY(read_rows());
        TRY(match());
        for (size_t key = 0; key < out_.keys.size(); ++key)
            out_.keys[key].texts = key_texts_[key].take_texts();
        return std::move(out_);
    }

  private:
    uint32_t add_keys(const std::vector<std::string>& by, std::vector<store::Field> fields) {
        for (uint32_t key = 0; key < out_.keys.size(); ++key) {
            if (out_.keys[key].by == by) return key;
        }
        out_.keys.push_back({by, {}, {}});
        fields_.push_back(std::move(fields));
        return static_cast<uint32_t>(out_.keys.size() - 1);
    }

    Result<void> check_stop() const {
        if (limits_.stop && limits_.stop())
            return fail(ErrorCode::kCancelled, "the question was stopped");
        return {};
    }

    // ---- which traces there are, and where

    Result<void> list(uint32_t number) {
        TRY(check_stop());
        const Segment& segment = *all_[number];
        std::vector<uint32_t>& traces = trace_of_.emplace_back(segment.fragment_count());
        const double bytes_of_span = segment.info().spans == 0
                                         ? 0
                                         : static_cast<double>(segment.info().bytes) /
                                               static_cast<double>(segment.info().spans);
        for (uint32_t index = 0; index < traces.size(); ++index) {
            TRY_ASSIGN(const TraceFragment fragment, segment.fragment(index));
            if (limits_.wants && !limits_.wants(fragment.trace_id)) {
                traces[index] = kNone;
                continue;
            }
            const auto [at, is_new] =
                numbers_.try_emplace(fragment.trace_id, static_cast<uint32_t>(out_.size()));
            const uint32_t trace = traces[index] = at->second;
            if (is_new) {
                first_part_.push_back({number, fragment});
                out_.ids.push_back(fragment.trace_id);
                out_.randomness.push_back(otlp::randomness_of(fragment.trace_id));
                out_.start_ns.push_back(fragment.start_ns);
                out_.duration_ns.push_back(fragment.end_ns - fragment.start_ns);
                out_.spans.push_back(fragment.rows);
                out_.has_error.push_back(fragment.errors > 0);
                out_.bytes.push_back(0);
                is_shared_.push_back(0);
            } else {
                add_part(trace, {number, fragment});
            }
            out_.bytes[trace] +=
                static_cast<uint64_t>(bytes_of_span * static_cast<double>(fragment.rows));
        }
        return {};
    }

    void add_part(uint32_t trace, const TracePart& part) {
        std::vector<TracePart>& parts = shared_[trace];
        is_shared_[trace] = 1;
        if (parts.empty()) parts.push_back(first_part_[trace]);
        parts.push_back(part);
        const uint64_t end_ns =
            std::max(out_.start_ns[trace] + out_.duration_ns[trace], part.fragment.end_ns);
        out_.start_ns[trace] = std::min(out_.start_ns[trace], part.fragment.start_ns);
        out_.duration_ns[trace] = end_ns - out_.start_ns[trace];
        out_.spans[trace] += part.fragment.rows;
        out_.has_error[trace] |= part.fragment.errors > 0;
    }

    Result<void> find_in_others() {
        std::vector<std::pair<uint32_t, uint32_t>> hashes;  // upper half, trace
        for (uint32_t trace = 0; trace < out_.size(); ++trace)
            hashes.emplace_back(static_cast<uint32_t>(hash64(out_.ids[trace].view()) >> 32), trace);
        std::sort(hashes.begin(), hashes.end());
        for (uint32_t number = static_cast<uint32_t>(own_); number < all_.size(); ++number) {
            TRY(check_stop());
            TRY_ASSIGN(const auto index, all_[number]->trace_index());
            TRY(index == nullptr ? find_by_fragments(number)
                                 : find_by_index(number, *index, hashes));
        }
        return {};
    }

    Result<void> find_by_fragments(uint32_t number) {
        for (uint32_t index = 0; index < all_[number]->fragment_count(); ++index) {
            TRY_ASSIGN(const TraceFragment fragment, all_[number]->fragment(index));
            const auto at = numbers_.find(fragment.trace_id);
            if (at != numbers_.end()) add_part(at->second, {number, fragment});
        }
        return {};
    }

    // Both are in the order of hashes.
    Result<void> find_by_index(uint32_t number, const store::TraceIndex& index,
                               const std::vector<std::pair<uint32_t, uint32_t>>& hashes) {
        const uint32_t shift = 32 - index.bits;
        size_t first = 0;
        for (size_t i = 0; i < index.hashes.size(); ++i) {
            while (first < hashes.size() && hashes[first].first >> shift < index.hashes[i])
                ++first;
            size_t at = first;
            for (; at < hashes.size() && hashes[at].first >> shift == index.hashes[i]; ++at) {
                TRY_ASSIGN(const TraceFragment fragment,
                           all_[number]->fragment(index.fragments[i]));
                if (fragment.trace_id == out_.ids[hashes[at].second])
                    add_part(hashes[at].second, {number, fragment});
            }
        }
        return {};
    }

    bool is_shared(uint32_t trace) const { return is_shared_[trace] != 0; }

    // ---- what their rows say

    SurveyedSegment& segment(uint32_t number) {
        if (opened_.size() < all_.size()) opened_.resize(all_.size());
        if (opened_[number] == nullptr)
            opened_[number] = std::make_unique<SurveyedSegment>(all_[number], fields_);
        return *opened_[number];
    }

    Result<void> read_rows() {
        for (uint32_t number = 0; number < own_; ++number) {
            for (uint32_t index = 0; index < trace_of_[number].size(); ++index) {
                const uint32_t trace = trace_of_[number][index];
                if (trace == kNone || is_shared(trace)) continue;
                TRY_ASSIGN(const TraceFragment fragment, all_[number]->fragment(index));
                TRY_ASSIGN(const auto root, segment(number).root_of(fragment));
                TRY(read_keys(trace, number, root.first));
            }
            TRY(read_randomness(number));
            opened_[number].reset();  // with what it holds decoded
            TRY(check_stop());
        }
        for (const auto& [trace, parts] : shared_)
            TRY(read_shared(trace, parts));
        return {};
    }

    Result<void> read_keys(uint32_t trace, uint32_t number, uint32_t row) {
        for (size_t key = 0; key < fields_.size(); ++key) {
            TRY_ASSIGN(std::string text, segment(number).key_of(key, row, out_.ids[trace]));
            out_.keys[key].number_of[trace] = key_texts_[key].number_of(std::move(text));
        }
        return {};
    }

    // Its root is in one of the parts; without one the earliest span stands for it.
    Result<void> read_shared(uint32_t trace, const std::vector<TracePart>& parts) {
        std::optional<std::pair<uint32_t, uint32_t>> root;  // segment, row
        uint64_t earliest_ns = UINT64_MAX;
        for (const TracePart& part : parts) {
            TRY_ASSIGN(const auto found, segment(part.segment).root_of(part.fragment));
            const uint64_t start_ns = found.second ? 0 : part.fragment.start_ns;
            if (root && start_ns >= earliest_ns) continue;
            earliest_ns = start_ns;
            root = {part.segment, found.first};
        }
        return read_keys(trace, root->first, root->second);
    }

    // Senders may say the randomness themselves. Those that do say it of every span.
    Result<void> read_randomness(uint32_t number) {
        SegmentReader& reader = segment(number).reader();
        const uint32_t column = reader.column(store::Table::kSpans, store::Intrinsic::kTraceState);
        if (column == store::kNoColumn) return {};
        uint32_t index = 0;
        for (uint32_t g = 0; g < all_[number]->row_groups().size(); ++g) {
            const auto group = reader.group(g);
            TRY_ASSIGN(const store::ColumnBlock* const states, group->block(column));
            std::vector<std::optional<uint64_t>> said;
            for (const std::string_view state : states->strings)
                said.push_back(otlp::SamplingState::parse(state).randomness);
            for (size_t i = 0; i < states->codes.size(); ++i) {
                if (!said[states->codes[i]]) continue;
                const uint32_t row = group->rows().first_row +
                                     (states->dense ? static_cast<uint32_t>(i) : states->rows[i]);
                TRY_ASSIGN(index, reader.fragment_of_row(row));
                const uint32_t trace = trace_of_[number][index];
                if (trace != kNone) out_.randomness[trace] = *said[states->codes[i]];
            }
        }
        return {};
    }

    // ---- which rules find them

    Result<void> match() {
        for (const KeepRule& rule : rules_.keep) {
            std::vector<uint8_t>& matches = out_.matches.emplace_back();
            if (rule.query == nullptr) continue;
            matches.resize(out_.size());
            traceql::TraceMatch match(*rule.query, all_, limits_.memory_bytes_max, limits_.stop);
            for (uint32_t number = 0; number < own_; ++number) {
                TRY_ASSIGN(const std::vector<uint8_t> found, match.match_segment(number));
                for (uint32_t index = 0; index < found.size(); ++index) {
                    const uint32_t trace = trace_of_[number][index];
                    const bool is_match = found[index] != 0 && trace != kNone;
                    if (is_match && !is_shared(trace)) matches[trace] = 1;
                }
            }
            for (const auto& [trace, parts] : shared_) {
                TRY_ASSIGN(const bool is_match, match.match_trace(parts));
                matches[trace] = is_match ? 1 : 0;
            }
        }
        return {};
    }

    const KeepRules& rules_;
    const SurveyLimits& limits_;
    const size_t own_;  // segments whose traces are looked at; the others come behind them
    std::vector<std::shared_ptr<const Segment>> all_;
    SurveyedTraces out_;
    boost::unordered_flat_map<TraceId, uint32_t, std::hash<TraceId>> numbers_;
    std::vector<std::vector<uint32_t>> trace_of_;        // by segment, then fragment
    std::vector<TracePart> first_part_;                  // by trace
    std::map<uint32_t, std::vector<TracePart>> shared_;  // traces that lie in several segments
    std::vector<uint8_t> is_shared_;                     // by trace
    std::vector<std::vector<store::Field>> fields_;      // as SurveyedTraces::keys
    std::vector<KeyTexts> key_texts_;
    std::vector<std::unique_ptr<SurveyedSegment>> opened_;
};

}  // namespace

Result<SurveyedTraces> survey_traces(store::Segments segments, store::Segments others,
                                     const KeepRules& rules, const SurveyLimits& limits) {
    return Survey(segments, others, rules, limits).run();
}

}  // namespace spanloom::sampling
