#include <cerrno>
#include <mutex>
#include <system_error>

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include "sdk/export_problems.h"
#include "sdk/otlp_request.h"
#include "send/request_json.h"
#include "spanloom/otlp_exporter.h"

namespace spanloom {
namespace {

// Lines are appended whole, so that several processes may share a file.
class OtlpFileExporter final : public SpanExporter {
  public:
    OtlpFileExporter(const std::string& path, std::string* problem) : problems_(nullptr, nullptr) {
        if (path.empty()) return;
        descriptor_ = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
        if (descriptor_ >= 0) return;
        const std::string text = fmt::format("cannot open {} to write spans to: {}", path,
                                             std::generic_category().message(errno));
        problems_.report(text);
        if (problem != nullptr) *problem = text;
    }
    ~OtlpFileExporter() override {
        if (descriptor_ > STDERR_FILENO) ::close(descriptor_);
    }
    OtlpFileExporter(const OtlpFileExporter&) = delete;
    OtlpFileExporter& operator=(const OtlpFileExporter&) = delete;

    ExportResult export_spans(const SpanBatch& batch, Deadline) noexcept override {
        if (descriptor_ < 0) return ExportResult::failure();
        if (batch.span_count == 0) return ExportResult::success();
        try {
            Result<std::string> line = send::request_json(request_.build(batch));
            if (!line) {
                problems_.report(line.error().message);
                return ExportResult::failure();
            }
            *line += '\n';
            return write(*line) ? ExportResult::success() : ExportResult::failure();
        } catch (const std::exception& error) {
            problems_.report(error.what());
            return ExportResult::failure();
        }
    }

  private:
    bool write(std::string_view line) {
        while (!line.empty()) {
            const ssize_t n = ::write(descriptor_, line.data(), line.size());
            if (n < 0 && errno == EINTR) continue;
            if (n < 0) {
                problems_.report(
                    fmt::format("cannot write spans: {}", std::generic_category().message(errno)));
                return false;
            }
            line.remove_prefix(static_cast<size_t>(n));
        }
        return true;
    }

    int descriptor_ = STDOUT_FILENO;
    OtlpRequest request_;
    ExportProblems problems_;
};

}  // namespace

std::shared_ptr<SpanExporter> make_otlp_file_exporter(std::string path, std::string* problem) {
    return std::make_shared<OtlpFileExporter>(path, problem);
}

}  // namespace spanloom
