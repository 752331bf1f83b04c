#include "store/manifest.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <utility>

#include <fmt/format.h>
#include <protozero/pbf_reader.hpp>
#include <protozero/pbf_writer.hpp>

#include "base/hash.h"
#include "base/log.h"

namespace spanloom::store {
namespace {

constexpr auto kVarint = protozero::pbf_wire_type::varint;
constexpr auto kBytes = protozero::pbf_wire_type::length_delimited;

constexpr const char* kPath = "MANIFEST";
constexpr const char* kNewPath = "MANIFEST.tmp";
constexpr std::string_view kMagic = "SPANMAN1";
constexpr uint32_t kEntryBytesMax = 64U << 20;
constexpr size_t kEntryHeaderBytes = 12;
constexpr uint64_t kRewriteBytesMin = 1 << 20;  // below this it is not worth rewriting
constexpr size_t kFindingsMax = 20;

std::string encode_segment(const ManifestSegment& segment) {
    std::string out;
    protozero::pbf_writer writer(out);
    writer.add_uint64(1, segment.id);
    writer.add_string(2, segment.tenant);
    writer.add_uint64(3, segment.hour);
    writer.add_uint64(4, segment.spans);
    writer.add_uint64(5, segment.bytes);
    if (segment.kept) {
        writer.add_string(6, segment.kept->rule);
        writer.add_uint64(7, segment.kept->for_ms);
        if (segment.kept->halvings != 0) writer.add_uint32(8, segment.kept->halvings);
    }
    return out;
}

std::string encode_decisions(const DecisionsFile& file) {
    std::string out;
    protozero::pbf_writer writer(out);
    writer.add_uint64(1, file.id);
    writer.add_string(2, file.tenant);
    writer.add_uint64(3, file.hour);
    writer.add_uint64(4, file.at_ns);
    writer.add_uint64(5, file.bytes);
    return out;
}

std::string encode_counts_entry(const CountsFile& file) {
    std::string out;
    protozero::pbf_writer writer(out);
    writer.add_uint64(1, file.id);
    writer.add_string(2, file.tenant);
    writer.add_uint64(3, file.hour);
    writer.add_uint64(5, file.start_ns_min);
    writer.add_uint64(6, file.end_ns_max);
    writer.add_uint64(7, file.bytes);
    writer.add_uint32(8, static_cast<uint32_t>(file.detail));
    return out;
}

std::string encode_entry(const ManifestChange& change, uint64_t next_id) {
    std::string body;
    protozero::pbf_writer writer(body);
    for (const ManifestSegment& segment : change.added)
        writer.add_message(1, encode_segment(segment));
    for (uint64_t id : change.removed)
        writer.add_uint64(2, id);
    if (change.log_position.value != 0) writer.add_uint64(3, change.log_position.value);
    writer.add_uint64(4, next_id);
    for (const DecisionsFile& file : change.decisions_added)
        writer.add_message(5, encode_decisions(file));
    for (uint64_t id : change.decisions_removed)
        writer.add_uint64(6, id);
    for (const CountsFile& file : change.counts_added)
        writer.add_message(7, encode_counts_entry(file));
    for (uint64_t id : change.counts_removed)
        writer.add_uint64(8, id);
    const auto size = static_cast<uint32_t>(body.size());
    std::string covered(reinterpret_cast<const char*>(&size), sizeof size);
    covered += body;
    const uint64_t checksum = hash64(covered);
    covered.insert(sizeof size, reinterpret_cast<const char*>(&checksum), sizeof checksum);
    return covered;
}

ManifestSegment decode_segment(protozero::pbf_reader reader) {
    ManifestSegment segment;
    while (reader.next()) {
        switch (reader.tag_and_type()) {
            case protozero::tag_and_type(1, kVarint):
                segment.id = reader.get_uint64();
                break;
            case protozero::tag_and_type(2, kBytes):
                segment.tenant = reader.get_string();
                break;
            case protozero::tag_and_type(3, kVarint):
                segment.hour = reader.get_uint64();
                break;
            case protozero::tag_and_type(4, kVarint):
                segment.spans = reader.get_uint64();
                break;
            case protozero::tag_and_type(5, kVarint):
                segment.bytes = reader.get_uint64();
                break;
            case protozero::tag_and_type(6, kBytes):
                if (!segment.kept) segment.kept.emplace();
                segment.kept->rule = reader.get_string();
                break;
            case protozero::tag_and_type(7, kVarint):
                if (!segment.kept) segment.kept.emplace();
                segment.kept->for_ms = reader.get_uint64();
                break;
            case protozero::tag_and_type(8, kVarint):
                if (!segment.kept) segment.kept.emplace();
                segment.kept->halvings = reader.get_uint32();
                break;
            default:
                reader.skip();
        }
    }
    return segment;
}

DecisionsFile decode_decisions(protozero::pbf_reader reader) {
    DecisionsFile file;
    while (reader.next()) {
        switch (reader.tag_and_type()) {
            case protozero::tag_and_type(1, kVarint):
                file.id = reader.get_uint64();
                break;
            case protozero::tag_and_type(2, kBytes):
                file.tenant = reader.get_string();
                break;
            case protozero::tag_and_type(3, kVarint):
                file.hour = reader.get_uint64();
                break;
            case protozero::tag_and_type(4, kVarint):
                file.at_ns = reader.get_uint64();
                break;
            case protozero::tag_and_type(5, kVarint):
                file.bytes = reader.get_uint64();
                break;
            default:
                reader.skip();
        }
    }
    return file;
}

CountsFile decode_counts_entry(protozero::pbf_reader reader) {
    CountsFile file;
    file.detail = CountsDetail::kMinutes;
    while (reader.next()) {
        switch (reader.tag_and_type()) {
            case protozero::tag_and_type(1, kVarint):
                file.id = reader.get_uint64();
                break;
            case protozero::tag_and_type(2, kBytes):
                file.tenant = reader.get_string();
                break;
            case protozero::tag_and_type(3, kVarint):
                file.hour = reader.get_uint64();
                break;
            case protozero::tag_and_type(4, kVarint):
                // Where nothing says how detailed they are.
                if (reader.get_bool()) file.detail = CountsDetail::kHours;
                break;
            case protozero::tag_and_type(5, kVarint):
                file.start_ns_min = reader.get_uint64();
                break;
            case protozero::tag_and_type(6, kVarint):
                file.end_ns_max = reader.get_uint64();
                break;
            case protozero::tag_and_type(7, kVarint):
                file.bytes = reader.get_uint64();
                break;
            case protozero::tag_and_type(8, kVarint):
                file.detail = counts_detail(reader.get_uint32());
                break;
            default:
                reader.skip();
        }
    }
    return file;
}

struct Entry {
    ManifestChange change;
    uint64_t next_id = 0;
};

std::optional<Entry> decode_body(std::string_view body) {
    try {
        Entry entry;
        protozero::pbf_reader reader(body.data(), body.size());
        while (reader.next()) {
            switch (reader.tag_and_type()) {
                case protozero::tag_and_type(1, kBytes):
                    entry.change.added.push_back(decode_segment(reader.get_message()));
                    break;
                case protozero::tag_and_type(2, kVarint):
                    entry.change.removed.push_back(reader.get_uint64());
                    break;
                case protozero::tag_and_type(3, kVarint):
                    entry.change.log_position.value = reader.get_uint64();
                    break;
                case protozero::tag_and_type(4, kVarint):
                    entry.next_id = reader.get_uint64();
                    break;
                case protozero::tag_and_type(5, kBytes):
                    entry.change.decisions_added.push_back(decode_decisions(reader.get_message()));
                    break;
                case protozero::tag_and_type(6, kVarint):
                    entry.change.decisions_removed.push_back(reader.get_uint64());
                    break;
                case protozero::tag_and_type(7, kBytes):
                    entry.change.counts_added.push_back(decode_counts_entry(reader.get_message()));
                    break;
                case protozero::tag_and_type(8, kVarint):
                    entry.change.counts_removed.push_back(reader.get_uint64());
                    break;
                default:
                    reader.skip();
            }
        }
        return entry;
    } catch (const protozero::exception&) {
        return std::nullopt;
    }
}

void apply(ManifestState& state, const ManifestChange& change) {
    for (const ManifestSegment& segment : change.added) {
        state.segments[segment.id] = segment;
        state.next_id = std::max(state.next_id, segment.id + 1);
    }
    for (uint64_t id : change.removed)
        state.segments.erase(id);
    for (const DecisionsFile& file : change.decisions_added) {
        state.decisions[file.id] = file;
        state.next_id = std::max(state.next_id, file.id + 1);
    }
    for (uint64_t id : change.decisions_removed)
        state.decisions.erase(id);
    for (const CountsFile& file : change.counts_added) {
        state.counts[file.id] = file;
        state.next_id = std::max(state.next_id, file.id + 1);
    }
    for (uint64_t id : change.counts_removed)
        state.counts.erase(id);
    state.log_position = std::max(state.log_position, change.log_position);
}

// The entry that begins here. `size` is what it takes; nullopt: not a valid one.
std::optional<Entry> read_entry(std::string_view bytes, size_t offset, size_t& size) {
    if (bytes.size() - offset < kEntryHeaderBytes) return std::nullopt;
    uint32_t body_bytes = 0;
    uint64_t checksum = 0;
    std::memcpy(&body_bytes, bytes.data() + offset, 4);
    std::memcpy(&checksum, bytes.data() + offset + 4, 8);
    if (body_bytes > kEntryBytesMax) return std::nullopt;
    if (body_bytes > bytes.size() - offset - kEntryHeaderBytes) return std::nullopt;
    size = kEntryHeaderBytes + body_bytes;
    const std::string_view body = bytes.substr(offset + kEntryHeaderBytes, body_bytes);
    std::string covered(bytes.substr(offset, 4));
    covered += body;
    if (hash64(covered) != checksum) return std::nullopt;
    return decode_body(body);
}

// What must follow a damaged entry for its size to be believed.
bool is_plausible(std::string_view bytes, size_t offset) {
    size_t size = 0;
    return read_entry(bytes, offset, size).has_value();
}

}  // namespace

std::string encode_manifest(const ManifestState& state) {
    ManifestChange everything;
    for (const auto& [id, segment] : state.segments)
        everything.added.push_back(segment);
    for (const auto& [id, file] : state.decisions)
        everything.decisions_added.push_back(file);
    for (const auto& [id, file] : state.counts)
        everything.counts_added.push_back(file);
    everything.log_position = state.log_position;
    return std::string(kMagic) + encode_entry(everything, state.next_id);
}

ManifestReading read_manifest(std::string_view bytes) {
    ManifestReading reading;
    if (!bytes.starts_with(kMagic))
        reading.damage.push_back("MANIFEST: does not begin as a manifest does");
    size_t offset = std::min(kMagic.size(), bytes.size());
    while (offset < bytes.size()) {
        size_t size = 0;
        const std::optional<Entry> entry = read_entry(bytes, offset, size);
        if (entry) {
            apply(reading.state, entry->change);
            reading.state.next_id = std::max(reading.state.next_id, entry->next_id);
            offset += size;
            continue;
        }
        if (size > 0 && is_plausible(bytes, offset + size)) {
            if (reading.damage.size() < kFindingsMax)
                reading.damage.push_back(
                    fmt::format("MANIFEST: the entry at {} is damaged and was skipped", offset));
            offset += size;
            continue;
        }
        reading.notes.push_back(
            fmt::format("MANIFEST: {} bytes at its end are no whole entry", bytes.size() - offset));
        break;
    }
    return reading;
}

Result<std::unique_ptr<Manifest>> Manifest::open(Io& io, ManifestReading& reading) {
    Result<Blob> bytes = io.read_all(kPath);
    if (!bytes && bytes.error().code != ErrorCode::kNotFound)
        return fail(bytes.error().code, "cannot read which segments there are: {}",
                    bytes.error().message);
    if (bytes) {
        reading = read_manifest(bytes->view());
    } else {
        reading = ManifestReading{};
        reading.is_missing = true;
    }
    std::unique_ptr<Manifest> manifest(new Manifest(io));
    manifest->state_ = reading.state;
    return manifest;
}

Result<void> Manifest::rewrite(const ManifestState& state) {
    file_.reset();
    is_certain_ = false;
    const std::string bytes = encode_manifest(state);
    TRY_ASSIGN(auto file, io_.create(kNewPath));
    TRY(file->append(bytes));
    TRY(file->sync());
    TRY(io_.rename(kNewPath, kPath));
    TRY(io_.sync_directory(""));
    file_ = std::move(file);
    bytes_ = bytes.size();
    bytes_rewritten_ = bytes.size();
    is_certain_ = true;
    return {};
}

Result<void> Manifest::repair() {
    if (is_certain_ && file_ != nullptr) return {};
    return rewrite(state_);
}

Result<void> Manifest::commit(const ManifestChange& change) {
    ManifestState next = state_;
    apply(next, change);
    const bool is_grown = bytes_ > kRewriteBytesMin && bytes_ > 4 * bytes_rewritten_;
    if (file_ != nullptr && !is_grown) {
        const std::string entry = encode_entry(change, next.next_id);
        Result<void> written = file_->append(entry);
        if (written) written = file_->sync();
        if (written) {
            bytes_ += entry.size();
            state_ = std::move(next);
            return {};
        }
        log::warning("the manifest is written anew: {}", written.error().message);
        file_.reset();
        is_certain_ = false;
    }
    TRY(rewrite(next));
    state_ = std::move(next);
    return {};
}

}  // namespace spanloom::store
