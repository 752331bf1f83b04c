#pragma once

#include "api/router.h"

namespace spanloom::api {

// Zipkin's query API (zipkin2-api.yaml). Names are compared and shown in lower case, as there.
void add_zipkin(Router& router);

}  // namespace spanloom::api
