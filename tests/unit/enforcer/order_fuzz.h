// Hostile bytes for the readers of orders: the entry point that a fuzzer calls, and small random changes for the tests.
#pragma once

#include <cstddef>
#include <cstdint>
#include <random>
#include <string>

// Both readers of an order on any bytes: they must not crash, and what they take they must write again byte for byte.
// Ends the process when that does not hold.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace fb::agent::test {

// One to four changes: bits flipped, bytes set, cut out, doubled, inserted. The first `spared` bytes are mostly spared.
void mutate(std::string& bytes, std::mt19937& random, size_t spared);

}  // namespace fb::agent::test
