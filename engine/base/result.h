// Result<T>: how every fallible function of Firebreak returns. Exceptions of libraries are caught in the adapter that
// calls them and become an Error; they never cross a component's boundary.
#pragma once

#include <cstdint>
#include <string>
#include <tl/expected.hpp>
#include <utility>

namespace fb {

enum class ErrorCode : uint8_t {
  invalid_argument,  // the caller's input is wrong; the message names the place
  not_found,
  already_exists,
  ambiguous,    // several things fit one name
  corrupt,      // stored or received bytes are not what they must be
  io,           // the machine failed: disk, socket
  no_space,     // disk or quota full
  busy,         // locked by somebody else
  unavailable,  // the other side is not there (now)
  timeout,
  refused,   // the other side, or a guard, said no
  conflict,  // the state changed meanwhile
  limit,     // a named limit was hit; the message names it
  unsupported,
  internal,
};

// May the same call be made again, unchanged, with hope?
enum class Retry : uint8_t { no, yes };

struct [[nodiscard]] Error {
  ErrorCode code = ErrorCode::internal;
  Retry retry = Retry::no;
  std::string message;  // one line, for a person, names the thing
  std::string context;  // where: file:line:column, offset, field; may be empty

  // "context: message", or the message alone.
  std::string describe() const { return context.empty() ? message : context + ": " + message; }
};

template <class T>
using Result = tl::expected<T, Error>;
using Status = Result<void>;

inline tl::unexpected<Error> fail(ErrorCode code, std::string message, std::string context = {},
                                  Retry retry = Retry::no) {
  return tl::unexpected<Error>(Error{code, retry, std::move(message), std::move(context)});
}

}  // namespace fb

#define FB_CONCAT_(a, b) a##b
#define FB_CONCAT(a, b) FB_CONCAT_(a, b)

// FB_TRY(auto x, call()): x is the value, or this function returns call()'s error.
#define FB_TRY(declaration, ...) FB_TRY_(FB_CONCAT(fb_try_, __LINE__), declaration, __VA_ARGS__)
#define FB_TRY_(name, declaration, ...)                                   \
  auto name = (__VA_ARGS__);                                              \
  if (!name) return tl::unexpected<::fb::Error>(std::move(name).error()); \
  declaration = std::move(*name)

#define FB_TRY_VOID(...) FB_TRY_VOID_(FB_CONCAT(fb_try_, __LINE__), __VA_ARGS__)
#define FB_TRY_VOID_(name, ...)                                             \
  do {                                                                      \
    auto name = (__VA_ARGS__);                                              \
    if (!name) return tl::unexpected<::fb::Error>(std::move(name).error()); \
  } while (false)
