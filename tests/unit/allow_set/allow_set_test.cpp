#include "actions/endpoint/allow_set.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bitset>
#include <random>

namespace fb::endpoint {
namespace {

std::string canonical(std::string_view text) {
  const auto p = parse_prefix(text);
  return p ? to_string(*p) : "refused";
}

TEST(ParsePrefix, CanonicalForm) {
  EXPECT_EQ(canonical("192.0.2.7"), "192.0.2.7");
  EXPECT_EQ(canonical("192.0.2.7/32"), "192.0.2.7");
  EXPECT_EQ(canonical("192.0.2.7/24"), "192.0.2.0/24");
  EXPECT_EQ(canonical("255.255.255.255/1"), "128.0.0.0/1");
  EXPECT_EQ(canonical("10.1.2.3/0"), "0.0.0.0/0");
  EXPECT_EQ(canonical("2001:DB8:0:0::1"), "2001:db8::1");
  EXPECT_EQ(canonical("2001:db8::1/128"), "2001:db8::1");
  EXPECT_EQ(canonical("2001:db8:ffff::/33"), "2001:db8:8000::/33");
  EXPECT_EQ(canonical("::/0"), "::/0");
  EXPECT_EQ(canonical("64:ff9b::192.0.2.1"), "64:ff9b::c000:201");
}

TEST(ParsePrefix, RefusesWhatIsNotOneSpelling) {
  using std::string_view_literals::operator""sv;
  for (const auto text : {""sv,
                          "/"sv,
                          "/8"sv,
                          "10.0.0.0/"sv,
                          "10.0.0.0/33"sv,
                          "10.0.0.0/08"sv,
                          "10.0.0.0/-1"sv,
                          "10.0.0.0/+8"sv,
                          "10.0.0.0/8 "sv,
                          " 10.0.0.0"sv,
                          "10.0.0.0 /8"sv,
                          "10.0.0"sv,
                          "10.0.0.256"sv,
                          "010.0.0.1"sv,
                          "10.00.0.1"sv,
                          "0x0a.0.0.1"sv,
                          "167772161"sv,
                          "10.0.0.0/255.0.0.0"sv,
                          "10.0.0.0/8/8"sv,
                          "localhost"sv,
                          "fe80::1%eth0"sv,
                          "2001:db8::/129"sv,
                          "2001:db8::1::2"sv,
                          "2001:db8"sv,
                          ":::"sv,
                          "[2001:db8::1]"sv,
                          "1:2:3:4:5:6:7:8:9"sv,
                          "12345::"sv,
                          "::ffff:192.0.2.1"sv,
                          "::ffff:c000:201"sv,
                          "::ffff:192.0.2.0/120"sv,
                          "::FFFF:0:0/96"sv,
                          "10.0.0.1\0"sv,
                          "10.0.0.1\0/8"sv,
                          "10.0.0.0/99999999999999999999"sv,
                          "10.0.0.0/8\n"sv}) {
    EXPECT_EQ(canonical(text), "refused") << "'" << text << "'";
  }
  EXPECT_EQ(canonical(std::string(1000, '1')), "refused");
  const auto long_entry = parse_prefix(std::string(100'000, 'x'));
  ASSERT_FALSE(long_entry);
  EXPECT_LT(long_entry.error().message.size(), 200u);
}

std::vector<std::string> merged(const std::vector<std::string>& entries) {
  std::vector<Prefix> prefixes;
  for (const auto& e : entries) prefixes.push_back(parse_prefix(e).value());
  std::vector<std::string> texts;
  for (const auto& p : merge(prefixes)) texts.push_back(to_string(p));
  return texts;
}

TEST(Merge, JoinsWhatAdjoins) {
  using List = std::vector<std::string>;
  EXPECT_EQ(merged({}), List());
  EXPECT_EQ(merged({"10.0.0.1", "10.0.0.0"}), List({"10.0.0.0/31"}));
  EXPECT_EQ(merged({"10.0.0.1", "10.0.0.2"}), List({"10.0.0.1", "10.0.0.2"}));  // adjoin, but share no network
  EXPECT_EQ(merged({"10.0.0.0/25", "10.0.0.128/25", "10.0.1.0/24"}), List({"10.0.0.0/23"}));
  EXPECT_EQ(merged({"10.0.0.0/8", "10.1.2.3", "10.255.0.0/16"}), List({"10.0.0.0/8"}));
  EXPECT_EQ(merged({"0.0.0.0/1", "128.0.0.0/1"}), List({"0.0.0.0/0"}));
  EXPECT_EQ(merged({"::/1", "8000::/1", "0.0.0.0/0"}), List({"0.0.0.0/0", "::/0"}));
  EXPECT_EQ(merged({"2001:db8::1", "2001:db8::", "2001:db8::2/127"}), List({"2001:db8::/126"}));
  EXPECT_EQ(merged({"0.0.0.0", "::", "::1"}), List({"0.0.0.0", "::/127"}));  // the families never mix
}

// The last `bits` bits of an address, below a fixed network.
constexpr int kBits = 10;
using Bitmap = std::bitset<1u << kBits>;

Prefix below(bool v6, unsigned value, int free_bits) {
  Prefix p = parse_prefix(v6 ? "2001:db8::" : "198.51.0.0").value();
  const size_t last = v6 ? 15 : 3;
  p.bytes[last] = static_cast<uint8_t>(value & 0xff);
  p.bytes[last - 1] = static_cast<uint8_t>(value >> 8);
  p.length = static_cast<uint8_t>(p.length - free_bits);
  return p;
}

unsigned value_of(const Prefix& p) {
  const size_t last = p.v6 ? 15 : 3;
  return static_cast<unsigned>(p.bytes[last - 1]) << 8 | p.bytes[last];
}

void mark(Bitmap& map, const Prefix& p) {
  const unsigned count = 1u << ((p.v6 ? 128 : 32) - p.length);
  for (unsigned i = 0; i < count; ++i) {
    ASSERT_LT(value_of(p) + i, map.size());
    ASSERT_FALSE(map.test(value_of(p) + i)) << "an address is listed twice";
    map.set(value_of(p) + i);
  }
}

// How many networks the smallest list has, found by halving: an independent way to the same number.
size_t smallest(const Bitmap& map, unsigned first, unsigned count) {
  unsigned set = 0;
  for (unsigned i = first; i < first + count; ++i) set += map.test(i) ? 1 : 0;
  if (set == 0) return 0;
  if (set == count) return 1;
  return smallest(map, first, count / 2) + smallest(map, first + count / 2, count / 2);
}

TEST(Merge, SameAddressesInTheSmallestList) {
  std::mt19937 engine(20);
  const auto random = [&] { return static_cast<unsigned>(engine()); };
  for (int round = 0; round < 600; ++round) {
    std::vector<Prefix> prefixes;
    Bitmap expected[2];
    const unsigned count = random() % 60;
    const int widest = static_cast<int>(random() % (kBits + 1));
    for (unsigned i = 0; i < count; ++i) {
      const bool v6 = random() % 2 == 0;
      const int free_bits = static_cast<int>(random() % static_cast<unsigned>(widest + 1));
      const unsigned value = (random() % (1u << kBits)) >> free_bits << free_bits;
      prefixes.push_back(below(v6, value, free_bits));
      for (unsigned a = 0; a < (1u << free_bits); ++a) expected[v6].set(value + a);
    }
    const auto result = merge(prefixes);
    Bitmap actual[2];
    for (const auto& p : result) mark(actual[p.v6], p);
    ASSERT_EQ(actual[0], expected[0]) << round;
    ASSERT_EQ(actual[1], expected[1]) << round;
    ASSERT_EQ(result.size(), smallest(expected[0], 0, 1u << kBits) + smallest(expected[1], 0, 1u << kBits)) << round;
    ASSERT_TRUE(std::is_sorted(result.begin(), result.end()));
    std::shuffle(prefixes.begin(), prefixes.end(), engine);
    ASSERT_EQ(merge(prefixes), result) << "the order of the input matters";
    ASSERT_EQ(merge(result), result) << "not stable";
  }
}

TEST(ReadExceptions, RefusesWhatUndoesAnIsolation) {
  EXPECT_TRUE(read_exceptions({"10.0.0.0/8", "2001:db8::/32"}));
  for (const char* entry : {"0.0.0.0/0", "10.0.0.0/7", "::/0", "2001:d00::/31", "::/32", "::ffff:0:0/96"}) {
    const auto result = read_exceptions({"192.0.2.1", entry});
    ASSERT_FALSE(result) << entry;
    EXPECT_EQ(result.error().code, ErrorCode::invalid_argument);
    EXPECT_NE(result.error().message.find(entry), std::string::npos) << result.error().message;
  }
}

TEST(ReadExceptions, CapsTheUnionAfterMerging) {
  EXPECT_TRUE(read_exceptions({"10.0.0.0/8", "11.0.0.0/8", "10.1.0.0/16", "10.0.0.0/9"}));
  const auto wide = read_exceptions({"10.0.0.0/8", "11.0.0.0/8", "12.0.0.0"});
  ASSERT_FALSE(wide);
  EXPECT_EQ(wide.error().code, ErrorCode::limit);
  EXPECT_NE(wide.error().message.find("33554433"), std::string::npos) << wide.error().message;

  EXPECT_TRUE(read_exceptions({"2001:db8::/32", "2001:db9::/32"}));
  const auto wide6 = read_exceptions({"2001:db8::/32", "2001:db9::/32", "2001:dba::1"});
  ASSERT_FALSE(wide6);
  EXPECT_EQ(wide6.error().code, ErrorCode::limit);
}

TEST(ReadExceptions, CapsTheEntries) {
  std::vector<std::string> entries(kMaxExceptions, "192.0.2.1");
  const auto same = read_exceptions(entries);
  ASSERT_TRUE(same);
  EXPECT_EQ(same->size(), 1u);
  entries.push_back("192.0.2.1");
  const auto many = read_exceptions(entries);
  ASSERT_FALSE(many);
  EXPECT_EQ(many.error().code, ErrorCode::limit);
}

std::string service(std::string_view text) {
  const auto s = parse_service(text);
  return s ? to_string(*s) : "refused";
}

TEST(ParseService, NamesAndAddresses) {
  EXPECT_EQ(service("kafka-1.example.org:9092"), "kafka-1.example.org:9092");
  EXPECT_EQ(service("_x.example:1"), "_x.example:1");
  EXPECT_EQ(service("192.0.2.7:65535"), "192.0.2.7:65535");
  EXPECT_EQ(service("[2001:DB8::1]:9092"), "[2001:db8::1]:9092");
  EXPECT_EQ(parse_service("[2001:db8::1]:9092")->host, "2001:db8::1");
  EXPECT_EQ(parse_service("[2001:db8::1]:9092")->port, 9092);
}

TEST(ParseService, Refuses) {
  for (const char* text : {"",
                           ":",
                           ":80",
                           "host",
                           "host:",
                           "host:0",
                           "host:65536",
                           "host:080",
                           "host:+80",
                           "host: 80",
                           "host:80 ",
                           "ho st:80",
                           "-host:80",
                           "host-:80",
                           "a..b:80",
                           ".a:80",
                           "a.:80",
                           "10.0.0:80",
                           "010.0.0.1:80",
                           "0x7f.1:80",
                           "1:80",
                           "10.0.0.0/8:80",
                           "2001:db8::1:80",
                           "[2001:db8::1]",
                           "[2001:db8::1:80",
                           "[10.0.0.1]:80",
                           "[]:80",
                           "[:80",
                           "]:80",
                           "[fe80::1%eth0]:80",
                           "[::ffff:10.0.0.1]:80",
                           "höst:80",
                           "user@host:80",
                           "http://host:80"}) {
    EXPECT_EQ(service(text), "refused") << text;
  }
  EXPECT_EQ(service(std::string(64, 'a').append(":80")), "refused");
  EXPECT_EQ(service(std::string(63, 'a').append(":80")), std::string(63, 'a').append(":80"));
}

}  // namespace
}  // namespace fb::endpoint
