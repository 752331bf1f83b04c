// Files of counts: written before spans age or go, named by the same entry of the manifest that
// lets them go; made less detailed and put together by days and months as they get old.
#include <algorithm>
#include <chrono>
#include <map>
#include <tuple>
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

// The hours that a file is of: from the first to that behind the last.
struct Hours {
    uint64_t first = 0;
    uint64_t end = 0;
};

Hours month_of(uint64_t hour) {
    using namespace std::chrono;
    const sys_days day{days{static_cast<int64_t>(hour / kHoursPerDay)}};
    const year_month_day date{day};
    const sys_days first = date.year() / date.month() / 1;
    const sys_days end = (date.year() / date.month() + months{1}) / 1;
    const auto hours_of = [](sys_days at) {
        return static_cast<uint64_t>(at.time_since_epoch().count()) * kHoursPerDay;
    };
    return {hours_of(first), hours_of(end)};
}

Hours hours_of(uint64_t hour, CountsDetail detail) {
    if (detail == CountsDetail::kMonth) return month_of(hour);
    if (detail != CountsDetail::kHours) return {hour, hour + 1};
    const uint64_t first = hour / kHoursPerDay * kHoursPerDay;
    return {first, first + kHoursPerDay};
}

// How long all of these hours are over.
uint64_t age_ms(Hours hours, uint64_t now_ns) {
    const uint64_t end_ns = hours.end * kNsPerHour;
    return now_ns > end_ns ? (now_ns - end_ns) / kNsPerMs : 0;
}

bool is_older(uint64_t hour, CountsDetail detail, uint64_t limit_ms, uint64_t now_ns) {
    return limit_ms != 0 && age_ms(hours_of(hour, detail), now_ns) >= limit_ms;
}

}  // namespace

CountedParts StoreEngine::counted(std::string_view tenant) const {
    show_heads();
    CountedParts parts;
    std::lock_guard lock(counted_mutex_);
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

// In what detail a file is to be: its month goes together once no hour of it is in recent/ any
// more.
CountsDetail StoreEngine::detail_of(const CountsFile& file, uint64_t now_ns) const {
    if (file.detail == CountsDetail::kMonth) return file.detail;
    const uint64_t hour = file.hour;
    if (is_older(hour, CountsDetail::kMonth, options_.counts_minutes_ms, now_ns)) {
        const Hours month = month_of(hour);
        const std::vector<LiveSegments::Pointer> live = live_.all();
        const bool is_whole = std::none_of(live.begin(), live.end(), [&](const auto& one) {
            return !one->kept && one->tenant == file.tenant && one->hour >= month.first &&
                   one->hour < month.end;
        });
        if (is_whole) return CountsDetail::kMonth;
    }
    if (is_older(hour, CountsDetail::kHours, options_.counts_minutes_ms, now_ns))
        return CountsDetail::kHours;
    if (is_older(hour, CountsDetail::kMinutes, options_.counts_short_ms, now_ns))
        return CountsDetail::kMinutes;
    return CountsDetail::kShort;
}

// Makes one file of those that are too detailed for their age, of one hour, day or month.
Result<bool> StoreEngine::shorten_counts() {
    if (!options_.counting.put_together) return false;
    const uint64_t now_ns = trusted_now_ns();
    std::map<std::tuple<std::string, CountsDetail, uint64_t>,
             std::vector<std::shared_ptr<const StoredCounts>>>
        groups;
    {
        std::lock_guard lock(manifest_mutex_);
        for (const auto& [id, file] : counts_) {
            const CountsFile& facts = file->file();
            const CountsDetail detail = std::max(detail_of(facts, now_ns), facts.detail);
            groups[{facts.tenant, detail, hours_of(facts.hour, detail).first}].push_back(file);
        }
    }
    for (const auto& [key, files] : groups) {
        CountsFile whole;
        std::tie(whole.tenant, whole.detail, whole.hour) = key;
        if (whole.detail == CountsDetail::kShort) continue;
        if (files.size() == 1 && files.front()->file().detail == whole.detail) continue;
        TRY(put_counts_together(std::move(whole), files));
        return true;
    }
    return false;
}

Result<void> StoreEngine::put_counts_together(
    CountsFile whole, const std::vector<std::shared_ptr<const StoredCounts>>& files) {
    whole.start_ns_min = UINT64_MAX;
    FilesBeside beside;
    ManifestChange change;
    std::vector<std::string> bodies;
    for (const auto& file : files) {
        TRY_ASSIGN(bodies.emplace_back(), file->read());
        whole.start_ns_min = std::min(whole.start_ns_min, file->file().start_ns_min);
        whole.end_ns_max = std::max(whole.end_ns_max, file->file().end_ns_max);
        change.counts_removed.push_back(file->file().id);
    }
    const std::vector<std::string_view> views(bodies.begin(), bodies.end());
    TRY_ASSIGN(const std::string counts, options_.counting.put_together(views, whole.detail));
    TRY_ASSIGN(beside.counts, write_counts(std::move(whole), counts));
    change.counts_added.push_back(*beside.counts);
    const Result<void> committed = commit_written(change, {}, {});
    forget_unnamed(beside);
    return committed;
}

Result<bool> StoreEngine::drop_old_counts() {
    if (options_.counts_ms == 0) return false;
    const uint64_t now_ns = trusted_now_ns();
    ManifestChange change;
    {
        std::lock_guard lock(manifest_mutex_);
        for (const auto& [id, file] : counts_) {
            const CountsFile& facts = file->file();
            if (is_older(facts.hour, facts.detail, options_.counts_ms, now_ns))
                change.counts_removed.push_back(id);
        }
    }
    if (change.counts_removed.empty()) return false;
    TRY(commit_written(change, {}, {}));
    return true;
}

// Makes counts_ what the manifest says. Under both locks.
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
