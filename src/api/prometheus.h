#pragma once

#include "api/router.h"

namespace spanloom::api {

// Prometheus's query API over the counts of operations and of pairs of services, for Grafana's
// Prometheus data source and whatever else asks for rates, errors and durations there.
void add_prometheus(Router& router);

}  // namespace spanloom::api
