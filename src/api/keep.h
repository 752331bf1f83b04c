#pragma once

#include "api/router.h"

// What stays when data ages: keep rules, what they would do, what they did, and pinned traces.
namespace spanloom::api {

void add_keep(Router& router);

}  // namespace spanloom::api
