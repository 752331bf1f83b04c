// A pool that knows nothing of tracing: `carry` makes what it is given run in its giver's context.
#include <condition_variable>
#include <cstdio>
#include <deque>
#include <functional>
#include <future>
#include <mutex>
#include <thread>
#include <vector>

#include "spanloom/spanloom.h"
#include "spanloom/thread.h"

namespace {

class Pool {
  public:
    explicit Pool(int threads) {
        for (int i = 0; i < threads; ++i)
            threads_.emplace_back([this] { run(); });
    }
    ~Pool() {
        submit(nullptr);  // the last one
        for (std::thread& thread : threads_)
            thread.join();
    }
    void submit(std::function<void()> work) {
        {
            const std::lock_guard<std::mutex> lock(mutex_);
            queue_.push_back(std::move(work));
        }
        ready_.notify_one();
    }

  private:
    void run() {
        while (const auto work = next())
            work();
    }
    std::function<void()> next() {
        std::unique_lock<std::mutex> lock(mutex_);
        ready_.wait(lock, [this] { return !queue_.empty(); });
        auto work = queue_.front();
        if (work)
            queue_.pop_front();
        else
            ready_.notify_all();  // the last one stays for the others
        return work;
    }

    std::mutex mutex_;
    std::condition_variable ready_;
    std::deque<std::function<void()>> queue_;
    std::vector<std::thread> threads_;
};

void resize(const spanloom::Tracer& tracer, int width) {
    auto span = tracer.start_active("resize image", {{"width", width}});
}

}  // namespace

int main() {
    auto telemetry = spanloom::init({.service_name = "image-service"});
    const spanloom::Tracer tracer = spanloom::get_tracer("thread_pool");

    Pool pool(2);
    {
        const auto request = tracer.start_active("upload", spanloom::SpanKind::kServer);
        std::printf("trace %s\n", request.context().trace_id().hex().c_str());

        const auto traced = spanloom::carry(pool);
        for (const int width : {64, 256, 1024})
            traced.submit([&, width] { resize(tracer, width); });

        // The same for the standard library's: spanloom:: in place of std::.
        spanloom::thread([&] { auto span = tracer.start_active("write index"); }).join();
        spanloom::async(std::launch::async, [&] {
            auto span = tracer.start_active("notify");
        }).get();
    }  // the request may well end before its images do
}
