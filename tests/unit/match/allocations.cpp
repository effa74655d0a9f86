#include "allocations.h"

#include <cstdlib>
#include <new>

namespace {
thread_local size_t count = 0;
}

namespace fb::test {
size_t allocations() {
  return count;
}
}  // namespace fb::test

// Beside the tests, not in their file: the compiler would see through them and warn of malloc's memory given to delete.
void* operator new(size_t size) {
  ++count;
  if (void* p = std::malloc(size == 0 ? 1 : size)) return p;
  throw std::bad_alloc();
}
void* operator new(size_t size, const std::nothrow_t&) noexcept {
  ++count;
  return std::malloc(size == 0 ? 1 : size);
}
void operator delete(void* p) noexcept {
  std::free(p);
}
void operator delete(void* p, size_t) noexcept {
  std::free(p);
}
