#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/hash.h"
#include "store/segment_file.h"
#include "store/segment_filter.h"

namespace spanloom::store {

Result<std::shared_ptr<const PlacesDirectory>> FileSegment::places() const {
    const auto read = [&]() -> Result<PlacesDirectory> {
        TRY_ASSIGN(const Blob body, block(footer_.directory));
        return PlacesDirectory::parse(body.view(), footer_.filter_pages);
    };
    return cached<PlacesDirectory>(Piece::kPlaces, 0, read);
}

BlockPlace FileSegment::filter_page_place(uint64_t number) const {
    const auto page_bytes =
        static_cast<uint32_t>(kFilterPageBytes + checksum_bytes(footer_.version));
    return {footer_.filter_offset + number * page_bytes, page_bytes};
}

Result<Blob> FileSegment::filter_page(uint64_t number) const {
    return block(filter_page_place(number));
}

// A cell of a few bits that begins at this bit of all pages together.
Result<uint32_t> FileSegment::cell(uint64_t bit, uint32_t bits) const {
    const uint64_t byte = bit / 8;
    const size_t inside = byte % kPlacePageBytes;
    TRY_ASSIGN(const Blob page, filter_page(byte / kPlacePageBytes));
    uint32_t held = 0;
    const size_t here = std::min<size_t>(4, page.size() - std::min(page.size(), inside));
    std::memcpy(&held, page.data() + inside, here);
    if (here < 4 && bit % 8 + bits > here * 8) {
        TRY_ASSIGN(const Blob next, filter_page(byte / kPlacePageBytes + 1));
        uint32_t rest = 0;
        std::memcpy(&rest, next.data(), 4);
        held |= rest << (here * 8);
    }
    return held >> (bit % 8) & ((uint32_t{1} << bits) - 1);
}

Result<PairPlace> FileSegment::read_place_of(uint64_t hash) const {
    if (footer_.has_filter()) {
        PairPlace place;
        if (footer_.filter_pages == 0) return PairPlace{PairPlace::Kind::kNowhere, 0};
        const FilterPlace at = filter_place(hash, footer_.filter_pages);
        TRY_ASSIGN(const Blob page, filter_page(at.page));
        if (!filter_page_may_contain(page.view(), at, hash)) place.kind = PairPlace::Kind::kNowhere;
        return place;
    }
    if (footer_.directory.bytes == 0) return PairPlace{};
    TRY_ASSIGN(const auto directory, places());
    const PlacesDirectory::Probe probe = directory->probe(hash);
    std::array<uint32_t, 3> cells{};
    for (size_t i = 0; probe.has_table && i < cells.size(); ++i) {
        TRY_ASSIGN(cells[i], cell(probe.bits[i], directory->cell_bits()));
    }
    PairPlace place = directory->place(probe, cells);
    if (place.group >= footer_.groups.size()) place = {};
    return place;
}

// What is damaged excludes nothing.
PairPlace FileSegment::place_of(uint64_t hash) const {
    const Result<PairPlace> place = read_place_of(hash);
    return place ? *place : PairPlace{};
}

namespace {

// The integer that a number equals, if it is one.
std::optional<int64_t> whole(const Value& value) {
    if (value.kind != ValueKind::kDouble) return value.integer;
    if (!(value.number >= -0x1p63 && value.number < 0x1p63)) return std::nullopt;
    const auto integer = static_cast<int64_t>(value.number);
    if (static_cast<double>(integer) != value.number) return std::nullopt;
    return integer;
}

constexpr PairPlace kAnywhere{PairPlace::Kind::kAnywhere, 0};
constexpr PairPlace kNowhere{PairPlace::Kind::kNowhere, 0};

}  // namespace

PairPlace FileSegment::column_place(const ColumnKey& key, const Value& value,
                                    const AskPair& ask) const {
    const auto place = [&](ValueKind kind, uint64_t hash) {
        return ask(filter_hash(filter_seed(key.scope, key.intrinsic, key.key, kind), hash));
    };
    if (key.type == ColumnType::kValue) return kAnywhere;
    switch (value.kind) {
        case ValueKind::kString:
            if (key.type != ColumnType::kString) return kNowhere;
            if (footer_.version >= 3 && !has_place(value.text)) return kAnywhere;
            return place(ValueKind::kString, hash64(value.text));
        case ValueKind::kBool:
            if (!key.is_boolean) return kNowhere;
            return place(ValueKind::kBool, filter_integer_hash(value.integer));
        case ValueKind::kInt:
        case ValueKind::kDuration:
        case ValueKind::kDouble: {
            if (key.type == ColumnType::kDouble) return kAnywhere;
            if (key.type != ColumnType::kInt || key.is_boolean) return kNowhere;
            // Large integers equal a double that is only near to them.
            if (value.kind == ValueKind::kDouble && std::abs(value.number) > 0x1p53)
                return kAnywhere;
            const auto integer = whole(value);
            return integer ? place(ValueKind::kInt, filter_integer_hash(*integer)) : kNowhere;
        }
        default:
            return kAnywhere;
    }
}

PairPlace FileSegment::message_place(Scope scope, const std::string& key, const Value& value,
                                     const AskPair& ask) const {
    const auto place = [&](ValueKind kind, uint64_t hash) {
        return ask(filter_hash(filter_seed(scope, Intrinsic::kNone, key, kind), hash));
    };
    if (place(ValueKind::kOther, 0).kind != PairPlace::Kind::kNowhere) return kAnywhere;
    switch (value.kind) {
        case ValueKind::kString:
            return place(ValueKind::kString, hash64(value.text));
        case ValueKind::kBool:
            return place(ValueKind::kBool, filter_integer_hash(value.integer));
        case ValueKind::kInt:
        case ValueKind::kDuration:
        case ValueKind::kDouble: {
            if (value.kind == ValueKind::kDouble && std::abs(value.number) > 0x1p53)
                return kAnywhere;
            const auto integer = whole(value);
            return integer ? place(ValueKind::kInt, filter_integer_hash(*integer)) : kNowhere;
        }
        default:
            return kAnywhere;
    }
}

ValuePlaces FileSegment::places_of(const Field& field, const Value& value) const {
    return ask_places(field, value, [this](uint64_t hash) { return place_of(hash); });
}

ValuePlaces FileSegment::ask_places(const Field& field, const Value& value,
                                    const AskPair& ask) const {
    ValuePlaces found;
    if (field.scope == Scope::kIntrinsic) {
        const bool is_kept = field.intrinsic == Intrinsic::kName ||
                             field.intrinsic == Intrinsic::kStatusMessage ||
                             field.intrinsic == Intrinsic::kEventName ||
                             field.intrinsic == Intrinsic::kInstrumentationName ||
                             field.intrinsic == Intrinsic::kInstrumentationVersion;
        const bool is_askable = is_kept && value.kind == ValueKind::kString && !value.text.empty();
        const uint64_t seed =
            filter_seed(Scope::kIntrinsic, field.intrinsic, {}, ValueKind::kString);
        found.add(is_askable ? ask(filter_hash(seed, hash64(value.text))) : kAnywhere);
        return found;
    }
    const auto wants = [&](Scope scope) {
        return field.scope == Scope::kAny || field.scope == scope;
    };
    constexpr std::array<Scope, 3> kTableScopes = {Scope::kSpan, Scope::kEvent, Scope::kLink};
    for (size_t table = 0; table < kTableScopes.size(); ++table)
        if (wants(kTableScopes[table]) && has_overflow_[table]) found.is_anywhere = true;
    for (size_t column = kFixedColumns; column < footer_.columns.size(); ++column) {
        const ColumnKey& key = footer_.columns[column];
        if (found.is_anywhere) return found;
        if (wants(key.scope) && key.key == field.key) found.add(column_place(key, value, ask));
    }
    for (const Scope scope : {Scope::kResource, Scope::kInstrumentation})
        if (wants(scope) && !found.is_anywhere)
            found.add(message_place(scope, field.key, value, ask));
    return found;
}

}  // namespace spanloom::store
