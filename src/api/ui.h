#pragma once

#include "api/call.h"
#include "api/router.h"

namespace spanloom::api {

// The web UI's own API, below /api/ui/v1.
void add_ui(Router& router);
void add_ui_trace(Router& router);
void add_ui_services(Router& router);
void add_ui_map(Router& router);
void add_ui_state(Router& router);
void add_ui_trace_questions(Router& router);

// "from" to "to", by default the last hour.
Result<store::TimeRange> asked_range(const Call& call);

}  // namespace spanloom::api
