#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/io.h"
#include "base/result.h"
#include "otlp/ids.h"

namespace spanloom::sampling {

// What became of a trace, or of the spans of one that came late.
enum class Fate : uint8_t {
    kDropped = 0,
    kKept = 1,
    kDroppedLate = 2,  // spans of a trace that had been dropped
    kKeptLate = 3,     // and of one that had been kept
    kThinned = 4,      // kept once, and dropped later for want of room
};
constexpr bool is_kept(Fate fate) {
    return fate == Fate::kKept || fate == Fate::kKeptLate;
}

// Why: shared by all traces of a file that a rule treated alike.
struct Outcome {
    static constexpr uint32_t kNoRule = UINT32_MAX;

    uint32_t rule = kNoRule;  // of DecisionFacts::rules; kNoRule: none matched
    Fate fate = Fate::kDropped;
    uint64_t threshold = 0;
    auto operator<=>(const Outcome&) const = default;
};

// What was noted of one trace. Bytes and duration are exact below 64, else within 1.6 %.
struct Decision {
    Outcome outcome;
    uint32_t spans = 0;
    bool has_error = false;
    uint64_t bytes = 0;
    uint64_t duration_ns = 0;
};

// What all decisions of a file have in common.
struct DecisionFacts {
    struct Rule {
        std::string name;
        uint64_t for_ms = 0;  // 0: as the store's retention said
        auto operator<=>(const Rule&) const = default;
    };
    uint64_t hash_key = 0;  // of the hashes of trace ids
    uint64_t hour = 0;      // of arrival, since 1970
    uint64_t at_ns = 0;
    std::string source;  // whose rules: "default", "file", "api"
    uint64_t version = 0;
    std::string rules_json;  // as they were
    std::vector<Rule> rules;
};

uint64_t trace_hash(const TraceId& id, uint64_t hash_key);

// Collects the decisions of one hour and makes the bytes of docs/format/decisions.md of them.
class DecisionLogWriter {
  public:
    explicit DecisionLogWriter(DecisionFacts facts) : facts_(std::move(facts)) {}

    uint32_t rule(DecisionFacts::Rule rule);
    void add(const TraceId& id, const Decision& decision);
    std::string finish();

  private:
    struct Record {
        uint64_t hash = 0;
        Decision decision;
    };
    std::string encode_block(size_t from, size_t to) const;

    DecisionFacts facts_;
    std::vector<Record> records_;
    std::vector<Outcome> outcomes_;  // sorted, each once; of finish()
};

// Reads such a file; any bytes are safe. One thread.
class DecisionLogReader {
  public:
    static Result<DecisionLogReader> open(std::unique_ptr<ReadableFile> file);

    const DecisionFacts& facts() const { return facts_; }
    uint64_t records() const { return records_; }
    // Those with the hash of this trace: none, its own, or where two ids have one hash, both.
    Result<std::vector<Decision>> find(const TraceId& id) const;
    // Of these hashes (ascending), those that are there, with the index of each.
    Result<void> find_all(const std::vector<uint64_t>& hashes,
                          const std::function<void(size_t, const Decision&)>& visit) const;
    Result<void> verify() const;

  private:
    struct Block {
        uint64_t first_hash = 0;
        uint64_t offset = 0;
        uint32_t bytes = 0;
        uint32_t records = 0;
    };
    struct Columns;

    Result<void> read_footer(std::string_view body, uint64_t end);
    Result<Columns> read_block(const Block& block) const;
    Decision decision_of(const Columns& columns, size_t at) const;

    std::unique_ptr<ReadableFile> file_;
    DecisionFacts facts_;
    std::vector<Outcome> outcomes_;
    std::vector<Block> blocks_;
    uint64_t records_ = 0;
};

// Reads every file of decisions below a data directory; the damage found, one sentence each.
Result<std::vector<std::string>> check_decisions(Io& io);

}  // namespace spanloom::sampling
