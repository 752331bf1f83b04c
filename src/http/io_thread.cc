#include "http/io_thread.h"

#include <algorithm>
#include <chrono>
#include <ctime>

#include <boost/asio/post.hpp>
#include <fmt/format.h>
#include <pthread.h>

#include "http/connection.h"

namespace spanloom::http {
namespace {

constexpr uint64_t kTickMsMin = 5;
constexpr uint64_t kTickMsMax = 250;

}  // namespace

bool ConnectionCount::try_add(size_t connections_max) {
    std::lock_guard lock(mutex_);
    if (open_ >= connections_max) return false;
    ++open_;
    return true;
}

void ConnectionCount::remove() {
    std::lock_guard lock(mutex_);
    if (--open_ == 0) none_.notify_all();
}

bool ConnectionCount::wait_for_none(uint32_t timeout_ms) {
    std::unique_lock lock(mutex_);
    return none_.wait_for(lock, std::chrono::milliseconds(timeout_ms), [&] { return open_ == 0; });
}

IoThread::IoThread(ServerState& state, size_t number)
    : state_(state),
      number_(number),
      context_(1),
      work_(boost::asio::make_work_guard(context_)),
      timer_(context_),
      mailbox_(std::make_shared<Mailbox>(context_)),
      scratch_(std::make_unique<std::array<uint8_t, kScratchBytes>>()) {
    const ServerLimits& limits = state.limits;
    const uint64_t shortest = std::min({limits.header_timeout_ms, limits.body_timeout_ms,
                                        limits.idle_timeout_ms, limits.write_timeout_ms});
    tick_ms_ = std::clamp<uint64_t>(shortest / 4, kTickMsMin, kTickMsMax);
    mailbox_->set_wake([this] { deliver(); });
    refresh_now();
}

IoThread::~IoThread() {
    finish();
}

void IoThread::start() {
    thread_ = std::thread([this] {
        pthread_setname_np(pthread_self(), fmt::format("http-{}", number_).c_str());
        context_.run();
    });
}

void IoThread::finish() {
    if (!thread_.joinable()) {
        mailbox_->close();
        return;
    }
    boost::asio::post(context_, [this] {
        refresh_now();
        while (!connections_.empty())
            connections_.begin()->second->close();
        timer_.cancel();
        context_.stop();
    });
    thread_.join();
    // What was ready when the loop ended may hold a socket: a connection accepted and not yet taken
    // over. Left there, its client would wait for as long as this object lives.
    context_.restart();
    while (context_.poll() > 0) {
        while (!connections_.empty())
            connections_.begin()->second->close();
    }
    mailbox_->close();
}

void IoThread::request_shut_down() {
    boost::asio::post(context_, [this] {
        refresh_now();
        is_stopping_ = true;
        std::vector<std::shared_ptr<Connection>> all;
        for (const auto& [key, connection] : connections_)
            all.push_back(connection);
        for (const auto& connection : all)
            connection->shut_down();
    });
}

std::span<uint8_t> IoThread::scratch() {
    return *scratch_;
}

uint64_t IoThread::refresh_now() {
    const auto since = std::chrono::steady_clock::now().time_since_epoch();
    now_ns_ =
        static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(since).count());
    return now_ns_;
}

std::string_view IoThread::http_date() {
    const uint64_t second = now_ns_ / 1'000'000'000;
    if (second != date_s_ || date_.empty()) {
        date_s_ = second;
        const std::time_t now = std::time(nullptr);
        std::tm utc = {};
        gmtime_r(&now, &utc);
        static constexpr std::array kDays = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
        static constexpr std::array kMonths = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                               "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
        date_ = fmt::format("{}, {:02} {} {} {:02}:{:02}:{:02} GMT",
                            kDays[static_cast<size_t>(utc.tm_wday)], utc.tm_mday,
                            kMonths[static_cast<size_t>(utc.tm_mon)], utc.tm_year + 1900,
                            utc.tm_hour, utc.tm_min, utc.tm_sec);
    }
    return date_;
}

void IoThread::add(std::shared_ptr<Connection> connection) {
    Connection* key = connection.get();
    connections_[key] = std::move(connection);
    arm_tick();
}

void IoThread::remove(Connection& connection) {
    connections_.erase(&connection);
}

void IoThread::deliver() {
    refresh_now();
    mailbox_->take(letters_);
    if (letters_.empty()) return;
    std::vector<std::shared_ptr<Connection>> touched;
    for (Mailbox::Letter& letter : letters_) {
        std::shared_ptr<Connection> connection = letter.connection.lock();
        if (connection == nullptr) continue;
        connection->reply(letter.request_id, std::move(letter.reply));
        if (!connection->mark_touched()) touched.push_back(std::move(connection));
    }
    letters_.clear();
    for (const auto& connection : touched)
        connection->flush_touched();
}

void IoThread::arm_tick() {
    if (is_ticking_ || connections_.empty()) return;
    is_ticking_ = true;
    timer_.expires_after(std::chrono::milliseconds(tick_ms_));
    timer_.async_wait([this](const boost::system::error_code& error) {
        is_ticking_ = false;
        if (error) return;
        tick();
        arm_tick();
    });
}

void IoThread::tick() {
    refresh_now();
    std::vector<std::shared_ptr<Connection>> all;
    all.reserve(connections_.size());
    for (const auto& [key, connection] : connections_)
        all.push_back(connection);
    for (const auto& connection : all)
        connection->check_deadlines();
}

}  // namespace spanloom::http
