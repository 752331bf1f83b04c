#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "spanloom/baggage.h"

// https://www.w3.org/TR/baggage/: name=value pairs in a header.
namespace spanloom::sdk {

constexpr size_t kBaggageMembersMax = 180;  // the grammar's
constexpr size_t kBaggageBytesMax = 8192;   // of all headers together

// Reads the headers of one request, one after the other. The limits hold for
// all of them together: a caller cannot multiply them by repeating the header.
// What does not fit is left out, whole members at a time; a header that breaks
// the grammar spoils the whole.
class BaggageReader {
  public:
    void add(std::string_view header);
    // Empty where nothing came, or something was malformed.
    Baggage take() const noexcept;

  private:
    struct Item {
        std::string key;
        std::string value;
        std::string metadata;
    };
    bool add_member(std::string_view member);

    std::vector<Item> items_;
    size_t bytes_ = 0;
    bool is_malformed_ = false;
    bool is_full_ = false;
};

// As a header's value. Entries whose name is no token are left out, and so are
// those beyond the limits, the last ones first.
std::string format_baggage(const Baggage& baggage);

}  // namespace spanloom::sdk
