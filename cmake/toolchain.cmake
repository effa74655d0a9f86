# Language level, compiler cache, linker, warnings, sanitizers: one interface target that every target of ours links.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_CXX_SCAN_FOR_MODULES OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(THREADS_PREFER_PTHREAD_FLAG ON)

if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Dev CACHE STRING "" FORCE)
endif()
# The sources are compiled for daily work as they are shipped, so that with a compiler cache one compilation serves the tests,
# the benchmarks and the package. The tests' own sources (tests/CMakeLists.txt) and what a sanitizer slows are optimised less.
set(fb_less "-O1 -g1")
if(FB_SANITIZE)
  set(CMAKE_CXX_FLAGS_DEV "${fb_less}" CACHE STRING "" FORCE)
else()
  set(CMAKE_CXX_FLAGS_DEV "-O2 -g1" CACHE STRING "" FORCE)
endif()
set(CMAKE_EXE_LINKER_FLAGS_DEV "" CACHE STRING "" FORCE)
# Asserts of the action path stay on in release, so no -DNDEBUG.
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -g1" CACHE STRING "" FORCE)

find_program(FB_CCACHE ccache)
if(FB_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  # The sloppiness lets it keep what was compiled with a precompiled header.
  set(CMAKE_CXX_COMPILER_LAUNCHER env CCACHE_SLOPPINESS=pch_defines,time_macros "${FB_CCACHE}")
endif()
find_program(FB_MOLD mold)

# A warning is an error with the compiler that the project's own run has. A newer one warns of more, falsely too, which must not
# end the build of somebody who only wants to try this.
set(FB_WERROR "")
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  set(FB_WERROR -Werror)
endif()

add_library(fb_flags INTERFACE)
target_compile_options(fb_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wconversion -Wshadow $<$<NOT:$<BOOL:$<TARGET_PROPERTY:FB_WARNS_ONLY>>>:${FB_WERROR}>
  -fstack-protector-strong -ffile-prefix-map=${CMAKE_SOURCE_DIR}=.)
target_include_directories(fb_flags INTERFACE ${CMAKE_SOURCE_DIR})
if(FB_MOLD)
  target_link_options(fb_flags INTERFACE -fuse-ld=mold)
endif()
target_link_options(fb_flags INTERFACE -Wl,-z,relro -Wl,-z,now)

if(FB_SANITIZE STREQUAL "address")
  add_compile_options(-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer)
  add_link_options(-fsanitize=address,undefined)
elseif(FB_SANITIZE STREQUAL "thread")
  add_compile_options(-fsanitize=thread -fno-omit-frame-pointer)
  add_link_options(-fsanitize=thread)
elseif(FB_SANITIZE)
  message(FATAL_ERROR "FB_SANITIZE is '${FB_SANITIZE}'; it takes 'address', 'thread' or nothing")
endif()
