#include "main/local_store.h"

#include <sys/stat.h>

#include "insight/edge_counts.h"
#include "rollup/operation_rollup.h"

namespace spanloom {

Result<std::unique_ptr<LocalStore>> LocalStore::open(const std::string& data) {
    struct stat info{};
    if (stat((data + "/MANIFEST").c_str(), &info) != 0)
        return fail(ErrorCode::kNotFound,
                    "{} is not a data directory (it has no MANIFEST): give the --data directory "
                    "of a server",
                    data);
    std::unique_ptr<LocalStore> local(new LocalStore);
    TRY_ASSIGN(local->io_, open_posix_io(data));
    store::StoreOptions options;
    options.background = store::StoreBackground::kCaller;
    options.rollup = make_operation_rollup();
    options.counting = insight::make_span_counting();
    TRY_ASSIGN(local->store_, store::Store::open(std::move(options), *local->io_, local->clock_,
                                                 local->random_, local->metrics_));
    return local;
}

}  // namespace spanloom
