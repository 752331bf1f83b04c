#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/clock.h"
#include "base/result.h"
#include "store/documents.h"

namespace spanloom::sampling {

// What is in force, and where it comes from.
template <typename T>
struct InForce {
    T value;
    std::string source;       // "default", "file" (the configuration), "api"
    uint64_t version = 0;     // of "api": counts up with each change, for ever; else 0
    uint64_t changed_ns = 0;  // of "api"
};

// The document of a setting. Where what was set is given up an empty one stays in its place, so
// that no version is ever given to something else. One change at a time; the rest is the store's.
class SettingDocument {
  public:
    struct Stored {
        uint64_t version = 0;  // 0: nothing is set
        uint64_t changed_ns = 0;
        std::string body;
    };

    SettingDocument(store::Documents& documents, const Clock& clock, std::string_view kind,
                    std::string_view name, std::string_view what);

    Result<Stored> load() const;
    // `expected`: the version that is replaced, 0 where nothing is set; kAlreadyExists or kNotFound
    // where it is another by now.
    Result<Stored> put(std::string body, uint64_t expected);
    Result<void> reset(uint64_t expected);
    // What was set cannot be read by this program.
    Error not_understood(uint64_t version, const Error& error) const;

  private:
    store::Documents& documents_;
    const Clock& clock_;
    const std::string kind_;
    const std::string name_;
    const std::string what_;  // for errors: "keep rules"
};

// What the configuration says until something else is set in its place, durably. Thread-safe.
template <typename T>
class Setting {
  public:
    using Value = std::shared_ptr<const InForce<T>>;
    struct Form {
        Result<T> (*parse)(std::string_view json);
        std::string (*print)(const T& value);
    };

    // Without a configuration what is so by default.
    Setting(SettingDocument document, Form form, std::optional<T> configured, T by_default)
        : document_(std::move(document)),
          form_(form),
          configured_(std::make_shared<const InForce<T>>(
              InForce<T>{configured ? *configured : std::move(by_default),
                         configured ? "file" : "default", 0, 0})),
          value_(configured_) {}

    // What was set before. Not understood is not the same as not set: others were asked for.
    Result<void> load() {
        TRY_ASSIGN(SettingDocument::Stored stored, document_.load());
        if (stored.version == 0) return {};
        Result<T> parsed = form_.parse(stored.body);
        if (!parsed)
            return tl::unexpected(document_.not_understood(stored.version, parsed.error()));
        use(std::move(*parsed), stored);
        return {};
    }

    Value get() const {
        const std::lock_guard lock(mutex_);
        return value_;
    }

    // Takes something else into force, where `expected` is the version in force.
    Result<Value> replace(std::string_view json, uint64_t expected) {
        TRY_ASSIGN(T parsed, form_.parse(json));
        const std::lock_guard change(change_mutex_);
        TRY_ASSIGN(const SettingDocument::Stored stored,
                   document_.put(form_.print(parsed), expected));
        use(std::move(parsed), stored);
        return get();
    }

    // Back to what the configuration says.
    Result<Value> reset(uint64_t expected) {
        const std::lock_guard change(change_mutex_);
        TRY(document_.reset(expected));
        const std::lock_guard lock(mutex_);
        value_ = configured_;
        return value_;
    }

  private:
    void use(T value, const SettingDocument::Stored& stored) {
        auto in_force = std::make_shared<const InForce<T>>(
            InForce<T>{std::move(value), "api", stored.version, stored.changed_ns});
        const std::lock_guard lock(mutex_);
        value_ = std::move(in_force);
    }

    SettingDocument document_;
    const Form form_;
    const Value configured_;
    std::mutex change_mutex_;  // one change at a time
    mutable std::mutex mutex_;
    Value value_;
};

}  // namespace spanloom::sampling
