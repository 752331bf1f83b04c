#include "sampling/forward_journal.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/log.h"
#include "base/text.h"
#include "sampling/forward_journal_format.h"

namespace spanloom::sampling {
namespace {

constexpr size_t kEntriesOfRecord = 8'192;
constexpr size_t kHashesOfRecord = 65'536;
constexpr size_t kLoadedMax = 8'192;
constexpr uint64_t kFileBytesMax = 8U << 20;
constexpr uint64_t kFileNsMax = 600'000'000'000;

}  // namespace

Result<std::unique_ptr<ForwardJournal>> ForwardJournal::open(Io& io, std::string directory,
                                                             Random& random,
                                                             std::vector<std::string> rules,
                                                             const Limits& limits) {
    TRY(io.make_directory(directory));
    std::unique_ptr<ForwardJournal> journal(
        new ForwardJournal(io, std::move(directory), std::move(rules), limits));
    journal->seed_ = random.next();
    TRY(journal->recover());
    return journal;
}

std::string ForwardJournal::path_of(uint64_t number) const {
    return fmt::format("{}/{:012}{}", directory_, number, journal::kExtension);
}

Result<uint64_t> ForwardJournal::read_file(const std::string& path, const Record& record) {
    TRY_ASSIGN(const auto file, io_.open(path));
    return journal::read_records(*file, record);
}

// A file ends where its first record that is not whole begins: what was being written when the
// process ended.
Result<void> ForwardJournal::recover() {
    TRY_ASSIGN(const std::vector<std::string> names, io_.list(directory_));
    for (const std::string& name : names) {
        if (!name.ends_with(journal::kExtension)) continue;
        const auto number = parse_int(name.substr(0, name.size() - journal::kExtension.size()));
        if (!number || *number < 0) continue;
        File file;
        file.number = static_cast<uint64_t>(*number);
        const std::string path = path_of(file.number);
        TRY_ASSIGN(const auto opened, io_.open(path));
        file.bytes = opened->size();
        const Result<Blob> head = file.bytes < journal::kHeaderBytes
                                      ? Result<Blob>(Blob())
                                      : opened->read(0, journal::kHeaderBytes);
        const auto header = head ? journal::decode_header(head->view()) : std::nullopt;
        if (!header) {
            file.bytes = 0;  // it ended before its head was written: nothing of it is read
            file.first = file.end = end_;
            files_.push_back(file);
            continue;
        }
        seed_ = header->seed;
        // What stands before with this number or a later one was written again: its write failed.
        file.first = file.end = header->first;
        for (File& other : files_)
            other.end = std::min(other.end, file.first);
        end_ = file.first;
        const auto take = [&](uint32_t kind, std::string_view payload) {
            if (kind == journal::kRules) return;
            journal::Fields record(payload);
            if (kind == journal::kSent) {
                const auto first = record.number<uint64_t>();
                sent_end_ = std::max(sent_end_, first + record.number<uint32_t>());
                return;
            }
            const journal::Head at = journal::read_head(record);
            if (kind == journal::kEntries) file.end = std::max(file.end, at.first + at.count);
            held_from_ns_ = std::max(held_from_ns_, at.held_from_ns);
            if (file.oldest_ns == 0) file.oldest_ns = at.at_ns;
            file.newest_ns = std::max(file.newest_ns, at.at_ns);
        };
        TRY_ASSIGN(const uint64_t whole, read_file(path, take));
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

uint32_t ForwardJournal::number_of(const std::string& rule) {
    const auto at = std::find(names_.begin(), names_.end(), rule);
    if (at == names_.end()) {
        names_.push_back(rule);
        return static_cast<uint32_t>(names_.size() - 1);
    }
    return static_cast<uint32_t>(at - names_.begin());
}

// Takes the records of one file, and gives its entries with rules by our numbers.
ForwardJournal::Record ForwardJournal::entries_to(std::function<void(ForwardEntry)> visit) {
    return [this, visit = std::move(visit), rules = std::vector<std::string>()](
               uint32_t kind, std::string_view payload) mutable {
        if (kind == journal::kRules) rules = journal::read_rules(payload);
        if (kind != journal::kEntries) return;
        journal::read_entries(payload, [&](ForwardEntry entry) {
            entry.rule =
                entry.rule < rules.size() ? number_of(rules[entry.rule]) : ForwardEntry::kNoRule;
            visit(std::move(entry));
        });
    };
}

Result<void> ForwardJournal::visit(const Visitor& visitor) {
    for (const File& file : files_) {
        const Record entries = entries_to(visitor.entry);
        const auto take = [&](uint32_t kind, std::string_view payload) {
            entries(kind, payload);
            if (kind == journal::kSent) journal::read_sent(payload, visitor.sent);
            if (kind == journal::kDropped) journal::read_dropped(payload, visitor.dropped);
        };
        if (file.bytes > journal::kHeaderBytes) TRY(read_file(path_of(file.number), take));
    }
    return {};
}

Result<void> ForwardJournal::begin_file() {
    File file;
    file.number = files_.empty() ? 1 : files_.back().number + 1;
    file.first = file.end = end_;
    TRY_ASSIGN(writer_, io_.create(path_of(file.number)));
    std::string head = journal::encode_header({seed_, end_});
    journal::put_record(head, journal::kRules, journal::encode_rules(rules_));
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
    for (size_t at = 0; at < decisions.entries.size(); at += kEntriesOfRecord) {
        const size_t count = std::min(kEntriesOfRecord, decisions.entries.size() - at);
        const journal::Head head{decisions.at_ns, decisions.held_from_ns, end_ + at,
                                 static_cast<uint32_t>(count)};
        journal::put_record(
            records, journal::kEntries,
            journal::encode_entries(std::span(decisions.entries).subspan(at, count), head));
    }
    for (size_t at = 0; at < decisions.dropped.size(); at += kHashesOfRecord) {
        const size_t count = std::min(kHashesOfRecord, decisions.dropped.size() - at);
        std::string payload;
        journal::put_head(
            payload, {decisions.at_ns, decisions.held_from_ns, 0, static_cast<uint32_t>(count)});
        payload.append(reinterpret_cast<const char*>(&decisions.dropped[at]), count * 8);
        journal::put_record(records, journal::kDropped, payload);
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

Result<void> ForwardJournal::write_sent(uint64_t first, std::span<const uint32_t> rows,
                                        const ForwardEnd& end) {
    std::string record;
    journal::put_record(record, journal::kSent, journal::encode_sent(first, rows, end));
    TRY(append(record, 0));
    sent_end_ = std::max(sent_end_, first + rows.size());
    return {};
}

// From the file that holds the next entry; files are small, so each is read from its beginning.
Result<void> ForwardJournal::load() {
    for (const File& file : files_) {
        if (file.end <= loaded_end_ || file.bytes <= journal::kHeaderBytes) continue;
        bool is_full = false;
        const Record entries = entries_to([&](ForwardEntry entry) {
            if (entry.number < loaded_end_ || entry.number >= file.end) return;
            loaded_end_ = entry.number + 1;
            loaded_.push_back(std::move(entry));
        });
        const auto take = [&](uint32_t kind, std::string_view payload) {
            if (is_full) return;
            entries(kind, payload);
            is_full = loaded_.size() >= kLoadedMax;
        };
        TRY(read_file(path_of(file.number), take));
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

Result<uint64_t> ForwardJournal::prune(const std::function<void(const ForwardEntry&)>& given_up,
                                       const std::function<Result<void>()>& before) {
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
        const bool loses = oldest.end > given;
        const Record entries = entries_to([&](const ForwardEntry& entry) {
            if (entry.number >= given && entry.number < oldest.end) given_up(entry);
        });
        if (loses && oldest.bytes > journal::kHeaderBytes)
            TRY(read_file(path_of(oldest.number), entries));
        TRY(before());
        TRY(io_.remove(path_of(oldest.number)));
        if (loses) {
            lost += oldest.end - given;
            std::erase_if(loaded_, [&](const ForwardEntry& e) { return e.number < oldest.end; });
            next_ = oldest.end;
            loaded_end_ = std::max(loaded_end_, oldest.end);
        }
        files_.pop_front();
    }
    return lost;
}

}  // namespace spanloom::sampling
