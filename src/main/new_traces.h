#pragma once

#include <cstddef>
#include <deque>
#include <string>
#include <unordered_set>
#include <vector>

namespace spanloom {

// Which traces of one answer after another were not there before, for `spanloom tail`. One thread.
class NewTraces {
  public:
    static constexpr size_t kRemembered = 100'000;

    // Of the ids of an answer, newest first, those that are new, oldest first, as indexes.
    // `limit`: how many an answer has at most.
    std::vector<size_t> take(const std::vector<std::string>& ids, size_t limit);
    // The last answer was full of new ones: others may have come that none will show.
    bool may_have_missed() const { return may_have_missed_; }

  private:
    bool is_first_ = true;  // what it leaves out is of before
    bool may_have_missed_ = false;
    std::unordered_set<std::string> ids_;
    std::deque<std::string> order_;  // the oldest is forgotten
};

}  // namespace spanloom
