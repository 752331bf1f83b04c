#pragma once

#include "api/router.h"

// What stays when data ages: keep rules, what they would do, what they did, and pinned traces.
namespace spanloom::api {

void add_keep(Router& router);

// Jaeger copies traces to an archive; here they are pinned. kUnsupported where there are no rules.
Result<void> archive_trace(Call& call, const TraceId& id);

}  // namespace spanloom::api
