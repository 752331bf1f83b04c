#include "privacy/number_checks.h"

#include <cstdint>

#include "privacy/character_class.h"

namespace spanloom::privacy {
namespace {

bool passes_luhn(std::string_view digits) noexcept {
    uint32_t sum = 0;
    for (size_t i = 0; i < digits.size(); ++i) {
        uint32_t digit = static_cast<uint32_t>(digits[digits.size() - 1 - i] - '0');
        if (i % 2 == 1) digit = digit * 2 > 9 ? digit * 2 - 9 : digit * 2;
        sum += digit;
    }
    return sum % 10 == 0;
}

struct Issuer {
    uint32_t prefix_min;  // of the first four digits
    uint32_t prefix_max;
    uint32_t digits_min;
    uint32_t digits_max;
};
constexpr Issuer kIssuers[] = {
    {4000, 4999, 13, 19},  // Visa
    {5100, 5599, 16, 16},  // Mastercard
    {2221, 2720, 16, 16},  // Mastercard
    {3400, 3499, 15, 15},  // American Express
    {3700, 3799, 15, 15},  // American Express
    {6011, 6011, 16, 19},  // Discover
    {6440, 6599, 16, 19},  // Discover
    {3528, 3589, 16, 19},  // JCB
    {3000, 3059, 14, 19},  // Diners Club
    {3600, 3699, 14, 19},  // Diners Club
    {3800, 3999, 14, 19},  // Diners Club
    {6200, 6299, 16, 19},  // UnionPay
};

}  // namespace

bool is_card_number(std::string_view digits) noexcept {
    if (digits.size() < 13 || digits.size() > 19) return false;
    uint32_t prefix = 0;
    for (size_t i = 0; i < 4; ++i)
        prefix = prefix * 10 + static_cast<uint32_t>(digits[i] - '0');
    for (const Issuer& issuer : kIssuers) {
        if (prefix >= issuer.prefix_min && prefix <= issuer.prefix_max &&
            digits.size() >= issuer.digits_min && digits.size() <= issuer.digits_max)
            return passes_luhn(digits);
    }
    return false;
}

size_t iban_size(std::string_view country) noexcept {
    // ISO 13616's registry: country, then its length.
    static constexpr std::string_view kSizes =
        "AD24AE23AL28AT20AZ28BA20BE16BG22BH22BI27BR29BY28CH21CR22CY28CZ24DE22DJ27DK18DO28EE20EG29"
        "ES24FI18FK18FO18FR27GB22GE22GI23GL18GR27GT28HR21HU28IE22IL23IQ23IS26IT27JO30KW30KZ20LB28"
        "LC32LI21LT20LU20LV21LY25MC27MD24ME22MK19MN20MR27MT31MU30NI28NL18NO15OM23PK24PL28PS29PT25"
        "QA29RO24RS22RU33SA24SC31SD18SE24SI19SK24SM27SO23ST25SV28TL23TN24TR26UA29VA22VG24XK20YE30";
    for (size_t i = 0; i < kSizes.size(); i += 4) {
        if (kSizes.substr(i, 2) == country)
            return static_cast<size_t>((kSizes[i + 2] - '0') * 10 + (kSizes[i + 3] - '0'));
    }
    return 0;
}

bool is_iban(std::string_view text) noexcept {
    if (text.size() < 5 || text.size() != iban_size(text.substr(0, 2))) return false;
    uint32_t remainder = 0;
    for (size_t i = 0; i < text.size(); ++i) {
        const char c = text[(i + 4) % text.size()];
        if (is_digit(c)) {
            remainder = (remainder * 10 + static_cast<uint32_t>(c - '0')) % 97;
        } else if (is_upper(c)) {
            remainder = (remainder * 100 + static_cast<uint32_t>(c - 'A' + 10)) % 97;
        } else {
            return false;
        }
    }
    return remainder == 1;
}

}  // namespace spanloom::privacy
