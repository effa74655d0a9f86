// e2e_session BOOTSTRAP TOPIC EVENT_FILE
// Runs on a host that is going to be isolated. Commands on standard input, one answer line each:
//   open NAME ADDRESS PORT    a TCP session to an echo server -> "ok" | "failed WHY"
//   alive NAME                one round trip                  -> "ok" | "dead WHY"
//   cut NAME                  produces the event and keeps the session busy until it dies
//                             -> "ms SINCE_SEND SINCE_LAST_HEARD WHY"
//   produce                   produces the event and waits for the broker -> "ok" | "failed WHY"
//   close NAME                -> "ok"
// `cut` counts from the producer's send call to the moment the session is found dead; it sends every 200 us, which is
// the error of the measurement.
#include <arpa/inet.h>
#include <fcntl.h>
#include <librdkafka/rdkafka.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <fstream>
#include <iostream>
#include <map>
#include <sstream>
#include <string>

namespace {

using Clock = std::chrono::steady_clock;

constexpr int kReplyMs = 300;  // a session that is silent for so long is dead
constexpr int kCutLimitMs = 20'000;

rd_kafka_t* producer = nullptr;
std::string topic;
std::string event;
std::map<std::string, int> sessions;

int connect_to(const std::string& address, const std::string& port, std::string& why) {
  const bool v6 = address.find(':') != std::string::npos;
  sockaddr_storage to{};
  socklen_t size = 0;
  if (v6) {
    auto* a = reinterpret_cast<sockaddr_in6*>(&to);
    a->sin6_family = AF_INET6;
    a->sin6_port = htons(static_cast<uint16_t>(std::stoi(port)));
    inet_pton(AF_INET6, address.c_str(), &a->sin6_addr);
    size = sizeof *a;
  } else {
    auto* a = reinterpret_cast<sockaddr_in*>(&to);
    a->sin_family = AF_INET;
    a->sin_port = htons(static_cast<uint16_t>(std::stoi(port)));
    inet_pton(AF_INET, address.c_str(), &a->sin_addr);
    size = sizeof *a;
  }
  const int fd = socket(v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (connect(fd, reinterpret_cast<sockaddr*>(&to), size) != 0 && errno != EINPROGRESS) {
    why = std::strerror(errno);
    close(fd);
    return -1;
  }
  pollfd wait{fd, POLLOUT, 0};
  int error = 0;
  socklen_t length = sizeof error;
  if (poll(&wait, 1, 1000) != 1) {
    why = "timeout";
  } else if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) != 0 || error != 0) {
    why = std::strerror(error);
  } else {
    const int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
  }
  close(fd);
  return -1;
}

// "" when an echo came back in time.
std::string round_trip(int fd) {
  if (send(fd, "x", 1, MSG_NOSIGNAL) != 1) return std::strerror(errno);
  pollfd wait{fd, POLLIN, 0};
  if (poll(&wait, 1, kReplyMs) != 1) return "silent";
  char byte = 0;
  const ssize_t n = recv(fd, &byte, 1, 0);
  if (n == 1) return "";
  return n == 0 ? "closed" : std::strerror(errno);
}

std::string produce(bool wait) {
  static std::string last;
  last.clear();
  const rd_kafka_resp_err_t error =
      rd_kafka_producev(producer, RD_KAFKA_V_TOPIC(topic.c_str()), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
                        RD_KAFKA_V_VALUE(event.data(), event.size()), RD_KAFKA_V_END);
  if (error != RD_KAFKA_RESP_ERR_NO_ERROR) return rd_kafka_err2str(error);
  if (wait && rd_kafka_flush(producer, 5000) != RD_KAFKA_RESP_ERR_NO_ERROR) return "not acknowledged within 5 s";
  return "";
}

// A byte every 200 us, whatever comes back: a session that waits for an answer would only find out that it is dead when
// it sends again, which is up to TCP's timer and not to the isolation.
std::string cut(int fd) {
  if (const std::string before = round_trip(fd); !before.empty()) return "ms -1 dead before: " + before;
  const auto sent = Clock::now();
  if (const std::string why = produce(false); !why.empty()) return "ms -1 " + why;
  auto heard = sent;
  for (;;) {
    char bytes[4096];
    std::string why;
    if (send(fd, "x", 1, MSG_NOSIGNAL) != 1 && errno != EAGAIN) why = std::strerror(errno);
    const ssize_t n = why.empty() ? recv(fd, bytes, sizeof bytes, MSG_DONTWAIT) : -1;
    const auto now = Clock::now();
    if (n > 0) heard = now;
    if (n == 0) why = "closed";
    if (n < 0 && why.empty() && errno != EAGAIN) why = std::strerror(errno);
    const double ms = std::chrono::duration<double, std::milli>(now - sent).count();
    if (!why.empty()) {
      const double quiet = std::chrono::duration<double, std::milli>(now - heard).count();
      return "ms " + std::to_string(ms) + " " + std::to_string(quiet) + " " + why;
    }
    if (ms > kCutLimitMs) return "ms -1 the session lives on";
    const timespec pause{0, 200'000};
    nanosleep(&pause, nullptr);
  }
}

std::string answer(const std::string& line) {
  std::istringstream in(line);
  std::string verb;
  std::string name;
  in >> verb >> name;
  if (verb == "produce") {
    const std::string why = produce(true);
    return why.empty() ? "ok" : "failed " + why;
  }
  if (verb == "open") {
    std::string address;
    std::string port;
    in >> address >> port;
    std::string why;
    const int fd = connect_to(address, port, why);
    if (fd < 0) return "failed " + why;
    sessions[name] = fd;
    return "ok";
  }
  const auto at = sessions.find(name);
  if (at == sessions.end()) return "failed no such session";
  if (verb == "alive") {
    const std::string why = round_trip(at->second);
    return why.empty() ? "ok" : "dead " + why;
  }
  if (verb == "cut") return cut(at->second);
  if (verb == "close") {
    close(at->second);
    sessions.erase(at);
    return "ok";
  }
  return "failed unknown command";
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::cerr << "usage: e2e_session BOOTSTRAP TOPIC EVENT_FILE\n";
    return 2;
  }
  topic = argv[2];
  std::ifstream file(argv[3]);
  std::getline(file, event);
  rd_kafka_conf_t* conf = rd_kafka_conf_new();
  char why[256];
  for (const auto& [name, value] :
       {std::pair{"bootstrap.servers", static_cast<const char*>(argv[1])}, {"linger.ms", "0"}}) {
    if (rd_kafka_conf_set(conf, name, value, why, sizeof why) != RD_KAFKA_CONF_OK) {
      std::cerr << why << '\n';
      return 2;
    }
  }
  producer = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof why);
  if (producer == nullptr) {
    std::cerr << why << '\n';
    return 2;
  }
  for (std::string line; std::getline(std::cin, line);) {
    std::cout << answer(line) << std::endl;
    rd_kafka_poll(producer, 0);
  }
  rd_kafka_destroy(producer);
  return 0;
}
