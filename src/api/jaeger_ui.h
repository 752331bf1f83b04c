#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "api/static_files.h"
#include "base/result.h"
#include "http/message.h"

namespace spanloom::api {

struct JaegerUiLimits {
    size_t entries_max = 2'000;        // files and directories
    uint64_t bytes_max = 64ULL << 20;  // of the files
};

// An unmodified build of Jaeger's own UI, served below /jaeger/, where Jaeger's API is as well. It
// is read whole at the start and looked up in a table: nothing else can be reached. Immutable once
// it is read; any thread.
class JaegerUi : public std::enable_shared_from_this<JaegerUi> {
  public:
    // `version` is what the page tells of its server. Errors say what is wrong with the directory.
    static Result<std::shared_ptr<const JaegerUi>> read(const std::string& directory,
                                                        std::string_view version,
                                                        JaegerUiLimits limits = {});

    // A file, or the page for every other address below /jaeger/ that is neither of the API nor of
    // a file; kNotFound for the rest. The page has a policy that allows its own scripts.
    Result<http::Response> answer(const http::Request& request) const;

    uint64_t bytes() const { return bytes_; }  // that it takes in memory

  private:
    struct File {
        std::string bytes;
        std::string gzip;  // "" where that is not smaller
        std::string hash;
        std::string_view content_type;
    };

    JaegerUi() = default;
    Result<void> read_files(const std::string& directory, const JaegerUiLimits& limits);
    Result<void> make_page(const std::string& directory, std::string_view version);
    Result<void> finish_files();
    http::Response reply(const http::Request& request, const File& file) const;

    std::map<std::string, File, std::less<>> files_;  // by path: "static/index-3f9a.js"
    std::string policy_;
    uint64_t bytes_ = 0;
};

}  // namespace spanloom::api
