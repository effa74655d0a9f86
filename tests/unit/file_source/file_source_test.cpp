#include "connectors/file/file_source.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <array>

#include "tests/support/fake_clock.h"
#include "tests/unit/file_source/temp_files.h"

namespace fb {
namespace {

using Progress = Source::Progress;
using test::FakeClock;
using test::numbered_lines;
using test::TempFiles;

// Standard input is a pipe that the test writes to, for as long as this lives.
class StdinPipe {
 public:
  StdinPipe() : saved_(::dup(STDIN_FILENO)) {
    EXPECT_EQ(0, ::pipe(ends_.data()));
    ::dup2(ends_[0], STDIN_FILENO);
    ::close(ends_[0]);
  }
  ~StdinPipe() {
    end();
    ::dup2(saved_, STDIN_FILENO);
    ::close(saved_);
  }
  StdinPipe(const StdinPipe&) = delete;
  StdinPipe& operator=(const StdinPipe&) = delete;
  void say(std::string_view text) { EXPECT_EQ(::write(ends_[1], text.data(), text.size()), std::ssize(text)); }
  void end() {
    if (ends_[1] >= 0) ::close(ends_[1]);
    ends_[1] = -1;
  }

 private:
  std::array<int, 2> ends_{};
  int saved_;
};

TEST(FileSource, FillsBatchesToTheirLimitsAndEnds) {
  TempFiles files;
  const FakeClock clock;
  FileSource source({files.write("a.ndjson", numbered_lines(5)), files.write("b.ndjson", numbered_lines(4))}, clock);
  BatchLimits limits;
  limits.max_records = 4;
  RawBatch batch;
  std::vector<size_t> sizes;
  int64_t next = 0;
  for (int i = 0; i < 10; ++i) {
    const Progress p = *source.poll(batch, limits, 10);
    if (p == Progress::ended) break;
    ASSERT_EQ(p, Progress::records);
    ASSERT_EQ(batch.streams.size(), 1u);
    EXPECT_EQ(batch.streams[0].cluster, "file");
    EXPECT_EQ(batch.streams[0].topic, "");
    EXPECT_EQ(batch.streams[0].partition, 0);
    EXPECT_EQ(batch.streams[0].from, next);
    for (const RawRecord& r : batch.records) EXPECT_EQ(r.offset, next++);
    EXPECT_EQ(batch.streams[0].next, next);
    EXPECT_EQ(batch.read_time_ms, clock.wall_ms());
    sizes.push_back(batch.records.size());
  }
  EXPECT_EQ(sizes, (std::vector<size_t>{4, 4, 1}));
  EXPECT_EQ(*source.poll(batch, limits, 10), Progress::ended);
  EXPECT_TRUE(batch.records.empty());
}

TEST(FileSource, ClosesABatchAtItsBytes) {
  TempFiles files;
  const FakeClock clock;
  FileSource source({files.write("a.ndjson", numbered_lines(100, 1000))}, clock);
  BatchLimits limits;
  limits.max_bytes = 4500;
  RawBatch batch;
  ASSERT_EQ(*source.poll(batch, limits, 10), Progress::records);
  EXPECT_EQ(batch.records.size(), 5u);
}

TEST(FileSource, GivesWhatItReadBeforeItTellsTheError) {
  TempFiles files;
  const FakeClock clock;
  const std::string packed = test::gzip(numbered_lines(3000, 100));
  FileSource source({files.write("cut.gz", packed.substr(0, packed.size() - 20))}, clock);
  RawBatch batch;
  size_t records = 0;
  std::optional<Error> error;
  for (int i = 0; i < 100 && !error; ++i) {
    const Result<Progress> p = source.poll(batch, {}, 10);
    if (!p) {
      error = p.error();
    } else {
      ASSERT_EQ(*p, Progress::records);
      records += batch.records.size();
    }
  }
  ASSERT_TRUE(error);
  EXPECT_GT(records, 2900u);
  EXPECT_EQ(error->code, ErrorCode::corrupt);
  EXPECT_NE(error->describe().find("cut.gz"), std::string::npos);
  EXPECT_FALSE(source.health().connected);
  EXPECT_FALSE(source.poll(batch, {}, 10));  // and again
}

TEST(FileSource, ReadsAPipeAsItComes) {
  const FakeClock clock;
  StdinPipe in;
  FileSource source({"-"}, clock);
  RawBatch batch;
  EXPECT_EQ(*source.poll(batch, {}, 5), Progress::idle);  // silent
  in.say("{\"a\":1}\n{\"a\":2}\n{\"a\":");
  ASSERT_EQ(*source.poll(batch, {}, 1000), Progress::records);  // closes at once: the pipe has no more whole line
  ASSERT_EQ(batch.records.size(), 2u);
  EXPECT_EQ(batch.records[1].bytes, "{\"a\":2}");
  EXPECT_EQ(*source.poll(batch, {}, 5), Progress::idle);
  in.say("3}\n");
  ASSERT_EQ(*source.poll(batch, {}, 1000), Progress::records);
  ASSERT_EQ(batch.records.size(), 1u);
  EXPECT_EQ(batch.records[0].bytes, "{\"a\":3}");
  EXPECT_EQ(batch.records[0].offset, 2);
  in.say("{\"a\":4}");
  in.end();
  ASSERT_EQ(*source.poll(batch, {}, 1000), Progress::records);
  EXPECT_EQ(batch.records[0].bytes, "{\"a\":4}");
  EXPECT_EQ(*source.poll(batch, {}, 1000), Progress::ended);
}

TEST(FileSource, ReadsACompressedPipeThatStartsLate) {
  const FakeClock clock;
  StdinPipe in;
  FileSource source({"-"}, clock);
  RawBatch batch;
  EXPECT_EQ(*source.poll(batch, {}, 5), Progress::idle);
  in.say(test::zstd("{\"a\":1}\n"));
  in.end();
  ASSERT_EQ(*source.poll(batch, {}, 1000), Progress::records);
  EXPECT_EQ(batch.records[0].bytes, "{\"a\":1}");
}

}  // namespace
}  // namespace fb
