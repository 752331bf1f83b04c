#pragma once

#include <optional>
#include <string>
#include <vector>

#include "sampling/imported_rules.h"

namespace spanloom::sampling {

// What one policy of the Collector asks for: which traces, and how many of them.
struct PolicyChoice {
    TraceCondition condition;
    std::optional<double> share;       // of them
    std::string salt;                  // of the hash by which the share is chosen
    std::optional<double> per_second;  // traces
    // What goes, whatever other policies say.
    std::optional<TraceCondition> dropped;
    std::vector<std::string> differs;
    std::vector<std::string> remarks;  // that take nothing from its being the same
};

class CollectorReader {
  public:
    explicit CollectorReader(const ImportOptions& options) : options_(options) {}

    Result<PolicyChoice> read(const simdjson::dom::element& policy) const;
    // Every one of them; a share and a limit of theirs count for all.
    Result<PolicyChoice> all_of(const std::vector<simdjson::dom::element>& policies) const;
    double traces_per_s(double spans_per_s) const;

  private:
    Result<PolicyChoice> spans_limited(const simdjson::dom::element& settings) const;
    Result<PolicyChoice> bytes_limited(const simdjson::dom::element& settings) const;
    Result<PolicyChoice> negation(const simdjson::dom::element& settings) const;
    std::string counts_traces() const;

    const ImportOptions& options_;
};

}  // namespace spanloom::sampling
