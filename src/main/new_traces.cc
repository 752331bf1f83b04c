#include "main/new_traces.h"

#include <algorithm>

namespace spanloom {

std::vector<size_t> NewTraces::take(const std::vector<std::string>& ids, size_t limit) {
    std::vector<size_t> found;
    for (size_t i = 0; i < ids.size(); ++i) {
        if (!ids_.insert(ids[i]).second) continue;
        found.push_back(i);
        order_.push_back(ids[i]);
        if (order_.size() > kRemembered) {
            ids_.erase(order_.front());
            order_.pop_front();
        }
    }
    may_have_missed_ = !is_first_ && ids.size() >= limit && found.size() == ids.size();
    is_first_ = false;
    // A log reads the other way.
    std::reverse(found.begin(), found.end());
    return found;
}

}  // namespace spanloom
