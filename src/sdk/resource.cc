#include "spanloom/resource.h"

#include <algorithm>
#include <cerrno>

#include "otlp/view.h"
#include "otlp/writer.h"
#include "sdk/encode.h"

namespace spanloom {

OwnedAttribute::OwnedAttribute(std::string_view key_text, const AttributeValue& of)
    : key(sdk::clean_text(key_text, UINT32_MAX)) {
    uint8_t storage[1024];
    sdk::EncodeBuffer buffer(storage, sizeof storage);
    sdk::put_any_value(buffer, of, {});
    value = buffer.view();
}

std::string_view OwnedAttribute::text() const noexcept {
    const otlp::ValueView view = otlp::ValueView::parse(value);
    return view.type == otlp::ValueType::kString ? view.bytes : std::string_view();
}

Resource::Resource(AttributeList attributes, std::string_view schema_url)
    : schema_url_(schema_url) {
    for (const Attribute& attribute : attributes)
        set(attribute.key, attribute.value);
}

void Resource::set(std::string_view key, const AttributeValue& value) {
    if (key.empty() || value.type() == AttributeValue::Type::kEmpty) return;
    put(OwnedAttribute(key, value));
}

void Resource::set_of_process(std::string_view key, const AttributeValue& value) {
    OwnedAttribute attribute(key, value);
    attribute.is_of_process = true;
    put(std::move(attribute));
}

void Resource::put(OwnedAttribute attribute) {
    const auto found = std::find_if(attributes_.begin(), attributes_.end(),
                                    [&](const auto& a) { return a.key == attribute.key; });
    if (found != attributes_.end()) {
        *found = std::move(attribute);
    } else {
        attributes_.push_back(std::move(attribute));
    }
}

void Resource::erase(std::string_view key) {
    attributes_.erase(std::remove_if(attributes_.begin(), attributes_.end(),
                                     [&](const auto& a) { return a.key == key; }),
                      attributes_.end());
}

const OwnedAttribute* Resource::find(std::string_view key) const noexcept {
    const auto found = std::find_if(attributes_.begin(), attributes_.end(),
                                    [&](const auto& a) { return a.key == key; });
    return found == attributes_.end() ? nullptr : &*found;
}

Resource Resource::merge(const Resource& updating) const {
    Resource merged = *this;
    for (const OwnedAttribute& attribute : updating.attributes_) {
        merged.erase(attribute.key);
        merged.attributes_.push_back(attribute);
    }
    if (merged.schema_url_.empty()) {
        merged.schema_url_ = updating.schema_url_;
    } else if (!updating.schema_url_.empty() && updating.schema_url_ != schema_url_) {
        merged.schema_url_.clear();
    }
    return merged;
}

std::string Resource::encode() const {
    std::string out;
    otlp::WireWriter writer(out);
    for (const OwnedAttribute& attribute : attributes_) {
        const size_t mark = writer.begin(1);
        writer.bytes_field(1, attribute.key);
        writer.bytes_field(2, attribute.value);
        writer.end(mark);
    }
    return out;
}

Resource default_resource() {
    Resource resource({{"telemetry.sdk.name", "spanloom"},
                       {"telemetry.sdk.language", "cpp"},
                       {"telemetry.sdk.version", SPANLOOM_VERSION}});
    std::string service = "unknown_service";
#if defined(__GLIBC__)
    if (program_invocation_short_name != nullptr && program_invocation_short_name[0] != '\0')
        service += std::string(":") + program_invocation_short_name;
#endif
    resource.set("service.name", service);
    return resource;
}

}  // namespace spanloom
