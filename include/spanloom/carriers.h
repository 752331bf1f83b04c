#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "spanloom/propagator.h"

// What context travels in, made of what a program has at hand. None of these
// copies or allocates; each lives for the length of a call:
//
//     spanloom::HeaderList carrier(request.headers);          // a vector of
//     name and value Context context =
//     spanloom::global_propagator().extract(Context::root(), carrier);
namespace spanloom {

namespace detail {

constexpr char lower(char c) noexcept {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

// Header names: ASCII, without case.
inline bool same_name(std::string_view a, std::string_view b) noexcept {
    if (a.size() != b.size()) return false;
    if (a == b) return true;
    for (size_t i = 0; i < a.size(); ++i) {
        if (lower(a[i]) != lower(b[i])) return false;
    }
    return true;
}

}  // namespace detail

// Any range of pairs (name first, value second) of text: std::map,
// std::unordered_map and their multi forms, a vector of pairs. Names are
// compared without case. Writing needs emplace_back (a list) or
// insert_or_assign (a map); a name that is there already is written over.
template <typename Pairs>
class HeaderList final : public TextMapGetter, public TextMapSetter {
  public:
    explicit HeaderList(Pairs& pairs) noexcept : pairs_(pairs) {}

    std::optional<std::string_view> get(std::string_view name) const noexcept override {
        for (const auto& pair : pairs_) {
            if (detail::same_name(pair.first, name)) return std::string_view(pair.second);
        }
        return std::nullopt;
    }
    void for_each_value(std::string_view name,
                        FunctionRef<void(std::string_view)> visit) const noexcept override {
        for (const auto& pair : pairs_) {
            if (detail::same_name(pair.first, name)) visit(pair.second);
        }
    }
    void for_each_name(FunctionRef<void(std::string_view)> visit) const noexcept override {
        for (const auto& pair : pairs_)
            visit(pair.first);
    }
    void set(std::string_view name, std::string_view value) noexcept override {
        if constexpr (!std::is_const<Pairs>::value) {
            try {
                put(name, value, 0);
            } catch (...) {  // out of memory: the request goes without
            }
        }
    }

  private:
    // Into the memory that the text has already, where it can.
    template <typename T>
    static auto write_over(T& text, std::string_view value, int)
        -> decltype(text.assign(value.data(), value.size()), void()) {
        text.assign(value.data(), value.size());
    }
    template <typename T>
    static void write_over(T& text, std::string_view value, long) {
        text = std::string(value);
    }
    template <typename P = Pairs>
    auto put(std::string_view name, std::string_view value, int)
        -> decltype(std::declval<P&>().emplace_back(std::string(name), std::string(value)),
                    void()) {
        for (auto& pair : pairs_) {
            if (!detail::same_name(pair.first, name)) continue;
            write_over(pair.second, value, 0);
            return;
        }
        pairs_.emplace_back(std::string(name), std::string(value));
    }
    template <typename P = Pairs>
    auto put(std::string_view name, std::string_view value, long)
        -> decltype(std::declval<P&>().insert_or_assign(std::string(name), std::string(value)),
                    void()) {
        pairs_.insert_or_assign(std::string(name), std::string(value));
    }

    Pairs& pairs_;
};

// Headers of any library: `values(name, visit)` calls `visit` with each value
// of the name.
//
//     auto headers = spanloom::make_getter([&](std::string_view name, auto
//     visit) {
//         auto range = request.equal_range(name);                       //
//         Boost.Beast for (auto it = range.first; it != range.second; ++it)
//         visit(it->value());
//     });
template <typename Values>
class CallbackGetter final : public TextMapGetter {
  public:
    explicit CallbackGetter(Values values) noexcept : values_(std::move(values)) {}

    std::optional<std::string_view> get(std::string_view name) const noexcept override {
        std::optional<std::string_view> first;
        const auto keep = [&first](std::string_view value) {
            if (!first) first = value;
        };
        values_(name, FunctionRef<void(std::string_view)>(keep));
        return first;
    }
    void for_each_value(std::string_view name,
                        FunctionRef<void(std::string_view)> visit) const noexcept override {
        values_(name, visit);
    }
    // Not known: formats that look for names by prefix (Jaeger's baggage) find
    // none.
    void for_each_name(FunctionRef<void(std::string_view)>) const noexcept override {}

  private:
    Values values_;
};
template <typename Values>
CallbackGetter<Values> make_getter(Values values) noexcept {
    return CallbackGetter<Values>(std::move(values));
}

// `put(name, value)` writes one header.
//
//     auto headers = spanloom::make_setter([&](auto name, auto value) {
//     request.set(name, value);
//     });
template <typename Put>
class CallbackSetter final : public TextMapSetter {
  public:
    explicit CallbackSetter(Put put) noexcept : put_(std::move(put)) {}
    void set(std::string_view name, std::string_view value) noexcept override { put_(name, value); }

  private:
    Put put_;
};
template <typename Put>
CallbackSetter<Put> make_setter(Put put) noexcept {
    return CallbackSetter<Put>(std::move(put));
}

// The environment of this process, for reading what a parent process passed on:
// names as the specification writes them for it (TRACEPARENT, X_B3_TRACEID).
// Read it at the start, before threads that change the environment.
class EnvironmentGetter final : public TextMapGetter {
  public:
    std::optional<std::string_view> get(std::string_view name) const noexcept override;
    void for_each_name(FunctionRef<void(std::string_view)> visit) const noexcept override;
};

// Environment for a child process, to be given to posix_spawn or execve: a list
// of "NAME=value", that of this process at first.
class ChildEnvironment final : public TextMapSetter {
  public:
    // A copy of this process's environment.
    ChildEnvironment();
    void set(std::string_view name, std::string_view value) noexcept override;
    // Ends with null; valid until the next change.
    char* const* data() noexcept;
    const std::vector<std::string>& variables() const noexcept { return variables_; }

  private:
    std::vector<std::string> variables_;
    std::vector<char*> pointers_;
};

}  // namespace spanloom
