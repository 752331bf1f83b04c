// CPU and bytes of building, finishing and merging segments, fed by a dump of OTLP requests:
// "OTLPDMP1", two u64, then records of u32 length, u32 spans and the request.
//   segment_bench DUMP [spans per segment]
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include <sys/resource.h>

#include "base/io.h"
#include "otlp/batch.h"
#include "store/segment.h"
#include "store/segment_footer.h"

namespace {

using namespace spanloom;

double cpu_s() {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    const auto seconds = [](const timeval& t) {
        return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
    };
    return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

struct StringFile final : WritableFile {
    Result<void> append(std::span<const std::string_view> pieces) override {
        for (const std::string_view piece : pieces)
            bytes.append(piece);
        return {};
    }
    Result<void> sync() override { return {}; }
    std::string bytes;
};

std::vector<Batch> read_dump(const char* path) {
    std::ifstream file(path, std::ios::binary);
    std::string head(24, '\0');
    file.read(head.data(), 24);
    std::vector<Batch> batches;
    uint32_t sizes[2];
    while (file.read(reinterpret_cast<char*>(sizes), 8)) {
        Blob bytes = Blob::allocate(sizes[0]);
        file.read(reinterpret_cast<char*>(bytes.mutable_data()), sizes[0]);
        auto batch = otlp::decode(bytes);
        if (!batch) std::abort();
        batch->arrival_ns = 1;
        batches.push_back(std::move(*batch));
    }
    return batches;
}

template <typename T>
T must(Result<T> result) {
    if (result) return std::move(*result);
    std::fprintf(stderr, "%s\n", result.error().message.c_str());
    std::abort();
}

// Bytes per span of each column and of the tables, from the footer.
void print_columns(const std::string& image) {
    uint64_t footer_offset = 0;
    uint32_t footer_bytes = 0;
    std::memcpy(&footer_offset, image.data() + image.size() - 32, 8);
    std::memcpy(&footer_bytes, image.data() + image.size() - 24, 4);
    const auto footer = must(store::parse_footer(
        std::string_view(image).substr(footer_offset, footer_bytes), footer_offset));
    const auto spans = static_cast<double>(footer.info.spans);
    std::vector<uint64_t> bytes(footer.columns.size());
    for (const auto& place : footer.places)
        bytes[place.column] += place.bytes;
    std::multimap<double, std::string, std::greater<>> rows;
    const auto add = [&](double size, std::string name) {
        rows.emplace(size / spans, std::move(name));
    };
    for (size_t c = 0; c < bytes.size(); ++c) {
        const auto& key = footer.columns[c];
        std::string name = std::to_string(static_cast<int>(key.table)) + " " + key.key + " i" +
                           std::to_string(static_cast<int>(key.intrinsic)) + " r" +
                           std::to_string(static_cast<int>(key.row_field));
        if (bytes[c] > 0) add(static_cast<double>(bytes[c]), name);
        if (footer.dictionaries[c].entries > 0)
            add(footer.dictionaries[c].block.bytes,
                name + " dictionary of " + std::to_string(footer.dictionaries[c].entries));
    }
    double chunks = 0;
    for (const auto& chunk : footer.chunks)
        chunks += chunk.bytes;
    add(chunks, "fragment table");
    add(footer.trace_index.bytes, "trace index");
    add(footer.filter_pages * 4104.0, "filter");
    add(footer_bytes, "footer");
    for (const auto& [size, name] : rows)
        if (size > 0.05) std::printf("  %7.3f  %s\n", size, name.c_str());
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 2) return 2;
    const size_t per_segment = argc > 2 ? std::strtoul(argv[2], nullptr, 10) : 65'536;
    double before = cpu_s();
    const std::vector<Batch> batches = read_dump(argv[1]);
    size_t spans = 0;
    for (const Batch& batch : batches)
        spans += batch.spans.size();
    const double million = static_cast<double>(spans) / 1e6;
    const auto report = [&](const char* what) {
        const double now = cpu_s();
        std::printf("%-24s %6.3f CPU-s per million spans\n", what, (now - before) / million);
        before = cpu_s();
    };
    report("read and decode");
    double add = 0;
    double finish = 0;
    size_t memory_bytes = 0;
    size_t image_bytes = 0;
    std::vector<std::shared_ptr<const store::Segment>> segments;
    store::SegmentBuilder builder({4096, 0, {}});
    for (size_t i = 0; i < batches.size(); ++i) {
        const double begin = cpu_s();
        builder.add(batches[i]);
        const double added = cpu_s();
        add += added - begin;
        if (builder.spans() < per_segment && i + 1 < batches.size()) continue;
        memory_bytes = std::max(memory_bytes, builder.memory_bytes());
        const Blob image = must(builder.finish());
        finish += cpu_s() - added;
        image_bytes += image.size();
        segments.push_back(must(store::Segment::open(image)));
    }
    std::printf("%-24s %6.3f CPU-s per million spans\n", "add", add / million);
    std::printf("%-24s %6.3f CPU-s per million spans\n", "finish, zstd 0", finish / million);
    std::printf("%zu segments, builder %.1f MB, images %.1f B/span\n", segments.size(),
                static_cast<double>(memory_bytes) / 1e6,
                static_cast<double>(image_bytes) / static_cast<double>(spans));
    before = cpu_s();
    StringFile file;
    must(store::merge_segments(segments, {4096, 1, {}}, file, {}));
    report("merge, zstd 1");
    std::printf("merged %.2f B/span\n",
                static_cast<double>(file.bytes.size()) / static_cast<double>(spans));
    print_columns(file.bytes);
    segments = {must(store::Segment::open(Blob::copy_of(file.bytes)))};
    before = cpu_s();
    StringFile again;
    must(store::merge_segments(segments, {4096, 1, {}}, again, {}));
    report("merge of the merged");
    if (!must(store::Segment::open(Blob::copy_of(again.bytes)))->verify()) std::abort();
    report("verify");
    return 0;
}
