#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "insight/dependencies.h"
#include "rollup/step_table.h"
#include "store/search.h"

namespace spanloom::insight {

// What went from one service to another, step by step (of the called side's start). The
// operations are of the edge, not of a service: their names are empty.
struct ServiceEdge {
    std::string client;
    std::string server;
    // "", "messaging_system", "database", or "virtual_node" where one side sent no spans: a user,
    // or what was called.
    std::string connection_type;
    // "http", "rpc", "messaging", "database", or "" where neither side says it.
    std::string protocol;
    StepTable::Operation as_server;
    StepTable::Operation as_client;
    StepTable::Operation in_queue;  // from the start of sending to that of receiving
    // How many calls, and failed ones, the counted ones stand for where senders or rules sampled.
    double weighted = 0;
    double weighted_errors = 0;
};

struct ServiceEdges {
    std::vector<ServiceEdge> edges;  // by client, server, type, protocol
    // Clients that nothing answered and that do not say what they called: without a server.
    std::vector<ServiceEdge> unpaired;
    bool partial = false;
    std::string reason;
    std::string note;  // where nothing is missing but something may be wrong: what and why
};

// Pairs each span with its parent of another service, as find_dependencies does; servers without a
// parent with "user" (or their peer.service); clients that nothing answered with the database or
// peer that their attributes name; consumers without a parent that sent with each producer that
// they link to. A producer that a consumer links to, whenever, is answered. `others` may hold the
// other side. Any thread.
Result<ServiceEdges> find_service_edges(store::Segments segments, store::TimeRange range,
                                        const DependencyLimits& limits = {},
                                        store::Segments others = {},
                                        uint32_t step_s = kMinuteStepS);

}  // namespace spanloom::insight
