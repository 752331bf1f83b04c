#include "sampling/forward_history.h"

#include <algorithm>
#include <map>
#include <tuple>
#include <utility>

#include <fmt/format.h>

#include "base/hash.h"
#include "base/log.h"
#include "base/text.h"
#include "otlp/tracestate.h"
#include "store/column.h"
#include "store/segment_bytes.h"

namespace spanloom::sampling {
namespace {

using store::ByteReader;
using store::ByteWriter;

constexpr std::string_view kMagic = "SPLFWH1\n";
constexpr size_t kChecksumBytes = 8;
constexpr uint64_t kTenthNs = 100'000'000;
constexpr size_t kRecordsMax = 1U << 24;
constexpr int kZstdLevel = 1;
// A file goes on where the last one is smaller than that, and not of more than a day.
constexpr uint64_t kWholeFileBytes = 64U << 10;
constexpr uint64_t kDayNs = 24 * 3'600'000'000'000;
// Where nothing can be written so many are remembered.
constexpr size_t kAddedMax = 65'536;

// What many entries have alike.
using Kind = std::tuple<std::string, uint64_t, ForwardFate, bool>;  // rule, threshold, .., late

Kind kind_of(const EndedEntry& entry) {
    return {entry.rule, entry.threshold, entry.fate, entry.is_late};
}

tl::unexpected<Error> damaged(std::string_view what) {
    return fail(ErrorCode::kDataLoss, "what was sent earlier: {}", what);
}

Result<std::vector<Kind>> read_kinds(ByteReader& reader) {
    std::vector<Kind> kinds;
    const uint64_t count = reader.varint_max(reader.rest().size());
    for (uint64_t i = 0; i < count && reader.ok(); ++i) {
        std::string rule(reader.text());
        const uint64_t threshold = reader.varint_max(otlp::kThresholdEnd);
        const uint8_t flags = reader.u8();
        if (flags / 2 > static_cast<uint8_t>(ForwardFate::kLast))
            return damaged("an end is unknown");
        kinds.emplace_back(std::move(rule), threshold, static_cast<ForwardFate>(flags / 2),
                           flags % 2 != 0);
    }
    return kinds;
}

}  // namespace

std::string encode_history(HistoryFile file) {
    std::sort(file.entries.begin(), file.entries.end(),
              [](const EndedEntry& a, const EndedEntry& b) { return a.hash < b.hash; });
    std::map<Kind, int64_t> kinds;
    for (const EndedEntry& entry : file.entries)
        kinds.try_emplace(kind_of(entry));
    std::string out(kMagic);
    ByteWriter writer(out);
    writer.u64(file.seed);
    writer.u64(file.end);
    writer.u64(file.oldest_ns);
    writer.u64(file.newest_ns);
    writer.varint(kinds.size());
    int64_t next = 0;
    for (auto& [kind, number] : kinds) {
        number = next++;
        const auto& [rule, threshold, fate, is_late] = kind;
        writer.text(rule);
        writer.varint(threshold);
        writer.u8(static_cast<uint8_t>(static_cast<uint8_t>(fate) * 2 + (is_late ? 1 : 0)));
    }
    writer.varint(file.entries.size());
    std::vector<int64_t> columns[5];  // hashes, kinds, spans, decided, ended
    uint64_t before = 0;
    for (const EndedEntry& entry : file.entries) {
        columns[0].push_back(static_cast<int64_t>(entry.hash - before));
        before = entry.hash;
        columns[1].push_back(kinds.at(kind_of(entry)));
        columns[2].push_back(entry.spans);
        const uint64_t decided_ns = std::max(entry.decided_ns, file.oldest_ns);
        columns[3].push_back(static_cast<int64_t>((decided_ns - file.oldest_ns) / kTenthNs));
        columns[4].push_back(
            entry.ended_ns == 0
                ? 0
                : static_cast<int64_t>(
                      (std::max(entry.ended_ns, decided_ns) - decided_ns) / kTenthNs + 1));
    }
    for (const std::vector<int64_t>& column : columns) {
        std::string part;
        store::encode_integers(column, kZstdLevel, part);
        writer.text(part);
    }
    ByteWriter(out).u64(hash64(out));
    return out;
}

Result<HistoryFile> decode_history(std::string_view bytes, const TraceId* id) {
    if (bytes.size() < kMagic.size() + kChecksumBytes || !bytes.starts_with(kMagic))
        return damaged("it does not begin as it should");
    const std::string_view body = bytes.substr(0, bytes.size() - kChecksumBytes);
    if (ByteReader(bytes.substr(body.size())).u64() != hash64(body))
        return damaged("its checksum is wrong");
    ByteReader reader(body.substr(kMagic.size()));
    HistoryFile file;
    file.seed = reader.u64();
    file.end = reader.u64();
    file.oldest_ns = reader.u64();
    file.newest_ns = reader.u64();
    TRY_ASSIGN(const std::vector<Kind> kinds, read_kinds(reader));
    const auto count = static_cast<size_t>(reader.varint_max(kRecordsMax));
    const std::string_view hashes = reader.text();
    std::string_view others[4];
    for (std::string_view& part : others)
        part = reader.text();
    if (!reader.ok() || !reader.at_end()) return damaged("it has a wrong length");
    std::vector<int64_t> steps;
    TRY(store::decode_integers(hashes, count, steps));
    std::vector<size_t> wanted;
    uint64_t hash = 0;
    const uint64_t asked = id == nullptr ? 0 : hash64(id->view(), file.seed);
    std::vector<uint64_t> found;
    for (size_t i = 0; i < steps.size(); ++i) {
        hash += static_cast<uint64_t>(steps[i]);
        if (id != nullptr && hash != asked) continue;
        wanted.push_back(i);
        found.push_back(hash);
    }
    if (wanted.empty()) return file;
    std::vector<int64_t> columns[4];
    for (size_t i = 0; i < 4; ++i)
        TRY(store::decode_integers(others[i], count, columns[i]));
    for (size_t i = 0; i < wanted.size(); ++i) {
        const size_t at = wanted[i];
        const auto kind = static_cast<uint64_t>(columns[0][at]);
        if (kind >= kinds.size()) return damaged("an end is unknown");
        EndedEntry& entry = file.entries.emplace_back();
        entry.hash = found[i];
        std::tie(entry.rule, entry.threshold, entry.fate, entry.is_late) = kinds[kind];
        entry.spans = static_cast<uint32_t>(columns[1][at]);
        entry.decided_ns = file.oldest_ns + static_cast<uint64_t>(columns[2][at]) * kTenthNs;
        if (columns[3][at] > 0)
            entry.ended_ns =
                entry.decided_ns + static_cast<uint64_t>(columns[3][at] - 1) * kTenthNs;
    }
    return file;
}

std::string ForwardHistory::path_of(uint64_t number) const {
    return fmt::format("{}/{:012}{}", directory_, number, kHistoryExtension);
}

Result<std::unique_ptr<ForwardHistory>> ForwardHistory::open(Io& io, std::string directory,
                                                             uint64_t seed, const Limits& limits) {
    std::unique_ptr<ForwardHistory> history(
        new ForwardHistory(io, std::move(directory), seed, limits));
    TRY_ASSIGN(const std::vector<std::string> names, io.list(history->directory_));
    for (const std::string& name : names) {
        if (!name.ends_with(kHistoryExtension)) continue;
        const auto number = parse_int(name.substr(0, name.size() - kHistoryExtension.size()));
        if (!number || *number < 0) continue;
        File file;
        file.number = static_cast<uint64_t>(*number);
        TRY_ASSIGN(const Blob bytes, io.read_all(history->path_of(file.number)));
        file.bytes = bytes.size();
        const TraceId nobody;
        const auto decoded = decode_history(bytes.view(), &nobody);
        if (decoded) {
            file.oldest_ns = decoded->oldest_ns;
            file.newest_ns = decoded->newest_ns;
            history->end_ = std::max(history->end_, decoded->end);
        } else {
            log::error("{}: {}; what it says is not known any more", history->path_of(file.number),
                       decoded.error().message);
        }
        history->files_.push_back(file);
    }
    return history;
}

void ForwardHistory::add(uint64_t number, EndedEntry ended) {
    add_given_up(std::move(ended));
    end_ = std::max(end_, number + 1);
}

void ForwardHistory::add_given_up(EndedEntry ended) {
    if (added_.size() >= kAddedMax) added_.erase(added_.begin(), added_.begin() + kAddedMax / 2);
    added_.push_back(std::move(ended));
}

Result<void> ForwardHistory::flush(uint64_t now_ns) {
    TRY(prune(now_ns));
    if (added_.empty()) return {};
    HistoryFile file;
    file.seed = seed_;
    file.end = end_;
    file.oldest_ns = UINT64_MAX;
    for (const EndedEntry& entry : added_) {
        file.oldest_ns = std::min(file.oldest_ns, entry.decided_ns);
        file.newest_ns = std::max({file.newest_ns, entry.decided_ns, entry.ended_ns});
    }
    file.entries = added_;
    const bool goes_on = !files_.empty() && files_.back().bytes < kWholeFileBytes &&
                         files_.back().oldest_ns + kDayNs > file.newest_ns;
    if (goes_on) {
        const auto bytes = io_.read_all(path_of(files_.back().number));
        auto before = bytes ? decode_history(bytes->view(), nullptr)
                            : Result<HistoryFile>(tl::unexpected(bytes.error()));
        if (!before) return tl::unexpected(std::move(before).error());
        file.oldest_ns = std::min(file.oldest_ns, before->oldest_ns);
        file.newest_ns = std::max(file.newest_ns, before->newest_ns);
        std::move(before->entries.begin(), before->entries.end(), std::back_inserter(file.entries));
    }
    File written;
    written.number = files_.empty() ? 1 : files_.back().number + (goes_on ? 0 : 1);
    written.oldest_ns = file.oldest_ns;
    written.newest_ns = file.newest_ns;
    const std::string bytes = encode_history(std::move(file));
    written.bytes = bytes.size();
    const std::string path = path_of(written.number);
    const std::string temporary = path + ".tmp";
    TRY_ASSIGN(auto out, io_.create(temporary));
    TRY(out->append(std::string_view(bytes)));
    TRY(out->sync());
    TRY(io_.rename(temporary, path));
    TRY(io_.sync_directory(directory_));
    if (goes_on) files_.pop_back();
    files_.push_back(written);
    added_.clear();
    return {};
}

// The newest stays: it says up to where everything was added.
Result<void> ForwardHistory::prune(uint64_t now_ns) {
    while (files_.size() > 1) {
        const File& oldest = files_.front();
        const bool is_old =
            limits_.remembered_ns != 0 && oldest.newest_ns + limits_.remembered_ns < now_ns;
        if (!is_old && bytes() <= limits_.bytes_max) return {};
        TRY(io_.remove(path_of(oldest.number)));
        files_.pop_front();
    }
    return {};
}

uint64_t ForwardHistory::bytes() const {
    uint64_t sum = 0;
    for (const File& file : files_)
        sum += file.bytes;
    return sum;
}

}  // namespace spanloom::sampling
