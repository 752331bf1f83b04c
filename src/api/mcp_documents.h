#pragma once

#include <span>
#include <string_view>

namespace spanloom::api {

// A page of the users' documentation (docs/user), for language models to read.
struct McpDocument {
    std::string_view uri;   // as a resource
    std::string_view name;  // as a tool
    std::string_view title;
    std::string_view description;
    std::string_view text;  // Markdown
};

// The language and the configuration. Compiled in.
std::span<const McpDocument> mcp_documents();

}  // namespace spanloom::api
