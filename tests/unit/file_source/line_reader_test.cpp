#include "connectors/file/line_reader.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <vector>

#include "tests/unit/file_source/temp_files.h"

namespace fb {
namespace {

using test::gzip;
using test::numbered_lines;
using test::TempFiles;
using test::zstd;

struct Lines {
  std::vector<std::string> lines;
  std::optional<Error> error;
};

Lines read_all(std::vector<std::string> paths, size_t max_line = 1u << 20) {
  LineReader reader(std::move(paths), max_line);
  Lines out;
  for (int i = 0; i < 10'000'000; ++i) {
    std::string_view line;
    Result<bool> more = reader.next(&line);
    if (!more) {
      out.error = more.error();
      return out;
    }
    if (!*more) return out;
    out.lines.emplace_back(line);
  }
  ADD_FAILURE() << "the reader does not end";
  return out;
}

std::vector<std::string> split(const std::string& text) {
  std::vector<std::string> out;
  size_t at = 0;
  while (at < text.size()) {
    size_t end = text.find('\n', at);
    out.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return out;
}

TEST(LineReader, GivesLinesAsTheyAre) {
  TempFiles files;
  const std::string f = files.write("a.ndjson", "{\"a\":1}\n  {\"b\":2}  \n{\"c\":3}");
  EXPECT_EQ(read_all({f}).lines, (std::vector<std::string>{"{\"a\":1}", "  {\"b\":2}  ", "{\"c\":3}"}));
}

TEST(LineReader, DropsTheCarriageReturnOfWindowsLines) {
  TempFiles files;
  const std::string f = files.write("a.ndjson", "one\r\ntwo\r\n\r\nthree\r");
  EXPECT_EQ(read_all({f}).lines, (std::vector<std::string>{"one", "two", "three"}));
}

TEST(LineReader, DoesNotCountBlankLines) {
  TempFiles files;
  const std::string f = files.write("a.ndjson", "\n\n one\n \t \n\ntwo\n\n");
  LineReader reader({f});
  std::string_view line;
  ASSERT_TRUE(*reader.next(&line));
  EXPECT_EQ(line, " one");
  EXPECT_EQ(reader.count(), 1);
  EXPECT_EQ(reader.line_number(), 3u);
  ASSERT_TRUE(*reader.next(&line));
  EXPECT_EQ(reader.count(), 2);
  EXPECT_EQ(reader.line_number(), 6u);
  EXPECT_FALSE(*reader.next(&line));
  EXPECT_EQ(reader.bytes(), std::filesystem::file_size(f));
}

TEST(LineReader, CountsOverAllFilesInOrderAndTellsWhichOne) {
  TempFiles files;
  const std::string a = files.write("a.ndjson", "1\n2");  // no line end: the next file must not be glued to it
  const std::string empty = files.write("empty.ndjson", "");
  const std::string b = files.write("b.ndjson.gz", gzip("3\n4\n"));
  LineReader reader({a, empty, b});
  std::vector<std::string> seen;
  std::string_view line;
  while (*reader.next(&line)) {
    seen.push_back(std::filesystem::path(reader.path()).filename().string() + ":" +
                   std::to_string(reader.line_number()) + "=" + std::string(line));
  }
  EXPECT_EQ(seen, (std::vector<std::string>{"a.ndjson:1=1", "a.ndjson:2=2", "b.ndjson.gz:1=3", "b.ndjson.gz:2=4"}));
}

TEST(LineReader, KeepsLinesWholeAcrossBlocks) {
  TempFiles files;
  // Lines of many lengths, from shorter than a block to longer than one.
  std::string text;
  std::vector<std::string> want;
  uint32_t state = 7;
  for (int i = 0; i < 400; ++i) {
    state = state * 1664525u + 1013904223u;
    const size_t length = i % 50 == 0 ? 300'000 + (state >> 16) : 1 + (state >> 20);
    want.emplace_back(length, static_cast<char>('a' + i % 26));
    text += want.back() + "\n";
  }
  EXPECT_EQ(read_all({files.write("a.ndjson", text)}).lines, want);
  EXPECT_EQ(read_all({files.write("a.gz", gzip(text))}).lines, want);
  EXPECT_EQ(read_all({files.write("a.zst", zstd(text))}).lines, want);
}

TEST(LineReader, ReadsCompressedFilesByNameAndByContent) {
  TempFiles files;
  const std::string text = numbered_lines(5000);
  for (const std::string& f : {files.write("a.ndjson.gz", gzip(text)), files.write("a.ndjson.zst", zstd(text)),
                               files.write("gz.ndjson", gzip(text)), files.write("zst.ndjson", zstd(text))}) {
    const Lines got = read_all({f});
    EXPECT_FALSE(got.error) << f << ": " << got.error->describe();
    EXPECT_EQ(got.lines, split(text)) << f;
  }
}

TEST(LineReader, ReadsMembersAndFramesAfterEachOther) {
  TempFiles files;
  const std::string zeros(512, '\0');
  EXPECT_EQ(read_all({files.write("a.gz", gzip("1\n2") + gzip("\n3\n"))}).lines,
            (std::vector<std::string>{"1", "2", "3"}));
  EXPECT_EQ(read_all({files.write("b.gz", gzip("1\n") + zeros)}).lines, (std::vector<std::string>{"1"}));
  EXPECT_EQ(read_all({files.write("c.zst", zstd("1\n2") + zstd("\n3\n"))}).lines,
            (std::vector<std::string>{"1", "2", "3"}));
}

// Every length of a truncated file must be told, whatever byte it ends at, and must give only whole lines of the
// original.
TEST(LineReader, NamesATruncatedFileAfterGivingItsLines) {
  TempFiles files;
  const std::string text = numbered_lines(40, 200);
  const std::vector<std::string> all = split(text);
  for (const auto& [name, packed] : {std::pair{std::string("t.gz"), gzip(text)}, {std::string("t.zst"), zstd(text)}}) {
    for (size_t cut = 0; cut < packed.size(); cut += cut < 40 || cut + 40 > packed.size() ? 1 : 37) {
      const std::string f = files.write(name, packed.substr(0, cut));
      const Lines got = read_all({f});
      ASSERT_TRUE(got.error) << name << " cut at " << cut;
      EXPECT_EQ(got.error->code, ErrorCode::corrupt);
      EXPECT_NE(got.error->describe().find(f), std::string::npos) << got.error->describe();
      ASSERT_LE(got.lines.size(), all.size());
      EXPECT_TRUE(std::equal(got.lines.begin(), got.lines.end(), all.begin())) << name << " cut at " << cut;
    }
  }
}

TEST(LineReader, GivesTheLinesBeforeTheDamage) {
  TempFiles files;
  const std::string text = numbered_lines(20'000, 100);
  const std::string packed = gzip(text);
  const Lines got = read_all({files.write("t.gz", packed.substr(0, packed.size() / 2))});
  ASSERT_TRUE(got.error);
  EXPECT_GT(got.lines.size(), 8000u);
  EXPECT_LT(got.lines.size(), 12'000u);
}

TEST(LineReader, NamesAFileWithAFlippedByte) {
  TempFiles files;
  const std::string text = numbered_lines(2000, 100);
  std::string packed = gzip(text);
  packed[packed.size() / 2] = static_cast<char>(packed[packed.size() / 2] ^ 0x55);
  const Lines got = read_all({files.write("t.gz", packed)});
  ASSERT_TRUE(got.error);
  EXPECT_EQ(got.error->code, ErrorCode::corrupt);
  EXPECT_NE(got.error->describe().find("t.gz"), std::string::npos);
  EXPECT_TRUE(read_all({files.write("garbage.gz", "{\"a\":1}\n")}).error);
  EXPECT_TRUE(read_all({files.write("garbage.zst", "{\"a\":1}\n")}).error);
  EXPECT_TRUE(read_all({files.write("tail.gz", gzip("1\n") + "tail")}).error);
}

TEST(LineReader, NamesAMissingFileAndAFolder) {
  TempFiles files;
  const std::string first = files.write("a.ndjson", "1\n");
  const Lines missing = read_all({first, files.path("nowhere.ndjson")});
  EXPECT_EQ(missing.lines.size(), 1u);
  ASSERT_TRUE(missing.error);
  EXPECT_EQ(missing.error->code, ErrorCode::not_found);
  EXPECT_NE(missing.error->describe().find("nowhere.ndjson"), std::string::npos);
  const Lines folder = read_all({files.folder()});
  ASSERT_TRUE(folder.error);
  EXPECT_EQ(folder.error->code, ErrorCode::invalid_argument);
  EXPECT_NE(folder.error->describe().find(files.folder()), std::string::npos);
}

TEST(LineReader, CutsLinesThatAreTooLongAndGoesOn) {
  TempFiles files;
  constexpr size_t kMax = 100;
  const std::string exact(kMax, 'e');
  const std::string over(kMax + 1, 'o');
  const std::string huge(3'000'000, 'h');
  const std::string f =
      files.write("a.ndjson", exact + "\r\n" + over + "\n" + huge + "\n" + huge + "\r\nlast\n" + huge);
  const Lines got = read_all({f}, kMax);
  ASSERT_EQ(got.lines.size(), 6u);
  EXPECT_EQ(got.lines[0], exact);
  EXPECT_EQ(got.lines[1], over);
  EXPECT_EQ(got.lines[2], std::string(kMax + 1, 'h'));
  EXPECT_EQ(got.lines[3], std::string(kMax + 1, 'h'));
  EXPECT_EQ(got.lines[4], "last");
  EXPECT_EQ(got.lines[5], std::string(kMax + 1, 'h'));
}

// A gzip bomb of one endless line: 300 MB that must never stand in memory at once.
TEST(LineReader, PassesOverAnEndlessLineWithoutKeepingIt) {
  TempFiles files;
  std::string packed;
  const std::string part = gzip(std::string(10'000'000, 'a'));
  for (int i = 0; i < 30; ++i) packed += part;
  const std::string f = files.write("bomb.gz", packed + gzip("\n{\"ok\":true}\n"));
  const auto resident_kib = [] {
    std::ifstream status("/proc/self/status");
    for (std::string word; status >> word;) {
      if (word == "VmRSS:") {
        long kib = 0;
        status >> kib;
        return kib;
      }
    }
    return 0L;
  };
  LineReader reader({f}, 1u << 20);
  std::string_view line;
  const long before = resident_kib();
  ASSERT_TRUE(*reader.next(&line));
  EXPECT_EQ(line.size(), (1u << 20) + 1);
  ASSERT_TRUE(*reader.next(&line));
  EXPECT_EQ(line, "{\"ok\":true}");
  EXPECT_LT(resident_kib() - before, 16 * 1024);
}

TEST(LineReader, LeavesPaddingBehindEveryLine) {
  TempFiles files;
  const std::string f = files.write("a.ndjson", numbered_lines(9000, 97) + "{\"last\":1}");
  LineReader reader({f});
  std::string_view line;
  unsigned sum = 0;
  while (*reader.next(&line)) {
    // The address sanitizer watches these reads.
    for (size_t i = 0; i < LineReader::kPadding; ++i) sum += static_cast<unsigned char>(line.data()[line.size() + i]);
  }
  EXPECT_GT(sum, 0u);
  EXPECT_EQ(reader.count(), 9001);
}

}  // namespace
}  // namespace fb
