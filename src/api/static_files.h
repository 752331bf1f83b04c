#pragma once

#include <memory>
#include <span>
#include <string_view>

#include "base/result.h"
#include "http/message.h"

namespace spanloom::api {

// One file of the web UI, compiled into the binary. Views live as long as the program.
struct StaticFile {
    std::string_view path;  // "/assets/index-3f9a.js"; the page itself is "/index.html"
    std::string_view content_type;
    std::string_view bytes;
    std::string_view gzip;         // empty where compressing does not pay
    std::string_view brotli;       // the same
    std::string_view hash;         // of the content, hexadecimal; the ETag
    bool has_hashed_name = false;  // its name changes with its content: may be cached for ever
};

// What the build has embedded; without web/dist one page that says how to build it.
std::span<const StaticFile> embedded_files();

// Headers that every answer carries, whatever it is. An answer may have a policy of its own.
void add_security_headers(http::Response& response);

// The file in a coding that the browser takes, or that it has it already. `owner` keeps the file's
// bytes for as long as they are sent; none where they are part of the program.
http::Response file_reply(const http::Request& request, const StaticFile& file,
                          const std::shared_ptr<const void>& owner = nullptr);

// Serves the files by their exact paths, and the page for every address that the UI knows.
// Addresses are looked up in the table alone, so nothing outside it can be reached.
class StaticFiles {
  public:
    explicit StaticFiles(std::span<const StaticFile> files) : files_(files) {}

    // kNotFound where no file and no page has the address.
    Result<http::Response> answer(const http::Request& request) const;

  private:
    const StaticFile* find(std::string_view path) const;

    std::span<const StaticFile> files_;
};

}  // namespace spanloom::api
