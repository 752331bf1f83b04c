#pragma once

#include "api/router.h"

// How clients are told to sample where traces begin: Jaeger's remote sampling over HTTP and gRPC,
// and the strategies as people read and change them.
namespace spanloom::api {

void add_head_sampling(Router& router);

// Whether a request on a port that also takes Jaeger's spans asks for a strategy.
bool is_sampling_question(const http::Request& request);

}  // namespace spanloom::api
