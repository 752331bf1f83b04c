#pragma once

#include "api/router.h"

namespace spanloom::api {

// A Model Context Protocol server at /api/mcp (streamable HTTP, JSON-RPC): language models ask
// about traces with tools that only read, whose answers are made small enough to be read by them.
// Speaks the stateless revision 2026-07-28 and, for older clients, those that begin with
// `initialize`; keeps no sessions for either.
void add_mcp(Router& router);

}  // namespace spanloom::api
