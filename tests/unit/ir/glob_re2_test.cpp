// The pattern matcher against RE2, another implementation of the same meaning, on generated patterns and values.
#include <gtest/gtest.h>
#include <re2/re2.h>

#include <random>
#include <string>

#include "engine/ir/typed.h"

namespace fb::ir {
namespace {

// Few letters, so that patterns and values meet; one of two bytes, one of four, and a line break.
const std::string kLetters[] = {"a", "b", "A", ".", "\\", "\n", "\xC3\xBC", "\xF0\x9F\x94\xA5"};

std::string random_text(std::mt19937& random, size_t most) {
  std::string text;
  for (size_t n = random() % (most + 1); n > 0; --n) text += kLetters[random() % std::size(kLetters)];
  return text;
}

Glob random_glob(std::mt19937& random) {
  Glob glob;
  for (size_t n = random() % 6; n > 0; --n) {
    const auto kind = static_cast<GlobPart::Kind>(random() % 3);
    const bool same = !glob.empty() && glob.back().kind == kind;
    if (same && kind != GlobPart::Kind::any_one) continue;
    GlobPart part;
    part.kind = kind;
    if (kind == GlobPart::Kind::literal) {
      part.text = random_text(random, 3);
      if (part.text.empty()) continue;
    }
    glob.push_back(std::move(part));
  }
  return glob;
}

std::string as_regex(const Glob& glob) {
  std::string regex;
  for (const GlobPart& part : glob) {
    switch (part.kind) {
      case GlobPart::Kind::literal:
        regex += re2::RE2::QuoteMeta(part.text);
        break;
      case GlobPart::Kind::any_run:
        regex += ".*";
        break;
      case GlobPart::Kind::any_one:
        regex += ".";
        break;
    }
  }
  return regex;
}

TEST(Glob, AgreesWithRe2) {
  std::mt19937 random(20261121);
  re2::RE2::Options options;
  options.set_dot_nl(true);
  size_t matched = 0;
  for (int n = 0; n < 3000; ++n) {
    const Glob glob = random_glob(random);
    const re2::RE2 regex(as_regex(glob), options);
    ASSERT_TRUE(regex.ok()) << regex.error();
    for (int v = 0; v < 40; ++v) {
      const std::string value = random_text(random, 8);
      const bool expected = re2::RE2::FullMatch(value, regex);
      matched += expected;
      ASSERT_EQ(glob_match(glob, value), expected) << print(glob) << " on " << testing::PrintToString(value);
    }
  }
  EXPECT_GT(matched, 5000u) << "the patterns and values must meet";
}

}  // namespace
}  // namespace fb::ir
