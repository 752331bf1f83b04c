#include "store/value_model.h"

#include <algorithm>
#include <numeric>

#include "store/column.h"

namespace spanloom::store {
namespace {

constexpr size_t kStates = 2;      // values take turns, so that a reader need not wait for one
constexpr size_t kOthersPart = 8;  // at most one value in so many may be uncommon

tl::unexpected<Error> damaged(std::string_view what) {
    return fail(ErrorCode::kDataLoss, "{}", what);
}

Result<std::vector<int64_t>> read_numbers(ByteReader& reader, size_t count) {
    const std::string_view body = reader.text();
    if (!reader.ok()) return damaged("a model ends early");
    std::vector<int64_t> numbers;
    TRY(decode_integers(body, count, numbers));
    return numbers;
}

}  // namespace

void ValueModel::Context::finish() {
    uint32_t used = 0;
    for (size_t i = 1; i < symbols.size(); ++i)
        used += symbols[i].shares;
    symbols[0].shares = static_cast<uint16_t>(kShares - used);
    uint32_t first = 0;
    for (size_t i = 0; i < symbols.size(); ++i) {
        symbols[i].first = static_cast<uint16_t>(first);
        std::fill_n(symbol_of_share.begin() + first, symbols[i].shares, static_cast<uint8_t>(i));
        first += symbols[i].shares;
    }
}

ValueModel ValueModel::learn(std::span<const std::vector<uint32_t>> counts) {
    ValueModel model;
    model.contexts_.resize(counts.size() + 1);
    for (size_t number = 0; number < counts.size(); ++number) {
        const std::vector<uint32_t>& of_values = counts[number];
        Context& context = model.contexts_[number];
        context.symbols.resize(1);
        std::vector<uint32_t> common;
        for (uint32_t value = 0; value < of_values.size(); ++value)
            if (of_values[value] > 0) common.push_back(value);
        std::sort(common.begin(), common.end(), [&](uint32_t a, uint32_t b) {
            return of_values[a] != of_values[b] ? of_values[a] > of_values[b] : a < b;
        });
        common.resize(std::min(common.size(), kSymbolsMax));
        uint64_t all = 1;  // for what did not come yet
        for (const uint32_t value : common)
            all += of_values[value];
        uint32_t used = 0;
        for (const uint32_t value : common) {
            const uint64_t shares = uint64_t{of_values[value]} * kShares / all;
            context.symbols.push_back(
                {value, 0, static_cast<uint16_t>(std::max<uint64_t>(shares, 1))});
            used += context.symbols.back().shares;
        }
        // The others need a share, too; who has most gives up what is too much.
        while (used >= kShares) {
            const auto most = std::max_element(
                context.symbols.begin() + 1, context.symbols.end(),
                [](const Symbol& a, const Symbol& b) { return a.shares < b.shares; });
            --most->shares;
            --used;
        }
        // What rounding left belongs to the most common one, but for what the others may need.
        const auto others = static_cast<uint32_t>(std::max<uint64_t>(kShares / all, 1));
        if (kShares - used > others)
            context.symbols[std::min<size_t>(1, common.size())].shares +=
                static_cast<uint16_t>(kShares - used - others);
    }
    model.contexts_.back().symbols.resize(1);
    for (Context& context : model.contexts_) {
        context.finish();
        for (size_t i = 1; i < context.symbols.size(); ++i) {
            const auto value = static_cast<size_t>(context.symbols[i].value);
            if (value >= context.symbol_of_value.size()) context.symbol_of_value.resize(value + 1);
            context.symbol_of_value[value] = static_cast<uint8_t>(i);
        }
    }
    return model;
}

void ValueModel::write(int zstd_level, std::string& out) const {
    ByteWriter writer(out);
    if (empty()) return writer.varint(0);
    std::vector<int64_t> sizes;
    std::vector<int64_t> values;
    std::vector<int64_t> shares;
    for (size_t number = 0; number + 1 < contexts_.size(); ++number) {
        const Context& context = contexts_[number];
        sizes.push_back(static_cast<int64_t>(context.symbols.size() - 1));
        for (size_t i = 1; i < context.symbols.size(); ++i) {
            values.push_back(context.symbols[i].value);
            shares.push_back(context.symbols[i].shares);
        }
    }
    writer.varint(sizes.size());
    for (const auto* numbers : {&sizes, &values, &shares}) {
        std::string body;
        encode_integers(*numbers, zstd_level, body);
        writer.text(body);
    }
}

Result<ValueModel> ValueModel::parse(ByteReader& reader) {
    ValueModel model;
    const uint64_t count = reader.varint_max(kContextsMax);
    if (!reader.ok()) return damaged("a model ends early");
    if (count == 0) return model;
    TRY_ASSIGN(const auto sizes, read_numbers(reader, count));
    size_t all = 0;
    for (const int64_t size : sizes) {
        if (size < 0 || size > static_cast<int64_t>(kSymbolsMax))
            return damaged("a context of a model has too many values");
        all += static_cast<size_t>(size);
    }
    TRY_ASSIGN(const auto values, read_numbers(reader, all));
    TRY_ASSIGN(const auto shares, read_numbers(reader, all));
    model.contexts_.resize(count + 1);
    size_t at = 0;
    for (size_t number = 0; number < model.contexts_.size(); ++number) {
        Context& context = model.contexts_[number];
        context.symbols.resize(1);
        uint32_t used = 0;
        const size_t end = number < count ? at + static_cast<size_t>(sizes[number]) : at;
        for (; at < end; ++at) {
            if (shares[at] < 1 || shares[at] >= kShares - used)
                return damaged("shares of a model's values are out of range");
            used += static_cast<uint32_t>(shares[at]);
            context.symbols.push_back({values[at], 0, static_cast<uint16_t>(shares[at])});
        }
        context.finish();
    }
    return model;
}

bool ValueModel::encode(std::span<const uint8_t> contexts, std::span<const int64_t> values,
                        int zstd_level, std::string& out) const {
    thread_local std::vector<const Symbol*> symbols;
    symbols.resize(values.size());
    std::vector<int64_t> others;
    for (size_t i = 0; i < values.size(); ++i) {
        const Context& context = contexts_[std::min<size_t>(contexts[i], contexts_.size() - 1)];
        const auto value = static_cast<uint64_t>(values[i]);
        const uint8_t symbol =
            value < context.symbol_of_value.size() ? context.symbol_of_value[value] : 0;
        symbols[i] = &context.symbols[symbol];
        if (symbol == 0) others.push_back(values[i]);
    }
    if (others.size() * kOthersPart > values.size()) return false;
    std::array<uint32_t, kStates> states;
    states.fill(ValueModelReader::kStateMin);
    thread_local std::vector<uint16_t> words;  // last one first
    words.clear();
    for (size_t i = values.size(); i > 0; --i) {
        const Symbol& symbol = *symbols[i - 1];
        uint32_t& state = states[(i - 1) % kStates];
        if (state >= uint64_t{symbol.shares} << (32 - kShareBits)) {
            words.push_back(static_cast<uint16_t>(state));
            state >>= 16;
        }
        state = (state / symbol.shares << kShareBits) + state % symbol.shares + symbol.first;
    }
    ByteWriter writer(out);
    writer.u8(kModelledForm);
    writer.varint(others.size());
    if (!others.empty()) {
        std::string body;
        encode_integers(others, zstd_level, body);
        writer.text(body);
    }
    for (const uint32_t state : states)
        writer.u32(state);
    std::reverse(words.begin(), words.end());
    out.append(reinterpret_cast<const char*>(words.data()), words.size() * sizeof(uint16_t));
    return true;
}

Result<void> ValueModel::decode(std::string_view body, std::span<const uint8_t> contexts,
                                std::vector<int64_t>& out) const {
    TRY_ASSIGN(ValueModelReader reader, ValueModelReader::open(*this, body, contexts.size()));
    out.resize(contexts.size());
    for (size_t i = 0; i < contexts.size(); ++i)
        out[i] = reader.next(contexts[i]);
    return reader.check();
}

Result<ValueModelReader> ValueModelReader::open(const ValueModel& model, std::string_view body,
                                                size_t count) {
    if (model.empty()) return damaged("a column has a model, but nothing says which");
    ValueModelReader opened;
    opened.model_ = &model;
    ByteReader reader(body);
    const uint64_t others_count = reader.varint_max(count);
    if (others_count > 0) {
        TRY_ASSIGN(opened.others_, read_numbers(reader, others_count));
    }
    std::array<uint32_t, kStates> states;
    for (uint32_t& state : states)
        state = reader.u32();
    if (!reader.ok()) return damaged("values of a model end early");
    opened.state_ = states[0];
    opened.next_state_ = states[1];
    opened.words_ = reader.rest();
    return opened;
}

Result<void> ValueModelReader::check() const {
    if (is_short_) return damaged("values of a model end early");
    const bool is_whole = words_.empty() && next_other_ == others_.size() && state_ == kStateMin &&
                          next_state_ == kStateMin;
    if (!is_whole) return damaged("values of a model are broken");
    return {};
}

void ModelLearner::count(std::span<const uint8_t> contexts, std::span<const int64_t> values) {
    if (wanted_ == kNever || !model_.empty()) return;
    for (size_t i = 0; i < values.size(); ++i) {
        if (static_cast<uint64_t>(values[i]) >= ValueModel::kValuesMax) continue;
        const auto value = static_cast<size_t>(values[i]);
        if (contexts[i] >= counts_.size()) counts_.resize(contexts[i] + size_t{1});
        std::vector<uint32_t>& of_values = counts_[contexts[i]];
        if (value >= of_values.size()) of_values.resize(value + 1);
        ++of_values[value];
    }
    counted_ += values.size();
}

const ValueModel* ModelLearner::model() {
    if (model_.empty() && counted_ >= wanted_ && !counts_.empty()) {
        model_ = ValueModel::learn(counts_);
        counts_.clear();
    }
    return model_.empty() ? nullptr : &model_;
}

}  // namespace spanloom::store
