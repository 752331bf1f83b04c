#pragma once

#include "api/router.h"

namespace spanloom::api {

// GET /api/forward: what each target of forwarding has got and waits for.
void add_forward(Router& router);

}  // namespace spanloom::api
