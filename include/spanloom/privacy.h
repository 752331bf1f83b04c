#pragma once

#include <memory>
#include <string>
#include <vector>

#include "spanloom/exporter.h"

// Personal data and secrets, hidden before they leave the process.
namespace spanloom {

// Patterns are globs ('*', '?'), compared with case. What is found is replaced
// by the mask or by a hash; names, messages, tracestate, attributes of spans,
// events, links, scopes and resources are all looked at, nested values too.
struct RedactionOptions {
    // Of "email", "card", "iban", "ssn", "jwt", "credential", "aws_key",
    // "github_token", "slack_token", "private_key", "phone", "ipv4", "ipv6";
    // "none" alone: none. Empty: all but the last two.
    std::vector<std::string> detectors = {};
    // Left as they are, whatever they look like, since people search by them.
    std::vector<std::string> exempt_keys = {"user.id"};
    std::vector<std::string> blocked_keys = {};  // whole values are replaced; wins over the exempt
    std::vector<std::string> removed_keys = {};  // left out
    std::vector<std::string> allowed_keys = {};  // not empty: all others are left out
    bool hides_secret_names = true;              // password, token, cookie, ...
    bool sanitizes_urls = true;                  // userinfo, signatures in queries
    bool sanitizes_statements = true;            // literals in SQL, arguments of Redis
    std::string mask = "****";
    // Not empty: what is found is replaced by its HMAC-SHA256 with this key
    // instead, so that equal values can still be found and counted.
    std::string hash_key = {};
};

// Hands on what `exporter` gets, with the rules applied, on the exporter's
// thread: the program's own threads pay nothing. Spans with nothing to hide are
// not copied.
std::shared_ptr<SpanExporter> make_redacting_exporter(std::shared_ptr<SpanExporter> exporter,
                                                      RedactionOptions options = {});

}  // namespace spanloom
