// How often this thread has allocated; a program that links allocations.cpp counts every operator new.
#pragma once

#include <cstddef>

namespace fb::test {

size_t allocations();

}  // namespace fb::test
