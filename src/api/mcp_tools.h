#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "api/call.h"
#include "base/json_writer.h"

namespace spanloom::api {

// The arguments of a tool call: JSON's strings as they are, all else as it is written.
using McpArguments = std::vector<std::pair<std::string, std::string>>;

struct McpTool {
    std::string_view name;
    std::string_view title;
    std::string_view description;
    std::string input_schema;  // JSON
    // Text for a model to read. What fails is told to the model, so that it can ask better.
    Result<std::string> (*run)(const Call& call, const McpArguments& arguments);
};

const std::vector<McpTool>& mcp_tools();

}  // namespace spanloom::api
