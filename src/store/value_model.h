#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "store/segment_bytes.h"

// Integers in fractions of bits, by how often each comes in a context that a reader knows, too
// (docs/format/segment.md, "Models"): what a span is called, given its service.
namespace spanloom::store {

constexpr uint8_t kModelledForm = 9;  // of integers, in the columns that have a model

// How often the values of one column come in each context. Immutable once learnt or read; any
// thread.
class ValueModel {
  public:
    static constexpr uint32_t kShareBits = 10;
    static constexpr uint32_t kShares = 1U << kShareBits;  // that the values of a context have
    static constexpr size_t kContextsMax = 256;
    static constexpr size_t kSymbolsMax = 255;   // of one context
    static constexpr int64_t kValuesMax = 4096;  // values from here on are never common

    // Counts by context, then value below kValuesMax.
    static ValueModel learn(std::span<const std::vector<uint32_t>> counts);
    static Result<ValueModel> parse(ByteReader& reader);
    void write(int zstd_level, std::string& out) const;
    bool empty() const { return contexts_.empty(); }
    size_t memory_bytes() const { return contexts_.capacity() * sizeof(Context); }

    // Appends a body of integers; false, and nothing, where too many values are uncommon.
    bool encode(std::span<const uint8_t> contexts, std::span<const int64_t> values, int zstd_level,
                std::string& out) const;
    // Of a body (after the form), as many values as there are contexts.
    Result<void> decode(std::string_view body, std::span<const uint8_t> contexts,
                        std::vector<int64_t>& out) const;

  private:
    friend class ValueModelReader;
    struct Symbol {
        int64_t value = 0;
        uint16_t first = 0;  // of its shares
        uint16_t shares = 0;
    };
    struct Context {
        std::vector<Symbol> symbols;  // the first one stands for all other values
        std::array<uint8_t, kShares> symbol_of_share{};
        std::vector<uint8_t> symbol_of_value;  // for writing
        void finish();
    };

    // The last one is for contexts that are not among them.
    std::vector<Context> contexts_;
};

// Reads a body of a model value by value, so that nobody needs to hold them all. Model and body
// outlive it. One thread.
class ValueModelReader {
  public:
    // Of a body (after the form) that has `count` values.
    static Result<ValueModelReader> open(const ValueModel& model, std::string_view body,
                                         size_t count);

    // `count` times. What a damaged body says is anything at all, until check() refuses it.
    int64_t next(uint8_t context);
    // After the last one: kDataLoss where the body is not whole.
    Result<void> check() const;

  private:
    friend class ValueModel;
    // States of the coder are below 2^32 and, between values, not below this.
    static constexpr uint32_t kStateMin = 1U << 16;

    uint16_t next_word();

    const ValueModel* model_ = nullptr;
    std::string_view words_;  // that are not read yet
    // Values take turns, so that one need not wait for the one before.
    uint32_t state_ = 0;
    uint32_t next_state_ = 0;
    std::vector<int64_t> others_;
    size_t next_other_ = 0;
    bool is_short_ = false;
};

inline uint16_t ValueModelReader::next_word() {
    uint16_t word = 0;
    is_short_ = is_short_ || words_.size() < sizeof word;
    if (is_short_) return word;
    std::memcpy(&word, words_.data(), sizeof word);
    words_.remove_prefix(sizeof word);
    return word;
}

inline int64_t ValueModelReader::next(uint8_t context) {
    const auto& contexts = model_->contexts_;
    const ValueModel::Context& of = contexts[std::min<size_t>(context, contexts.size() - 1)];
    const uint32_t share = state_ % ValueModel::kShares;
    const uint8_t number = of.symbol_of_share[share];
    const ValueModel::Symbol& symbol = of.symbols[number];
    uint32_t state = symbol.shares * (state_ >> ValueModel::kShareBits) + share - symbol.first;
    if (state < kStateMin) state = state << 16 | next_word();
    state_ = next_state_;
    next_state_ = state;
    if (number != 0) return symbol.value;
    if (next_other_ < others_.size()) return others_[next_other_++];
    is_short_ = true;
    return 0;
}

// Counts until there is enough to learn from. One thread.
class ModelLearner {
  public:
    // `values`: how many to learn from; what comes later is coded by these.
    explicit ModelLearner(size_t values = kLearnValues) : wanted_(values) {}
    // One that never has a model.
    static ModelLearner none() { return ModelLearner(kNever); }
    void count(std::span<const uint8_t> contexts, std::span<const int64_t> values);
    // Null until so many values were counted.
    const ValueModel* model();

  private:
    static constexpr size_t kLearnValues = 12'288;
    static constexpr size_t kNever = SIZE_MAX;

    size_t wanted_;
    std::vector<std::vector<uint32_t>> counts_;
    size_t counted_ = 0;
    ValueModel model_;
};

}  // namespace spanloom::store
