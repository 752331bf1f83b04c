#pragma once

#include "api/router.h"

namespace spanloom::api {

// GET /api/explain: how a TraceQL query is answered (plan, segments that are read or skipped and
// why, bytes read). The query is asked as Tempo's search or query_range would ask it, and what it
// finds is left out.
void add_explain(Router& router);

}  // namespace spanloom::api
