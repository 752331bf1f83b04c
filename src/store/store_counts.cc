// Files of counts: written before spans age or go, named by the same entry of the manifest that
// lets them go; put together by days when they are old.
#include <algorithm>
#include <map>
#include <utility>

#include "base/log.h"
#include "store/store_engine.h"
#include "store/store_paths.h"

namespace spanloom::store {
namespace {

constexpr uint64_t kNsPerMs = 1'000'000;
constexpr uint64_t kHoursPerDay = 24;

std::string path_of(const CountsFile& file) {
    return beside_path(kCounts, file.tenant, {file.hour, file.id});
}

// How long the hours, or the day, of a file are over.
uint64_t age_ms(const CountsFile& file, uint64_t now_ns) {
    const uint64_t end_ns = (file.hour + (file.is_day ? kHoursPerDay : 1)) * kNsPerHour;
    return now_ns > end_ns ? (now_ns - end_ns) / kNsPerMs : 0;
}

}  // namespace

CountedParts StoreEngine::counted(std::string_view tenant) const {
    CountedParts parts;
    // Who holds it sees the same in manifest and segments.
    std::lock_guard lock(manifest_mutex_);
    for (const LiveSegments::Pointer& one : live_.all()) {
        if (one->tenant != tenant || one->visible == nullptr) continue;
        const bool is_in_file = one->kept && options_.counting.count;
        (is_in_file ? parts.others : parts.segments).push_back(one->visible);
    }
    for (const auto& [id, file] : counts_) {
        if (file->file().tenant == tenant) parts.files.push_back(file);
    }
    return parts;
}

// The counts of segments of one hour in recent/, as a file that nothing names yet. None: there is
// nothing to count.
Result<std::optional<CountsFile>> StoreEngine::count_before_going(
    const std::vector<LiveSegments::Pointer>& segments) {
    if (!options_.counting.count || segments.empty()) return std::nullopt;
    CountsFile file;
    file.tenant = segments.front()->tenant;
    file.hour = segments.front()->hour;
    file.start_ns_min = UINT64_MAX;
    std::vector<std::shared_ptr<const Segment>> counted;
    for (const LiveSegments::Pointer& one : segments) {
        if (one->visible == nullptr) continue;
        counted.push_back(one->visible);
        file.start_ns_min = std::min(file.start_ns_min, one->visible->info().start_ns_min);
        file.end_ns_max = std::max(file.end_ns_max, one->visible->info().end_ns_max);
    }
    std::vector<std::shared_ptr<const Segment>> others = live_.snapshot(file.tenant);
    std::erase_if(others, [&](const auto& one) {
        return std::find(counted.begin(), counted.end(), one) != counted.end();
    });
    TRY_ASSIGN(const std::string counts, options_.counting.count(counted, others));
    if (counts.empty()) return std::nullopt;
    return write_counts(std::move(file), counts);
}

Result<CountsFile> StoreEngine::write_counts(CountsFile file, std::string_view counts) {
    {
        std::lock_guard lock(manifest_mutex_);
        file.id = manifest_->take_id();
    }
    const std::string bytes = encode_counts(file, counts);
    file.bytes = bytes.size();
    TRY(write_beside(kCounts, file.tenant, {file.hour, file.id}, bytes));
    return file;
}

// Puts the hours of one day into one file where all of them are old.
Result<bool> StoreEngine::shorten_counts() {
    if (!options_.counting.as_day || options_.counts_detail_ms == 0) return false;
    const uint64_t now_ns = trusted_now_ns();
    std::map<std::pair<std::string, uint64_t>, std::vector<std::shared_ptr<const StoredCounts>>>
        days;
    {
        std::lock_guard lock(manifest_mutex_);
        for (const auto& [id, file] : counts_) {
            const CountsFile& facts = file->file();
            days[{facts.tenant, facts.hour / kHoursPerDay}].push_back(file);
        }
    }
    for (const auto& [key, files] : days) {
        CountsFile day;
        day.tenant = key.first;
        day.hour = key.second * kHoursPerDay;
        day.is_day = true;
        if (files.size() == 1 && files.front()->file().is_day) continue;
        if (age_ms(day, now_ns) < options_.counts_detail_ms) continue;
        day.start_ns_min = UINT64_MAX;
        FilesBeside beside;
        ManifestChange change;
        std::vector<std::string> bodies;
        for (const auto& file : files) {
            TRY_ASSIGN(bodies.emplace_back(), file->read());
            day.start_ns_min = std::min(day.start_ns_min, file->file().start_ns_min);
            day.end_ns_max = std::max(day.end_ns_max, file->file().end_ns_max);
            change.counts_removed.push_back(file->file().id);
        }
        const std::vector<std::string_view> views(bodies.begin(), bodies.end());
        TRY_ASSIGN(const std::string counts, options_.counting.as_day(views));
        TRY_ASSIGN(beside.counts, write_counts(std::move(day), counts));
        change.counts_added.push_back(*beside.counts);
        const Result<void> committed = commit_written(change, {}, {});
        forget_unnamed(beside);
        TRY(committed);
        return true;
    }
    return false;
}

Result<bool> StoreEngine::drop_old_counts() {
    if (options_.counts_ms == 0) return false;
    const uint64_t now_ns = trusted_now_ns();
    ManifestChange change;
    {
        std::lock_guard lock(manifest_mutex_);
        for (const auto& [id, file] : counts_) {
            if (age_ms(file->file(), now_ns) >= options_.counts_ms)
                change.counts_removed.push_back(id);
        }
    }
    if (change.counts_removed.empty()) return false;
    TRY(commit_written(change, {}, {}));
    return true;
}

// Makes counts_ what the manifest says. Under its lock.
void StoreEngine::follow_counts(const ManifestChange& change) {
    for (const CountsFile& file : change.counts_added)
        counts_[file.id] = std::make_shared<const StoredCounts>(file, io_);
    for (const uint64_t id : change.counts_removed) {
        const auto at = counts_.find(id);
        if (at == counts_.end()) continue;
        std::string path = path_of(at->second->file());
        obsolete_.add(std::move(path), std::move(at->second));
        counts_.erase(at);
    }
}

Result<void> StoreEngine::take_in_counts(bool adopt, ManifestChange& change) {
    const auto is_named = [&](uint64_t id) { return manifest_->state().counts.contains(id); };
    return take_in_beside(kCounts, is_named,
                          [&](const std::string& path, const std::string&, SegmentName name) {
                              if (!adopt) return false;
                              const Result<Blob> bytes = io_.read_all(path);
                              if (!bytes) return false;
                              Result<CountsReading> reading = decode_counts(bytes->view());
                              if (!reading) return false;
                              reading->file.id = name.id;
                              change.counts_added.push_back(std::move(reading->file));
                              return true;
                          });
}

}  // namespace spanloom::store
