// Which threads the routes of exceptions run on.
#include <gtest/gtest.h>

#include "api/api.h"
#include "api/router.h"

namespace fb::api {
namespace {

// An exception that ends a storm of wrong isolations waits for no search.
TEST(ExceptionDesks, WhatChangesRulesDoesNotWaitForSearches) {
  const Router router = all_routes();
  const auto desk = [&](const char* method, const std::string& path) {
    const Router::Match match = router.find(method, path);
    EXPECT_NE(match.handle, nullptr) << method << " " << path;
    return match.desk_for(path);
  };
  const struct {
    const char* method;
    const char* path;
  } writes[] = {
      {"POST", "/api/exception_lists"},
      {"DELETE", "/api/exception_lists"},
      {"POST", "/api/exception_lists/items"},
      {"PUT", "/api/exception_lists/items"},
      {"DELETE", "/api/exception_lists/items"},
      {"POST", "/api/endpoint_list"},
      {"POST", "/api/endpoint_list/items"},
      {"PUT", "/api/endpoint_list/items"},
      {"DELETE", "/api/endpoint_list/items"},
      {"DELETE", "/api/lists/index"},
      {"POST", "/api/lists"},
      {"DELETE", "/api/lists"},
      {"POST", "/api/lists/items"},
      {"PUT", "/api/lists/items"},
      {"PATCH", "/api/lists/items"},
      {"DELETE", "/api/lists/items"},
      {"POST", "/api/detection_engine/rules/an-id/exceptions"},
      {"POST", "/api/firebreak/alerts/an-id/false_positive"},
  };
  for (const auto& w : writes) EXPECT_EQ(desk(w.method, w.path), Desk::rules) << w.method << " " << w.path;
  // An import may take as long as a search.
  EXPECT_EQ(desk("POST", "/api/exception_lists/_import"), Desk::work);
  EXPECT_EQ(desk("POST", "/api/exception_lists/_duplicate"), Desk::work);
  EXPECT_EQ(desk("POST", "/api/lists/items/_import"), Desk::work);
  EXPECT_EQ(desk("POST", "/api/lists/items/_export"), Desk::work);
}

}  // namespace
}  // namespace fb::api
