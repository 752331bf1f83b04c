#pragma once

#include <string>
#include <string_view>

#include "privacy/redactor.h"

namespace spanloom::privacy {

// Rewrites serialised OTLP messages by rules; the wire form of what comes in was checked before
// (or made by us). Each gives false, and leaves `out` alone, where nothing has to change: then the
// message goes on as it is. Covered: name, status message, tracestate; keys and values of
// attributes of the span, its events and links, the scope and the resource, of every type and
// nested; event names, scope name.
bool redact_span(std::string_view span, const Redactor& redactor, std::string& out);
bool redact_scope(std::string_view scope, const Redactor& redactor, std::string& out);
bool redact_resource(std::string_view resource, const Redactor& redactor, std::string& out);

}  // namespace spanloom::privacy
