// SHA-256 over length-prefixed parts (the form of every id in Firebreak), hex, base64, random bytes. Pure, thread-safe.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>

namespace fb {

using Sha256 = std::array<uint8_t, 32>;

Sha256 sha256(std::string_view bytes);

// Each part is preceded by its length as 8 bytes, big-endian, so ("ab","c") and ("a","bc") differ.
Sha256 sha256_parts(std::initializer_list<std::string_view> parts);

std::string hex(std::string_view bytes);
std::string hex(const Sha256& digest);
std::string base64(std::string_view bytes);
std::optional<std::string> unbase64(std::string_view text);  // strict: nothing on any foreign character

// From the operating system's generator; ends the process if it fails.
std::string random_bytes(size_t count);

// Compares in constant time for equal lengths.
bool equal_secret(std::string_view a, std::string_view b);

}  // namespace fb
