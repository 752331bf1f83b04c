#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <unordered_set>

#include "base/io.h"
#include "base/result.h"

namespace spanloom::store {

// Finds the request that ends the process each time the log is read back, so that it does not do
// so for ever. While the log is read, each request is noted before it is looked at; where two
// starts in a row ended at the same one, it is set aside in quarantine/ and refused from then on.
// (One alone may have been anything: a kill, the power.) Used while the store opens, one thread.
class ReplayMarks {
  public:
    explicit ReplayMarks(Io& io) : io_(io) {}

    // Looks at what the last start left. Nothing here keeps the store from opening.
    void open();
    // This request comes next. False: it is the one; its bytes were set aside.
    bool begin(uint64_t hash, std::string_view bytes);
    // The log is read.
    void finish();

    // Hashes of all requests that were set aside, now or earlier.
    const std::unordered_set<uint64_t>& set_aside() const { return set_aside_; }

  private:
    void set_aside(uint64_t hash, std::string_view bytes);

    Io& io_;
    uint64_t poison_ = 0;
    std::unique_ptr<WritableFile> file_;
    std::unordered_set<uint64_t> set_aside_;
};

}  // namespace spanloom::store
