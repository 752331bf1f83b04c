#include "store/deletions.h"

#include <cstring>
#include <utility>

#include <fmt/format.h>
#include <protozero/pbf_reader.hpp>
#include <protozero/pbf_writer.hpp>

#include "base/hash.h"
#include "base/text.h"

namespace spanloom::store {
namespace {

constexpr const char* kDirectory = "deletions";
constexpr std::string_view kMagic = "SPANDEL1";
constexpr size_t kHeaderBytes = 16;  // of a copy: magic and checksum
constexpr size_t kIdBytes = 16;
constexpr size_t kCountMax = 100'000;  // records; each costs a file

std::string path_of(uint64_t id) {
    return fmt::format("{}/{:08x}.del", kDirectory, id);
}

std::string encode_body(const Deletion& deletion) {
    std::string out;
    protozero::pbf_writer writer(out);
    writer.add_uint64(1, deletion.id);
    writer.add_string(2, deletion.tenant);
    writer.add_uint64(3, deletion.at_ns);
    writer.add_string(4, deletion.by);
    writer.add_string(5, deletion.reason);
    writer.add_uint64(6, deletion.query_hash);
    writer.add_uint64(7, deletion.traces);
    writer.add_uint64(8, deletion.spans);
    writer.add_uint64(9, deletion.log_end.value);
    writer.add_uint64(10, deletion.erased_at_ns);
    std::string ids;
    ids.reserve(deletion.ids.size() * kIdBytes);
    for (const TraceId& id : deletion.ids)
        ids += id.view();
    if (!ids.empty()) writer.add_bytes(11, ids);
    return out;
}

std::optional<Deletion> decode_body(std::string_view body) {
    constexpr auto kVarint = protozero::pbf_wire_type::varint;
    constexpr auto kBytes = protozero::pbf_wire_type::length_delimited;
    try {
        Deletion deletion;
        protozero::pbf_reader reader(body.data(), body.size());
        while (reader.next()) {
            switch (reader.tag_and_type()) {
                case protozero::tag_and_type(1, kVarint):
                    deletion.id = reader.get_uint64();
                    break;
                case protozero::tag_and_type(2, kBytes):
                    deletion.tenant = reader.get_string();
                    break;
                case protozero::tag_and_type(3, kVarint):
                    deletion.at_ns = reader.get_uint64();
                    break;
                case protozero::tag_and_type(4, kBytes):
                    deletion.by = reader.get_string();
                    break;
                case protozero::tag_and_type(5, kBytes):
                    deletion.reason = reader.get_string();
                    break;
                case protozero::tag_and_type(6, kVarint):
                    deletion.query_hash = reader.get_uint64();
                    break;
                case protozero::tag_and_type(7, kVarint):
                    deletion.traces = reader.get_uint64();
                    break;
                case protozero::tag_and_type(8, kVarint):
                    deletion.spans = reader.get_uint64();
                    break;
                case protozero::tag_and_type(9, kVarint):
                    deletion.log_end.value = reader.get_uint64();
                    break;
                case protozero::tag_and_type(10, kVarint):
                    deletion.erased_at_ns = reader.get_uint64();
                    break;
                case protozero::tag_and_type(11, kBytes): {
                    const auto ids = reader.get_view();
                    if (ids.size() % kIdBytes != 0) return std::nullopt;
                    deletion.ids.resize(ids.size() / kIdBytes);
                    for (size_t i = 0; i < deletion.ids.size(); ++i)
                        std::memcpy(deletion.ids[i].bytes.data(), ids.data() + i * kIdBytes,
                                    kIdBytes);
                    break;
                }
                default:
                    reader.skip();
            }
        }
        return deletion;
    } catch (const protozero::exception&) {
        return std::nullopt;
    }
}

Deletion without_ids(const Deletion& deletion) {
    return {deletion.id,
            deletion.tenant,
            deletion.at_ns,
            deletion.by,
            deletion.reason,
            deletion.query_hash,
            deletion.traces,
            deletion.spans,
            deletion.log_end,
            deletion.erased_at_ns,
            {}};
}

std::optional<Deletion> decode_copy(std::string_view copy) {
    if (copy.size() < kHeaderBytes || !copy.starts_with(kMagic)) return std::nullopt;
    uint64_t checksum = 0;
    std::memcpy(&checksum, copy.data() + kMagic.size(), sizeof checksum);
    const std::string_view body = copy.substr(kHeaderBytes);
    if (hash64(body) != checksum) return std::nullopt;
    return decode_body(body);
}

}  // namespace

std::string encode_deletion(const Deletion& deletion) {
    const std::string body = encode_body(deletion);
    const uint64_t checksum = hash64(body);
    std::string copy(kMagic);
    copy.append(reinterpret_cast<const char*>(&checksum), sizeof checksum);
    copy += body;
    return copy + copy;
}

Result<Deletion> decode_deletion(std::string_view bytes, bool& copy_used) {
    copy_used = false;
    if (auto deletion = decode_copy(bytes.substr(0, bytes.size() / 2))) return *deletion;
    copy_used = true;
    if (auto deletion = decode_copy(bytes.substr(bytes.size() / 2))) return *deletion;
    return fail(ErrorCode::kDataLoss, "both copies of the record are damaged");
}

Result<void> Deletions::load(std::vector<std::string>& damage) {
    std::lock_guard lock(mutex_);
    TRY_ASSIGN(const std::vector<std::string> names, io_.list(kDirectory));
    for (const std::string& name : names) {
        const std::string path = std::string(kDirectory) + "/" + name;
        if (name.ends_with(".tmp")) {
            // It may stay as well: the next write to this place replaces it.
            (void)io_.remove(path);
            continue;
        }
        if (!name.ends_with(".del")) continue;
        const Result<Blob> bytes = io_.read_all(path);
        if (!bytes) {
            damage.push_back(bytes.error().message);
            continue;
        }
        bool copy_used = false;
        Result<Deletion> deletion = decode_deletion(bytes->view(), copy_used);
        if (!deletion || path_of(deletion->id) != path) {
            damage.push_back(fmt::format(
                "{}: {}; what it deleted and was not erased yet is visible again", path,
                deletion ? "it is the record of another deletion" : deletion.error().message));
            continue;
        }
        if (copy_used) {
            damage.push_back(path + ": one of its two copies was damaged and is written again");
            (void)write(*deletion);
        }
        deletions_[deletion->id] = std::move(*deletion);
    }
    index();
    return {};
}

Result<void> Deletions::write(const Deletion& deletion) {
    const std::string path = path_of(deletion.id);
    const std::string temporary = path + ".tmp";
    TRY(io_.make_directory(kDirectory));
    TRY(io_.sync_directory(""));
    const auto put = [&]() -> Result<void> {
        TRY_ASSIGN(auto file, io_.create(temporary));
        TRY(file->append(encode_deletion(deletion)));
        TRY(file->sync());
        TRY(io_.rename(temporary, path));
        return io_.sync_directory(kDirectory);
    };
    Result<void> done = put();
    // Best effort: what stays is removed at the next start.
    if (!done) (void)io_.remove(temporary);
    return done;
}

void Deletions::index() {
    std::map<std::string, std::shared_ptr<TraceIds>> hidden;
    for (const auto& [id, deletion] : deletions_) {
        if (deletion.ids.empty()) continue;
        auto& ids = hidden[deletion.tenant];
        if (ids == nullptr) ids = std::make_shared<TraceIds>();
        ids->insert(deletion.ids.begin(), deletion.ids.end());
    }
    hidden_.clear();
    for (auto& [tenant, ids] : hidden)
        hidden_[tenant] = std::move(ids);
}

Result<Deletion> Deletions::add(Deletion deletion) {
    if (deletion.ids.size() > kDeletionTracesMax)
        return fail(ErrorCode::kInvalidArgument, "a deletion names at most {} traces, not {}",
                    kDeletionTracesMax, deletion.ids.size());
    for (const std::string* text : {&deletion.by, &deletion.reason}) {
        if (text->size() > kDeletionTextBytesMax)
            return fail(ErrorCode::kInvalidArgument, "who and why may have {} bytes each",
                        kDeletionTextBytesMax);
    }
    std::lock_guard lock(mutex_);
    if (deletions_.size() >= kCountMax)
        return fail(ErrorCode::kResourceExhausted,
                    "there are {} records of deletions: move old ones of deletions/ elsewhere",
                    kCountMax);
    deletion.id = deletions_.empty() ? 1 : deletions_.rbegin()->first + 1;
    TRY(write(deletion));
    deletions_[deletion.id] = deletion;
    index();
    return deletion;
}

Result<void> Deletions::update(const Deletion& deletion) {
    std::lock_guard lock(mutex_);
    TRY(write(deletion));
    deletions_[deletion.id] = deletion;
    index();
    return {};
}

std::shared_ptr<const TraceIds> Deletions::hidden(std::string_view tenant) const {
    std::lock_guard lock(mutex_);
    const auto found = hidden_.find(tenant);
    return found == hidden_.end() ? nullptr : found->second;
}

bool Deletions::has_hidden() const {
    std::lock_guard lock(mutex_);
    return !hidden_.empty();
}

std::vector<Deletion> Deletions::all() const {
    std::lock_guard lock(mutex_);
    std::vector<Deletion> found;
    for (auto at = deletions_.rbegin(); at != deletions_.rend(); ++at)
        found.push_back(without_ids(at->second));
    return found;
}

std::vector<Deletion> Deletions::pending() const {
    std::lock_guard lock(mutex_);
    std::vector<Deletion> found;
    for (const auto& [id, deletion] : deletions_) {
        if (!deletion.ids.empty()) found.push_back(without_ids(deletion));
    }
    return found;
}

std::optional<Deletion> Deletions::find(uint64_t id) const {
    std::lock_guard lock(mutex_);
    const auto found = deletions_.find(id);
    if (found == deletions_.end()) return std::nullopt;
    return found->second;
}

}  // namespace spanloom::store
