#include "engine/net/uri.h"

#include <gtest/gtest.h>

namespace fb::net {
namespace {

TEST(RequestTarget, IsTakenApartAndDecoded) {
  const auto t = parse_target("/api/a%20b/%C3%A9?x=1&y=a+b%26c&x=2&flag&=v");
  ASSERT_TRUE(t) << t.error().describe();
  EXPECT_EQ(t->path, "/api/a b/\xC3\xA9");
  EXPECT_EQ(t->query.at("x"), "2");
  EXPECT_EQ(t->query.at("y"), "a b&c");
  EXPECT_EQ(t->query.at("flag"), "");
  EXPECT_EQ(t->query.at(""), "v");
  EXPECT_EQ(t->query.size(), 4u);
}

TEST(RequestTarget, PlusIsASpaceInTheQueryOnly) {
  EXPECT_EQ(parse_target("/a+b")->path, "/a+b");
}

TEST(RequestTarget, AbsoluteFormAndAsterisk) {
  EXPECT_EQ(parse_target("http://host:1/p?q=1")->path, "/p");
  EXPECT_EQ(parse_target("https://host")->path, "/");
  EXPECT_EQ(parse_target("*")->path, "*");
}

TEST(RequestTarget, RefusesWhatHasNoMeaning) {
  for (const char* bad : {"", "a", "/%", "/%4", "/%zz", "/%00", "/?a=%0", "ftp://x/", "host:80"}) {
    EXPECT_FALSE(parse_target(bad)) << bad;
  }
}

TEST(PercentEncode, GoesBackToTheSameBytes) {
  std::string all;
  for (int i = 0; i < 256; ++i) all += static_cast<char>(i);
  EXPECT_EQ(percent_decode(percent_encode(all), true), all);
}

TEST(ListenAddress, ReadsWhatPeopleWrite) {
  EXPECT_EQ(parse_listen_address("127.0.0.1:8770")->port, 8770);
  EXPECT_EQ(parse_listen_address("[::1]:0")->host, "::1");
  EXPECT_EQ(parse_listen_address("localhost:65535")->host, "127.0.0.1");
  for (const char* bad :
       {"", "127.0.0.1", "127.0.0.1:", ":80", "127.0.0.1:65536", "127.0.0.1:-1", "::1:80", "[::1:80"}) {
    EXPECT_FALSE(parse_listen_address(bad)) << bad;
  }
}

}  // namespace
}  // namespace fb::net
