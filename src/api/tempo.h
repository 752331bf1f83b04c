#pragma once

#include "api/router.h"

namespace spanloom::api {

// Tempo's query API: traces by id, TraceQL and tag search, tags and their values.
void add_tempo(Router& router);
void add_tempo_tags(Router& router);
// tempopb.StreamingQuerier.
void add_tempo_streams(Router& router);

// /api/traces/{id} as Tempo's version 1 answers it; Jaeger has the same address.
Result<http::Response> tempo_trace_v1(Call& call);

}  // namespace spanloom::api
