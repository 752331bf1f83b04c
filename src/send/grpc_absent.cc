#include "send/exchange.h"

// Compiled instead of grpc_exchange.cc where the library is built without nghttp2.
namespace spanloom::send {

std::unique_ptr<Exchange> make_grpc_exchange(ExchangeOptions, Connector&, const Clock&) {
    class Absent final : public Exchange {
      public:
        Result<Answer> call(const Pieces&, Coding, uint64_t) override {
            return fail(ErrorCode::kUnsupported,
                        "this build of spanloom has no gRPC; use HTTP, or SPANLOOM_GRPC=ON");
        }
        void after_fork() override {}
    };
    return std::make_unique<Absent>();
}

}  // namespace spanloom::send
