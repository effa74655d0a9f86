// `firebreak exceptions`: which addresses isolated hosts may still talk to.
#include <algorithm>
#include <cstdio>
#include <fstream>
#include <sstream>

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

constexpr const char* kList = "endpoint_host_isolation_exceptions";
constexpr const char* kLists = "/api/exception_lists";
constexpr const char* kItems = "/api/exception_lists/items";
constexpr int kPerPage = 1000;

std::string list_query() {
  return std::string("?list_id=") + kList + "&namespace_type=agnostic";
}

std::string text_of(const Json& from, const char* key) {
  const auto it = from.find(key);
  if (it == from.end() || it->is_null()) return "";
  return it->is_string() ? it->get<std::string>() : it->dump();
}

// True: it was there or was made.
Result<bool> make_list(ApiClient& client) {
  const auto there = client.get(kLists + list_query());
  if (there) return true;
  if (client.last_status() != 404) return tl::unexpected<Error>(there.error());
  const Json list{{"name", "Host isolation exceptions"},
                  {"description", "Addresses that isolated hosts may still talk to"},
                  {"list_id", kList},
                  {"type", "endpoint_host_isolation_exceptions"},
                  {"namespace_type", "agnostic"}};
  const auto made = client.post(kLists, dumped(list));
  if (!made && client.last_status() != 409) return tl::unexpected<Error>(made.error());  // 409: somebody was faster
  return true;
}

std::string joined(const Json& item, const char* key) {
  std::string all;
  const auto it = item.find(key);
  if (it == item.end() || !it->is_array()) return all;
  for (const Json& one : *it) {
    if (one.is_string()) all += (all.empty() ? "" : ",") + one.get<std::string>();
  }
  return all;
}

std::string address_of(const Json& item) {
  const auto it = item.find("entries");
  if (it == item.end() || !it->is_array() || it->empty()) return "";
  return text_of((*it)[0], "value");
}

// The lines of a file that are JSON objects, and the numbers of those that are not. The service takes a file line by
// line too, but does not say which line it means.
struct Lines {
  std::string objects;
  std::vector<size_t> others;
};

Lines lines_of(const std::string& text) {
  Lines lines;
  size_t number = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    const std::string_view line = std::string_view(text).substr(at, end - at);
    at = end + 1;
    ++number;
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    if (parse_ordered_json(line).is_object()) {
      lines.objects.append(line).append("\n");
    } else {
      lines.others.push_back(number);
    }
  }
  return lines;
}

}  // namespace

int run_exceptions_add(const ExceptionsOptions& options) {
  auto client = ApiClient::connect(options.connect);
  if (!client) return complain(client.error(), kCantRun);
  if (const auto list = make_list(*client); !list) return give_up(*client, list.error());
  Json tags = Json::array();
  for (const std::string& policy : options.policies) tags.push_back("policy:" + policy);
  if (tags.empty()) tags.push_back("policy:all");
  Json item{{"list_id", kList},
            {"name", options.name.empty() ? options.address : options.name},
            {"description", options.description},
            {"namespace_type", "agnostic"},
            {"type", "simple"},
            {"os_types", {"linux", "macos", "windows"}},
            {"tags", tags},
            {"entries",
             {{{"field", "destination.ip"}, {"operator", "included"}, {"type", "match"}, {"value", options.address}}}}};
  if (!options.item_id.empty()) item["item_id"] = options.item_id;
  if (!options.comment.empty()) item["comments"] = {{{"comment", options.comment}}};
  if (!options.expires.empty()) item["expire_time"] = options.expires;
  const auto body = client->post(kItems, dumped(item));
  if (!body) return give_up(*client, body.error());
  return show_answer(options.format, *body, [](const Json& made) {
    std::printf("added: %s for %s (%s)\n", printable(address_of(made)).c_str(), printable(joined(made, "tags")).c_str(),
                printable(text_of(made, "item_id")).c_str());
  });
}

int run_exceptions_list(const ExceptionsOptions& options) {
  auto client = ApiClient::connect(options.connect);
  if (!client) return complain(client.error(), kCantRun);
  Table table({"ITEM", "ADDRESS", "NAME", "TAGS", "EXPIRES", "BY"});
  for (int page = 1;; ++page) {
    const auto body = client->get(std::string(kItems) + "/_find" + list_query() + "&page=" + std::to_string(page) +
                                  "&per_page=" + std::to_string(kPerPage));
    if (!body && client->last_status() == 404) break;  // nobody has made the list yet
    if (!body) return give_up(*client, body.error());
    const Json found = parse_ordered_json(*body);
    if (!found.is_object() || !found.contains("data")) return complain("the service's answer is not JSON", kCantRun);
    for (const Json& item : found["data"]) {
      if (options.format == Format::json) {
        std::printf("%s\n", dumped(item).c_str());
        continue;
      }
      table.row({text_of(item, "item_id"), address_of(item), shortened(text_of(item, "name"), 40),
                 shortened(joined(item, "tags"), 40), text_of(item, "expire_time"),
                 shortened(text_of(item, "created_by"), 30)});
    }
    // The service gives no page beyond the last item that a list can hold.
    if (found["data"].size() < kPerPage || page * static_cast<int64_t>(kPerPage) >= found.value("total", int64_t{0}))
      break;
  }
  if (options.format == Format::json) return kDone;
  if (table.empty()) {
    std::printf("no exceptions\n");
  } else {
    table.print();
  }
  return kDone;
}

int run_exceptions_remove(const ExceptionsOptions& options) {
  auto client = ApiClient::connect(options.connect);
  if (!client) return complain(client.error(), kCantRun);
  const auto body =
      client->remove(std::string(kItems) + "?item_id=" + url_encoded(options.item_id) + "&namespace_type=agnostic");
  if (!body) return give_up(*client, body.error());
  return show_answer(options.format, *body,
                     [&](const Json&) { std::printf("removed: %s\n", printable(options.item_id).c_str()); });
}

int run_exceptions_export(const ExceptionsOptions& options) {
  auto client = ApiClient::connect(options.connect);
  if (!client) return complain(client.error(), kCantRun);
  const auto list = client->get(kLists + list_query());
  if (!list) return give_up(*client, list.error());
  const Json found = parse_ordered_json(*list);
  if (!found.is_object()) return complain("the service's answer is not JSON", kCantRun);
  const auto body =
      client->post(std::string(kLists) + "/_export" + list_query() + "&id=" + url_encoded(text_of(found, "id")), "");
  if (!body) return give_up(*client, body.error());
  if (options.file.empty() || options.file == "-") {
    std::fwrite(body->data(), 1, body->size(), stdout);
    return kDone;
  }
  std::ofstream out(options.file, std::ios::binary);
  out << *body;
  out.close();
  if (!out) return complain("can't write " + printable(options.file), kCantRun);
  return kDone;
}

int run_exceptions_import(const ExceptionsOptions& options) {
  std::ifstream in(options.file, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  const std::string file = printable(options.file);
  if (!in) return complain("can't read " + file, kCantRun);
  const Lines lines = lines_of(text.str());
  const auto told = [&file](size_t line) {
    return file + ":" + std::to_string(line) + ": the line is not a JSON object";
  };
  if (lines.objects.empty()) {
    return complain(lines.others.empty() ? file + ": there is nothing in it" : told(lines.others.front()), kCantRun);
  }
  auto client = ApiClient::connect(options.connect);
  if (!client) return complain(client.error(), kCantRun);
  if (const auto list = make_list(*client); !list) return give_up(*client, list.error());
  const auto body = client->upload(std::string(kLists) + "/_import" + (options.overwrite ? "?overwrite=true" : ""),
                                   "exceptions.ndjson", lines.objects);
  if (!body) return give_up(*client, body.error());
  const Json summary = parse_ordered_json(*body);
  if (!summary.is_object()) return complain("the service's answer is not JSON", kCantRun);
  bool all = lines.others.empty();
  for (const size_t line : lines.others) std::fprintf(stderr, "%s\n", told(line).c_str());
  for (const Json& error : summary.value("errors", Json::array())) {
    const std::string item = text_of(error, "item_id");
    const std::string list = text_of(error, "list_id");
    // The list itself is always there; that it was is no failure.
    if (item.empty() && list == kList) continue;
    all = false;
    const std::string which = printable(item.empty() ? list : item);
    std::fprintf(stderr, "%s%s%s: %s\n", file.c_str(), which.empty() ? "" : ": ", which.c_str(),
                 printable(text_of(error.value("error", Json::object()), "message")).c_str());
  }
  const int shown = show_answer(options.format, *body, [](const Json& answer) {
    std::printf("imported: %s items\n", printable(text_of(answer, "success_count_exception_list_items")).c_str());
  });
  return shown != kDone ? shown : all ? kDone : kFound;
}

}  // namespace fb::cli
