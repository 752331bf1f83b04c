#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "http/session.h"

namespace spanloom::http {

// The connection of a fuzzed session: answers requests in the three ways there are, has a clock
// that moves by itself, and a budget small enough to be refused by.
class FuzzHost final : public SessionHost {
  public:
    FuzzHost() : budget_(256U << 10) {
        limits_.body_bytes_max = 128U << 10;
        limits_.header_bytes_max = 4U << 10;
        limits_.streams_max = 16;
        limits_.body_timeout_ms = 50;
    }

    void handle(Request request, int32_t request_id) override {
        if (request.path.empty() || request.path.front() != '/') __builtin_trap();
        if (request.body.size() > limits_.body_bytes_max) __builtin_trap();
        volatile uint8_t sum = 0;
        for (size_t i = 0; i < request.body.size(); ++i)
            sum = sum + request.body.data()[i];
        waiting_.emplace_back(request_id, std::move(request));
    }
    void answered(const Request&, const Response&) override {}
    void refused(RefusalReason) override {}
    void released(size_t) override {}
    uint64_t now_ns() override { return now_ns_ += 1'000'000; }
    std::string_view http_date() override { return "Sun, 06 Nov 1994 08:49:37 GMT"; }
    const ServerLimits& limits() override { return limits_; }
    MemoryBudget& budget() override { return budget_; }

    // After the session has gone: nothing may still be reserved.
    bool has_leaked() const { return budget_.used_bytes() != 0; }

    // Feeds `bytes` in pieces, answers what comes of them, and takes what the session says.
    void drive(Session& session, std::string_view bytes, size_t piece) {
        OutputQueue out;
        while (!bytes.empty() && !session.wants_close()) {
            feed(session, bytes, piece);
            answer(session);
            session.produce(out);
            out.consume(out.bytes());
            if (!session.check_deadlines()) break;
        }
        session.shut_down();
        session.receive_end();
        session.produce(out);
        session.abandon();
        waiting_.clear();
    }

  private:
    void feed(Session& session, std::string_view& bytes, size_t piece) {
        const size_t size = std::min(piece, bytes.size());
        const std::span<uint8_t> space = session.body_space();
        if (!space.empty()) {
            const size_t direct = std::min(size, space.size());
            std::copy_n(bytes.data(), direct, space.data());
            session.received_body(direct);
            bytes.remove_prefix(direct);
            return;
        }
        const size_t size_max = session.read_bytes_max();
        if (size_max == 0) {
            bytes = {};
            return;
        }
        const size_t taken = std::min(size, size_max);
        session.receive(bytes.substr(0, taken));
        bytes.remove_prefix(taken);
    }

    void answer(Session& session) {
        for (auto& [id, request] : waiting_) {
            Response response;
            response.body = "ok";
            switch (request.path.size() % 3) {
                case 0:
                    session.reply(id, {Reply::Kind::kSend, std::move(response), {}, {}});
                    break;
                case 1:
                    session.reply(id, {Reply::Kind::kBegin, std::move(response), {}, {}});
                    session.reply(id, {Reply::Kind::kPart, {}, std::string(20'000, 'p'), {}});
                    session.reply(id, {Reply::Kind::kFinish, {}, {}, {}});
                    break;
                default:
                    session.reply(id, {Reply::Kind::kAbandoned, {}, {}, {}});
                    break;
            }
        }
        waiting_.clear();
    }

    ServerLimits limits_;
    MemoryBudget budget_;
    std::vector<std::pair<int32_t, Request>> waiting_;
    uint64_t now_ns_ = 1'000'000'000;
};

}  // namespace spanloom::http
