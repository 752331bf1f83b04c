#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string_view>
#include <type_traits>
#include <utility>

namespace spanloom {

struct Attribute;

// Some bytes that are not text.
struct Bytes {
    const void* data = nullptr;
    size_t size = 0;
};

// A view of one attribute's value, made where it is handed over and copied before the call returns:
// it owns nothing. Text, bytes and arrays must live until then. Made implicitly from
//   bool, any integer, any floating number, text (char*, string, string_view), Bytes,
//   arrays of bool, int64_t, int32_t, double, string_view, std::string (a vector, array or span),
//   AttributeValue[] (an array of mixed values) and Attribute[] (a map).
class AttributeValue {
  public:
    enum class Type : uint8_t {
        kEmpty,  // a null char*: setting it does nothing
        kBool,
        kInt,
        kDouble,
        kString,
        kBytes,
        kBoolArray,
        kInt64Array,
        kInt32Array,
        kDoubleArray,
        kStringArray,  // string_views
        kTextArray,    // objects that are read through text_at (std::string)
        kArray,        // AttributeValues
        kMap,          // Attributes
    };

    constexpr AttributeValue() noexcept : type_(Type::kEmpty), integer_(0) {}
    constexpr AttributeValue(bool value) noexcept : type_(Type::kBool), integer_(value ? 1 : 0) {}
    // Above the range of int64 a number keeps its largest value.
    template <typename T, std::enable_if_t<
                              std::is_integral<T>::value && !std::is_same<T, bool>::value, int> = 0>
    constexpr AttributeValue(T value) noexcept
        : type_(Type::kInt),
          integer_(static_cast<uint64_t>(value) > INT64_MAX && std::is_unsigned<T>::value
                       ? INT64_MAX
                       : static_cast<int64_t>(value)) {}
    template <typename T, std::enable_if_t<std::is_enum<T>::value, int> = 0>
    constexpr AttributeValue(T value) noexcept
        : type_(Type::kInt), integer_(static_cast<int64_t>(value)) {}
    template <typename T, std::enable_if_t<std::is_floating_point<T>::value, int> = 0, typename = T>
    constexpr AttributeValue(T value) noexcept
        : type_(Type::kDouble), number_(static_cast<double>(value)) {}
    constexpr AttributeValue(std::string_view text) noexcept
        : type_(Type::kString), data_(text.data()), size_(text.size()) {}
    constexpr AttributeValue(const char* text) noexcept
        : type_(text == nullptr ? Type::kEmpty : Type::kString),
          data_(text),
          size_(text == nullptr ? 0 : std::string_view(text).size()) {}
    constexpr AttributeValue(Bytes bytes) noexcept
        : type_(Type::kBytes), data_(bytes.data), size_(bytes.size) {}
    // Anything with data() and size(): text or an array.
    template <typename C,
              typename E = std::remove_const_t<
                  std::remove_pointer_t<decltype(std::declval<const C&>().data())>>,
              typename = decltype(std::declval<const C&>().size())>
    constexpr AttributeValue(const C& container) noexcept
        : type_(type_of<E>()), data_(container.data()), size_(container.size()) {
        set_stride<E>();
    }
    template <typename E, size_t N,
              std::enable_if_t<!std::is_same<std::remove_const_t<E>, char>::value, int> = 0>
    constexpr AttributeValue(const E (&elements)[N]) noexcept
        : type_(type_of<std::remove_const_t<E>>()), data_(elements), size_(N) {
        set_stride<std::remove_const_t<E>>();
    }

    constexpr Type type() const noexcept { return type_; }
    constexpr bool boolean() const noexcept { return integer_ != 0; }
    constexpr int64_t integer() const noexcept { return integer_; }
    constexpr double number() const noexcept { return number_; }
    // kString.
    constexpr std::string_view text() const noexcept {
        return {static_cast<const char*>(data_), size_};
    }
    constexpr const void* data() const noexcept { return data_; }
    // Bytes, or elements of an array or map.
    constexpr size_t size() const noexcept { return size_; }
    // kTextArray.
    std::string_view text_at(size_t index) const noexcept { return text_at_(data_, index); }

  private:
    using TextAt = std::string_view (*)(const void*, size_t);

    template <typename E>
    static constexpr Type type_of() noexcept {
        if constexpr (std::is_same<E, char>::value)
            return Type::kString;
        else if constexpr (std::is_same<E, uint8_t>::value)
            return Type::kBytes;
        else if constexpr (std::is_same<E, bool>::value)
            return Type::kBoolArray;
        else if constexpr (std::is_same<E, double>::value)
            return Type::kDoubleArray;
        else if constexpr (std::is_integral<E>::value && sizeof(E) == 8)
            return Type::kInt64Array;
        else if constexpr (std::is_integral<E>::value && sizeof(E) == 4)
            return Type::kInt32Array;
        else if constexpr (std::is_same<E, std::string_view>::value)
            return Type::kStringArray;
        else if constexpr (std::is_same<E, AttributeValue>::value)
            return Type::kArray;
        else if constexpr (std::is_same<E, Attribute>::value)
            return Type::kMap;
        else if constexpr (std::is_convertible<const E&, std::string_view>::value)
            return Type::kTextArray;
        else
            static_assert(sizeof(E) == 0, "no attribute is an array of this type");
    }
    template <typename E>
    constexpr void set_stride() noexcept {
        if constexpr (type_of<E>() == Type::kTextArray) {
            text_at_ = [](const void* data, size_t index) noexcept -> std::string_view {
                return static_cast<const E*>(data)[index];
            };
        }
    }

    Type type_;
    union {
        int64_t integer_;
        double number_;
        const void* data_;
    };
    size_t size_ = 0;
    TextAt text_at_ = nullptr;
};

struct Attribute {
    std::string_view key;
    AttributeValue value;
};

// A view of attributes, for the length of a call: `{{"user.id", id}, {"items", 3}}`, a vector or an
// array of Attribute.
class AttributeList {
  public:
    constexpr AttributeList() noexcept = default;
    constexpr AttributeList(const Attribute* data, size_t size) noexcept
        : data_(data), size_(size) {}
    constexpr AttributeList(std::initializer_list<Attribute> attributes) noexcept
        : size_(attributes.size()) {
        data_ = attributes.begin();  // it is meant to live as long as the call
    }
    template <typename C, typename = std::enable_if_t<std::is_convertible<
                              decltype(std::declval<const C&>().data()), const Attribute*>::value>>
    constexpr AttributeList(const C& container) noexcept
        : data_(container.data()), size_(container.size()) {}
    // The list in braces would be gone by the time it is read: give it where the object is made.
    AttributeList& operator=(std::initializer_list<Attribute>) = delete;

    constexpr const Attribute* begin() const noexcept { return data_; }
    constexpr const Attribute* end() const noexcept { return data_ + size_; }
    constexpr size_t size() const noexcept { return size_; }
    constexpr bool empty() const noexcept { return size_ == 0; }

  private:
    const Attribute* data_ = nullptr;
    size_t size_ = 0;
};

}  // namespace spanloom
