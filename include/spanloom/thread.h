#pragma once

#include <future>
#include <thread>
#include <type_traits>
#include <utility>

#include "spanloom/bind.h"

// The standard library's ways to start work, with the starter's context: write `spanloom::` where
// `std::` stood. What they return is the standard library's own.
namespace spanloom {

template <typename F, typename... Args>
[[nodiscard]] std::thread thread(F&& function, Args&&... args) {
    return std::thread(bind(std::forward<F>(function)), std::forward<Args>(args)...);
}

#if defined(__cpp_lib_jthread)
// Gets the stop token where it takes one.
template <typename F, typename... Args>
[[nodiscard]] std::jthread jthread(F&& function, Args&&... args) {
    return std::jthread(bind(std::forward<F>(function)), std::forward<Args>(args)...);
}
#endif

template <typename F, typename... Args,
          typename = std::enable_if_t<!std::is_same<std::decay_t<F>, std::launch>::value>>
[[nodiscard]] auto async(F&& function, Args&&... args) {
    return std::async(bind(std::forward<F>(function)), std::forward<Args>(args)...);
}

template <typename F, typename... Args>
[[nodiscard]] auto async(std::launch policy, F&& function, Args&&... args) {
    return std::async(policy, bind(std::forward<F>(function)), std::forward<Args>(args)...);
}

// `auto task = spanloom::packaged_task<int(int)>(f)`: in the context of where it was made.
template <typename Signature, typename F>
[[nodiscard]] std::packaged_task<Signature> packaged_task(F&& function) {
    return std::packaged_task<Signature>(bind(std::forward<F>(function)));
}

}  // namespace spanloom
