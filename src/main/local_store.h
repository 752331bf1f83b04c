#pragma once

#include <memory>
#include <string>

#include "base/clock.h"
#include "base/io.h"
#include "base/metrics.h"
#include "base/random.h"
#include "store/store.h"

namespace spanloom {

// The store of a data directory that no server holds, in this process, for one command.
class LocalStore {
  public:
    static Result<std::unique_ptr<LocalStore>> open(const std::string& data);

    store::Store& store() { return *store_; }
    const Clock& clock() const { return clock_; }

  private:
    LocalStore() : random_(random_seed()) {}

    SystemClock clock_;
    SeededRandom random_;
    MetricsRegistry metrics_;
    std::unique_ptr<Io> io_;
    std::unique_ptr<store::Store> store_;
};

}  // namespace spanloom
