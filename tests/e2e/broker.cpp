// e2e_broker TOPIC PARTITIONS
// An embedded Kafka-protocol broker for the end-to-end scripts. Prints its bootstrap address; then sends the lines of
// each file whose path comes on standard input, and answers "sent N" (or "error: ..."). Ends with its standard input.
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <string>
#include <vector>

#include "connectors/kafka/embedded_broker.h"
#include "connectors/kafka/produce.h"

int main(int argc, char** argv) {
  const int partitions = argc == 3 ? std::atoi(argv[2]) : 0;
  if (partitions <= 0) {
    std::fprintf(stderr, "usage: e2e_broker TOPIC PARTITIONS\n");
    return 2;
  }
  const std::string topic = argv[1];
  const auto broker = fb::EmbeddedBroker::start();
  const fb::Status made = broker ? (*broker)->create_topic(topic, partitions) : fb::Status();
  if (!broker || !made) {
    std::fprintf(stderr, "%s\n", (broker ? made.error() : broker.error()).describe().c_str());
    return 1;
  }
  std::cout << (*broker)->bootstrap() << std::endl;
  for (std::string path; std::getline(std::cin, path);) {
    std::vector<fb::ProduceRecord> records;
    std::ifstream in(path);
    for (std::string line; std::getline(in, line);) {
      fb::ProduceRecord record;
      record.partition = 0;
      record.value = line;
      if (!line.empty()) records.push_back(std::move(record));
    }
    const fb::Status sent = fb::produce((*broker)->bootstrap(), topic, records);
    if (sent) {
      std::cout << "sent " << records.size() << std::endl;
    } else {
      std::cout << "error: " << sent.error().describe() << std::endl;
    }
  }
  return 0;
}
