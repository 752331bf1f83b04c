#include "http/http2_flood.h"

#include <algorithm>

namespace spanloom::http {

bool Http2Flood::control_frame(uint64_t now_ns) {
    refill(now_ns);
    control_tokens_ -= 1;
    return control_tokens_ >= 0;
}

bool Http2Flood::reset_stream(uint64_t now_ns) {
    refill(now_ns);
    reset_tokens_ -= 1;
    return reset_tokens_ >= 0;
}

void Http2Flood::request_done() {
    control_tokens_ = std::min(control_tokens_ + kControlPerRequest, kControlBurst);
}

void Http2Flood::sent(uint64_t bytes) {
    control_tokens_ =
        std::min(control_tokens_ + static_cast<double>(bytes) * kControlPerSentByte, kControlBurst);
}

void Http2Flood::refill(uint64_t now_ns) {
    const double seconds = static_cast<double>(now_ns - last_ns_) / 1e9;
    last_ns_ = now_ns;
    control_tokens_ = std::min(control_tokens_ + seconds * kControlPerSecond, kControlBurst);
    reset_tokens_ = std::min(reset_tokens_ + seconds * kResetPerSecond, kResetBurst);
}

}  // namespace spanloom::http
