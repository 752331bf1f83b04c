#include "privacy/redactor.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/glob.h"
#include "privacy/keyed_hash.h"
#include "privacy/number_checks.h"

namespace spanloom::privacy {
namespace {

bool fits_any(const std::vector<std::string>& patterns, std::string_view key) {
    return std::any_of(patterns.begin(), patterns.end(),
                       [key](const std::string& pattern) { return glob_match(pattern, key); });
}

void count(std::atomic<uint64_t>& counter) {
    counter.fetch_add(1, std::memory_order_relaxed);
}

// Statements by the semantic conventions' names, stable and before.
bool is_statement_key(std::string_view key) {
    return key == "db.query.text" || key == "db.statement" || key == "db.query.summary";
}
// Parts of a URL, in which no "://" says so.
bool is_query_key(std::string_view key) {
    return key == "url.query" || key == "http.target";
}

}  // namespace

Redactor::Redactor(Rules rules) : rules_(std::move(rules)) {}

bool Redactor::is_exempt(std::string_view key) const {
    return !key.empty() && fits_any(rules_.exempt_keys, key);
}

Redactor::Verdict Redactor::judge_key(std::string_view key) const {
    if (fits_any(rules_.removed_keys, key) ||
        (!rules_.allowed_keys.empty() && !fits_any(rules_.allowed_keys, key))) {
        count(attributes_removed_);
        return Verdict::kRemove;
    }
    if (fits_any(rules_.blocked_keys, key) ||
        (rules_.hides_secret_names && !is_exempt(key) && is_secret_name(key))) {
        count(values_replaced_);
        return Verdict::kChange;
    }
    return Verdict::kKeep;
}

bool Redactor::redact_text(std::string_view key, std::string_view text, StatementKind statement,
                           std::string& out) const {
    if (is_exempt(key)) return false;
    std::string changed;
    if (rules_.sanitizes_statements && is_statement_key(key)) {
        changed = sanitize_statement(text, statement);
        if (changed != text) {
            count(statements_);
            text = changed;
        }
    }
    if (rules_.sanitizes_urls) {
        std::string url;
        const bool has_query = is_query_key(key);
        if (has_query ? sanitize_url_query(text, rules_.url_query_keys, url)
                      : sanitize_urls(text, rules_.url_query_keys, url)) {
            count(urls_);
            changed = std::move(url);
            text = changed;
        }
    }
    if (redact_findings(text, key, out)) return true;
    if (text.data() != changed.data() || changed.empty()) return false;
    out = std::move(changed);
    return true;
}

bool Redactor::redact_findings(std::string_view text, std::string_view context,
                               std::string& out) const {
    thread_local std::vector<Finding> findings;
    findings.clear();
    find_personal_data(text, context, rules_.detectors, findings);
    if (findings.empty()) return false;
    out.clear();
    size_t at = 0;
    for (const Finding& finding : findings) {
        count(findings_[static_cast<size_t>(finding.detector)]);
        out.append(text.substr(at, finding.begin - at));
        out.append(replace(text.substr(finding.begin, finding.end - finding.begin)));
        at = finding.end;
    }
    out.append(text.substr(at));
    return true;
}

std::string Redactor::replace(std::string_view value) const {
    return rules_.replacement == Replacement::kHash ? keyed_hash(rules_.hash_key, value)
                                                    : rules_.mask;
}

bool Redactor::is_card(int64_t number) const {
    if (number < 1'000'000'000'000 || !rules_.detectors.has(Detector::kCard)) return false;
    const std::string digits = fmt::format("{}", number);
    if (!is_card_number(digits)) return false;
    count(findings_[static_cast<size_t>(Detector::kCard)]);
    return true;
}

RedactionCounts Redactor::counts() const {
    RedactionCounts counts;
    for (size_t i = 0; i < kDetectors; ++i)
        counts.findings[i] = findings_[i].load(std::memory_order_relaxed);
    counts.values_replaced = values_replaced_.load(std::memory_order_relaxed);
    counts.attributes_removed = attributes_removed_.load(std::memory_order_relaxed);
    counts.urls = urls_.load(std::memory_order_relaxed);
    counts.statements = statements_.load(std::memory_order_relaxed);
    return counts;
}

}  // namespace spanloom::privacy
