// C++20 coroutines: the context follows a coroutine across every co_await, onto whatever thread it
// goes on. Task is such a coroutine; a promise of your own becomes one by deriving from
// spanloom::ContextPromise.
#include <condition_variable>
#include <coroutine>
#include <cstdio>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "spanloom/coroutine.h"
#include "spanloom/spanloom.h"

using spanloom::Task;
using spanloom::Tracer;

namespace {

// co_await on it goes on on another thread.
class Worker {
  public:
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> coroutine) {
        const std::lock_guard lock(mutex_);
        threads_.emplace_back([coroutine] { coroutine.resume(); });
    }
    void await_resume() const noexcept {}

    // Until no thread is left; those that run may start others.
    void join() {
        for (std::thread thread = take(); thread.joinable(); thread = take())
            thread.join();
    }

  private:
    std::thread take() {
        const std::lock_guard lock(mutex_);
        if (threads_.empty()) return {};
        std::thread last = std::move(threads_.back());
        threads_.pop_back();
        return last;
    }

    std::mutex mutex_;
    std::vector<std::thread> threads_;
};

Task<std::string> load(const Tracer& tracer, Worker& worker) {
    auto span = tracer.start_active("load");
    co_await worker;
    span.add_event("loaded");  // on another thread, in the same span
    co_return "page";
}

Task<> render(const Tracer& tracer, Worker& worker) {
    auto span = tracer.start_active("render", spanloom::SpanKind::kServer);
    std::printf("trace %s\n", span.context().trace_id().hex().c_str());
    const std::string page = co_await load(tracer, worker);
    co_await worker;
    auto send = tracer.start_active("send", {{"page", page}});
}

}  // namespace

int main() {
    auto telemetry = spanloom::init({.service_name = "page-service"});
    const Tracer tracer = spanloom::get_tracer("coroutines");

    Worker worker;
    Task<> task = render(tracer, worker);
    task.start();
    worker.join();
    task.get();
}
