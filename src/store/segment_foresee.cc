#include <algorithm>

#include "store/segment_file.h"
#include "store/segment_filter.h"

// Hints of what will be read (Segment::foresee_...). What is in memory already needs none.
namespace spanloom::store {

void FileSegment::foresee(const BlockPlace& place) const {
    if (file_ != nullptr && place.bytes > 0) file_->foresee(place.offset, place.bytes);
}

void FileSegment::foresee_find() const {
    if (!cache_->has(cache_key(Piece::kTraceIndex))) foresee(footer_.trace_index);
}

void FileSegment::foresee_indexes() const {
    for (const BlockPlace& place :
         {footer_.trace_index, footer_.directory, footer_.followers, footer_.models})
        foresee(place);
}

void FileSegment::foresee_places() const {
    if (!cache_->has(cache_key(Piece::kPlaces))) foresee(footer_.directory);
}

void FileSegment::foresee_place_of(uint64_t hash) const {
    if (footer_.has_filter()) {
        if (footer_.filter_pages > 0)
            foresee(filter_page_place(filter_place(hash, footer_.filter_pages).page));
        return;
    }
    if (footer_.directory.bytes == 0) return;
    const auto directory = places();
    if (!directory) return;
    const PlacesDirectory::Probe probe = (*directory)->probe(hash);
    for (const uint64_t bit : probe.bits)
        if (probe.has_table) foresee(filter_page_place(bit / 8 / kPlacePageBytes));
}

void FileSegment::foresee_places_of(const Field& field, const Value& value) const {
    if (file_ == nullptr) return;
    (void)ask_places(field, value, [this](uint64_t hash) {
        foresee_place_of(hash);
        return PairPlace{PairPlace::Kind::kNowhere, 0};  // go on with the next one
    });
}

void FileSegment::foresee_texts(uint32_t column) const {
    const DictionaryPlace& place = footer_.dictionaries[column];
    if (place.entries > 0 && !cache_->has(cache_key(Piece::kDictionary, column)))
        foresee(place.block);
    if (place.patterns > 0 && !cache_->has(cache_key(Piece::kPatterns, column)))
        foresee(place.patterns_block);
}

void FileSegment::foresee_block(uint32_t column, uint32_t row_group) const {
    if (file_ == nullptr || column >= footer_.columns.size()) return;
    if (const ColumnPlace* place = footer_.find(column, row_group))
        foresee({place->offset, place->bytes});
    foresee_texts(column);
    if (column < kFixedColumns) return;
    // Which rows have a value, and what follows the names.
    const uint32_t order = order_column(footer_.columns[column].table);
    for (const uint32_t needed :
         {order, uint32_t{kColumnName}, uint32_t{kColumnScope}, uint32_t{kColumnParentId}})
        foresee_block(needed, row_group);
    if (!cache_->has(cache_key(Piece::kFollowers))) foresee(footer_.followers);
    if (!cache_->has(cache_key(Piece::kModels))) foresee(footer_.models);
}

void FileSegment::foresee_group(uint32_t row_group) const {
    if (file_ == nullptr || row_group >= footer_.groups.size()) return;
    // The blocks of a group are written one after the other.
    uint64_t begin = UINT64_MAX;
    uint64_t end = 0;
    for (uint32_t i = footer_.first_place[row_group]; i < footer_.first_place[row_group + 1]; ++i) {
        const ColumnPlace& place = footer_.places[i];
        begin = std::min(begin, place.offset);
        end = std::max(end, place.offset + place.bytes);
        foresee_texts(place.column);
    }
    if (begin < end) file_->foresee(begin, end - begin);
}

}  // namespace spanloom::store
