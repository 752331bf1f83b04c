#include "sampling/head_sampler.h"

#include <algorithm>
#include <set>

#include <simdjson.h>

#include "base/json_writer.h"
#include "base/log.h"

namespace spanloom::sampling {
namespace {

using Kind = HeadStrategy::Kind;

constexpr const char* kTenant = "default";  // strategies are those of all tenants
constexpr const char* kStrategiesName = "strategies";
constexpr const char* kSharesName = "shares";
constexpr uint64_t kNsPerMs = 1'000'000;
// A service whose clients have not asked for that long samples by itself: its traffic says nothing
// of our shares.
constexpr uint64_t kAskedForNs = 600'000'000'000;
// Beside its name, about what an operation takes.
constexpr size_t kOperationBytes = 48;
constexpr size_t kSharesBytesMax = store::kDocumentBytesMax - (64U << 10);

bool adapts(const HeadStrategies& strategies, const HeadService& service) {
    const auto is_adaptive = [](const HeadOperation& operation) {
        return operation.strategy.kind == Kind::kAdaptive;
    };
    if (service.strategy.kind == Kind::kRateLimiting) return false;
    return service.strategy.kind == Kind::kAdaptive ||
           std::any_of(service.operations.begin(), service.operations.end(), is_adaptive) ||
           std::any_of(strategies.by_default.operations.begin(),
                       strategies.by_default.operations.end(), is_adaptive);
}

double share_of(const HeadStrategy& strategy, std::string_view operation,
                const ServiceShares& shares, const HeadAdaptation& adaptation) {
    if (strategy.kind != Kind::kAdaptive) return strategy.param;
    const auto learned = shares.operations.find(operation);
    if (learned != shares.operations.end()) return learned->second.share;
    return shares.share > 0 ? shares.share : adaptation.initial;
}

HeadAnswer answer_of(const HeadStrategies& strategies, const HeadService& service,
                     const ServiceShares& shares) {
    HeadAnswer answer;
    answer.param = service.strategy.param;
    answer.is_rate_limited = service.strategy.kind == Kind::kRateLimiting;
    if (answer.is_rate_limited) return answer;
    const bool is_adaptive = adapts(strategies, service);
    answer.param = share_of(service.strategy, "", {shares.share, {}}, strategies.adaptation);
    if (is_adaptive) answer.at_least_per_second = strategies.adaptation.at_least_per_minute / 60;
    std::set<std::string_view> named;
    const auto add = [&](const std::string& name, double share) {
        if (answer.operations.size() < kHeadOperationsMax && named.insert(name).second)
            answer.operations.emplace_back(name, share);
    };
    for (const HeadService* const from : {&service, &strategies.by_default}) {
        for (const HeadOperation& operation : from->operations)
            add(operation.name,
                share_of(operation.strategy, operation.name, shares, strategies.adaptation));
    }
    if (service.strategy.kind == Kind::kAdaptive) {
        for (const auto& [name, learned] : shares.operations)
            add(name, learned.share);
    }
    answer.has_operations = is_adaptive || !answer.operations.empty();
    return answer;
}

}  // namespace

HeadSampler::HeadSampler(store::Documents& documents, const Clock& clock, MetricsRegistry& metrics,
                         std::optional<HeadStrategies> configured, Counting count)
    : documents_(documents),
      clock_(clock),
      count_(std::move(count)),
      answers_(metrics.counter("head_sampling_answers_total",
                               "Clients told how to sample where traces begin.")),
      adjustments_(metrics.counter("head_sampling_adjustments_total",
                                   "Times that adaptive shares were looked at.")),
      failures_(metrics.counter("head_sampling_failures_total",
                                "Times that shares could not be adjusted or written down.")),
      overflows_(metrics.counter("head_sampling_overflow_total",
                                 "Services and operations beyond what is kept of them.")),
      setting_(SettingDocument(documents, clock, kHeadSamplingKind, kStrategiesName,
                               "head sampling strategies"),
               {parse_head_strategies, print_head_strategies}, std::move(configured), {}),
      adjusted_ns_(clock.monotonic_ns()) {}

Result<std::unique_ptr<HeadSampler>> HeadSampler::start(store::Documents& documents,
                                                        const Clock& clock,
                                                        MetricsRegistry& metrics,
                                                        std::optional<HeadStrategies> configured,
                                                        Counting count) {
    std::unique_ptr<HeadSampler> sampler(
        new HeadSampler(documents, clock, metrics, std::move(configured), std::move(count)));
    TRY(sampler->setting_.load());
    sampler->load_shares();
    return sampler;
}

// ---------------------------------------------------------------------------------------- clients

// With mutex_ held.
HeadSampler::Client& HeadSampler::asked(std::string_view service) {
    auto at = clients_.find(service);
    if (at == clients_.end()) {
        if (clients_.size() >= kClientsMax) {
            overflows_.add();
            // Names that somebody makes up do not cost others what was learned.
            const auto worth = [](const Client& client) {
                return std::pair(client.shares.share > 0, client.asked_ns);
            };
            const auto oldest = std::min_element(
                clients_.begin(), clients_.end(),
                [&](const auto& a, const auto& b) { return worth(a.second) < worth(b.second); });
            for (const auto& [name, operation] : oldest->second.shares.operations)
                learned_bytes_ -= name.size() + kOperationBytes;
            clients_.erase(oldest);
        }
        at = clients_.try_emplace(std::string(service)).first;
    }
    at->second.asked_ns = clock_.wall_ns();
    return at->second;
}

HeadAnswer HeadSampler::answer(std::string_view service) {
    answers_.add();
    const auto in_force = this->strategies();
    const HeadStrategies& strategies = in_force->value;
    std::lock_guard lock(mutex_);
    const HeadService& own = strategies.of(service);
    // No service has such a name; it is answered and not remembered.
    if (service.size() > kHeadNameBytesMax) return answer_of(strategies, own, {});
    return answer_of(strategies, own, asked(service).shares);
}

std::vector<HeadClient> HeadSampler::clients() const {
    const auto in_force = this->strategies();
    const HeadStrategies& strategies = in_force->value;
    std::lock_guard lock(mutex_);
    std::vector<HeadClient> all;
    for (const auto& [name, client] : clients_) {
        const HeadService& own = strategies.of(name);
        HeadClient& shown = all.emplace_back();
        shown.service = name;
        shown.asked_ns = client.asked_ns;
        shown.strategy = own.strategy;
        if (!adapts(strategies, own)) continue;
        shown.shares = client.shares;
        if (shown.shares->share == 0) shown.shares->share = strategies.adaptation.initial;
    }
    return all;
}

// --------------------------------------------------------------------------------------- adapting

// Half of the interval is left for clients to fetch what was said last; what started in the third
// after that has arrived when the rest is over.
void HeadSampler::tick() {
    const uint64_t every_ns = strategies()->value.adaptation.every_ms * kNsPerMs;
    const uint64_t now_ns = clock_.monotonic_ns();
    if (now_ns < adjusted_ns_ + every_ns) return;
    adjusted_ns_ = now_ns;
    const uint64_t wall_ns = clock_.wall_ns();
    const store::TimeRange range{wall_ns - every_ns / 2, wall_ns - every_ns / 6};
    const auto counts = count_(range);
    if (!counts) {
        failures_.add();
        log::warning("head sampling shares stay as they are: {}", counts.error().message);
        return;
    }
    adjustments_.add();
    const double seconds = static_cast<double>(range.end_ns - range.start_ns) / 1e9;
    if (!adjust(*counts, seconds, wall_ns)) return;
    std::string body;
    {
        std::lock_guard lock(mutex_);
        body = shares_body();
    }
    save_shares(body);
}

bool HeadSampler::adjust(const std::vector<RootCount>& counts, double seconds, uint64_t now_ns) {
    std::map<std::string_view, std::vector<const RootCount*>> of_service;
    for (const RootCount& count : counts)
        of_service[count.service].push_back(&count);
    const auto in_force = this->strategies();
    const HeadStrategies& strategies = in_force->value;
    std::lock_guard lock(mutex_);
    bool has_changed = false;
    size_t bytes = learned_bytes_;
    const auto may_add = [&](std::string_view operation) {
        const bool fits = operation.size() <= kHeadNameBytesMax && !operation.empty() &&
                          bytes + operation.size() + kOperationBytes <= kLearnedBytesMax;
        if (fits) bytes += operation.size() + kOperationBytes;
        if (!fits) overflows_.add();
        return fits;
    };
    learned_bytes_ = 0;
    for (auto& [service, client] : clients_) {
        const bool is_asked = client.asked_ns + kAskedForNs >= now_ns;
        if (is_asked && adapts(strategies, strategies.of(service)))
            has_changed |= adapt_shares(strategies, service, of_service[service], seconds, now_ns,
                                        may_add, client.shares);
        for (const auto& [name, operation] : client.shares.operations)
            learned_bytes_ += name.size() + kOperationBytes;
    }
    return has_changed;
}

// With mutex_ held.
// {"services": [{"service", "share", "operations": [["name", share, "seen", named later]]}]}
std::string HeadSampler::shares_body() const {
    std::string body;
    JsonWriter json(body);
    json.begin_object().key("services").begin_array();
    for (const auto& [service, client] : clients_) {
        if (client.shares.share == 0 || body.size() > kSharesBytesMax) continue;
        json.begin_object().field("service", service).field("share", client.shares.share);
        json.key("operations").begin_array();
        for (const auto& [name, operation] : client.shares.operations) {
            if (body.size() > kSharesBytesMax) break;
            json.begin_array().string(name).number(operation.share);
            json.number(operation.seen_ns).boolean(operation.is_named_later).end_array();
        }
        json.end_array().end_object();
    }
    json.end_array().end_object();
    return body;
}

void HeadSampler::save_shares(const std::string& body) {
    const auto stored = documents_.put(kTenant, kHeadSamplingKind,
                                       {kSharesName, 0, clock_.wall_ns(), body}, std::nullopt);
    if (stored) return;
    failures_.add();
    log::warning("head sampling shares are not written down, a restart begins with older ones: {}",
                 stored.error().message);
}

// What cannot be read is learned again.
void HeadSampler::load_shares() {
    const auto stored = documents_.get(kTenant, kHeadSamplingKind, kSharesName);
    if (!stored) return;
    simdjson::dom::parser parser;
    simdjson::dom::array services;
    if (parser.parse(stored->body)["services"].get(services) != simdjson::SUCCESS) return;
    const auto is_share = [](double share) { return share > 0 && share <= 1; };
    for (const simdjson::dom::element one : services) {
        std::string_view name;
        double share = 0;
        simdjson::dom::array operations;
        if (one["service"].get(name) || one["share"].get(share) ||
            one["operations"].get(operations) || !is_share(share) || clients_.size() >= kClientsMax)
            continue;
        ServiceShares& shares = clients_[std::string(name)].shares;
        shares.share = share;
        for (const simdjson::dom::element entry : operations) {
            std::string_view operation;
            OperationShare learned;
            if (entry.at(0).get(operation) || entry.at(1).get(learned.share) ||
                entry.at(2).get(learned.seen_ns) || !is_share(learned.share))
                continue;
            // Earlier versions did not write it.
            if (entry.at(3).get(learned.is_named_later)) learned.is_named_later = false;
            learned_bytes_ += operation.size() + kOperationBytes;
            shares.operations.emplace(operation, learned);
        }
    }
}

}  // namespace spanloom::sampling
