#pragma once

#include <type_traits>
#include <utility>

namespace spanloom {

template <typename Signature>
class FunctionRef;

// A callable for the length of a call: owns nothing, allocates nothing.
template <typename R, typename... Args>
class FunctionRef<R(Args...)> {
  public:
    template <typename F,
              typename = std::enable_if_t<!std::is_same<std::decay_t<F>, FunctionRef>::value>>
    FunctionRef(F&& function) noexcept
        : object_(const_cast<void*>(static_cast<const void*>(__builtin_addressof(function)))),
          call_([](void* object, Args... args) -> R {
              return (*static_cast<std::remove_reference_t<F>*>(object))(
                  std::forward<Args>(args)...);
          }) {}
    R operator()(Args... args) const { return call_(object_, std::forward<Args>(args)...); }

  private:
    void* object_;
    R (*call_)(void*, Args...);
};

}  // namespace spanloom
