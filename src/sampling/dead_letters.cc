#include "sampling/dead_letters.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "base/text.h"

namespace spanloom::sampling {
namespace {

constexpr std::string_view kExtension = ".otlp";
constexpr std::string_view kPrefix = "dead-";

}  // namespace

Result<std::unique_ptr<DeadLetters>> DeadLetters::open(Io& io, std::string directory,
                                                       uint64_t bytes_max) {
    std::unique_ptr<DeadLetters> letters(new DeadLetters(io, std::move(directory), bytes_max));
    TRY_ASSIGN(const auto names, io.list(letters->directory_));
    for (const std::string& name : names) {
        if (!name.starts_with(kPrefix) || !name.ends_with(kExtension)) continue;
        TRY_ASSIGN(const auto file, io.open(letters->directory_ + "/" + name));
        letters->bytes_ += file->size();
        const auto number = parse_int(std::string_view(name).substr(
            kPrefix.size(), name.size() - kPrefix.size() - kExtension.size()));
        if (number && *number >= 0)
            letters->next_file_ = std::max(letters->next_file_, static_cast<uint64_t>(*number) + 1);
    }
    return letters;
}

Result<bool> DeadLetters::add(std::string_view request) {
    if (bytes_ + request.size() + 4 > bytes_max_) return false;
    if (file_ == nullptr) {
        TRY_ASSIGN(file_, io_.create(fmt::format("{}/{}{:06}{}", directory_, kPrefix, next_file_++,
                                                 kExtension)));
        TRY(io_.sync_directory(directory_));
    }
    std::array<char, 4> length{};
    for (size_t i = 0; i < length.size(); ++i)
        length[i] = static_cast<char>(request.size() >> (24 - 8 * i));
    const std::string_view pieces[] = {{length.data(), length.size()}, request};
    Result<void> done = file_->append(pieces);
    if (done) done = file_->sync();
    if (!done) {
        file_.reset();  // its end is not known
        return tl::unexpected(done.error());
    }
    bytes_ += request.size() + length.size();
    return true;
}

}  // namespace spanloom::sampling
