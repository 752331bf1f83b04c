#pragma once

#include "api/router.h"

namespace spanloom::api {

// /healthz, /readyz and /metrics: this server's own state, answered without waiting for queries.
void add_own_state(Router& router);

}  // namespace spanloom::api
