#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "spanloom/attribute.h"

namespace spanloom {

// An attribute that owns its value, in its OTLP form.
struct OwnedAttribute {
    std::string key;
    std::string value;           // a serialised opentelemetry.proto.common.v1.AnyValue
    bool is_of_process = false;  // a forked child has its own value

    OwnedAttribute() = default;
    OwnedAttribute(std::string_view key, const AttributeValue& value);
    // The text of a string value, else "".
    std::string_view text() const noexcept;
};

// Who sends the spans: attributes with one value a key, and the schema they follow. A value.
class Resource {
  public:
    Resource() = default;
    explicit Resource(AttributeList attributes, std::string_view schema_url = {});

    void set(std::string_view key, const AttributeValue& value);
    // What is true of this process alone (`process.pid`, `process.parent_pid`, a generated
    // `service.instance.id`): a provider in a forked child has its own value of it.
    void set_of_process(std::string_view key, const AttributeValue& value);
    // Sets or overwrites.
    void put(OwnedAttribute attribute);
    void erase(std::string_view key);
    // Null where absent.
    const OwnedAttribute* find(std::string_view key) const noexcept;
    const std::vector<OwnedAttribute>& attributes() const noexcept { return attributes_; }
    const std::string& schema_url() const noexcept { return schema_url_; }
    void set_schema_url(std::string_view url) { schema_url_ = url; }

    // The updating one's values win. Two different schema URLs that are not empty: the result has
    // none (the specification calls it an error; the attributes are still the best there are).
    Resource merge(const Resource& updating) const;

    // A serialised opentelemetry.proto.resource.v1.Resource.
    std::string encode() const;

  private:
    std::vector<OwnedAttribute> attributes_;
    std::string schema_url_;
};

// telemetry.sdk.{name,language,version} and service.name "unknown_service" (with the program's name
// where it is known), as the specification wants them in every resource.
Resource default_resource();

}  // namespace spanloom
