// e2e_produce BOOTSTRAP TOPIC PARTITIONS FILE RECEIPTS [RECORDS_PER_SECOND]
// Sends each line of FILE to partition hash(agent id) % PARTITIONS and writes "index partition offset" for every record
// the broker acknowledged. Idempotent, so a broker that goes away meanwhile neither loses nor doubles a record. Exit 0
// when all are acknowledged.
#include <librdkafka/rdkafka.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace {

std::vector<std::pair<int32_t, int64_t>> receipts;  // by record index
uint64_t failed = 0;

void delivered(rd_kafka_t*, const rd_kafka_message_t* message, void*) {
  const auto at = reinterpret_cast<uintptr_t>(message->_private);
  if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
    ++failed;
    std::fprintf(stderr, "record %zu: %s\n", static_cast<size_t>(at), rd_kafka_err2str(message->err));
    return;
  }
  receipts[at] = {message->partition, message->offset};
}

// The text after "agent":{"id":" — the load is made by our own mapping script, which writes it so; else the whole line.
std::string_view key_of(std::string_view line) {
  const size_t at = line.find("\"agent\"");
  const size_t id = at == std::string_view::npos ? at : line.find("\"id\"", at);
  if (id == std::string_view::npos) return line;
  const size_t open = line.find('"', line.find(':', id));
  const size_t close = line.find('"', open + 1);
  return line.substr(open + 1, close - open - 1);
}

uint32_t fnv(std::string_view text) {
  uint32_t h = 2166136261u;
  for (const char c : text) h = (h ^ static_cast<uint8_t>(c)) * 16777619u;
  return h;
}

bool set(rd_kafka_conf_t* conf, const char* name, const char* value) {
  char why[256];
  if (rd_kafka_conf_set(conf, name, value, why, sizeof why) == RD_KAFKA_CONF_OK) return true;
  std::fprintf(stderr, "%s\n", why);
  return false;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 6) {
    std::fprintf(stderr, "usage: e2e_produce BOOTSTRAP TOPIC PARTITIONS FILE RECEIPTS [RECORDS_PER_SECOND]\n");
    return 2;
  }
  const std::string topic = argv[2];
  const int partitions = std::atoi(argv[3]);
  std::ifstream in(argv[4], std::ios::binary);
  if (!in || partitions <= 0) {
    std::fprintf(stderr, "can't read %s\n", argv[4]);
    return 2;
  }
  const double rate = argc > 6 ? std::atof(argv[6]) : 0;

  rd_kafka_conf_t* conf = rd_kafka_conf_new();
  if (!set(conf, "bootstrap.servers", argv[1]) || !set(conf, "enable.idempotence", "true") ||
      !set(conf, "linger.ms", "5") || !set(conf, "compression.type", "lz4") ||
      !set(conf, "queue.buffering.max.kbytes", "262144") || !set(conf, "message.timeout.ms", "120000")) {
    return 2;
  }
  rd_kafka_conf_set_dr_msg_cb(conf, delivered);
  char why[256];
  rd_kafka_t* producer = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof why);
  if (producer == nullptr) {
    std::fprintf(stderr, "%s\n", why);
    return 2;
  }

  const auto started = std::chrono::steady_clock::now();
  std::string line;
  uint64_t index = 0;
  while (std::getline(in, line)) {
    if (line.empty()) continue;
    receipts.emplace_back(-1, -1);
    const std::string_view key = key_of(line);
    const auto partition = static_cast<int32_t>(fnv(key) % static_cast<uint32_t>(partitions));
    for (;;) {
      const rd_kafka_resp_err_t error =
          rd_kafka_producev(producer, RD_KAFKA_V_TOPIC(topic.c_str()), RD_KAFKA_V_PARTITION(partition),
                            RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_KEY(key.data(), key.size()),
                            RD_KAFKA_V_VALUE(line.data(), line.size()),
                            RD_KAFKA_V_OPAQUE(reinterpret_cast<void*>(static_cast<uintptr_t>(index))), RD_KAFKA_V_END);
      if (error == RD_KAFKA_RESP_ERR_NO_ERROR) break;
      if (error != RD_KAFKA_RESP_ERR__QUEUE_FULL) {
        std::fprintf(stderr, "%s\n", rd_kafka_err2str(error));
        return 1;
      }
      rd_kafka_poll(producer, 100);
    }
    rd_kafka_poll(producer, 0);
    ++index;
    if (rate > 0) {
      const auto due = started + std::chrono::duration<double>(static_cast<double>(index) / rate);
      std::this_thread::sleep_until(std::chrono::time_point_cast<std::chrono::steady_clock::duration>(due));
    }
  }
  rd_kafka_flush(producer, 150'000);
  rd_kafka_destroy(producer);

  std::ofstream out(argv[5], std::ios::trunc);
  uint64_t missing = 0;
  for (size_t i = 0; i < receipts.size(); ++i) {
    if (receipts[i].second < 0) ++missing;
    out << i << ' ' << receipts[i].first << ' ' << receipts[i].second << '\n';
  }
  out.flush();
  std::printf("%zu records acknowledged, %zu not\n", receipts.size() - static_cast<size_t>(missing),
              static_cast<size_t>(missing));
  return missing == 0 && failed == 0 && out ? 0 : 1;
}
