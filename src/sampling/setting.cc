#include "sampling/setting.h"

#include <fmt/format.h>

namespace spanloom::sampling {
namespace {

constexpr const char* kTenant = "default";  // settings are those of all tenants

}  // namespace

SettingDocument::SettingDocument(store::Documents& documents, const Clock& clock,
                                 std::string_view kind, std::string_view name,
                                 std::string_view what)
    : documents_(documents), clock_(clock), kind_(kind), name_(name), what_(what) {}

Result<SettingDocument::Stored> SettingDocument::load() const {
    const Result<store::Document> stored = documents_.get(kTenant, kind_, name_);
    if (!stored && stored.error().code == ErrorCode::kNotFound) return Stored();
    if (!stored)
        return fail(stored.error().code, "the {} cannot be read: {}", what_,
                    stored.error().message);
    if (stored->body.empty()) return Stored();
    return Stored{stored->version, stored->changed_ns, stored->body};
}

Result<void> SettingDocument::reset(uint64_t expected) {
    TRY_ASSIGN(const Stored now, load());
    if (now.version == 0) return fail(ErrorCode::kNotFound, "no {} are set", what_);
    TRY(put("", expected));
    return {};
}

Result<SettingDocument::Stored> SettingDocument::put(std::string body, uint64_t expected) {
    const Result<store::Document> before = documents_.get(kTenant, kind_, name_);
    if (!before && before.error().code != ErrorCode::kNotFound)
        return tl::unexpected(before.error());
    const bool is_given_up = before && before->body.empty();
    if (is_given_up && expected != 0)
        return fail(ErrorCode::kNotFound, "the {} of version {} are not in force any more", what_,
                    expected);
    TRY_ASSIGN(const store::Document stored,
               documents_.put(kTenant, kind_, {name_, 0, clock_.wall_ns(), std::move(body)},
                              is_given_up ? before->version : expected));
    return Stored{stored.version, stored.changed_ns, stored.body};
}

Error SettingDocument::not_understood(uint64_t version, const Error& error) const {
    return {error.code,
            fmt::format("the {} that were set (version {}) are not understood: {}; remove "
                        "documents/{}/{}/{}.doc to go back to those of the configuration",
                        what_, version, error.message, kTenant, kind_, name_),
            0};
}

}  // namespace spanloom::sampling
