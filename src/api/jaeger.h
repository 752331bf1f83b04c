#pragma once

#include "api/router.h"

namespace spanloom::api {

// Jaeger's query API over HTTP: v1 (its UI, Grafana, scripts) and v3.
void add_jaeger(Router& router);
void add_jaeger3(Router& router);

}  // namespace spanloom::api
