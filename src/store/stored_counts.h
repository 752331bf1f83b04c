#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/io.h"
#include "base/result.h"
#include "store/search.h"

namespace spanloom::store {

// What a file is of, and in what detail: less the older it is. The numbers are those of the format.
enum class CountsDetail : uint8_t {
    kShort = 1,    // of an hour, by ten seconds
    kMinutes = 2,  // of an hour, by the minute
    kHours = 3,    // of a day, by the hour
    kMonth = 4,    // of a month, by the hour, durations less exact
};

CountsDetail counts_detail(uint32_t number);  // as a file says it

// A file of counts: what is known for good of the spans of an hour that aged or went, all of them
// (docs/format/counts.md).
struct CountsFile {
    uint64_t id = 0;
    std::string tenant;
    uint64_t hour = 0;  // of arrival, since 1970; of a whole day or month (UTC) its first
    CountsDetail detail = CountsDetail::kShort;
    uint64_t start_ns_min = 0;  // of the spans that are counted
    uint64_t end_ns_max = 0;
    uint64_t bytes = 0;
};

// What is counted, as bytes that mean something to later stages alone.
struct Counting {
    // Of all spans of `counted`; `others` hold more of their traces. Empty: nothing.
    std::function<Result<std::string>(Segments counted, Segments others)> count;
    // The counts of several files as those of one, in no more detail than this.
    std::function<Result<std::string>(std::span<const std::string_view>, CountsDetail)>
        put_together;
};

// The bytes of a file: what `file` says, but for its number and size, and the counts.
std::string encode_counts(const CountsFile& file, std::string_view counts);
struct CountsReading {
    CountsFile file;
    std::string counts;
};
// kDataLoss for bytes that are not a whole file.
Result<CountsReading> decode_counts(std::string_view bytes);

// One such file. Any thread; may be gone when it is read, where it was put together with others.
class StoredCounts {
  public:
    StoredCounts(CountsFile file, Io& io) : file_(std::move(file)), io_(io) {}

    const CountsFile& file() const { return file_; }
    Result<std::string> read() const;  // anew each time

  private:
    const CountsFile file_;
    Io& io_;
};

// What counts are made of, so that each span counts in one place.
struct CountedParts {
    std::vector<std::shared_ptr<const Segment>> segments;  // their spans are not counted yet
    std::vector<std::shared_ptr<const Segment>> others;    // those of these are, in:
    std::vector<std::shared_ptr<const StoredCounts>> files;
};

}  // namespace spanloom::store
