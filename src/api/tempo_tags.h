#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/call.h"
#include "api/router.h"

namespace spanloom::api {

// What Tempo is asked about tags and their values, over HTTP or gRPC.
struct TempoTagQuestion {
    std::string scope;  // of names; empty: all
    std::string tag;    // of values
    std::string query;  // what spans must satisfy; while it is typed, its parts that are whole
    store::TimeRange range;
    uint32_t limit = 0;  // 0: the default
};

struct TempoScopeTags {
    std::string_view scope;
    std::vector<std::string> tags;
};
Result<std::vector<TempoScopeTags>> tempo_tags(const Call& call, const TempoTagQuestion& question);

// How version 2 shows a value; nullopt for those it has no type for.
struct TempoTagValue {
    std::string_view type;  // string, int, float, bool, duration, keyword
    std::string text;
};
std::optional<TempoTagValue> tempo_tag_value(const store::Value& value);

// As messages, of version 1 and 2: SearchTagsResponse, SearchTagsV2Response,
// SearchTagValuesResponse, SearchTagValuesV2Response.
std::string tag_names_message(const std::vector<TempoScopeTags>& scopes, std::string_view asked);
std::string tag_scopes_message(const std::vector<TempoScopeTags>& scopes);
std::string tag_texts_message(const std::vector<store::Value>& values);
std::string tag_values_message(const std::vector<store::Value>& values);

// The tag as a TraceQL field, or (version 1) a bare key.
Result<std::vector<store::Value>> tempo_tag_values(const Call& call,
                                                   const TempoTagQuestion& question,
                                                   bool is_version_1);

}  // namespace spanloom::api
