#include "sdk/otlp_request.h"

namespace spanloom {
namespace {

// A tag of one byte and a length of up to five.
constexpr size_t kHeadBytesMax = 6;
constexpr size_t kHeadsOfRequest = 3;  // the resource spans, the resource, its schema
constexpr size_t kHeadsOfGroup = 3;    // the scope spans, the scope, its schema

size_t varint_bytes(size_t value) {
    size_t bytes = 1;
    for (; value >= 0x80; value >>= 7)
        ++bytes;
    return bytes;
}

size_t field_bytes(std::string_view bytes) {
    return 1 + varint_bytes(bytes.size()) + bytes.size();
}

size_t optional_field_bytes(std::string_view bytes) {
    return bytes.empty() ? 0 : field_bytes(bytes);
}

size_t group_bytes_bound(const SpanBatch& batch, const SpanGroup& group) {
    return batch.resource.size() + batch.resource_schema_url.size() + group.scope.size() +
           group.schema_url.size() + (kHeadsOfRequest + kHeadsOfGroup) * kHeadBytesMax;
}

}  // namespace

void OtlpRequest::head(uint32_t field, size_t size) {
    const size_t from = heads_.size();
    heads_ += static_cast<char>(field << 3 | 2);
    for (; size >= 0x80; size >>= 7)
        heads_ += static_cast<char>(size | 0x80);
    heads_ += static_cast<char>(size);
    pieces_.add(std::string_view(heads_).substr(from));
}

void OtlpRequest::field(uint32_t number, std::string_view bytes) {
    head(number, bytes.size());
    pieces_.add(bytes);
}

const send::Pieces& OtlpRequest::build(const SpanBatch& batch) {
    heads_.clear();
    pieces_.clear();
    scope_bytes_.clear();
    // The pieces point into it, so it must not grow on the way.
    heads_.reserve((kHeadsOfRequest + batch.group_count * kHeadsOfGroup + batch.span_count) *
                   kHeadBytesMax);
    size_t total = field_bytes(batch.resource) + optional_field_bytes(batch.resource_schema_url);
    for (const SpanGroup& group : batch) {
        size_t bytes = field_bytes(group.scope) + optional_field_bytes(group.schema_url);
        for (size_t i = 0; i < group.span_count; ++i)
            bytes += field_bytes(group.spans[i]);
        scope_bytes_.push_back(bytes);
        total += 1 + varint_bytes(bytes) + bytes;
    }
    head(1, total);
    field(1, batch.resource);
    for (size_t g = 0; g < batch.group_count; ++g) {
        const SpanGroup& group = batch.groups[g];
        head(2, scope_bytes_[g]);
        field(1, group.scope);
        for (size_t i = 0; i < group.span_count; ++i)
            field(2, group.spans[i]);
        if (!group.schema_url.empty()) field(3, group.schema_url);
    }
    if (!batch.resource_schema_url.empty()) field(3, batch.resource_schema_url);
    return pieces_;
}

size_t request_bytes_bound(const SpanBatch& batch) {
    size_t bytes = batch.span_bytes + batch.span_count * kHeadBytesMax + batch.resource.size() +
                   batch.resource_schema_url.size() + kHeadsOfRequest * kHeadBytesMax;
    for (const SpanGroup& group : batch)
        bytes += group_bytes_bound(batch, group);
    return bytes;
}

std::vector<std::vector<SpanGroup>> split_batch(const SpanBatch& batch, size_t bytes_max,
                                                size_t& refused) {
    std::vector<std::vector<SpanGroup>> parts(1);
    size_t bytes = 0;
    for (const SpanGroup& group : batch) {
        const size_t overhead = group_bytes_bound(batch, group);
        bool is_begun = false;
        for (size_t i = 0; i < group.span_count; ++i) {
            const size_t span = group.spans[i].size() + kHeadBytesMax;
            if (overhead + span > bytes_max) {
                ++refused;
                is_begun = false;  // what follows is not beside what went before
                continue;
            }
            const size_t more = span + (is_begun ? 0 : overhead);
            if (bytes + more > bytes_max && !parts.back().empty()) {
                parts.emplace_back();
                bytes = 0;
                is_begun = false;
            }
            if (!is_begun) {
                parts.back().push_back(group);
                parts.back().back().spans = group.spans + i;
                parts.back().back().span_count = 0;
                bytes += overhead;
                is_begun = true;
            }
            ++parts.back().back().span_count;
            bytes += span;
        }
    }
    if (parts.back().empty()) parts.pop_back();
    return parts;
}

SpanBatch batch_of(const SpanBatch& whole, const std::vector<SpanGroup>& groups) {
    SpanBatch part = whole;
    part.groups = groups.data();
    part.group_count = groups.size();
    part.span_count = part.span_bytes = 0;
    for (const SpanGroup& group : groups) {
        part.span_count += group.span_count;
        for (size_t i = 0; i < group.span_count; ++i)
            part.span_bytes += group.spans[i].size();
    }
    return part;
}

}  // namespace spanloom
