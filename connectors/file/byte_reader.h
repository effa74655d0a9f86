// Bytes of one input: a plain file, a .gz or a .zst, or standard input ("-"). Decompresses as it reads; several gzip
// members or zstd frames after each other are one stream. Owner: one LineReader. One thread.
// Cost: one read(2) a block; plain files are read straight into the caller's buffer.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "engine/base/result.h"

namespace fb {

class ByteReader {
 public:
  virtual ~ByteReader() = default;

  // Opens and looks at the name and the first bytes: ".gz" and ".zst" must be what their name says; anything else is
  // decompressed when it begins like one of them. Missing: not_found; a folder: invalid_argument; both name the path.
  static Result<std::unique_ptr<ByteReader>> open(const std::string& path);

  enum class Got : uint8_t {
    bytes,
    nothing_yet,  // a pipe had nothing within the wait
    end,
  };
  struct Read {
    Got got = Got::end;
    size_t count = 0;
  };
  // At most `room` bytes to `to`. wait_ms: -1 waits as long as it takes; files never wait. A truncated or damaged
  // compressed stream gives corrupt, after all bytes before the damage have been given.
  virtual Result<Read> read(char* to, size_t room, int wait_ms) = 0;
};

}  // namespace fb
