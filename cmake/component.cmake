# fb_component(NAME SOURCES ... SEES ... [LINKS ...])
#   A static library fb_NAME. SEES are other components (public, one-way: tests/layers checks the includes too);
#   LINKS are libraries of the distribution that only the sources see.
function(fb_component name)
  cmake_parse_arguments(A "" "" "SOURCES;SEES;LINKS" ${ARGN})
  add_library(fb_${name} STATIC ${A_SOURCES})
  target_link_libraries(fb_${name} PUBLIC fb_flags tl::expected)
  foreach(other IN LISTS A_SEES)
    target_link_libraries(fb_${name} PUBLIC fb_${other})
  endforeach()
  if(A_LINKS)
    target_link_libraries(fb_${name} PRIVATE ${A_LINKS})
  endif()
endfunction()

# fb_header_component(NAME SEES ...): a component of headers only.
function(fb_header_component name)
  cmake_parse_arguments(A "" "" "SEES" ${ARGN})
  add_library(fb_${name} INTERFACE)
  target_link_libraries(fb_${name} INTERFACE fb_flags tl::expected)
  foreach(other IN LISTS A_SEES)
    target_link_libraries(fb_${name} INTERFACE fb_${other})
  endforeach()
endfunction()

# fb_executable(NAME SOURCES ... SEES ... [LINKS ...])
function(fb_executable name)
  cmake_parse_arguments(A "" "" "SOURCES;SEES;LINKS" ${ARGN})
  add_executable(${name} ${A_SOURCES})
  target_link_libraries(${name} PRIVATE fb_flags tl::expected)
  foreach(other IN LISTS A_SEES)
    target_link_libraries(${name} PRIVATE fb_${other})
  endforeach()
  target_link_libraries(${name} PRIVATE ${A_LINKS})
endfunction()

# What the tests' own sources are compiled with besides. What g++ 12 warns of because it follows values is often wrong inside
# the library's strings, which a precompiled header no longer hides from it, and often wrong where a sanitizer has added code:
# AddressSanitizer looks for the same and is right. Undefined behaviour is looked for in what is tested; in a test the checks only
# cost a quarter of the time to compile it. Addresses are checked in both.
function(fb_test_options target)
  if(FB_SANITIZE)
    set_target_properties(${target} PROPERTIES FB_WARNS_ONLY ON)
  else()
    target_compile_options(${target} PRIVATE -Wno-array-bounds -Wno-restrict -Wno-stringop-overflow -Wno-stringop-overread)
  endif()
  if(FB_SANITIZE STREQUAL "address")
    target_compile_options(${target} PRIVATE -fno-sanitize=undefined)
  endif()
endfunction()

# fb_test(NAME SOURCES ... SEES ... [LINKS ...] [LABELS ...] [TIMEOUT s] [NEEDS_SHARED])
#   A GoogleTest program test_NAME, registered with ctest as one test. LABELS default to "fast" (the inner loop's set).
#   NEEDS_SHARED: reads ../shared; built always, run only by .ci/run (label "shared").
#   The target own_tests builds the tests that need nothing but this checkout, which is what a sanitizer's run needs.
function(fb_test name)
  cmake_parse_arguments(A "NEEDS_SHARED" "TIMEOUT" "SOURCES;SEES;LINKS;LABELS" ${ARGN})
  fb_executable(test_${name} SOURCES ${A_SOURCES} SEES ${A_SEES} LINKS ${A_LINKS} GTest::gtest GTest::gtest_main)
  if(NOT A_TIMEOUT)
    set(A_TIMEOUT 120)
  endif()
  if(A_NEEDS_SHARED)
    set(A_LABELS shared)
  elseif(NOT A_LABELS)
    set(A_LABELS fast)
  endif()
  if(NOT TARGET own_tests)
    add_custom_target(own_tests)
  endif()
  if(NOT A_LABELS MATCHES "shared|kafka|bare|netns")
    add_dependencies(own_tests test_${name})
  endif()
  fb_test_options(test_${name})
  target_precompile_headers(test_${name} REUSE_FROM fb_test_prelude)
  add_test(NAME ${name} COMMAND test_${name})
  set_tests_properties(${name} PROPERTIES LABELS "${A_LABELS}" TIMEOUT ${A_TIMEOUT}
    ENVIRONMENT "FB_SOURCE_DIR=${CMAKE_SOURCE_DIR};FB_BUILD_DIR=${CMAKE_BINARY_DIR}")
endfunction()
