#include "store/delays.h"

#include <algorithm>

#include "store/column.h"
#include "store/segment_bytes.h"

namespace spanloom::store {
namespace {

constexpr uint8_t kIncompleteFlag = 1;

}  // namespace

std::vector<DelayedRows>::const_iterator Delays::from(uint32_t row) const {
    return std::upper_bound(runs.begin(), runs.end(), row, [](uint32_t r, const DelayedRows& run) {
        return r < run.first_row + run.rows;
    });
}

uint64_t Delays::arrival_s(uint32_t row) const {
    const auto at = from(row);
    return at != runs.end() && at->first_row <= row ? at->arrival_s : 0;
}

void DelaysBuilder::add(uint32_t row, uint64_t arrival_s) {
    auto& runs = delays_.runs;
    if (!runs.empty() && runs.back().first_row + runs.back().rows == row &&
        runs.back().arrival_s == arrival_s)
        ++runs.back().rows;
    else
        runs.push_back({row, 1, arrival_s});
}

std::string DelaysBuilder::block(uint64_t first_s, int zstd_level) const {
    std::vector<int64_t> gaps;
    std::vector<int64_t> rows;
    std::vector<int64_t> seconds;
    uint32_t end = 0;
    for (const DelayedRows& run : delays_.runs) {
        if (run.arrival_s <= first_s) continue;
        gaps.push_back(run.first_row - end);
        rows.push_back(run.rows);
        seconds.push_back(static_cast<int64_t>(run.arrival_s - first_s));
        end = run.first_row + run.rows;
    }
    if (gaps.empty() && delays_.is_complete) return {};
    std::string body;
    ByteWriter writer(body);
    writer.u8(delays_.is_complete ? 0 : kIncompleteFlag);
    writer.varint(gaps.size());
    if (gaps.empty()) return body;
    for (const auto* column : {&gaps, &rows, &seconds}) {
        std::string part;
        encode_integers(*column, zstd_level, part);
        writer.text(part);
    }
    return body;
}

Result<Delays> read_delays(std::string_view body, uint64_t rows, uint64_t first_s,
                           uint64_t last_s) {
    const auto broken = [] { return fail(ErrorCode::kDataLoss, "segment: the delays are broken"); };
    ByteReader reader(body);
    const uint8_t flags = reader.u8();
    const uint64_t count = reader.varint_max(rows);
    if (!reader.ok() || flags > kIncompleteFlag || last_s < first_s) return broken();
    Delays delays;
    delays.is_complete = flags == 0;
    std::vector<int64_t> columns[3];
    if (count > 0) {
        for (auto& column : columns) {
            const std::string_view part = reader.text();
            if (!reader.ok()) return broken();
            TRY(decode_integers(part, count, column));
        }
    }
    if (!reader.at_end()) return broken();
    uint64_t end = 0;
    delays.runs.reserve(count);
    for (size_t i = 0; i < count; ++i) {
        const auto gap = static_cast<uint64_t>(columns[0][i]);
        const auto own = static_cast<uint64_t>(columns[1][i]);
        const auto seconds = static_cast<uint64_t>(columns[2][i]);
        if (gap > rows - end || own == 0 || own > rows - end - gap || seconds == 0 ||
            seconds > last_s - first_s)
            return broken();
        delays.runs.push_back(
            {static_cast<uint32_t>(end + gap), static_cast<uint32_t>(own), first_s + seconds});
        end += gap + own;
    }
    return delays;
}

}  // namespace spanloom::store
