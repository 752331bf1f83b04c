#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace spanloom::privacy {

// Query keys whose values sign or authorise a request: the semantic conventions' list for url.full.
// Compared with case, as the conventions say.
std::vector<std::string> default_url_query_keys();

// Appends the text with every URL in it made harmless, and says whether anything was changed:
// "user:password@" becomes "REDACTED:REDACTED@", and the values of the listed query keys, and of
// those whose name says that they are secret, become "REDACTED". Anything may stand around URLs.
bool sanitize_urls(std::string_view text, const std::vector<std::string>& query_keys,
                   std::string& out);
// The same for a query alone ("a=1&sig=2", with or without its '?') or a target ("/path?a=1").
bool sanitize_url_query(std::string_view text, const std::vector<std::string>& query_keys,
                        std::string& out);

}  // namespace spanloom::privacy
