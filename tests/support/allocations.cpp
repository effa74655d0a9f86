#include "tests/support/allocations.h"

#include <cstdlib>
#include <new>

namespace {
thread_local size_t count = 0;

void* counted(size_t size) noexcept {
  ++count;
  return std::malloc(size == 0 ? 1 : size);
}

void* counted_or_throw(size_t size) {
  if (void* p = counted(size)) return p;
  throw std::bad_alloc();
}
}  // namespace

namespace fb::test {
size_t allocations() {
  return count;
}
}  // namespace fb::test

// Every form, so that no pair of new and delete is split between two allocators. Beside the tests, not in their file:
// the compiler would see through them and warn of malloc's memory given to delete.
void* operator new(size_t size) {
  return counted_or_throw(size);
}
void* operator new[](size_t size) {
  return counted_or_throw(size);
}
void* operator new(size_t size, const std::nothrow_t&) noexcept {
  return counted(size);
}
void* operator new[](size_t size, const std::nothrow_t&) noexcept {
  return counted(size);
}
void operator delete(void* p) noexcept {
  std::free(p);
}
void operator delete[](void* p) noexcept {
  std::free(p);
}
void operator delete(void* p, size_t) noexcept {
  std::free(p);
}
void operator delete[](void* p, size_t) noexcept {
  std::free(p);
}
void operator delete(void* p, const std::nothrow_t&) noexcept {
  std::free(p);
}
void operator delete[](void* p, const std::nothrow_t&) noexcept {
  std::free(p);
}
