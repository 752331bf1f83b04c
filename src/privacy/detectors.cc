#include "privacy/detectors.h"

#include <algorithm>
#include <array>
#include <optional>

#include "base/text.h"
#include "privacy/character_class.h"
#include "privacy/number_checks.h"

namespace spanloom::privacy {
namespace {

constexpr size_t kLocalPartBytesMax = 64;  // RFC 5321
constexpr size_t kDomainBytesMax = 253;
constexpr size_t kContextBytes = 24;  // before a number, in which a word may say what it is

// What may begin something at a byte; the pass stops only there.
enum Trigger : uint8_t { kNone, kDigit, kUpperLetter, kLowerLetter, kAt, kPlus, kDash, kColon };

constexpr std::array<uint8_t, 256> make_triggers() {
    std::array<uint8_t, 256> table{};
    for (int c = '0'; c <= '9'; ++c)
        table[static_cast<size_t>(c)] = kDigit;
    for (int c = 'A'; c <= 'Z'; ++c)
        table[static_cast<size_t>(c)] = kUpperLetter;
    for (int c = 'a'; c <= 'z'; ++c)
        table[static_cast<size_t>(c)] = kLowerLetter;
    table['@'] = kAt;
    table['%'] = kAt;  // as %40
    table['+'] = kPlus;
    table['-'] = kDash;
    table[':'] = kColon;
    return table;
}
constexpr std::array<uint8_t, 256> kTriggers = make_triggers();

bool is_token_byte(char c) noexcept {
    return is_alnum(c) || c == '-' || c == '_' || c == '.' || c == '~' || c == '+' || c == '/' ||
           c == '=';
}
bool is_base64url(char c) noexcept {
    return is_alnum(c) || c == '-' || c == '_';
}
bool is_local_byte(char c) noexcept {
    return is_alnum(c) || c == '.' || c == '_' || c == '+' || c == '-';
}

bool equals_lower(std::string_view text, std::string_view lower) noexcept {
    return text.size() == lower.size() &&
           std::equal(text.begin(), text.end(), lower.begin(),
                      [](char a, char b) { return to_lower(a) == b; });
}

// The pass over one text. Each probe looks a bounded way ahead, or over bytes that the pass then
// leaves behind, or (runs of token bytes) is tried only where a run begins.
class Pass {
  public:
    Pass(std::string_view text, std::string_view context, DetectorSet detectors,
         std::vector<Finding>& findings)
        : text_(text), context_(context), detectors_(detectors), findings_(findings) {}

    void run() {
        while (at_ < text_.size()) {
            switch (kTriggers[static_cast<uint8_t>(text_[at_])]) {
                case kNone:
                    ++at_;
                    break;
                case kAt:
                    step(try_email());
                    break;
                case kDigit:
                    step(starts_word() && (try_ipv6() || try_number()));
                    skip_run(&is_digit);
                    break;
                case kUpperLetter:
                    step(starts_word() && (try_iban() || try_letters()));
                    break;
                case kLowerLetter:
                    step(starts_word() && try_letters());
                    break;
                case kPlus:
                    step(try_phone());
                    break;
                case kDash:
                    step(try_private_key());
                    break;
                default:
                    step(starts_word() && try_ipv6());
                    break;
            }
        }
    }

  private:
    void step(bool found) {
        if (!found) ++at_;
        found_here_ = found;
    }
    // After a number that was none: its other digits begin nothing new.
    void skip_run(bool (*fits)(char) noexcept) {
        if (found_here_) return;
        while (at_ < text_.size() && fits(text_[at_]))
            ++at_;
    }
    char byte(size_t i) const noexcept { return i < text_.size() ? text_[i] : '\0'; }
    std::string_view part(size_t begin, size_t end) const noexcept {
        return text_.substr(begin, end - begin);
    }
    bool starts_word() const noexcept { return at_ == 0 || !is_alnum(text_[at_ - 1]); }
    bool ends_word(size_t end) const noexcept { return !is_alnum(byte(end)) && byte(end) != '@'; }

    bool found(Detector detector, size_t begin, size_t end) {
        findings_.push_back({detector, begin, end});
        at_ = end;
        done_ = end;
        return true;
    }

    // ---- user@host.tld, also with the sign as %40
    bool try_email() {
        const bool is_escaped = text_[at_] == '%';
        if (!detectors_.has(Detector::kEmail) ||
            (is_escaped && (byte(at_ + 1) != '4' || byte(at_ + 2) != '0')))
            return false;
        const size_t first = std::max(done_, at_ - std::min(at_, kLocalPartBytesMax));
        size_t begin = at_;
        while (begin > first && is_local_byte(text_[begin - 1]))
            --begin;
        const size_t host = at_ + (is_escaped ? 3 : 1);
        size_t end = host;
        const size_t last = std::min(text_.size(), host + kDomainBytesMax);
        while (end < last && (is_alnum(text_[end]) || text_[end] == '-' ||
                              (text_[end] == '.' && end > host && text_[end - 1] != '.')))
            ++end;
        while (end > host && !is_alnum(text_[end - 1]))
            --end;
        const std::string_view domain = part(host, end);
        const size_t dot = domain.rfind('.');
        const bool has_top_level =
            dot != std::string_view::npos && domain.size() - dot > 2 && is_letter(domain.back());
        return begin < at_ && has_top_level && found(Detector::kEmail, begin, end);
    }

    // ---- what begins with a digit
    bool try_number() { return try_card() || try_ssn() || try_ipv4() || try_phone(); }
    bool try_card() {
        if (!detectors_.has(Detector::kCard)) return false;
        std::array<char, 20> digits;
        size_t count = 0;
        size_t end = at_;
        // One blank or dash between groups, as cards show their number.
        while (count < digits.size()) {
            if (is_digit(byte(end))) {
                digits[count++] = text_[end++];
            } else if ((byte(end) == ' ' || byte(end) == '-') && is_digit(byte(end + 1)) &&
                       count > 0) {
                ++end;
            } else {
                break;
            }
        }
        // "4111 1111 1111 1111 12/27": what follows in another group is not the number's.
        while (count >= 13) {
            if (ends_word(end) && is_card_number({digits.data(), count}))
                return found(Detector::kCard, at_, end);
            do {
                --end;
                --count;
            } while (count >= 13 && is_digit(text_[end - 1]));
            if (count < 13) break;
            --end;  // the separator
        }
        return false;
    }
    bool try_ssn() {
        if (!detectors_.has(Detector::kSsn) || text_.size() - at_ < 11) return false;
        const std::string_view number = text_.substr(at_, 11);
        for (size_t i = 0; i < number.size(); ++i) {
            if ((i == 3 || i == 6) ? number[i] != '-' : !is_digit(number[i])) return false;
        }
        const std::string_view area = number.substr(0, 3);
        if (area == "000" || area == "666" || area[0] == '9' || number.substr(4, 2) == "00" ||
            number.substr(7) == "0000" || !ends_word(at_ + 11) || byte(at_ + 11) == '-')
            return false;
        return found(Detector::kSsn, at_, at_ + 11);
    }
    bool try_ipv4() {
        if (!detectors_.has(Detector::kIpv4) || (at_ > 0 && text_[at_ - 1] == '.')) return false;
        size_t end = at_;
        for (int octet = 0; octet < 4; ++octet) {
            if (octet > 0 && byte(end++) != '.') return false;
            int value = 0;
            size_t digits = 0;
            while (is_digit(byte(end)) && digits < 3) {
                value = value * 10 + (text_[end++] - '0');
                ++digits;
            }
            if (digits == 0 || value > 255) return false;
        }
        if (!ends_word(end) || (byte(end) == '.' && is_digit(byte(end + 1)))) return false;
        return found(Detector::kIpv4, at_, end);
    }
    // Seven to fifteen digits in groups (E.164), where a word before them says what they are, or
    // they begin with '+'.
    bool try_phone() {
        if (!detectors_.has(Detector::kPhone)) return false;
        const bool is_international = text_[at_] == '+';
        size_t end = at_ + (is_international ? 1 : 0);
        size_t digits = 0;
        size_t last_digit = 0;
        while (digits <= 15) {
            const char c = byte(end);
            if (is_digit(c)) {
                ++digits;
                last_digit = end;
            } else if (c != ' ' && c != '-' && c != '.' && c != '(' && c != ')' && c != '/') {
                break;
            } else if (end > last_digit + 2 && digits > 0) {
                break;
            } else if (digits == 0 && c != '(') {
                break;
            }
            ++end;
        }
        if (digits < 7 || digits > 15 || !ends_word(last_digit + 1)) return false;
        if (is_international ? digits < 8 || !follows_blank() : !has_phone_word()) return false;
        const bool is_bracketed = at_ > done_ && text_[at_ - 1] == '(';
        return found(Detector::kPhone, at_ - (is_bracketed ? 1 : 0), last_digit + 1);
    }
    bool follows_blank() const noexcept {
        return at_ == 0 || (!is_alnum(text_[at_ - 1]) && text_[at_ - 1] != '%');
    }
    bool has_phone_word() const noexcept {
        const size_t begin = at_ - std::min(at_, kContextBytes);
        return names_phone(part(std::max(begin, std::min(done_, at_)), at_)) ||
               names_phone(context_.substr(0, 256));
    }
    static bool names_phone(std::string_view text) noexcept {
        static constexpr std::string_view kWords[] = {"phone", "mobile", "telephone", "tel",
                                                      "fax",   "cell",   "msisdn",    "whatsapp"};
        for (size_t i = 0; i < text.size(); ++i) {
            if (i > 0 && is_alnum(text[i - 1])) continue;
            for (const std::string_view word : kWords) {
                if (equals_lower(text.substr(i, word.size()), word) &&
                    (i + word.size() == text.size() || !is_lower(text[i + word.size()])))
                    return true;
            }
        }
        return false;
    }

    // ---- what begins with a letter
    bool try_iban() {
        if (!detectors_.has(Detector::kIban) || !is_digit(byte(at_ + 2)) || text_.size() - at_ < 15)
            return false;
        const size_t size = iban_size(text_.substr(at_, 2));
        std::array<char, 40> iban;
        size_t count = 0;
        size_t end = at_;
        while (count < size) {
            const char c = byte(end);
            if (is_digit(c) || is_upper(c)) {
                iban[count++] = c;
            } else if ((c != ' ' && c != '-') || count % 4 != 0) {
                return false;
            }
            ++end;
        }
        return count > 0 && ends_word(end) && is_iban({iban.data(), count}) &&
               found(Detector::kIban, at_, end);
    }
    bool try_letters() {
        switch (text_[at_]) {
            case 'e':
                return try_jwt();
            case 'B':
            case 'b':
                return try_credential() || try_ipv6();
            case 'A':
                return try_aws_key() || try_ipv6();
            case 'g':
                return try_prefixed(Detector::kGithubToken, "gh", 2, 3, 36) ||
                       try_prefixed(Detector::kGithubToken, "github_pat_", 0, 11, 22);
            case 'x':
                return try_prefixed(Detector::kSlackToken, "xox", 1, 4, 10);
            default:
                return is_hex(text_[at_]) && try_ipv6();
        }
    }
    // The end of a run that is tried once, where it begins.
    template <typename Fits>
    size_t run_end(size_t from, Fits fits) const noexcept {
        while (from < text_.size() && fits(text_[from]))
            ++from;
        return from;
    }
    bool try_jwt() {
        if (text_.substr(at_, 3) != "eyJ") return detectors_.has(Detector::kIpv6) && try_ipv6();
        // A run that goes on from before was tried where it began.
        if (!detectors_.has(Detector::kJwt) || (at_ > 0 && is_base64url(text_[at_ - 1])))
            return false;
        const size_t header = run_end(at_, is_base64url);
        if (byte(header) != '.' || header - at_ < 10) return false;
        const size_t claims = run_end(header + 1, is_base64url);
        if (byte(claims) != '.' || claims - header < 5) return false;
        const size_t signature = run_end(claims + 1, is_base64url);
        return found(Detector::kJwt, at_, signature);
    }
    // The scheme stays: it tells how a caller authenticates.
    bool try_credential() {
        if (!detectors_.has(Detector::kCredential)) return false;
        const bool is_bearer = equals_lower(text_.substr(at_, 6), "bearer");
        const size_t scheme = is_bearer ? 6 : equals_lower(text_.substr(at_, 5), "basic") ? 5 : 0;
        if (scheme == 0) return false;
        size_t begin = at_ + scheme;
        if (byte(begin) == ' ') {
            ++begin;
        } else if (text_.substr(begin, 3) == "%20") {
            begin += 3;
        } else {
            return false;
        }
        const size_t end = run_end(begin, is_token_byte);
        const std::string_view token = part(begin, end);
        if (!(is_bearer ? looks_random(token) : is_user_and_password(token))) return false;
        return found(Detector::kCredential, begin, end);
    }
    // "bearer authentication" is no token: one is long, or has a digit.
    static bool looks_random(std::string_view token) noexcept {
        return token.size() >= 24 ||
               (token.size() >= 8 && std::any_of(token.begin(), token.end(), is_digit));
    }
    static bool is_user_and_password(std::string_view token) {
        if (token.size() < 4 || token.size() > 4096) return false;
        const std::optional<std::string> decoded = parse_base64(token);
        return decoded.has_value() && decoded->find(':') != std::string::npos;
    }
    bool try_aws_key() {
        if (!detectors_.has(Detector::kAwsKey)) return false;
        const std::string_view prefix = text_.substr(at_, 4);
        if (prefix != "AKIA" && prefix != "ASIA") return false;
        for (size_t i = at_ + 4; i < at_ + 20; ++i) {
            if (!is_upper(byte(i)) && !is_digit(byte(i))) return false;
        }
        return ends_word(at_ + 20) && found(Detector::kAwsKey, at_, at_ + 20);
    }
    // ghp_, gho_, ...; xoxb-, xoxp-, ...: a prefix with `any` free letters, and what follows.
    bool try_prefixed(Detector detector, std::string_view prefix, size_t any, size_t size,
                      size_t rest_min) {
        if (!detectors_.has(detector) || text_.substr(at_, prefix.size()) != prefix) return false;
        if (any == 2) {  // gh[pousr]_
            if (std::string_view("pousr").find(byte(at_ + 2)) == std::string_view::npos ||
                byte(at_ + 3) != '_')
                return false;
            ++size;
        } else if (any == 1 && (!is_letter(byte(at_ + 3)) || byte(at_ + 4) != '-')) {
            return false;
        }
        const size_t end = run_end(at_ + size, is_base64url);
        return end - at_ >= size + rest_min && found(detector, at_, end);
    }

    // ---- blocks and addresses
    bool try_private_key() {
        constexpr std::string_view kBegin = "-----BEGIN ";
        constexpr std::string_view kLabel = "PRIVATE KEY-----";
        if (!detectors_.has(Detector::kPrivateKey) || text_.substr(at_, kBegin.size()) != kBegin)
            return false;
        const std::string_view head = text_.substr(at_ + kBegin.size(), 64);
        if (head.find(kLabel) == std::string_view::npos) return false;
        constexpr std::string_view kEnd = "-----END ";
        const size_t end_line = text_.find(kEnd, at_ + kBegin.size());
        if (end_line == std::string_view::npos)
            return found(Detector::kPrivateKey, at_, text_.size());
        const size_t dashes = text_.substr(0, end_line + 64).find("-----", end_line + kEnd.size());
        return found(Detector::kPrivateKey, at_,
                     dashes == std::string_view::npos ? text_.size() : dashes + 5);
    }
    // Eight groups, or fewer around one "::"; at least two colons.
    bool try_ipv6() {
        if (!detectors_.has(Detector::kIpv6) || (at_ > 0 && text_[at_ - 1] == ':')) return false;
        size_t end = at_;
        int groups = 0;
        int gaps = 0;
        while (groups < 8) {
            size_t digits = 0;
            while (is_hex(byte(end)) && digits < 5) {
                ++end;
                ++digits;
            }
            if (digits > 4 || (digits == 0 && end != at_ && byte(end - 1) != ':')) return false;
            if (digits > 0) ++groups;
            if (byte(end) != ':') break;
            if (byte(end + 1) == ':') {
                if (++gaps > 1) return false;
                end += 2;
                if (!is_hex(byte(end))) break;
            } else if (digits > 0 && is_hex(byte(end + 1)) && groups < 8) {
                ++end;
            } else {
                break;
            }
        }
        const bool is_address = gaps == 1 ? groups >= 1 && groups < 8 : groups == 8;
        return is_address && ends_word(end) && byte(end) != ':' && found(Detector::kIpv6, at_, end);
    }

    std::string_view text_;
    std::string_view context_;
    DetectorSet detectors_;
    std::vector<Finding>& findings_;
    size_t at_ = 0;
    size_t done_ = 0;  // the end of the last finding
    bool found_here_ = false;
};

constexpr std::string_view kNames[kDetectors] = {
    "email",        "card",        "iban",        "ssn",   "jwt",  "credential", "aws_key",
    "github_token", "slack_token", "private_key", "phone", "ipv4", "ipv6"};

}  // namespace

std::string_view detector_name(Detector detector) noexcept {
    return kNames[static_cast<size_t>(detector)];
}

void find_personal_data(std::string_view text, std::string_view context, DetectorSet detectors,
                        std::vector<Finding>& findings) {
    Pass(text, context, detectors, findings).run();
}

}  // namespace spanloom::privacy
