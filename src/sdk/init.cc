#include "spanloom/init.h"

#include "sdk/provider_core.h"

namespace spanloom {

Telemetry& Telemetry::operator=(Telemetry&& other) noexcept {
    if (this == &other) return *this;
    shutdown(shutdown_timeout_);
    provider_ = std::exchange(other.provider_, TracerProvider());
    shutdown_timeout_ = other.shutdown_timeout_;
    problem_ = std::move(other.problem_);
    return *this;
}

bool Telemetry::shutdown(Deadline deadline) noexcept {
    return provider_.shutdown(deadline);
}

}  // namespace spanloom
