#pragma once

#include "api/router.h"

// What changes the store: deletions, backups, documents; and copies of whole traces.
namespace spanloom::api {

void add_admin(Router& router);

}  // namespace spanloom::api
