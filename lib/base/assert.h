// Assertions that stay on in release: a broken invariant of ours ends the process before it can
// damage data. Bytes from a socket, a disk or a user never reach an assertion; they are errors.
#pragma once

namespace qtool {

/// Prints expression and place to stderr, then aborts. `detail` may be nullptr.
[[noreturn]] void assert_failed(const char* expression, const char* file, int line,
                                const char* detail) noexcept;

} // namespace qtool

#define QT_ASSERT(expression)                                                                      \
    (static_cast<bool>(expression)                                                                 \
         ? static_cast<void>(0)                                                                    \
         : ::qtool::assert_failed(#expression, __FILE__, __LINE__, nullptr))

#define QT_ASSERT_MSG(expression, detail)                                                          \
    (static_cast<bool>(expression)                                                                 \
         ? static_cast<void>(0)                                                                    \
         : ::qtool::assert_failed(#expression, __FILE__, __LINE__, detail))

/// A place that control flow cannot reach unless an invariant of ours is broken.
#define QT_UNREACHABLE() ::qtool::assert_failed("unreachable", __FILE__, __LINE__, nullptr)

// Costly checks: on in debug, sanitizer and simulation builds.
#if defined(QT_SLOW_ASSERTS)
#define QT_ASSERT_SLOW(expression) QT_ASSERT(expression)
#else
#define QT_ASSERT_SLOW(expression) static_cast<void>(0)
#endif
