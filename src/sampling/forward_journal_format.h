#pragma once

#include <cstdint>
#include <cstring>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/io.h"
#include "base/result.h"
#include "sampling/forward_journal.h"

// The bytes of docs/format/forward.md, for those who write and read files of a journal.
namespace spanloom::sampling::journal {

constexpr std::string_view kExtension = ".fwd";
constexpr size_t kHeaderBytes = 32;

enum Kind : uint32_t { kEntries = 1, kDropped = 2, kSent = 3, kRules = 4 };

template <typename T>
void put(std::string& out, T value) {
    out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

// Reads numbers and bytes off a payload; what is not there is 0, and noted.
class Fields {
  public:
    explicit Fields(std::string_view bytes) : rest_(bytes) {}

    template <typename T>
    T number() {
        T value = 0;
        const std::string_view taken = bytes(sizeof value);
        if (taken.size() == sizeof value) std::memcpy(&value, taken.data(), sizeof value);
        return value;
    }
    std::string_view bytes(size_t size) {
        if (size > rest_.size()) {
            is_short_ = true;
            return {};
        }
        const std::string_view taken = rest_.substr(0, size);
        rest_.remove_prefix(size);
        return taken;
    }
    bool is_short() const { return is_short_; }

  private:
    std::string_view rest_;
    bool is_short_ = false;
};

// The first bytes of a file.
struct Header {
    uint64_t seed = 0;   // of hashes of ids
    uint64_t first = 0;  // number of the first entry that may follow
};
std::string encode_header(const Header& header);
// nullopt: the process ended before it was written.
std::optional<Header> decode_header(std::string_view bytes);

// What entries, and hashes of dropped traces, have before them.
struct Head {
    uint64_t at_ns = 0;
    uint64_t held_from_ns = 0;
    uint64_t first = 0;
    uint32_t count = 0;
};
void put_head(std::string& out, const Head& head);
Head read_head(Fields& fields);

void put_record(std::string& out, Kind kind, std::string_view payload);
std::string encode_entries(std::span<const ForwardEntry> entries, const Head& head);
std::string encode_sent(uint64_t first, std::span<const uint32_t> rows, const ForwardEnd& end);
std::string encode_rules(const std::vector<std::string>& names);

// Rules by the numbers that the file has for them.
void read_entries(std::string_view payload, const std::function<void(ForwardEntry)>& visit);
void read_dropped(std::string_view payload, const std::function<void(uint64_t hash)>& visit);
void read_sent(std::string_view payload,
               const std::function<void(uint64_t first, std::span<const uint32_t> rows,
                                        const ForwardEnd& end)>& visit);
std::vector<std::string> read_rules(std::string_view payload);

// Every whole record of a file; where the last of them ends.
Result<uint64_t> read_records(
    const ReadableFile& file,
    const std::function<void(uint32_t kind, std::string_view payload)>& record);

}  // namespace spanloom::sampling::journal
