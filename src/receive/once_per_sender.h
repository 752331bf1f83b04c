#pragma once

#include <mutex>
#include <string>
#include <string_view>
#include <unordered_set>

namespace spanloom {

// Remembers who has been told something already, for as long as the program runs: a log line for
// each request of a misconfigured sender would bury the rest. Thread-safe.
class OncePerSender {
  public:
    // True the first time for this peer (an address with a port) and topic. Beyond kSendersMax all
    // count as told.
    bool is_first(std::string_view peer, std::string_view topic) {
        // Senders change their port with each connection, not their address.
        std::string who(peer.substr(0, peer.rfind(':')));
        who += ' ';
        who += topic;
        const std::lock_guard lock(mutex_);
        return told_.size() < kSendersMax && told_.insert(std::move(who)).second;
    }

  private:
    static constexpr size_t kSendersMax = 1024;

    std::mutex mutex_;
    std::unordered_set<std::string> told_;
};

}  // namespace spanloom
