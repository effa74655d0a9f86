#include "bench_support.h"

#include <librdkafka/rdkafka.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "connectors/file/line_reader.h"
#include "connectors/kafka/embedded_broker.h"
#include "engine/event/json_tree.h"

namespace fb::bench {
namespace {

namespace fs = std::filesystem;
constexpr int kAnswerMs = 15'000;

// An answer of the broker to a request about topics; owns the client for as long as it is asked.
class Admin {
 public:
  explicit Admin(const std::string& bootstrap) {
    rd_kafka_conf_t* conf = rd_kafka_conf_new();
    rd_kafka_conf_set(conf, "bootstrap.servers", bootstrap.c_str(), why_.data(), why_.size());
    client_ = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why_.data(), why_.size());
    if (client_ == nullptr) {
      rd_kafka_conf_destroy(conf);
    } else {
      queue_ = rd_kafka_queue_new(client_);
    }
  }
  ~Admin() {
    if (queue_ != nullptr) rd_kafka_queue_destroy(queue_);
    if (client_ != nullptr) rd_kafka_destroy(client_);
  }
  Admin(const Admin&) = delete;
  Admin& operator=(const Admin&) = delete;

  Status create(const Topic& topic) {
    if (client_ == nullptr) return fail(ErrorCode::invalid_argument, why_.data(), "FB_KAFKA");
    rd_kafka_NewTopic_t* wanted =
        rd_kafka_NewTopic_new(topic.name.c_str(), topic.partitions, 1, why_.data(), why_.size());
    if (wanted == nullptr) return fail(ErrorCode::invalid_argument, why_.data(), topic.name);
    rd_kafka_CreateTopics(client_, &wanted, 1, nullptr, queue_);
    rd_kafka_NewTopic_destroy(wanted);
    rd_kafka_event_t* event = rd_kafka_queue_poll(queue_, kAnswerMs);
    const rd_kafka_CreateTopics_result_t* result =
        event == nullptr ? nullptr : rd_kafka_event_CreateTopics_result(event);
    size_t count = 0;
    const rd_kafka_topic_result_t** topics =
        result == nullptr ? nullptr : rd_kafka_CreateTopics_result_topics(result, &count);
    std::string problem;
    if (event == nullptr) {
      problem = "no answer from the broker";
    } else if (rd_kafka_event_error(event) != RD_KAFKA_RESP_ERR_NO_ERROR) {
      problem = rd_kafka_event_error_string(event);
    } else if (count != 1) {
      problem = "the broker's answer is empty";
    } else if (rd_kafka_topic_result_error(topics[0]) != RD_KAFKA_RESP_ERR_NO_ERROR) {
      problem = rd_kafka_err2str(rd_kafka_topic_result_error(topics[0]));
    }
    if (event != nullptr) rd_kafka_event_destroy(event);
    if (!problem.empty()) return fail(ErrorCode::unavailable, problem, "topic " + topic.name);
    return {};
  }

  void remove(const Topic& topic) {
    if (client_ == nullptr) return;
    rd_kafka_DeleteTopic_t* wanted = rd_kafka_DeleteTopic_new(topic.name.c_str());
    rd_kafka_DeleteTopics(client_, &wanted, 1, nullptr, queue_);
    rd_kafka_DeleteTopic_destroy(wanted);
    if (rd_kafka_event_t* event = rd_kafka_queue_poll(queue_, kAnswerMs); event != nullptr)
      rd_kafka_event_destroy(event);
  }

 private:
  std::array<char, 512> why_{};
  rd_kafka_t* client_ = nullptr;
  rd_kafka_queue_t* queue_ = nullptr;
};

// The embedded broker's own process: says where it listens, then lives until the pipe ends.
[[noreturn]] void serve(const std::vector<Topic>& topics, int say, int until) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  const auto broker = EmbeddedBroker::start();
  std::string answer = broker ? (*broker)->bootstrap() : "!" + broker.error().describe();
  for (const Topic& topic : topics) {
    if (!broker || answer.front() == '!') break;
    if (const Status made = (*broker)->create_topic(topic.name, topic.partitions); !made) {
      answer = "!" + made.error().describe();
    }
  }
  answer += '\n';
  const bool told = write(say, answer.data(), answer.size()) == static_cast<ssize_t>(answer.size());
  close(say);
  char byte = 0;
  while (told && read(until, &byte, 1) > 0) {
  }
  _exit(0);
}

void find_all(const std::string& text, const std::string& value, std::vector<size_t>& out) {
  constexpr size_t kLongEnough = 16;  // shorter ones may stand in a text by chance
  if (value.size() < kLongEnough) return;
  for (size_t at = text.find(value); at != std::string::npos; at = text.find(value, at + value.size()))
    out.push_back(at);
}

std::string text_at(const JsonNode& node, std::string_view first, std::string_view second) {
  for (const auto& [key, value] : node.members) {
    if (key != first) continue;
    for (const auto& [inner, leaf] : value.members) {
      if (inner == second && leaf.kind == JsonNode::Kind::string) return leaf.text;
    }
  }
  return {};
}

}  // namespace

bool has_real_kafka() {
  const char* given = std::getenv("FB_KAFKA");
  return given != nullptr && *given != '\0';
}

Result<std::unique_ptr<Broker>> Broker::start(const std::vector<Topic>& topics) {
  std::unique_ptr<Broker> out(new Broker());
  if (!has_real_kafka()) {
    FB_TRY_VOID(out->start_embedded(topics));
    return out;
  }
  out->bootstrap_ = std::getenv("FB_KAFKA");
  Admin admin(out->bootstrap_);
  for (const Topic& topic : topics) {
    FB_TRY_VOID(admin.create(topic));
    out->topics_.push_back(topic);
  }
  return out;
}

Status Broker::start_embedded(const std::vector<Topic>& topics) {
  std::array<int, 2> told{};
  std::array<int, 2> until{};
  if (pipe(told.data()) != 0 || pipe(until.data()) != 0) return fail(ErrorCode::io, "no pipe to the embedded broker");
  child_ = fork();
  if (child_ < 0) return fail(ErrorCode::io, "no process for the embedded broker");
  if (child_ == 0) {
    close(told[0]);
    close(until[1]);
    serve(topics, told[1], until[0]);
  }
  close(told[1]);
  close(until[0]);
  stop_pipe_ = until[1];
  char byte = 0;
  while (read(told[0], &byte, 1) == 1 && byte != '\n') bootstrap_ += byte;
  close(told[0]);
  if (bootstrap_.empty()) return fail(ErrorCode::internal, "the embedded broker ended");
  if (bootstrap_.front() == '!') return fail(ErrorCode::internal, bootstrap_.substr(1), "embedded broker");
  return {};
}

Broker::~Broker() {
  if (!topics_.empty()) {
    Admin admin(bootstrap_);
    for (const Topic& topic : topics_) admin.remove(topic);
  }
  if (stop_pipe_ >= 0) close(stop_pipe_);
  if (child_ > 0) waitpid(child_, nullptr, 0);
}

std::string Broker::describe() const {
  if (!embedded()) return "Apache Kafka at " + bootstrap_ + " (FB_KAFKA)";
  return "the embedded broker (librdkafka's mock) in a process of its own; set FB_KAFKA to measure with Apache Kafka";
}

void Recorded::write(uint32_t n, std::string& out) const {
  out = text;
  std::array<char, kFreshLength + 1> fresh{};
  std::snprintf(fresh.data(), fresh.size(), "%08x", n);
  for (const size_t at : ids) out.replace(at, kFreshLength, fresh.data(), kFreshLength);
}

Result<std::vector<Recorded>> read_recorded(const std::vector<std::string>& paths, size_t most) {
  std::vector<std::string> files;
  for (const std::string& path : paths) {
    std::error_code error;
    if (!fs::is_directory(path, error)) {
      files.push_back(path);
      continue;
    }
    for (const auto& entry : fs::directory_iterator(path, error)) {
      if (entry.path().extension() == ".ndjson") files.push_back(entry.path().string());
    }
  }
  std::sort(files.begin(), files.end());
  LineReader reader(files);
  std::vector<Recorded> out;
  while (out.size() < most) {
    std::string_view line;
    FB_TRY(const bool more, reader.next(&line));
    if (!more) break;
    Recorded event{std::string(line), {}};
    if (const auto tree = parse_json_tree(line)) {
      for (const char* object : {"event", "agent", "host"})
        find_all(event.text, text_at(*tree, object, "id"), event.ids);
    }
    out.push_back(std::move(event));
  }
  if (out.empty())
    return fail(ErrorCode::not_found, "no events in " + (paths.empty() ? std::string("?") : paths.front()));
  return out;
}

TempFolder::TempFolder(const std::string& name) {
  std::string path = (fs::temp_directory_path() / (name + "-XXXXXX")).string();
  if (mkdtemp(path.data()) != nullptr) path_ = path;
}

TempFolder::~TempFolder() {
  std::error_code error;
  if (!path_.empty()) fs::remove_all(path_, error);
}

std::string source_dir() {
  const char* given = std::getenv("FB_SOURCE_DIR");
  return given == nullptr ? "." : given;
}

double quantile(std::vector<double> samples, double share) {
  if (samples.empty()) return 0;
  std::sort(samples.begin(), samples.end());
  const auto rank = static_cast<size_t>(std::ceil(share * static_cast<double>(samples.size())));
  return samples[std::clamp<size_t>(rank, 1, samples.size()) - 1];
}

MachineLoad::MachineLoad() {
  (void)describe();
}

std::string MachineLoad::describe() {
  std::array<double, 3> average{};
  (void)getloadavg(average.data(), 3);
  // user nice system idle iowait irq softirq steal
  std::ifstream stat("/proc/stat");
  std::string name;
  stat >> name;
  uint64_t total = 0;
  uint64_t idle = 0;
  for (int i = 0; i < 8; ++i) {
    uint64_t ticks = 0;
    stat >> ticks;
    total += ticks;
    if (i == 3 || i == 4) idle += ticks;
  }
  const uint64_t span = std::max<uint64_t>(total - total_, 1);
  const uint64_t free = idle - idle_;
  total_ = total;
  idle_ = idle;
  std::array<char, 160> text{};
  std::snprintf(text.data(), text.size(), "load average %.1f %.1f %.1f on %ld CPUs, %.0f %% of their time idle",
                average[0], average[1], average[2], sysconf(_SC_NPROCESSORS_ONLN),
                100.0 * static_cast<double>(free) / static_cast<double>(span));
  return text.data();
}

bool Words::next(std::string& word) {
  if (at_ >= argc_) return false;
  word = argv_[at_++];
  if (word == "--help" || word == "-h") {
    std::fputs(usage_, stdout);
    std::exit(0);
  }
  return true;
}

std::string Words::value() {
  if (at_ >= argc_) refuse(std::string(argv_[at_ - 1]) + " needs a value");
  return argv_[at_++];
}

size_t Words::number(size_t least, size_t most) {
  const std::string name = argv_[at_ - 1];
  const std::string text = value();
  size_t out = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  if (error != std::errc{} || end != text.data() + text.size() || out < least || out > most) {
    refuse(name + " takes a whole number from " + std::to_string(least) + " to " + std::to_string(most));
  }
  return out;
}

void Words::refuse(const std::string& why) const {
  std::fprintf(stderr, "%s\n\n%s", why.c_str(), usage_);
  std::exit(2);
}

}  // namespace fb::bench
