#pragma once

#include <memory>

namespace spanloom::detail {

class ProviderCore;

// From now on a fork takes this provider along: the child has its own ids, queues and threads, and
// does not send what its parent has recorded.
void follow_forks(ProviderCore* provider);

// In the child: keeps what the parent's threads may have been using at the fork, for good. Its
// locks may be taken by threads that are not here, so nothing may destroy it.
void leave_to_parent(std::shared_ptr<void> object) noexcept;

}  // namespace spanloom::detail
