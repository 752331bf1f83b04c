#include <algorithm>

#include "store/column.h"
#include "store/column_part.h"
#include "store/column_patterns.h"
#include "store/segment_bytes.h"

namespace spanloom::store {
namespace {

tl::unexpected<Error> damaged(std::string_view what) {
    return fail(ErrorCode::kDataLoss, "{}", what);
}

// False where patterns do not promise to be smaller; then nothing is written.
bool encode_patterns(std::span<const std::string_view> texts, int zstd_level, std::string& out) {
    if (texts.size() < 8) return false;
    TextPatterns patterns;
    TakenTexts taken;
    for (size_t i = 0; i < texts.size(); ++i) {
        if (!taken.add(texts[i], patterns)) return false;
        // Seen early: every text is a pattern of its own.
        if ((i == 127 || i == 511) && !taken.may_pay()) return false;
    }
    if (!taken.pays()) return false;
    ByteWriter writer(out);
    writer.u8(static_cast<uint8_t>(ListForm::kPatterns));
    writer.varint(patterns.size());
    std::vector<std::string_view> list;
    for (uint32_t code = 0; code < patterns.size(); ++code)
        list.push_back(patterns.text(code));
    std::string body;
    encode_joined_texts(list, zstd_level, body);
    writer.text(body);
    taken.encode(
        taken.all(), patterns,
        [zstd_level](std::span<const int64_t> codes, std::string& to) {
            encode_integers(codes, zstd_level, to);
        },
        zstd_level, out);
    return true;
}

// Texts end to end, with their lengths before them.
struct JoinedTexts {
    std::string_view texts;
    Blob storage;
};

Result<JoinedTexts> read_joined(ByteReader& reader, size_t count, const Blob& owner,
                                std::vector<int64_t>& lengths) {
    const std::string_view packed = reader.text();
    if (!reader.ok()) return damaged("text lengths end early");
    TRY(decode_integers(packed, count, lengths));
    TRY_ASSIGN(const Part part, read_part(reader));
    if (!reader.at_end()) return damaged("texts are followed by something else");
    if (!part.owner.empty()) return JoinedTexts{part.bytes, part.owner};
    if (!owner.empty()) return JoinedTexts{part.bytes, owner};
    Blob copy = Blob::copy_of(part.bytes);
    const std::string_view texts = copy.view();
    return JoinedTexts{texts, std::move(copy)};
}

Result<TextList> decode_joined(ByteReader& reader, size_t count, const Blob& owner) {
    std::vector<int64_t> lengths;
    TRY_ASSIGN(JoinedTexts joined, read_joined(reader, count, owner, lengths));
    TextList list;
    list.storage = std::move(joined.storage);
    list.texts.resize(count);
    size_t at = 0;
    for (size_t i = 0; i < count; ++i) {
        if (lengths[i] < 0 || static_cast<uint64_t>(lengths[i]) > joined.texts.size() - at)
            return damaged("a text is longer than its block");
        list.texts[i] = joined.texts.substr(at, static_cast<size_t>(lengths[i]));
        at += static_cast<size_t>(lengths[i]);
    }
    if (at != joined.texts.size()) return damaged("texts are shorter than their block");
    return list;
}

Result<TextList> decode_joined_at(ByteReader& reader, size_t count,
                                  std::span<const uint32_t> places, const Blob& owner) {
    thread_local std::vector<int64_t> lengths;
    TRY_ASSIGN(JoinedTexts joined, read_joined(reader, count, owner, lengths));
    TextList list;
    list.storage = std::move(joined.storage);
    list.texts.reserve(places.size());
    const size_t size = joined.texts.size();
    uint64_t bits = 0;  // that some length has: never more than their sum, unless one is broken
    size_t at = 0;
    size_t next = 0;
    const auto pass_until = [&](size_t place) {
        for (; next < place; ++next) {
            bits |= static_cast<uint64_t>(lengths[next]);
            at += static_cast<size_t>(lengths[next]);
        }
        return bits <= size && at <= size;
    };
    for (const uint32_t place : places) {
        const bool is_inside = pass_until(place);
        const auto length = static_cast<uint64_t>(lengths[place]);
        if (!is_inside || length > size - at) return damaged("a text is longer than its block");
        list.texts.push_back(joined.texts.substr(at, length));
    }
    if (!pass_until(count) || at != size) return damaged("texts are shorter than their block");
    return list;
}

// Patterns that stand in the list itself.
Result<TextList> decode_patterns(ByteReader& reader, size_t count, PatternMarks marks,
                                 std::span<const uint8_t> wanted) {
    const uint64_t patterns = reader.varint_max(kPatternsMax);
    const std::string_view list_body = reader.text();
    const std::string_view codes_body = reader.text();
    if (!reader.ok()) return damaged("patterns end early");
    ByteReader list_reader(list_body);
    if (list_reader.u8() != static_cast<uint8_t>(ListForm::kJoined))
        return damaged("patterns have an unknown form");
    TRY_ASSIGN(TextList list, decode_joined(list_reader, patterns, {}));
    std::vector<int64_t> codes;
    TRY(decode_integers(codes_body, count, codes));
    return read_taken(reader, std::make_shared<const TextList>(std::move(list)), codes, marks,
                      wanted);
}

Result<TextList> decode_column_patterns(ByteReader& reader, size_t count,
                                        const PatternSource* source) {
    if (source == nullptr) return damaged("there are no patterns here that texts may have");
    const std::string_view codes_body = reader.text();
    if (!reader.ok()) return damaged("patterns end early");
    TRY_ASSIGN(auto patterns, source->patterns());
    thread_local std::vector<int64_t> codes;
    codes.clear();
    TRY(source->codes(codes_body, codes));
    if (codes.size() != count) return damaged("texts and patterns do not fit");
    return read_taken(reader, std::move(patterns), codes, PatternMarks::kNew, source->wanted);
}

}  // namespace

void encode_joined_texts(std::span<const std::string_view> texts, int zstd_level,
                         std::string& out) {
    thread_local std::vector<int64_t> lengths;
    thread_local std::string joined;
    lengths.clear();
    joined.clear();
    for (const std::string_view text : texts) {
        lengths.push_back(static_cast<int64_t>(text.size()));
        joined.append(text);
    }
    ByteWriter writer(out);
    writer.u8(static_cast<uint8_t>(ListForm::kJoined));
    std::string packed;
    encode_integers(lengths, zstd_level, packed);
    writer.text(packed);
    write_part(joined, zstd_level, out);
    if (joined.capacity() > (1U << 20)) std::string().swap(joined);
}

void encode_texts(std::span<const std::string_view> texts, int zstd_level, std::string& out,
                  EncodeTrials* trials) {
    if (zstd_level > 0 && (trials == nullptr || trials->patterns.is_due())) {
        const bool is_written = encode_patterns(texts, zstd_level, out);
        if (trials != nullptr) trials->patterns.note(is_written);
        if (is_written) return;
    }
    encode_joined_texts(texts, zstd_level, out);
}

Result<TextList> decode_coded_texts(std::string_view body, size_t count, const Blob& owner,
                                    const PatternSource* source) {
    ByteReader reader(body);
    switch (static_cast<ListForm>(reader.u8())) {
        case ListForm::kJoined:
            return decode_joined(reader, count, owner);
        case ListForm::kOldPatterns:
            return decode_patterns(reader, count, PatternMarks::kOld, {});
        case ListForm::kColumnPatterns:
            return decode_column_patterns(reader, count, source);
        case ListForm::kPatterns:
            return decode_patterns(reader, count, PatternMarks::kNew,
                                   source != nullptr ? source->wanted : std::span<const uint8_t>());
        default:
            return damaged("texts have an unknown form");
    }
}

Result<TextList> decode_texts_at(std::string_view body, size_t count,
                                 std::span<const uint32_t> places, const Blob& owner,
                                 PatternSource source) {
    if (count > kBlockBytesMax / 8) return damaged("too many texts");
    if (!places.empty() && places.back() >= count) return damaged("a place lies outside");
    ByteReader reader(body);
    const auto form = static_cast<ListForm>(reader.u8());
    if (form == ListForm::kJoined) return decode_joined_at(reader, count, places, owner);
    if (form == ListForm::kColumnPatterns && !source.patterns)
        return damaged("there are no patterns here that texts may have");
    std::vector<uint8_t> wanted(count, 0);
    for (const uint32_t place : places)
        wanted[place] = 1;
    source.wanted = wanted;
    TRY_ASSIGN(TextList list, decode_coded_texts(body, count, owner, &source));
    std::vector<std::string_view> texts;
    texts.reserve(places.size());
    for (const uint32_t place : places)
        texts.push_back(list.texts[list.codes.empty() ? place : list.codes[place]]);
    list.texts = std::move(texts);
    list.codes.clear();
    return list;
}

Result<TextList> decode_texts(std::string_view body, size_t count, const Blob& owner,
                              const PatternSource* source) {
    TRY_ASSIGN(TextList list, decode_coded_texts(body, count, owner, source));
    if (list.codes.empty()) return list;
    std::vector<std::string_view> texts;
    texts.reserve(list.codes.size());
    for (const uint32_t code : list.codes)
        texts.push_back(list.texts[code]);
    list.texts = std::move(texts);
    list.codes.clear();
    return list;
}

}  // namespace spanloom::store
