#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
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
