// Room for a whole page of an answer, guessed by its first row: an answer that grows step by step is copied several
// times. Pure but for `body`.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>

namespace fb::api {

inline void make_room_for_page(std::string& body, size_t first_row_bytes, size_t rows) {
  constexpr size_t kMostGuessedBytes = 4u << 20;
  if (rows == 0) return;
  const size_t row_bytes = std::min(kMostGuessedBytes / rows, first_row_bytes + first_row_bytes / 4);
  body.reserve(row_bytes * rows);
}

}  // namespace fb::api
