// Result<T>: a T or an Error. Nodiscard, so that no error is dropped by accident.
#pragma once

#include "lib/base/error.h"

#include <tl/expected.hpp>

#include <utility>

namespace qtool {

template <class T>
class [[nodiscard]] Result : public tl::expected<T, Error> {
public:
    using tl::expected<T, Error>::expected;
    Result(Error error) : tl::expected<T, Error>(tl::make_unexpected(std::move(error))) {}
    Result(Code code, std::string detail = {}, int sys_errno = 0)
        : Result(Error(code, std::move(detail), sys_errno)) {}
};

template <>
class [[nodiscard]] Result<void> : public tl::expected<void, Error> {
public:
    using tl::expected<void, Error>::expected;
    Result(Error error) : tl::expected<void, Error>(tl::make_unexpected(std::move(error))) {}
    Result(Code code, std::string detail = {}, int sys_errno = 0)
        : Result(Error(code, std::move(detail), sys_errno)) {}
};

} // namespace qtool

#define QT_CONCAT_INNER(a, b) a##b
#define QT_CONCAT(a, b) QT_CONCAT_INNER(a, b)

/// Passes an error up: QT_TRY(file.sync());
#define QT_TRY(expression)                                                                         \
    do {                                                                                           \
        auto QT_CONCAT(qt_result_, __LINE__) = (expression);                                       \
        if (!QT_CONCAT(qt_result_, __LINE__)) {                                                    \
            return std::move(QT_CONCAT(qt_result_, __LINE__)).error();                             \
        }                                                                                          \
    } while (false)

/// Declares or assigns the value, or passes the error up: QT_TRY_ASSIGN(auto size, file.size());
#define QT_TRY_ASSIGN(target, expression)                                                          \
    auto QT_CONCAT(qt_result_, __LINE__) = (expression);                                           \
    if (!QT_CONCAT(qt_result_, __LINE__)) {                                                        \
        return std::move(QT_CONCAT(qt_result_, __LINE__)).error();                                 \
    }                                                                                              \
    target = *std::move(QT_CONCAT(qt_result_, __LINE__))
