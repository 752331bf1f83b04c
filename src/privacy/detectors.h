#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string_view>
#include <vector>

namespace spanloom::privacy {

// What personal data and secrets look like in running text.
enum class Detector : uint8_t {
    kEmail,
    kCard,         // payment cards: issuer's prefix, length and Luhn's check digit
    kIban,         // country's length and ISO 7064 mod 97
    kSsn,          // US social security numbers, with dashes
    kJwt,          // three base64url parts, the first of which is JSON
    kCredential,   // what follows "Bearer" or "Basic"
    kAwsKey,       // AKIA..., ASIA...
    kGithubToken,  // ghp_..., github_pat_...
    kSlackToken,   // xoxb-...
    kPrivateKey,   // a PEM block
    kPhone,        // beside a word that says so, or with '+' and a country
    kIpv4,
    kIpv6,
};
constexpr size_t kDetectors = 13;
std::string_view detector_name(Detector detector) noexcept;

class DetectorSet {
  public:
    constexpr DetectorSet() noexcept = default;
    constexpr DetectorSet(std::initializer_list<Detector> detectors) noexcept {
        for (const Detector detector : detectors)
            add(detector);
    }
    static constexpr DetectorSet all() noexcept {
        DetectorSet set;
        set.bits_ = (1U << kDetectors) - 1;
        return set;
    }
    // All but addresses of the network: without those, traces explain little.
    static constexpr DetectorSet defaults() noexcept {
        DetectorSet set = all();
        set.remove(Detector::kIpv4);
        set.remove(Detector::kIpv6);
        return set;
    }
    constexpr void add(Detector detector) noexcept { bits_ |= bit(detector); }
    constexpr void remove(Detector detector) noexcept { bits_ &= ~bit(detector); }
    constexpr bool has(Detector detector) const noexcept { return (bits_ & bit(detector)) != 0; }
    constexpr bool empty() const noexcept { return bits_ == 0; }

  private:
    static constexpr uint32_t bit(Detector detector) noexcept {
        return 1U << static_cast<uint32_t>(detector);
    }
    uint32_t bits_ = 0;
};

struct Finding {
    Detector detector;
    size_t begin;
    size_t end;
};

// Appends what is found, in order, none overlapping. One pass over the text, in time proportional
// to its length whatever it holds. `context` is what the text stands under (an attribute's key):
// some findings need a word that says what they are.
void find_personal_data(std::string_view text, std::string_view context, DetectorSet detectors,
                        std::vector<Finding>& findings);

// Whether a name says that its value is secret: password, passwd, secret, token, api key,
// authorization, cookie, session. Words in a name end at '.', '_', '-', '/' and capital letters.
bool is_secret_name(std::string_view name) noexcept;

}  // namespace spanloom::privacy
