#include "store/segment_followers.h"

#include <algorithm>
#include <bit>

#include "otlp/view.h"
#include "store/column.h"
#include "store/segment_bytes.h"
#include "store/segment_layout.h"

namespace spanloom::store {
namespace {

constexpr size_t kLearnValuesMin = 64;  // fewer show nothing
constexpr size_t kNamesMax = 4096;      // names that others follow: what comes first
constexpr size_t kFamiliesMax = 1024;
constexpr size_t kPairsMax = 8192;    // of family and name
constexpr size_t kDifferentPart = 4;  // at most one value in so many may differ
constexpr uint8_t kFailuresMax = 8;   // blocks in a row, after which nothing is tried any more

bool are_equal(std::span<const int64_t> values) {
    return std::all_of(values.begin(), values.end(),
                       [&](int64_t value) { return value == values.front(); });
}

size_t packed_bytes(std::span<const int64_t> values) {
    const auto [least, most] = std::minmax_element(values.begin(), values.end());
    const auto range = static_cast<uint64_t>(*most) - static_cast<uint64_t>(*least);
    return values.size() * static_cast<size_t>(std::bit_width(range)) / 8;
}

tl::unexpected<Error> damaged(std::string_view what) {
    return fail(ErrorCode::kDataLoss, "{}", what);
}

}  // namespace

std::string scope_family(std::string_view resource_message, std::string_view scope_message) {
    std::string family(otlp::ResourceView::parse(resource_message).service_name());
    family += '\0';
    family += otlp::ScopeView::parse(scope_message).name;
    return family;
}

FollowKey FollowerTable::key_of(uint32_t family, uint32_t name) {
    if (family >= kFamiliesMax || name >= kNamesMax) return kNoKey;
    if (family >= keys_.size()) keys_.resize(family + size_t{1});
    std::vector<FollowKey>& names = keys_[family];
    if (name >= names.size()) names.resize(name + size_t{1}, kNoKey);
    FollowKey& key = names[name];
    if (key != kNoKey || pairs_.size() == kPairsMax) return key;
    key = static_cast<FollowKey>(pairs_.size());
    pairs_.push_back({family, name});
    return key;
}

void FollowerTable::learn(Follower& follower, std::span<const FollowKey> keys,
                          std::span<const int64_t> values) {
    if (values.size() < kLearnValuesMin) return;
    // The value that most of a key's rows have, by votes.
    FollowedValues& followed = follower.followed;
    followed.is_known.assign(pairs_.size(), 0);
    followed.values.assign(pairs_.size(), 0);
    std::vector<uint32_t> votes(pairs_.size());
    for (size_t i = 0; i < values.size(); ++i) {
        const FollowKey key = keys[i];
        if (key == kNoKey) continue;
        if (votes[key] == 0) {
            followed.is_known[key] = 1;
            followed.values[key] = values[i];
            votes[key] = 1;
        } else if (followed.values[key] == values[i]) {
            ++votes[key];
        } else {
            --votes[key];
        }
    }
    size_t different = 0;
    for (size_t i = 0; i < values.size(); ++i)
        different += keys[i] == kNoKey || followed.values[keys[i]] != values[i];
    const bool follows = different * kDifferentPart <= values.size();
    follower.state = follows ? State::kFollows : State::kNot;
    if (!follows) followed = {};
}

bool FollowerTable::encode(uint32_t number, std::span<const FollowKey> keys,
                           std::span<const int64_t> values, bool even_equal, int zstd_level,
                           std::string& out) {
    if (keys.size() != values.size() || values.empty()) return false;
    if (!even_equal && are_equal(values)) return false;
    if (number >= followers_.size()) followers_.resize(number + size_t{1});
    Follower& follower = followers_[number];
    if (follower.state == State::kUnknown) learn(follower, keys, values);
    if (follower.state != State::kFollows) return false;
    FollowedValues& followed = follower.followed;
    followed.is_known.resize(pairs_.size());
    followed.values.resize(pairs_.size());
    gaps_.clear();
    others_.clear();
    const size_t most = values.size() / kDifferentPart;
    size_t next = 0;  // the position after the last that differs
    for (size_t i = 0; i < values.size(); ++i) {
        const FollowKey key = keys[i];
        if (key != kNoKey && followed.is_known[key] == 0) {
            // No block before this one has the key: what is seen first is followed from here on.
            followed.is_known[key] = 1;
            followed.values[key] = values[i];
        }
        if (key != kNoKey && followed.values[key] == values[i]) continue;
        if (gaps_.size() == most) {
            if (++follower.failures == kFailuresMax && !follower.is_used)
                follower.state = State::kNot;
            return false;
        }
        gaps_.push_back(static_cast<int64_t>(i - next));
        others_.push_back(values[i]);
        next = i + 1;
    }
    follower.failures = 0;
    const size_t at = out.size();
    ByteWriter writer(out);
    writer.u8(kFollowsForm);
    writer.varint(gaps_.size());
    if (!gaps_.empty()) {
        std::string body;
        encode_integers(gaps_, zstd_level, body);
        writer.text(body);
        encode_integers(others_, zstd_level, out);
    }
    // Many exceptions, and few different values: plain codes are as short.
    if (gaps_.size() * 16 > values.size() && out.size() - at > packed_bytes(values)) {
        out.resize(at);
        return false;
    }
    follower.is_used = true;
    return true;
}

std::string FollowerTable::directory(int zstd_level) const {
    std::string out;
    const auto used = static_cast<size_t>(
        std::count_if(followers_.begin(), followers_.end(),
                      [](const Follower& follower) { return follower.is_used; }));
    if (used == 0) return out;
    ByteWriter writer(out);
    std::string body;
    const auto put = [&](const std::vector<int64_t>& values) {
        body.clear();
        encode_integers(values, zstd_level, body);
        writer.text(body);
    };
    std::vector<int64_t> families;
    std::vector<int64_t> names;
    for (const Pair& pair : pairs_) {
        families.push_back(pair.family);
        names.push_back(pair.name);
    }
    writer.varint(pairs_.size());
    put(families);
    put(names);
    writer.varint(used);
    for (uint32_t number = 0; number < followers_.size(); ++number) {
        if (!followers_[number].is_used) continue;
        const FollowedValues& followed = followers_[number].followed;
        std::vector<int64_t> known(followed.is_known.begin(), followed.is_known.end());
        known.resize(pairs_.size());
        std::vector<int64_t> values;
        for (size_t key = 0; key < known.size(); ++key)
            if (known[key] != 0) values.push_back(followed.values[key]);
        writer.varint(number);
        put(known);
        put(values);
    }
    return out;
}

namespace {

Result<std::vector<int64_t>> read_numbers(ByteReader& reader, size_t count) {
    const std::string_view body = reader.text();
    if (!reader.ok()) return damaged("segment: the followers end early");
    std::vector<int64_t> numbers;
    TRY(decode_integers(body, count, numbers));
    return numbers;
}

Result<std::vector<std::vector<FollowKey>>> read_pairs(ByteReader& reader, size_t& pairs) {
    pairs = reader.varint_max(kPairsMax);
    TRY_ASSIGN(const auto families, read_numbers(reader, pairs));
    TRY_ASSIGN(const auto names, read_numbers(reader, pairs));
    std::vector<std::vector<FollowKey>> keys;
    for (uint32_t key = 0; key < pairs; ++key) {
        const auto family = static_cast<uint64_t>(families[key]);
        const auto name = static_cast<uint64_t>(names[key]);
        if (family >= kFamiliesMax || name >= kNamesMax)
            return damaged("segment: a follower's name is out of range");
        if (family >= keys.size()) keys.resize(family + 1);
        if (name >= keys[family].size()) keys[family].resize(name + 1, kNoKey);
        keys[family][name] = static_cast<FollowKey>(key);
    }
    return keys;
}

}  // namespace

Result<FollowerDirectory> FollowerDirectory::parse(std::string_view bytes, uint32_t columns,
                                                   uint32_t version) {
    FollowerDirectory directory;
    directory.has_families_ = version >= 3;
    ByteReader reader(bytes);
    size_t pairs = 0;
    if (directory.has_families_) {
        TRY_ASSIGN(directory.keys_, read_pairs(reader, pairs));
    }
    const uint64_t followers = uint64_t{columns} * 2;
    const uint64_t count = reader.varint_max(followers);
    for (uint64_t i = 0; i < count; ++i) {
        // Before version 3: the column, and how many names there are.
        uint64_t number = reader.varint_max(followers - 1);
        if (!directory.has_families_) {
            number = follower_of(static_cast<uint32_t>(std::min<uint64_t>(number, columns)), false);
            pairs = reader.varint_max(kNamesMax);
        }
        TRY_ASSIGN(const auto known, read_numbers(reader, pairs));
        FollowedValues followed;
        for (const int64_t flag : known)
            followed.is_known.push_back(flag == 1 ? 1 : 0);
        TRY_ASSIGN(
            const auto values,
            read_numbers(reader, static_cast<size_t>(std::count(followed.is_known.begin(),
                                                                followed.is_known.end(), 1))));
        followed.values.resize(pairs);
        for (size_t key = 0, at = 0; key < pairs; ++key)
            if (followed.is_known[key] != 0) followed.values[key] = values[at++];
        if (number >= directory.followers_.size()) directory.followers_.resize(number + 1);
        directory.followers_[number] = std::move(followed);
    }
    if (!reader.ok() || !reader.at_end()) return damaged("segment: the followers are broken");
    return directory;
}

bool FollowedValues::look_up(std::span<const FollowKey> keys, int64_t* out) const {
    const size_t count = is_known.size();
    if (count == 0) return keys.empty();
    // Without a branch for each.
    uint8_t are_known = 1;
    for (const FollowKey key : keys) {
        const uint32_t at = key < count ? key : 0;
        are_known &= static_cast<uint8_t>((key < count ? 1 : 0) & is_known[at]);
        *out++ = values[at];
    }
    return are_known != 0;
}

namespace {

// Where a block's values are others than those that follow: how many that do come before each.
struct Differences {
    std::vector<int64_t> gaps;
    std::vector<int64_t> others;
};

// The thread's own, until it reads the next ones.
Result<const Differences*> read_differences(std::string_view body, size_t values) {
    thread_local Differences read;
    ByteReader reader(body);
    const uint64_t count = reader.varint_max(values);
    read.gaps.clear();
    read.others.clear();
    if (count > 0) {
        const std::string_view gaps_body = reader.text();
        if (!reader.ok()) return damaged("what differs ends early");
        TRY(decode_integers(gaps_body, count, read.gaps));
        TRY(decode_integers(reader.rest(), count, read.others));
    } else if (!reader.ok() || !reader.at_end()) {
        return damaged("a column that follows has a wrong length");
    }
    return &read;
}

}  // namespace

Result<void> FollowerDirectory::decode(uint32_t follower, std::string_view body,
                                       std::span<const FollowKey> keys,
                                       std::vector<int64_t>& out) const {
    if (follower >= followers_.size()) return damaged("a column follows, but nothing says how");
    const FollowedValues& followed = followers_[follower];
    TRY_ASSIGN(const Differences* const read, read_differences(body, keys.size()));
    const std::vector<int64_t>& gaps = read->gaps;
    out.resize(keys.size());
    size_t next = 0;
    for (size_t i = 0; i <= gaps.size(); ++i) {
        const uint64_t gap = i < gaps.size() ? static_cast<uint64_t>(gaps[i]) : keys.size() - next;
        if (gap > keys.size() - next) return damaged("what differs lies outside");
        if (!followed.look_up(keys.subspan(next, gap), out.data() + next))
            return damaged("a name is not among those that are followed");
        next += gap;
        if (i == gaps.size()) break;
        if (next == keys.size()) return damaged("what differs lies outside");
        out[next++] = read->others[i];
    }
    return {};
}

Result<void> FollowerDirectory::decode_at(uint32_t follower, std::string_view body, size_t count,
                                          std::span<const uint32_t> places,
                                          std::span<const FollowKey> keys,
                                          std::vector<int64_t>& out) const {
    if (follower >= followers_.size()) return damaged("a column follows, but nothing says how");
    if (keys.size() != places.size() || (!places.empty() && places.back() >= count))
        return damaged("a place lies outside");
    const FollowedValues& followed = followers_[follower];
    TRY_ASSIGN(const Differences* const read, read_differences(body, count));
    out.resize(places.size());
    size_t at = 0;    // among the places
    size_t next = 0;  // the place behind the last that differs
    const auto follow_until = [&](size_t place) {
        const size_t from = at;
        while (at < places.size() && places[at] < place)
            ++at;
        return followed.look_up(keys.subspan(from, at - from), out.data() + from);
    };
    for (size_t i = 0; i < read->gaps.size(); ++i) {
        const auto gap = static_cast<uint64_t>(read->gaps[i]);
        if (gap >= count - next) return damaged("what differs lies outside");
        next += gap;
        if (!follow_until(next)) return damaged("a name is not among those that are followed");
        for (; at < places.size() && places[at] == next; ++at)
            out[at] = read->others[i];
        ++next;
    }
    if (!follow_until(count)) return damaged("a name is not among those that are followed");
    return {};
}

size_t FollowerDirectory::memory_bytes() const {
    size_t bytes = followers_.capacity() * sizeof(FollowedValues);
    for (const FollowedValues& one : followers_)
        bytes += one.is_known.size() * 9;
    for (const auto& names : keys_)
        bytes += sizeof names + names.capacity() * sizeof(uint32_t);
    return bytes;
}

}  // namespace spanloom::store
