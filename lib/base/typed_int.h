// TypedInt: an integer that cannot be passed where another kind of integer is meant.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>

namespace qtool {

template <class Tag, class Rep>
class TypedInt {
public:
    using rep = Rep;

    constexpr TypedInt() = default;
    constexpr explicit TypedInt(Rep value) : value_(value) {}

    [[nodiscard]] constexpr Rep value() const { return value_; }
    constexpr auto operator<=>(const TypedInt&) const = default;

    constexpr TypedInt& operator++() {
        ++value_;
        return *this;
    }
    // Distance arithmetic: an id moved by a plain count stays an id, two ids differ by a count.
    friend constexpr TypedInt operator+(TypedInt a, Rep count) {
        return TypedInt(static_cast<Rep>(a.value_ + count));
    }
    friend constexpr TypedInt operator-(TypedInt a, Rep count) {
        return TypedInt(static_cast<Rep>(a.value_ - count));
    }
    friend constexpr Rep operator-(TypedInt a, TypedInt b) {
        return static_cast<Rep>(a.value_ - b.value_);
    }

private:
    Rep value_ = 0;
};

} // namespace qtool

template <class Tag, class Rep>
struct std::hash<qtool::TypedInt<Tag, Rep>> {
    size_t operator()(qtool::TypedInt<Tag, Rep> id) const noexcept {
        return std::hash<Rep>()(id.value());
    }
};
