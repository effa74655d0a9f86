// What bench_kafka and bench_latency share: a broker with fresh topics, recorded events under fresh ids, and the words
// of their reports. One thread each. Failures are Results with a message for a person.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/base/result.h"

namespace fb::bench {

struct Topic {
  std::string name;
  int partitions = 1;
};

// The Apache Kafka that FB_KAFKA names, or else the embedded broker in a process of its own, so that its CPU time is
// not the reader's. The topics are gone with it.
class Broker {
 public:
  // Before any thread is started: without FB_KAFKA this forks.
  static Result<std::unique_ptr<Broker>> start(const std::vector<Topic>& topics);
  ~Broker();
  Broker(const Broker&) = delete;
  Broker& operator=(const Broker&) = delete;

  bool embedded() const { return child_ > 0; }
  const std::string& bootstrap() const { return bootstrap_; }
  std::string describe() const;

 private:
  Broker() = default;
  Status start_embedded(const std::vector<Topic>& topics);

  std::string bootstrap_;
  std::vector<Topic> topics_;
  pid_t child_ = 0;
  int stop_pipe_ = -1;
};

// Where the embedded broker begins to forget, with room to spare.
inline constexpr size_t kEmbeddedPartitionBytes = 4u << 20;

// True when FB_KAFKA names a broker.
bool has_real_kafka();

// One recorded event, and where its ids stand: the first kFreshLength characters of each may be overwritten.
struct Recorded {
  static constexpr size_t kFreshLength = 8;
  std::string text;
  std::vector<size_t> ids;
  // The event as of repetition `n`: event.id, agent.id and host.id differ from those of every other repetition. Hosts
  // that are one in the recording are one in a repetition.
  void write(uint32_t n, std::string& out) const;
};

// Files (.ndjson, .gz), or every *.ndjson of a folder.
Result<std::vector<Recorded>> read_recorded(const std::vector<std::string>& paths, size_t most);

// A folder that is gone with its owner.
class TempFolder {
 public:
  explicit TempFolder(const std::string& name);
  ~TempFolder();
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;
  const std::string& path() const { return path_; }  // "" when it could not be made

 private:
  std::string path_;
};

// The project's folder: FB_SOURCE_DIR, else the working directory.
std::string source_dir();

// The value below which `share` of the samples lie (nearest rank). 0 without samples.
double quantile(std::vector<double> samples, double share);

// "load average 12.4 11.9 8.0 on 2 CPUs, 40 % of the CPU time idle since the last call".
class MachineLoad {
 public:
  MachineLoad();
  std::string describe();

 private:
  uint64_t total_ = 0;
  uint64_t idle_ = 0;
};

// Values of the command line; the usage text is printed and the process ends when they are wrong or --help is there.
class Words {
 public:
  Words(int argc, char** argv, const char* usage) : argc_(argc), argv_(argv), usage_(usage) {}
  bool next(std::string& word);  // false at the end
  std::string value();
  size_t number(size_t least, size_t most);
  [[noreturn]] void refuse(const std::string& why) const;

 private:
  int argc_;
  char** argv_;
  const char* usage_;
  int at_ = 1;
};

}  // namespace fb::bench
