#include "store/segment_followers.h"

#include <algorithm>

#include "store/column.h"
#include "store/segment_bytes.h"
#include "store/segment_layout.h"

namespace spanloom::store {
namespace {

constexpr size_t kLearnValuesMin = 64;  // fewer show nothing
constexpr size_t kNamesMax = 4096;      // names that a column is learnt for: what comes first
constexpr size_t kDifferentPart = 8;    // at most one value in so many may differ

bool are_equal(std::span<const int64_t> values) {
    return std::all_of(values.begin(), values.end(),
                       [&](int64_t value) { return value == values.front(); });
}

tl::unexpected<Error> damaged(std::string_view what) {
    return fail(ErrorCode::kDataLoss, "{}", what);
}

}  // namespace

void FollowerTable::learn(uint32_t column, std::span<const uint32_t> names,
                          std::span<const int64_t> values) {
    if (values.size() < kLearnValuesMin || names.size() != values.size() || are_equal(values))
        return;
    // The value that most of a name's rows have, by votes.
    FollowedValues followed;
    std::vector<uint32_t> votes;
    for (size_t i = 0; i < values.size(); ++i) {
        const uint32_t name = names[i];
        if (name >= kNamesMax) continue;
        if (name >= votes.size()) {
            votes.resize(name + size_t{1});
            followed.is_known.resize(votes.size());
            followed.values.resize(votes.size());
        }
        if (votes[name] == 0) {
            followed.is_known[name] = 1;
            followed.values[name] = values[i];
            votes[name] = 1;
        } else if (followed.values[name] == values[i]) {
            ++votes[name];
        } else {
            --votes[name];
        }
    }
    size_t different = 0;
    for (size_t i = 0; i < values.size(); ++i)
        different += names[i] >= votes.size() || followed.values[names[i]] != values[i];
    if (different * kDifferentPart > values.size()) return;
    if (column >= columns_.size()) {
        columns_.resize(column + size_t{1});
        is_used_.resize(columns_.size());
    }
    columns_[column] = std::move(followed);
}

bool FollowerTable::encode(uint32_t column, std::span<const uint32_t> names,
                           std::span<const int64_t> values, int zstd_level, std::string& out) {
    if (names.size() != values.size() || values.empty() || are_equal(values)) return false;
    const FollowedValues& followed = columns_[column];
    gaps_.clear();
    others_.clear();
    const size_t most = values.size() / kDifferentPart;
    size_t next = 0;  // the position after the last that differs
    for (size_t i = 0; i < values.size(); ++i) {
        const uint32_t name = names[i];
        const bool is_known = name < followed.is_known.size() && followed.is_known[name] != 0;
        if (is_known && followed.values[name] == values[i]) continue;
        if (gaps_.size() == most) return false;
        gaps_.push_back(static_cast<int64_t>(i - next));
        others_.push_back(values[i]);
        next = i + 1;
    }
    ByteWriter writer(out);
    writer.u8(kFollowsForm);
    writer.varint(gaps_.size());
    if (!gaps_.empty()) {
        std::string body;
        encode_integers(gaps_, zstd_level, body);
        writer.text(body);
        encode_integers(others_, zstd_level, out);
    }
    is_used_[column] = 1;
    return true;
}

std::string FollowerTable::directory(int zstd_level) const {
    std::string out;
    const auto used = static_cast<size_t>(std::count(is_used_.begin(), is_used_.end(), 1));
    if (used == 0) return out;
    ByteWriter writer(out);
    writer.varint(used);
    for (uint32_t column = 0; column < columns_.size(); ++column) {
        if (is_used_[column] == 0) continue;
        const FollowedValues& followed = columns_[column];
        const std::vector<int64_t> known(followed.is_known.begin(), followed.is_known.end());
        std::vector<int64_t> values;
        for (size_t name = 0; name < known.size(); ++name)
            if (known[name] != 0) values.push_back(followed.values[name]);
        writer.varint(column);
        writer.varint(known.size());
        std::string body;
        encode_integers(known, zstd_level, body);
        writer.text(body);
        body.clear();
        encode_integers(values, zstd_level, body);
        writer.text(body);
    }
    return out;
}

Result<FollowerDirectory> FollowerDirectory::parse(std::string_view bytes, uint32_t columns) {
    FollowerDirectory directory;
    ByteReader reader(bytes);
    const uint64_t count = reader.varint_max(columns);
    for (uint64_t i = 0; i < count; ++i) {
        const uint64_t column = reader.varint_max(columns - uint64_t{1});
        const uint64_t names = reader.varint_max(kNamesMax);
        const std::string_view known_body = reader.text();
        const std::string_view values_body = reader.text();
        if (!reader.ok()) return damaged("segment: the followers end early");
        std::vector<int64_t> known;
        TRY(decode_integers(known_body, names, known));
        FollowedValues followed;
        for (const int64_t flag : known)
            followed.is_known.push_back(flag == 1 ? 1 : 0);
        std::vector<int64_t> values;
        TRY(decode_integers(
            values_body,
            static_cast<size_t>(std::count(followed.is_known.begin(), followed.is_known.end(), 1)),
            values));
        followed.values.resize(names);
        for (size_t name = 0, at = 0; name < names; ++name)
            if (followed.is_known[name] != 0) followed.values[name] = values[at++];
        if (column >= directory.columns_.size()) directory.columns_.resize(column + 1);
        directory.columns_[column] = std::move(followed);
    }
    if (!reader.ok() || !reader.at_end()) return damaged("segment: the followers are broken");
    return directory;
}

Result<void> FollowerDirectory::decode(uint32_t column, std::string_view body,
                                       std::span<const uint32_t> names,
                                       std::vector<int64_t>& out) const {
    if (column >= columns_.size()) return damaged("a column follows, but nothing says how");
    const FollowedValues& followed = columns_[column];
    ByteReader reader(body);
    const uint64_t count = reader.varint_max(names.size());
    std::vector<int64_t> gaps;
    std::vector<int64_t> others;
    if (count > 0) {
        const std::string_view gaps_body = reader.text();
        if (!reader.ok()) return damaged("what differs ends early");
        TRY(decode_integers(gaps_body, count, gaps));
        TRY(decode_integers(reader.rest(), count, others));
    } else if (!reader.ok() || !reader.at_end()) {
        return damaged("a column that follows has a wrong length");
    }
    out.resize(names.size());
    size_t next = 0;
    for (size_t i = 0; i <= gaps.size(); ++i) {
        const uint64_t gap = i < gaps.size() ? static_cast<uint64_t>(gaps[i]) : names.size() - next;
        if (gap > names.size() - next) return damaged("what differs lies outside");
        for (const size_t end = next + gap; next < end; ++next) {
            const uint32_t name = names[next];
            if (name >= followed.is_known.size() || followed.is_known[name] == 0)
                return damaged("a name is not among those that are followed");
            out[next] = followed.values[name];
        }
        if (i == gaps.size()) break;
        if (next == names.size()) return damaged("what differs lies outside");
        out[next++] = others[i];
    }
    return {};
}

size_t FollowerDirectory::memory_bytes() const {
    size_t bytes = columns_.capacity() * sizeof(FollowedValues);
    for (const FollowedValues& column : columns_)
        bytes += column.is_known.size() * 9;
    return bytes;
}

}  // namespace spanloom::store
