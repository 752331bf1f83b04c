#include "store/stored_counts.h"

#include <cstring>
#include <utility>

#include <protozero/pbf_reader.hpp>
#include <protozero/pbf_writer.hpp>

#include "base/hash.h"
#include "store/store_paths.h"

namespace spanloom::store {
namespace {

constexpr std::string_view kMagic = "SPANCNT2";
constexpr std::string_view kMagicBefore = "SPANCNT1";
constexpr size_t kHeadBytes = kMagic.size() + sizeof(uint64_t);

}  // namespace

CountsDetail counts_detail(uint32_t number) {
    const bool is_known = number >= static_cast<uint32_t>(CountsDetail::kShort) &&
                          number <= static_cast<uint32_t>(CountsDetail::kMonth);
    return is_known ? static_cast<CountsDetail>(number) : CountsDetail::kMinutes;
}

std::string encode_counts(const CountsFile& file, std::string_view counts) {
    std::string body;
    protozero::pbf_writer writer(body);
    writer.add_string(1, file.tenant);
    writer.add_uint64(2, file.hour);
    writer.add_fixed64(4, file.start_ns_min);
    writer.add_fixed64(5, file.end_ns_max);
    writer.add_bytes(6, counts.data(), counts.size());
    writer.add_uint32(7, static_cast<uint32_t>(file.detail));
    const uint64_t checksum = hash64(body);
    std::string bytes(kMagic);
    bytes.append(reinterpret_cast<const char*>(&checksum), sizeof checksum);
    return bytes + body;
}

Result<CountsReading> decode_counts(std::string_view bytes) {
    if (bytes.size() < kHeadBytes ||
        (!bytes.starts_with(kMagic) && !bytes.starts_with(kMagicBefore)))
        return fail(ErrorCode::kDataLoss, "this is no file of counts");
    uint64_t checksum = 0;
    std::memcpy(&checksum, bytes.data() + kMagic.size(), sizeof checksum);
    const std::string_view body = bytes.substr(kHeadBytes);
    if (hash64(body) != checksum) return fail(ErrorCode::kDataLoss, "the checksum is wrong");
    CountsReading reading;
    reading.file.bytes = bytes.size();
    reading.file.detail = CountsDetail::kMinutes;
    try {
        protozero::pbf_reader reader(body.data(), body.size());
        while (reader.next()) {
            switch (reader.tag_and_type()) {
                case protozero::tag_and_type(1, protozero::pbf_wire_type::length_delimited):
                    reading.file.tenant = reader.get_string();
                    break;
                case protozero::tag_and_type(2, protozero::pbf_wire_type::varint):
                    reading.file.hour = reader.get_uint64();
                    break;
                case protozero::tag_and_type(3, protozero::pbf_wire_type::varint):
                    // Of version 1.
                    if (reader.get_bool()) reading.file.detail = CountsDetail::kHours;
                    break;
                case protozero::tag_and_type(4, protozero::pbf_wire_type::fixed64):
                    reading.file.start_ns_min = reader.get_fixed64();
                    break;
                case protozero::tag_and_type(5, protozero::pbf_wire_type::fixed64):
                    reading.file.end_ns_max = reader.get_fixed64();
                    break;
                case protozero::tag_and_type(6, protozero::pbf_wire_type::length_delimited):
                    reading.counts = reader.get_bytes();
                    break;
                case protozero::tag_and_type(7, protozero::pbf_wire_type::varint):
                    reading.file.detail = counts_detail(reader.get_uint32());
                    break;
                default:
                    reader.skip();
            }
        }
    } catch (const protozero::exception&) {
        return fail(ErrorCode::kDataLoss, "its fields are damaged");
    }
    return reading;
}

Result<std::string> StoredCounts::read() const {
    const std::string path = beside_path(kCounts, file_.tenant, {file_.hour, file_.id});
    TRY_ASSIGN(const Blob bytes, io_.read_all(path));
    Result<CountsReading> reading = decode_counts(bytes.view());
    if (!reading) return fail(reading.error().code, "{}: {}", path, reading.error().message);
    return std::move(reading->counts);
}

}  // namespace spanloom::store
