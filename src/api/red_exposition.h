#pragma once

#include "api/router.h"

namespace spanloom::api {

// GET /metrics/red: counts and durations of operations as Prometheus scrapes them.
void add_red_exposition(Router& router);

}  // namespace spanloom::api
