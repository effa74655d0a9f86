// The commands with which people restrain the rules: maintenance, tags of endpoints, several approvals at once.
#include <cstdio>

#include "apps/firebreak/action_view.h"
#include "apps/firebreak/answers.h"
#include "apps/firebreak/client.h"
#include "apps/firebreak/options.h"
#include "apps/firebreak/terminal.h"
#include "engine/base/json.h"
#include "engine/base/json_dump.h"
#include "engine/base/text.h"

namespace fb::cli {
namespace {

using Json = nlohmann::ordered_json;

std::string field_of(const Json& line, const char* key) {
  const auto it = line.find(key);
  if (it == line.end() || it->is_null()) return "";
  return it->is_string() ? it->get<std::string>() : it->dump();
}

template <class Each>
void each_line(const std::string& body, const Each& each) {
  for (size_t at = 0; at < body.size();) {
    const size_t end = std::min(body.find('\n', at), body.size());
    const Json line = parse_ordered_json(std::string_view(body).substr(at, end - at));
    at = end + 1;
    if (line.is_object()) each(line);
  }
}

}  // namespace

int run_maintenance_add(const MaintenanceOptions& options) {
  if (options.host.empty() == options.tag.empty()) return complain("name either --host or --tag", kCantRun);
  auto client = ApiClient::connect(options.connect);
  if (!client) return complain(client.error(), kCantRun);
  Json request{{"from", options.from},
               {"to", options.to},
               {"suppress", options.suppress},
               {"include_critical", options.include_critical},
               {"comment", options.comment}};
  request[options.host.empty() ? "tag" : "host"] = options.host.empty() ? options.tag : options.host;
  const auto body = client->post("/api/firebreak/maintenance", dumped(request));
  if (!body) return give_up(*client, body.error());
  return show_answer(options.format, *body, [](const Json& window) {
    std::printf("%s: %s until %s\n", printable(field_of(window, "id")).c_str(),
                printable(field_of(window, "scope")).c_str(), printable(field_of(window, "to")).c_str());
  });
}

int run_maintenance_list(const ConnectOptions& connect, Format format) {
  auto client = ApiClient::connect(connect);
  if (!client) return complain(client.error(), kCantRun);
  const auto body = client->get("/api/firebreak/maintenance");
  if (!body) return give_up(*client, body.error());
  if (format == Format::json) {
    std::fwrite(body->data(), 1, body->size(), stdout);
    return kDone;
  }
  Table table({"ID", "SCOPE", "FROM", "TO", "EFFECT", "CRITICAL", "BY", "COMMENT"});
  each_line(*body, [&table](const Json& w) {
    table.row({field_of(w, "id"), shortened(field_of(w, "scope"), 44), field_of(w, "from"), field_of(w, "to"),
               field_of(w, "effect"), field_of(w, "include_critical") == "true" ? "too" : "not",
               shortened(field_of(w, "set_by"), 30), shortened(field_of(w, "comment"), 40)});
  });
  if (table.empty()) {
    std::printf("no maintenance\n");
  } else {
    table.print();
  }
  return kDone;
}

int run_maintenance_remove(const std::string& id, const ActOptions& options) {
  auto client = ApiClient::connect(options.connect);
  if (!client) return complain(client.error(), kCantRun);
  const auto body = client->post("/api/firebreak/maintenance/" + url_encoded(id) + "/remove",
                                 dumped(Json{{"comment", options.comment}}));
  if (!body) return give_up(*client, body.error());
  return show_answer(options.format, *body, [&](const Json&) { std::printf("removed: %s\n", printable(id).c_str()); });
}

int run_tag(const std::string& op, const std::string& tag, const ActOptions& options) {
  auto client = ApiClient::connect(options.connect);
  if (!client) return complain(client.error(), kCantRun);
  const auto body = client->post("/api/firebreak/endpoints/" + url_encoded(options.host) + "/tags",
                                 dumped(Json{{"tag", tag}, {"op", op}, {"comment", options.comment}}));
  if (!body) return give_up(*client, body.error());
  return show_answer(options.format, *body, [&](const Json& answer) {
    const std::string result = field_of(answer, "result");
    if (result == "waits") {
      std::printf("%s protects %s: it goes when a second person asks for the same within the time of an approval\n",
                  printable(tag).c_str(), printable(options.host).c_str());
    } else {
      std::printf("%s: %s %s\n", printable(options.host).c_str(), printable(tag).c_str(),
                  result == "unchanged" ? (op == "add" ? "was there already" : "was not there")
                                        : (op == "add" ? "added" : "removed"));
    }
  });
}

int run_decide_many(bool approve, const std::vector<std::string>& ids, const ActOptions& options) {
  auto client = ApiClient::connect(options.connect);
  if (!client) return complain(client.error(), kCantRun);
  const auto body = client->post(std::string("/api/firebreak/actions/") + (approve ? "_approve" : "_deny"),
                                 dumped(Json{{"ids", ids}, {"comment", options.comment}}));
  if (!body) return give_up(*client, body.error());
  bool all = true;
  each_line(*body, [&](const Json& line) {
    const std::string error = field_of(line, "error");
    const std::string id = field_of(line, "action_id");
    all = all && error.empty();
    if (options.format == Format::json) {
      std::printf("%s\n", dumped(line).c_str());
      return;
    }
    // Who asked for it and which host it is; the id says the least to a person.
    const auto action = client->get("/api/firebreak/actions/" + url_encoded(id));
    const Json facts = action ? parse_ordered_json(*action) : Json();
    if (error.empty() && facts.is_object()) return print_decision(approve, facts);
    const std::string name = facts.is_object() ? text_of(facts, "command") + " " + host_of(facts) : id;
    std::printf("%s: %s\n", printable(name).c_str(),
                printable(error.empty() ? field_of(line, "status") : error).c_str());
  });
  return all ? kDone : kFound;
}

}  // namespace fb::cli
