#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "privacy/detectors.h"
#include "privacy/statement.h"
#include "privacy/url.h"

namespace spanloom::privacy {

// What becomes of data that must not go out.
enum class Replacement : uint8_t { kMask, kHash };

// What is to be hidden. Patterns are globs ('*', '?'), compared with case.
struct Rules {
    DetectorSet detectors = DetectorSet::defaults();
    // Values of these attributes are left as they are, whatever they look like: people search by
    // them. `blocked_keys` wins.
    std::vector<std::string> exempt_keys = {"user.id"};
    // Whole values of these are replaced.
    std::vector<std::string> blocked_keys;
    // Attributes of these are left out altogether.
    std::vector<std::string> removed_keys;
    // Not empty: every attribute that fits none of these is left out.
    std::vector<std::string> allowed_keys;
    // Whole values of attributes whose name says "password", "token" and the like.
    bool hides_secret_names = true;
    bool sanitizes_urls = true;
    bool sanitizes_statements = true;
    std::vector<std::string> url_query_keys = default_url_query_keys();
    Replacement replacement = Replacement::kMask;
    std::string mask = "****";
    std::string hash_key;  // of kHash
};

// What was done, since the start.
struct RedactionCounts {
    std::array<uint64_t, kDetectors> findings{};
    uint64_t values_replaced = 0;  // whole, by the name of their attribute
    uint64_t attributes_removed = 0;
    uint64_t urls = 0;
    uint64_t statements = 0;
};

// Applies rules to the texts of telemetry. Immutable but for its counts; any thread.
class Redactor {
  public:
    explicit Redactor(Rules rules);
    Redactor(const Redactor&) = delete;
    Redactor& operator=(const Redactor&) = delete;

    enum class Verdict : uint8_t { kKeep, kChange, kRemove };

    // What becomes of an attribute, by its name alone; kChange: its whole value is replaced.
    Verdict judge_key(std::string_view key) const;
    // A text that stands under `key` ("" for names and messages): true, and the new one in `out`,
    // where it must change. `statement`: what a statement of this span is written in.
    bool redact_text(std::string_view key, std::string_view text, StatementKind statement,
                     std::string& out) const;
    // Text with only the detectors applied (names of spans and attributes, tracestate).
    bool redact_findings(std::string_view text, std::string_view context, std::string& out) const;
    // A whole value's replacement.
    std::string replace(std::string_view value) const;
    // A number may be a card's.
    bool is_card(int64_t number) const;

    RedactionCounts counts() const;

  private:
    bool is_exempt(std::string_view key) const;

    Rules rules_;
    mutable std::array<std::atomic<uint64_t>, kDetectors> findings_{};
    mutable std::atomic<uint64_t> values_replaced_ = 0;
    mutable std::atomic<uint64_t> attributes_removed_ = 0;
    mutable std::atomic<uint64_t> urls_ = 0;
    mutable std::atomic<uint64_t> statements_ = 0;
};

}  // namespace spanloom::privacy
