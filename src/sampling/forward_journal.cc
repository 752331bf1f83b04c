#include "sampling/forward_journal.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include <fmt/format.h>

#include "base/log.h"
#include "base/text.h"

namespace spanloom::sampling {
namespace {

constexpr std::string_view kMagic = "SPLFWD1\n";
constexpr size_t kHeaderBytes = 32;
constexpr size_t kRecordHeaderBytes = 16;
constexpr size_t kPayloadBytesMax = 16U << 20;
constexpr size_t kEntriesOfRecord = 8'192;
constexpr size_t kHashesOfRecord = 65'536;
constexpr size_t kLoadedMax = 8'192;
constexpr uint64_t kFileBytesMax = 8U << 20;
constexpr uint64_t kFileNsMax = 600'000'000'000;
constexpr std::string_view kExtension = ".fwd";

enum Kind : uint32_t { kEntries = 1, kDropped = 2, kSent = 3 };

template <typename T>
void put(std::string& out, T value) {
    out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

// Reads numbers and bytes off a payload; what is not there is 0, and noted.
class Fields {
  public:
    explicit Fields(std::string_view bytes) : rest_(bytes) {}

    template <typename T>
    T number() {
        T value = 0;
        const std::string_view taken = bytes(sizeof value);
        if (taken.size() == sizeof value) std::memcpy(&value, taken.data(), sizeof value);
        return value;
    }
    std::string_view bytes(size_t size) {
        if (size > rest_.size()) {
            is_short_ = true;
            return {};
        }
        const std::string_view taken = rest_.substr(0, size);
        rest_.remove_prefix(size);
        return taken;
    }
    bool is_short() const { return is_short_; }

  private:
    std::string_view rest_;
    bool is_short_ = false;
};

void put_record(std::string& out, Kind kind, std::string_view payload) {
    put<uint32_t>(out, static_cast<uint32_t>(payload.size()));
    put<uint32_t>(out, kind);
    put<uint64_t>(out, hash64(payload, kind));
    out.append(payload);
}

bool is_header(std::string_view bytes) {
    if (bytes.size() != kHeaderBytes || !bytes.starts_with(kMagic)) return false;
    Fields checksum(bytes.substr(kHeaderBytes - 8));
    return checksum.number<uint64_t>() == hash64(bytes.substr(0, kHeaderBytes - 8));
}

struct EntriesHead {
    uint64_t at_ns = 0;
    uint64_t held_from_ns = 0;
    uint64_t first = 0;
    uint32_t count = 0;
};

EntriesHead read_head(Fields& fields) {
    EntriesHead head;
    head.at_ns = fields.number<uint64_t>();
    head.held_from_ns = fields.number<uint64_t>();
    head.first = fields.number<uint64_t>();
    head.count = fields.number<uint32_t>();
    return head;
}

template <typename Visit>
void read_entries(std::string_view payload, const Visit& visit) {
    Fields fields(payload);
    const EntriesHead head = read_head(fields);
    for (uint32_t i = 0; i < head.count; ++i) {
        ForwardEntry entry;
        entry.number = head.first + i;
        entry.at_ns = head.at_ns;
        const std::string_view id = fields.bytes(entry.id.bytes.size());
        if (!id.empty()) std::memcpy(entry.id.bytes.data(), id.data(), id.size());
        entry.threshold = fields.number<uint64_t>();
        const auto spans = fields.number<uint32_t>();
        const std::string_view list = fields.bytes(size_t{spans} * 8);
        if (fields.is_short()) return;
        entry.spans.resize(spans);
        for (uint32_t span = 0; span < spans; ++span)
            std::memcpy(entry.spans[span].bytes.data(), list.data() + size_t{span} * 8, 8);
        visit(std::move(entry));
    }
}

std::string encode_entries(std::span<const ForwardEntry> entries, const EntriesHead& head) {
    std::string payload;
    put(payload, head.at_ns);
    put(payload, head.held_from_ns);
    put(payload, head.first);
    put(payload, static_cast<uint32_t>(entries.size()));
    for (const ForwardEntry& entry : entries) {
        payload.append(entry.id.view());
        put(payload, entry.threshold);
        put(payload, static_cast<uint32_t>(entry.spans.size()));
        for (const SpanId& span : entry.spans)
            payload.append(span.view());
    }
    return payload;
}

}  // namespace

Result<std::unique_ptr<ForwardJournal>> ForwardJournal::open(Io& io, std::string directory,
                                                             Random& random, const Limits& limits) {
    TRY(io.make_directory(directory));
    std::unique_ptr<ForwardJournal> journal(new ForwardJournal(io, std::move(directory), limits));
    journal->seed_ = random.next();
    TRY(journal->recover());
    return journal;
}

std::string ForwardJournal::path_of(uint64_t number) const {
    return fmt::format("{}/{:012}{}", directory_, number, kExtension);
}

Result<uint64_t> ForwardJournal::read_file(const std::string& path, uint64_t offset,
                                           const Record& record) {
    TRY_ASSIGN(const auto file, io_.open(path));
    uint64_t at = std::max<uint64_t>(offset, kHeaderBytes);
    while (at + kRecordHeaderBytes <= file->size()) {
        TRY_ASSIGN(const Blob head, file->read(at, kRecordHeaderBytes));
        Fields fields(head.view());
        const auto size = fields.number<uint32_t>();
        const auto kind = fields.number<uint32_t>();
        const auto checksum = fields.number<uint64_t>();
        if (size > kPayloadBytesMax || at + kRecordHeaderBytes + size > file->size()) break;
        TRY_ASSIGN(const Blob payload, file->read(at + kRecordHeaderBytes, size));
        if (hash64(payload.view(), kind) != checksum) break;
        record(kind, payload.view());
        at += kRecordHeaderBytes + size;
    }
    return at;
}

// A file ends where its first record that is not whole begins: what was being written when the
// process ended.
Result<void> ForwardJournal::recover() {
    TRY_ASSIGN(const std::vector<std::string> names, io_.list(directory_));
    for (const std::string& name : names) {
        if (!name.ends_with(kExtension)) continue;
        const auto number = parse_int(name.substr(0, name.size() - kExtension.size()));
        if (!number || *number < 0) continue;
        File file;
        file.number = static_cast<uint64_t>(*number);
        const std::string path = path_of(file.number);
        TRY_ASSIGN(const auto opened, io_.open(path));
        file.bytes = opened->size();
        const Result<Blob> head =
            file.bytes < kHeaderBytes ? Result<Blob>(Blob()) : opened->read(0, kHeaderBytes);
        if (!head || !is_header(head->view())) {
            file.bytes = 0;  // it ended before its head was written: nothing of it is read
            file.first = file.end = end_;
            files_.push_back(file);
            continue;
        }
        Fields fields(head->view().substr(kMagic.size()));
        seed_ = fields.number<uint64_t>();
        // What stands before with this number or a later one was written again: its write failed.
        file.first = file.end = fields.number<uint64_t>();
        for (File& other : files_)
            other.end = std::min(other.end, file.first);
        end_ = file.first;
        const auto take = [&](uint32_t kind, std::string_view payload) {
            Fields record(payload);
            if (kind == kSent) {
                const auto first = record.number<uint64_t>();
                sent_end_ = std::max(sent_end_, first + record.number<uint32_t>());
                return;
            }
            const EntriesHead at = read_head(record);
            if (kind == kEntries) file.end = std::max(file.end, at.first + at.count);
            held_from_ns_ = std::max(held_from_ns_, at.held_from_ns);
            if (file.oldest_ns == 0) file.oldest_ns = at.at_ns;
            file.newest_ns = std::max(file.newest_ns, at.at_ns);
        };
        TRY_ASSIGN(const uint64_t whole, read_file(path, 0, take));
        if (whole < file.bytes)
            log::info("{}: {} bytes at its end are not whole", path, file.bytes - whole);
        end_ = std::max(end_, file.end);
        files_.push_back(file);
    }
    // What fell off with a damaged file cannot be sent.
    if (!files_.empty()) sent_end_ = std::max(sent_end_, files_.front().first);
    end_ = std::max(end_, sent_end_);
    next_ = loaded_end_ = sent_end_;
    return {};
}

Result<void> ForwardJournal::visit(const Visitor& visitor) {
    for (const File& file : files_) {
        const auto take = [&](uint32_t kind, std::string_view payload) {
            if (kind == kEntries) {
                read_entries(payload, visitor.entry);
                return;
            }
            Fields fields(payload);
            if (kind == kSent) {
                const auto first = fields.number<uint64_t>();
                std::vector<uint32_t> rows(
                    std::min<size_t>(fields.number<uint32_t>(), payload.size() / 4));
                for (uint32_t& of_entry : rows)
                    of_entry = fields.number<uint32_t>();
                visitor.sent(first, rows);
                return;
            }
            const EntriesHead head = read_head(fields);
            for (uint32_t i = 0; i < head.count && !fields.is_short(); ++i)
                visitor.dropped(fields.number<uint64_t>());
        };
        if (file.bytes > kHeaderBytes) TRY(read_file(path_of(file.number), 0, take));
    }
    return {};
}

Result<void> ForwardJournal::begin_file() {
    File file;
    file.number = files_.empty() ? 1 : files_.back().number + 1;
    file.first = file.end = end_;
    TRY_ASSIGN(writer_, io_.create(path_of(file.number)));
    std::string head(kMagic);
    put(head, seed_);
    put(head, end_);
    put(head, hash64(head));
    // Whatever fails, this name is not used again.
    files_.push_back(file);
    const auto written = writer_->append(std::string_view(head));
    if (written) {
        files_.back().bytes = head.size();
        if (const auto synced = io_.sync_directory(directory_); synced) return {};
    }
    writer_.reset();
    return fail(ErrorCode::kUnavailable, "{} cannot be written", path_of(files_.back().number));
}

Result<void> ForwardJournal::append(const std::string& records, uint64_t at_ns) {
    const bool is_full =
        writer_ != nullptr &&
        (files_.back().bytes > kFileBytesMax ||
         (files_.back().oldest_ns != 0 && at_ns > files_.back().oldest_ns + kFileNsMax));
    if (is_full) writer_.reset();
    if (writer_ == nullptr) TRY(begin_file());
    Result<void> done = writer_->append(std::string_view(records));
    files_.back().bytes += records.size();
    if (done) done = writer_->sync();
    // What became of it is not known; the next goes into a file of its own.
    if (!done) writer_.reset();
    return done;
}

Result<void> ForwardJournal::write(ForwardDecisions decisions) {
    std::string records;
    const auto number_of = [&](size_t index) { return end_ + index; };
    for (size_t at = 0; at < decisions.entries.size(); at += kEntriesOfRecord) {
        const size_t count = std::min(kEntriesOfRecord, decisions.entries.size() - at);
        put_record(records, kEntries,
                   encode_entries(std::span(decisions.entries).subspan(at, count),
                                  {decisions.at_ns, decisions.held_from_ns, number_of(at), 0}));
    }
    for (size_t at = 0; at < decisions.dropped.size(); at += kHashesOfRecord) {
        const size_t count = std::min(kHashesOfRecord, decisions.dropped.size() - at);
        std::string payload = encode_entries({}, {decisions.at_ns, decisions.held_from_ns, 0, 0});
        payload.resize(payload.size() - 4);
        put(payload, static_cast<uint32_t>(count));
        payload.append(reinterpret_cast<const char*>(&decisions.dropped[at]), count * 8);
        put_record(records, kDropped, payload);
    }
    if (records.empty()) return {};
    TRY(append(records, decisions.at_ns));
    const uint64_t first = end_;
    end_ += decisions.entries.size();
    held_from_ns_ = std::max(held_from_ns_, decisions.held_from_ns);
    File& file = files_.back();
    file.end = end_;
    if (file.oldest_ns == 0) file.oldest_ns = decisions.at_ns;
    file.newest_ns = std::max(file.newest_ns, decisions.at_ns);
    const bool is_next = loaded_end_ == first;
    if (!is_next || loaded_.size() + decisions.entries.size() > kLoadedMax) return {};
    for (size_t i = 0; i < decisions.entries.size(); ++i) {
        decisions.entries[i].number = first + i;
        decisions.entries[i].at_ns = decisions.at_ns;
        loaded_.push_back(std::move(decisions.entries[i]));
    }
    loaded_end_ = end_;
    return {};
}

Result<void> ForwardJournal::write_sent(uint64_t first, std::span<const uint32_t> rows) {
    std::string payload;
    put(payload, first);
    put(payload, static_cast<uint32_t>(rows.size()));
    for (const uint32_t of_entry : rows)
        put(payload, of_entry);
    std::string record;
    put_record(record, kSent, payload);
    TRY(append(record, 0));
    sent_end_ = std::max(sent_end_, first + rows.size());
    return {};
}

// From the file that holds the next entry; files are small, so each is read from its beginning.
Result<void> ForwardJournal::load() {
    for (const File& file : files_) {
        if (file.end <= loaded_end_ || file.bytes <= kHeaderBytes) continue;
        bool is_full = false;
        const auto take = [&](uint32_t kind, std::string_view payload) {
            if (kind != kEntries || is_full) return;
            read_entries(payload, [&](ForwardEntry entry) {
                if (entry.number < loaded_end_ || entry.number >= file.end) return;
                loaded_end_ = entry.number + 1;
                loaded_.push_back(std::move(entry));
            });
            is_full = loaded_.size() >= kLoadedMax;
        };
        TRY(read_file(path_of(file.number), 0, take));
        // What is not there any more is passed over.
        if (!is_full) loaded_end_ = std::max(loaded_end_, file.end);
        if (!loaded_.empty()) return {};
    }
    loaded_end_ = end_;
    return {};
}

Result<std::optional<ForwardEntry>> ForwardJournal::next() {
    if (loaded_.empty() && loaded_end_ < end_) TRY(load());
    if (loaded_.empty()) {
        if (sent_end_ == next_) sent_end_ = loaded_end_;
        next_ = loaded_end_;
        return std::optional<ForwardEntry>();
    }
    std::optional<ForwardEntry> entry = std::move(loaded_.front());
    loaded_.pop_front();
    next_ = entry->number + 1;
    return entry;
}

uint64_t ForwardJournal::bytes() const {
    uint64_t sum = 0;
    for (const File& file : files_)
        sum += file.bytes;
    return sum;
}

Result<uint64_t> ForwardJournal::prune() {
    uint64_t lost = 0;
    uint64_t newest_ns = 0;
    for (const File& file : files_)
        newest_ns = std::max(newest_ns, file.newest_ns);
    while (files_.size() > 1) {
        const File& oldest = files_.front();
        const bool is_needed =
            oldest.end > sent_end_ || oldest.newest_ns + limits_.remembered_ns > newest_ns;
        if (is_needed && bytes() <= limits_.bytes_max) break;
        // Those that were given lie in memory and are still sent.
        const uint64_t given = std::max(next_, sent_end_);
        if (oldest.end > given) {
            lost += oldest.end - given;
            std::erase_if(loaded_, [&](const ForwardEntry& e) { return e.number < oldest.end; });
            next_ = oldest.end;
            loaded_end_ = std::max(loaded_end_, oldest.end);
        }
        TRY(io_.remove(path_of(oldest.number)));
        files_.pop_front();
    }
    return lost;
}

}  // namespace spanloom::sampling
