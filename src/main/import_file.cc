#include "main/import_file.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <memory>

#include <fmt/format.h>

#include "base/text.h"
#include "otlp/writer.h"
#include "receive/jaeger_json.h"
#include "receive/zipkin_convert.h"

namespace spanloom {
namespace {

constexpr size_t kSpansMax = 2'000;            // of a request
constexpr size_t kRequestBytesMax = 4U << 20;  // about, of a request
constexpr size_t kPieceBytesMax = 256U << 20;  // of a JSON document, or of one resource's spans
constexpr size_t kReadBytes = 1U << 20;

// A file's bytes, as many in memory as somebody looks at. One thread.
class Input {
  public:
    Input(std::FILE* file, std::string path) : file_(file), path_(std::move(path)) {}
    explicit Input(std::string_view bytes) : path_("the input"), buffer_(bytes) {}

    const std::string& path() const { return path_; }
    // At least this many bytes, where the file has them.
    Result<std::string_view> peek(size_t size) {
        if (size > kPieceBytesMax)
            return fail(ErrorCode::kInvalidArgument,
                        "{}: a piece at {} is larger than {}, which is as much as is read at once",
                        path_, taken_, format_bytes(kPieceBytesMax));
        while (rest().size() < size && file_ != nullptr) {
            if (at_ > 0) buffer_.erase(0, at_);
            at_ = 0;
            const size_t have = buffer_.size();
            buffer_.resize(have + kReadBytes);
            const size_t got = std::fread(buffer_.data() + have, 1, kReadBytes, file_);
            buffer_.resize(have + got);
            if (got > 0) continue;
            if (std::ferror(file_) != 0)
                return fail(ErrorCode::kInternal, "cannot read {}: {}", path_,
                            std::strerror(errno));
            file_ = nullptr;
        }
        return rest();
    }
    void take(size_t size) {
        at_ += size;
        taken_ += size;
    }
    uint64_t taken() const { return taken_; }
    // The next line, without its end; all that is left where no line ends.
    Result<std::string_view> peek_line() {
        size_t want = kReadBytes;
        while (true) {
            TRY_ASSIGN(const std::string_view seen, peek(want));
            const size_t end = seen.find('\n');
            if (end != std::string_view::npos) return seen.substr(0, end);
            if (seen.size() < want) return seen;
            want = seen.size() * 2;
        }
    }
    Result<std::string_view> peek_all() {
        size_t want = kReadBytes;
        while (true) {
            TRY_ASSIGN(const std::string_view seen, peek(want));
            if (seen.size() < want) return seen;
            want = seen.size() * 2;
        }
    }

  private:
    std::string_view rest() const { return std::string_view(buffer_).substr(at_); }

    std::FILE* file_ = nullptr;
    std::string path_;
    std::string buffer_;
    size_t at_ = 0;
    uint64_t taken_ = 0;
};

Result<void> send_pieces(Blob message, const ImportSink& sink, ImportCounts& counts) {
    TRY_ASSIGN(const Batch batch, otlp::decode(std::move(message)));
    counts.rejected += batch.spans_rejected;
    if (counts.rejection.empty()) counts.rejection = batch.rejection;
    size_t sent = 0;
    for (const std::string& piece : split_request(batch, kSpansMax, kRequestBytesMax)) {
        const size_t spans = std::min(kSpansMax, batch.spans.size() - sent);
        TRY(sink(piece, spans));
        sent += spans;
        counts.requests += 1;
    }
    counts.spans += batch.spans.size();
    return {};
}

// ---------------------------------------------------------------------------------------- JSON

bool holds_traces(std::string_view text) {
    return text.find("resourceSpans") != std::string_view::npos ||
           text.find("resource_spans") != std::string_view::npos ||
           text.find("\"batches\"") != std::string_view::npos;
}

Result<void> import_document(std::string_view text, const ImportSink& sink, ImportCounts& counts) {
    const size_t first = text.find_first_not_of(" \t\r\n");
    if (first == std::string_view::npos) return {};
    const Blob padded = Blob::copy_of(text.substr(first));  // what JSON parsers read ahead
    const std::string_view json = padded.view();
    if (json.front() == '[') {
        TRY_ASSIGN(Blob message, zipkin_json_to_otlp(json, 0));
        return send_pieces(std::move(message), sink, counts);
    }
    const std::string_view head = json.substr(0, 200);
    if (holds_traces(head) || (head.find("\"data\"") == std::string_view::npos)) {
        TRY_ASSIGN(Blob message, otlp::json_to_protobuf(json));
        return send_pieces(std::move(message), sink, counts);
    }
    TRY_ASSIGN(Blob message, jaeger_json_to_otlp(json));
    return send_pieces(std::move(message), sink, counts);
}

// One document a line where the first line is a whole one, else all of it is one.
Result<void> import_json(Input& input, const ImportSink& sink, ImportCounts& counts) {
    TRY_ASSIGN(std::string_view line, input.peek_line());
    const size_t last = line.find_last_not_of(" \t\r");
    const bool has_lines = line.size() > 2 && last != std::string_view::npos &&
                           line.front() == '{' && line[last] == '}';
    if (!has_lines) {
        TRY_ASSIGN(const std::string_view all, input.peek_all());
        TRY(import_document(all, sink, counts));
        input.take(all.size());
        return {};
    }
    while (true) {
        TRY_ASSIGN(line, input.peek_line());
        TRY_ASSIGN(const std::string_view beyond, input.peek(line.size() + 1));
        if (beyond.empty()) return {};
        const size_t size = std::min(line.size() + 1, beyond.size());
        const uint64_t at = input.taken();
        if (Result<void> done = import_document(beyond.substr(0, line.size()), sink, counts); !done)
            return fail(done.error().code, "{}: the line at byte {}: {}", input.path(), at,
                        done.error().message);
        input.take(size);
        counts.bytes = input.taken();
    }
}

// ------------------------------------------------------------------------------------ protobuf

// Size of the varint at the beginning and its value; 0: there is none.
size_t read_varint(std::string_view bytes, uint64_t& value) {
    value = 0;
    for (size_t i = 0; i < std::min<size_t>(bytes.size(), 10); ++i) {
        value |= static_cast<uint64_t>(static_cast<uint8_t>(bytes[i]) & 0x7f) << (7 * i);
        if ((bytes[i] & 0x80) == 0) return i + 1;
    }
    return 0;
}

tl::unexpected<Error> not_traces(const Input& input) {
    return fail(ErrorCode::kInvalidArgument,
                "{}: at byte {} there is no trace data: OTLP (protobuf or JSON), Jaeger JSON and "
                "Zipkin JSON are read",
                input.path(), input.taken());
}

// Fields 1 (ResourceSpans) of a TracesData message, gathered into messages of a few MiB.
Result<void> import_protobuf(Input& input, const ImportSink& sink, ImportCounts& counts) {
    std::string gathered;
    const auto flush = [&]() -> Result<void> {
        if (gathered.empty()) return {};
        const Blob message = Blob::copy_of(gathered);
        gathered.clear();
        return send_pieces(message, sink, counts);
    };
    while (true) {
        TRY_ASSIGN(const std::string_view head, input.peek(11));
        if (head.empty()) break;
        uint64_t size = 0;
        const size_t varint = read_varint(head.substr(1), size);
        if (head.front() != '\x0a' || varint == 0) return not_traces(input);
        const uint64_t whole = 1 + varint + size;
        TRY_ASSIGN(const std::string_view field, input.peek(whole));
        if (field.size() < whole) return not_traces(input);
        gathered += field.substr(0, whole);
        input.take(whole);
        counts.bytes = input.taken();
        if (gathered.size() >= kRequestBytesMax) TRY(flush());
    }
    return flush();
}

// Messages with their length in four bytes, the highest first, before each.
Result<void> import_framed(Input& input, const ImportSink& sink, ImportCounts& counts) {
    while (true) {
        TRY_ASSIGN(const std::string_view head, input.peek(4));
        if (head.empty()) return {};
        uint64_t size = 0;
        for (const char c : head.substr(0, 4))
            size = size << 8 | static_cast<uint8_t>(c);
        TRY_ASSIGN(const std::string_view frame, input.peek(4 + size));
        if (frame.size() < 4 + size) return not_traces(input);
        TRY(send_pieces(Blob::copy_of(frame.substr(4, size)), sink, counts));
        input.take(4 + size);
        counts.bytes = input.taken();
    }
}

Result<void> import_from(Input& input, const ImportSink& sink, ImportCounts& counts) {
    TRY_ASSIGN(const std::string_view head, input.peek(64));
    if (head.empty()) return {};
    const size_t first = head.find_first_not_of(" \t\r\n");
    // 0x0a is the first field of TracesData and a line end: JSON has a bracket behind it.
    if (first != std::string_view::npos && (head[first] == '{' || head[first] == '[') &&
        (head.front() != '\x0a' || first > 1 || head.size() < 3))
        return import_json(input, sink, counts);
    if (head.front() == '\x0a') return import_protobuf(input, sink, counts);
    if (head.front() == '\x00' || head.front() == '\x01') return import_framed(input, sink, counts);
    return not_traces(input);
}

}  // namespace

std::vector<std::string> split_request(const Batch& batch, size_t spans_max, size_t bytes_max) {
    std::vector<std::string> pieces;
    size_t at = 0;
    while (at < batch.spans.size()) {
        std::string& bytes = pieces.emplace_back();
        otlp::WireWriter out(bytes);
        size_t spans = 0;
        while (at < batch.spans.size() && spans < spans_max && bytes.size() < bytes_max) {
            const uint32_t scope_number = batch.spans[at].scope;
            const ScopeRef& scope = batch.scopes[scope_number];
            const ResourceRef& resource = batch.resources[scope.resource];
            const size_t resource_spans = out.begin(1);
            out.bytes_field(1, batch.at(resource.message));
            const size_t scope_spans = out.begin(2);
            out.bytes_field(1, batch.at(scope.message));
            for (; at < batch.spans.size() && batch.spans[at].scope == scope_number &&
                   spans < spans_max && bytes.size() < bytes_max;
                 ++at, ++spans)
                out.bytes_field(2, batch.at(batch.spans[at].message));
            if (!batch.at(scope.schema_url).empty()) out.bytes_field(3, batch.at(scope.schema_url));
            out.end(scope_spans);
            if (!batch.at(resource.schema_url).empty())
                out.bytes_field(3, batch.at(resource.schema_url));
            out.end(resource_spans);
        }
    }
    return pieces;
}

Result<void> import_bytes(std::string_view bytes, const ImportSink& sink, ImportCounts& counts) {
    Input input(bytes);
    return import_from(input, sink, counts);
}

Result<void> import_file(const std::string& path, const ImportSink& sink, ImportCounts& counts) {
    std::FILE* file = path == "-" ? stdin : std::fopen(path.c_str(), "rb");
    if (file == nullptr)
        return fail(ErrorCode::kNotFound, "cannot open {}: {}", path, std::strerror(errno));
    Input input(file, path);
    Result<void> done = import_from(input, sink, counts);
    if (file != stdin) std::fclose(file);
    return done;
}

}  // namespace spanloom
