// JSON bytes -> Event, strictly: the grammar of the whole line is checked whichever fields are wanted, so a line's fate
// never depends on the rules that are loaded. One SIMD pass finds the structure, one walk over it checks every token
// and keeps the wanted ones. Allocates nothing once its buffers have grown to the stream's largest event.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "engine/base/limits.h"
#include "engine/event/event.h"

namespace fb {

// Why a record was refused. `reason` is a fixed kebab-case code ("not-json", "not-an-object", "too-deep", "too-long",
// "too-many-keys", "array-too-long", "key-too-long", "invalid-utf8", "identity-conflict", "empty");
// docs/dead-letters.md.
struct Refusal {
  std::string_view reason;
  std::string detail;   // one line for a person
  uint32_t offset = 0;  // byte offset in the record
};

class Decoder {
 public:
  // Bytes past the end of a record that must be readable (their content does not matter).
  static constexpr size_t kPadding = 64;

  Decoder(std::shared_ptr<const FieldTable> fields, EventLimits limits);
  ~Decoder();
  Decoder(Decoder&&) noexcept;
  Decoder& operator=(Decoder&&) noexcept;

  // The event, or null when the record was refused (see refusal()). `json` must be followed by kPadding readable bytes
  // and outlive the event.
  const Event* decode(std::string_view json);
  const Refusal& refusal() const;
  const EventLimits& limits() const;

  // Decodes one nested object: its fields resolve as "<path>.<key>". Valid until the next call of decode or, for the
  // same `depth` (0 = directly below an event), of decode_nested.
  const Event* decode_nested(const NestedObject& object, uint32_t depth);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace fb
