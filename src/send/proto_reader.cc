#include "send/proto_reader.h"

#include <cstring>

namespace spanloom::send {

bool ProtoReader::varint(uint64_t& value) {
    value = 0;
    for (uint32_t shift = 0; shift < 64 && !left_.empty(); shift += 7) {
        const auto byte = static_cast<uint8_t>(left_.front());
        left_.remove_prefix(1);
        value |= static_cast<uint64_t>(byte & 0x7f) << shift;
        if (byte < 0x80) return true;
    }
    return false;
}

bool ProtoReader::take(size_t size, std::string_view& part) {
    if (size > left_.size()) return false;
    part = left_.substr(0, size);
    left_.remove_prefix(size);
    return true;
}

bool ProtoReader::value(uint32_t wire_type) {
    std::string_view raw;
    uint64_t size = 0;
    switch (wire_type) {
        case 0:
            return varint(number_);
        case 1:
            if (!take(8, raw)) return false;
            std::memcpy(&number_, raw.data(), 8);
            return true;
        case 2:
            return varint(size) && take(size, bytes_);
        case 5: {
            if (!take(4, raw)) return false;
            uint32_t small = 0;
            std::memcpy(&small, raw.data(), 4);
            number_ = small;
            return true;
        }
        default:
            return false;  // groups: nothing we read has them
    }
}

bool ProtoReader::next() {
    if (left_.empty() || damaged_) return false;
    number_ = 0;
    bytes_ = {};
    uint64_t tag = 0;
    if (!varint(tag) || tag >> 3 == 0 || tag > UINT32_MAX) {
        damaged_ = true;
        return false;
    }
    field_ = static_cast<uint32_t>(tag >> 3);
    damaged_ = !value(static_cast<uint32_t>(tag & 7));
    return !damaged_;
}

}  // namespace spanloom::send
