#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "store/segment_writer.h"

namespace spanloom::store {

// What a rollup function is to see: one entry per row of the whole segment.
struct SegmentWriter::Operations {
    TextTable names;
    TextTable keys;  // service code, name code, kind
    std::vector<OperationKey> operations;
    std::vector<uint32_t> service_of_scope;
    std::vector<uint32_t> operation;
    std::vector<uint64_t> start_ns;
    std::vector<uint64_t> duration_ns;
    std::vector<uint8_t> is_error;
    std::vector<double> weight;

    // What came lately, by service, code of the name and kind: names are looked up once.
    struct Known {
        uint32_t service = UINT32_MAX;
        uint32_t name_code = 0;
        uint32_t generation = 0;
        uint32_t operation = 0;
        int64_t kind = 0;
    };
    std::array<Known, 1024> known;

    uint32_t operation_of(uint32_t service, const TextColumn& names_of_column, uint32_t name_code,
                          int64_t kind) {
        const uint64_t mixed =
            (uint64_t{service} << 40 ^ uint64_t{name_code} << 3 ^ static_cast<uint64_t>(kind)) *
            0x9e3779b97f4a7c15U;
        Known& one = known[mixed >> 54];
        if (one.service == service && one.name_code == name_code && one.kind == kind &&
            one.generation == names_of_column.generation)
            return one.operation;
        one = {service, name_code, names_of_column.generation,
               operation_of(service, names_of_column.table.text(name_code), kind), kind};
        return one.operation;
    }

    uint32_t operation_of(uint32_t service, std::string_view name, int64_t kind) {
        struct Key {
            uint32_t service;
            uint32_t name;
            int64_t kind;
        };
        const Key key{service, names.intern(name), kind >= 0 && kind <= 5 ? kind : 0};
        const std::string_view bytes(reinterpret_cast<const char*>(&key), sizeof key);
        const uint32_t code = keys.intern(bytes);
        if (code == operations.size())
            operations.push_back(
                {names.text(service), names.text(key.name), static_cast<otlp::SpanKind>(key.kind)});
        return code;
    }
};

}  // namespace spanloom::store
