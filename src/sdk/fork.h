#pragma once

namespace spanloom::detail {

class ProviderCore;

// From now on a fork takes this provider along: the child has its own ids, queues and threads, and
// does not send what its parent has recorded.
void follow_forks(ProviderCore* provider);

}  // namespace spanloom::detail
