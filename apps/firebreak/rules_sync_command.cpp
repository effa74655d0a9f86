// firebreak rules push | pull | diff | versions | restore: rule files and the rules of a service.
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>

#include "api/rules/shape.h"
#include "apps/firebreak/answers.h"
#include "apps/firebreak/client.h"
#include "apps/firebreak/options.h"
#include "apps/firebreak/rule_folder.h"
#include "apps/firebreak/rule_report.h"
#include "apps/firebreak/rule_yaml.h"
#include "apps/firebreak/terminal.h"
#include "engine/base/digest.h"
#include "engine/base/json.h"
#include "engine/base/json_dump.h"
#include "engine/base/text.h"
#include "engine/compile/rules.h"

namespace fb::cli {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kRules = "/api/detection_engine/rules";
constexpr int kPerPage = 200;

std::string text_of(const Json& from, const char* key) {
  const auto it = from.find(key);
  return it != from.end() && it->is_string() ? it->get<std::string>() : std::string();
}

Result<Json> parsed(const Result<std::string>& body) {
  if (!body) return tl::unexpected<Error>(body.error());
  Json json = parse_ordered_json(*body);
  if (json.is_discarded()) return fail(ErrorCode::corrupt, "the service's answer is not JSON");
  return json;
}

// A rule without what only a service says of it, its keys in one order.
Result<Json> bare(const std::string& doc) {
  const auto shaped = api::shape_rule(doc);
  if (!shaped) return fail(ErrorCode::invalid_argument, shaped.error().messages.front());
  return parse_ordered_json(shaped->doc);
}

struct FileRule {
  std::string rule_id;
  std::string file;
  Json doc;
};

// A good rule of a file, in the form of the API.
Result<Json> doc_of(const LoadedRule& rule) {
  const RuleMeta& meta = *rule.input.meta;
  Json doc = parse_ordered_json(meta.parameters);
  if (!doc.is_object()) return fail(ErrorCode::internal, "the rule can't be written as JSON", rule.rule_id);
  doc["rule_id"] = meta.rule_id;
  doc["name"] = meta.name;
  if (!doc.contains("description")) doc["description"] = meta.description;
  auto shaped = bare(dumped(doc));
  if (!shaped) return fail(ErrorCode::invalid_argument, shaped.error().message, rule.file + ", " + meta.rule_id);
  return shaped;
}

// The rules of files, in the form of the API. Nothing when one of them is broken; that was told then.
Result<std::vector<FileRule>> rules_of_files(const std::vector<std::string>& paths, bool* broken) {
  FB_TRY(const LoadedRules loaded, load_rules(paths));
  print_problems(loaded);
  *broken = !loaded.ok();
  std::vector<FileRule> out;
  if (*broken) return out;
  for (const LoadedRule& rule : loaded.rules) {
    FB_TRY(Json doc, doc_of(rule));
    out.push_back({rule.rule_id, rule.file, std::move(doc)});
  }
  return out;
}

struct ServedRule {
  Json answer;
  bool from_file = false;
};

// Nothing: the service has no such rule.
Result<std::optional<ServedRule>> served(ApiClient& client, const std::string& rule_id) {
  const auto body = client.get(std::string(kRules) + "?rule_id=" + url_encoded(rule_id));
  if (!body && client.last_status() == 404) return std::optional<ServedRule>();
  FB_TRY(Json answer, parsed(body));
  const Json about = answer.value("firebreak", Json::object());
  return ServedRule{std::move(answer), text_of(about, "source") == "file"};
}

struct FieldChange {
  std::string field;
  Json from;
  Json to;
};

std::vector<FieldChange> changes(const Json& from, const Json& to) {
  std::set<std::string> keys;
  for (const Json* doc : {&from, &to}) {
    for (const auto& [key, value] : doc->items()) keys.insert(key);
  }
  std::vector<FieldChange> out;
  for (const std::string& key : keys) {
    const Json was = from.value(key, Json());
    const Json is = to.value(key, Json());
    // The order of keys says nothing.
    if (nlohmann::json(was) != nlohmann::json(is)) out.push_back({key, was, is});
  }
  return out;
}

std::string shown(const Json& value) {
  if (value.is_null()) return "(absent)";
  return printable(value.is_string() ? value.get<std::string>() : dumped(value));
}

void print_changes(const std::string& rule_id, const std::vector<FieldChange>& all, Format format) {
  if (format == Format::json) {
    Json list = Json::array();
    for (const FieldChange& c : all) list.push_back(Json{{"field", c.field}, {"from", c.from}, {"to", c.to}});
    std::printf("%s\n", dumped(Json{{"rule_id", rule_id}, {"changes", list}}).c_str());
    return;
  }
  std::printf("%s\n", paint(Paint::bold, printable(rule_id)).c_str());
  for (const FieldChange& c : all) {
    std::printf("  %s\n  %s\n  %s\n", printable(c.field).c_str(), paint(Paint::red, "- " + shown(c.from)).c_str(),
                paint(Paint::green, "+ " + shown(c.to)).c_str());
  }
}

// A file name for a rule: readable, and different for different rules.
std::string file_name(const std::string& rule_id) {
  constexpr size_t kMost = 100;
  std::string name;
  for (const char c : rule_id.substr(0, kMost)) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
                       c == '_' || (c == '.' && !name.empty());
    name += plain ? c : '_';
  }
  if (name != rule_id) name += "-" + hex(sha256(rule_id)).substr(0, 8);
  return name + ".yml";
}

std::string text_in(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

Status write_file(const std::string& path, const std::string& text) {
  const std::string fresh = path + ".new";
  std::ofstream out(fresh, std::ios::binary | std::ios::trunc);
  out << text;
  out.close();
  std::error_code error;
  if (out) std::filesystem::rename(fresh, path, error);
  if (!out || error) return fail(ErrorCode::io, "can't write " + printable(path));
  return {};
}

// Every rule that came through the API.
Result<std::vector<Json>> all_served(ApiClient& client) {
  std::vector<Json> out;
  for (int page = 1;; ++page) {
    FB_TRY(const Json found, parsed(client.get(std::string(kRules) + "/_find?sort_field=name&sort_order=asc&page=" +
                                               std::to_string(page) + "&per_page=" + std::to_string(kPerPage))));
    const Json data = found.value("data", Json::array());
    for (const Json& rule : data) {
      if (text_of(rule.value("firebreak", Json::object()), "source") != "file") out.push_back(rule);
    }
    if (data.size() < kPerPage) return out;
  }
}

struct Pulled {
  std::string file;
  bool written = false;  // else it was the same already
};

// A rule of the service into the file that holds it, else into one of its own.
Result<Pulled> pull_one(const Json& rule, const std::string& folder, const RuleFolder& standing) {
  const std::string rule_id = text_of(rule, "rule_id");
  FB_TRY(const Json doc, bare(dumped(rule)));
  const std::string yaml = rule_yaml(dumped(doc));
  const std::vector<const LoadedRule*> found = standing.find(rule_id);
  std::error_code error;
  if (found.empty()) {
    const std::string path = folder + "/" + file_name(rule_id);
    if (std::filesystem::exists(std::filesystem::symlink_status(path, error))) {
      return fail(ErrorCode::conflict, "can't write " + printable(path) + ": something else stands there");
    }
    FB_TRY_VOID(write_file(path, yaml));
    return Pulled{path, true};
  }
  if (found.size() > 1) {
    return fail(ErrorCode::conflict, printable(found[0]->file) + " and " + printable(found[1]->file) +
                                         " both hold this rule; they stay as they are");
  }
  const LoadedRule& old = *found[0];
  if (old.ok) {
    FB_TRY(const Json there, doc_of(old));
    if (changes(there, doc).empty()) return Pulled{old.file, false};
  } else if (text_in(old.file) == yaml) {
    return Pulled{old.file, false};  // as it was pulled: the API takes rules that files may not have
  }
  FB_TRY(const std::string text, standing.rewritten(old, yaml));
  // Through a link to the file itself: a new file in the link's place would leave the rule there twice.
  const std::filesystem::path real = std::filesystem::canonical(old.file, error);
  FB_TRY_VOID(write_file(error ? old.file : real.string(), text));
  return Pulled{old.file, true};
}

}  // namespace

int run_rules_push(const RulesSyncOptions& options) {
  bool broken = false;
  const auto files = rules_of_files(options.paths, &broken);
  if (!files) return complain(files.error(), kCantRun);
  if (broken) return complain("nothing was pushed: a rule is broken", kCantRun);
  auto client = ApiClient::connect(options.connect);
  if (!client) return complain(client.error(), kCantRun);
  std::string lines;
  std::map<std::string, std::string> becomes;
  for (const FileRule& rule : *files) {
    const auto there = served(*client, rule.rule_id);
    if (!there) return give_up(*client, there.error());
    std::string what = "created";
    if (*there && !(*there)->from_file) {
      const auto standing = bare(dumped((*there)->answer));
      if (!standing) return complain(standing.error(), kCantRun);
      what = changes(*standing, rule.doc).empty() ? "unchanged" : "updated";
    } else if (*there) {
      what = "refused";  // the service says why
    }
    if (what != "unchanged") lines += dumped(rule.doc) + "\n";
    becomes[rule.rule_id] = what;
  }
  size_t failed = 0;
  if (!lines.empty() && !options.dry_run) {
    const auto done = parsed(client->upload(std::string(kRules) + "/_import?overwrite=true", "rules.ndjson", lines));
    if (!done) return give_up(*client, done.error());
    for (const Json& error : done->value("errors", Json::array())) {
      const std::string rule_id = text_of(error, "rule_id");
      becomes[rule_id] = "refused";
      ++failed;
      std::fprintf(stderr, "%s: %s\n", printable(rule_id).c_str(),
                   printable(text_of(error.value("error", Json::object()), "message")).c_str());
    }
  }
  if (options.dry_run) {
    for (const auto& [rule_id, what] : becomes) failed += what == "refused" ? 1 : 0;
  }
  for (const auto& [rule_id, what] : becomes) {
    if (options.format == Format::json) {
      std::printf("%s\n", dumped(Json{{"rule_id", rule_id}, {"result", what}, {"dry_run", options.dry_run}}).c_str());
    } else {
      std::printf("%-9s  %s\n", (options.dry_run && what != "unchanged" ? "would be " + what : what).c_str(),
                  printable(rule_id).c_str());
    }
  }
  return failed == 0 ? kDone : kFound;
}

int run_rules_pull(const RulesSyncOptions& options) {
  auto client = ApiClient::connect(options.connect);
  if (!client) return complain(client.error(), kCantRun);
  std::vector<Json> rules;
  if (options.rule.empty()) {
    auto all = all_served(*client);
    if (!all) return give_up(*client, all.error());
    rules = std::move(*all);
  } else {
    auto one = served(*client, options.rule);
    if (!one) return give_up(*client, one.error());
    if (!*one) return complain("the service has no rule '" + printable(options.rule) + "'", kCantRun);
    rules.push_back(std::move((*one)->answer));
  }
  std::error_code error;
  std::filesystem::create_directories(options.folder, error);
  if (error) return complain("can't make the folder " + printable(options.folder), kCantRun);
  const auto standing = RuleFolder::open(options.folder);
  if (!standing) return complain(standing.error(), kCantRun);
  const std::vector<std::string> unread = standing->unread();
  for (const std::string& line : unread) std::fprintf(stderr, "%s; which rules it holds is not known\n", line.c_str());
  size_t failed = 0;
  for (const Json& rule : rules) {
    const std::string rule_id = text_of(rule, "rule_id");
    const auto pulled = pull_one(rule, options.folder, *standing);
    if (!pulled) {  // one that can't be written keeps no other from being pulled
      ++failed;
      std::fprintf(stderr, "%s: %s\n", printable(rule_id).c_str(), printable(pulled.error().message).c_str());
      continue;
    }
    const char* result = pulled->written ? "written" : "unchanged";
    if (options.format == Format::json) {
      std::printf("%s\n", dumped(Json{{"rule_id", rule_id}, {"file", pulled->file}, {"result", result}}).c_str());
    } else {
      std::printf("%s%s\n", printable(pulled->file).c_str(), pulled->written ? "" : ": unchanged");
    }
  }
  if (rules.empty() && options.format == Format::text) std::printf("no rule came through the API\n");
  if (failed > 0) {
    return complain(std::to_string(failed) + " of " + std::to_string(rules.size()) + " rules could not be written",
                    kFound);
  }
  return unread.empty() ? kDone : kFound;
}

int run_rules_diff(const RulesSyncOptions& options) {
  if (options.rule.empty() == options.paths.empty()) {
    return complain("give rule files, or --rule with --from and --to", kCantRun);
  }
  if (options.rule.empty()) {
    bool broken = false;
    const auto files = rules_of_files(options.paths, &broken);
    if (!files) return complain(files.error(), kCantRun);
    if (broken) return complain("a rule is broken", kCantRun);
    auto client = ApiClient::connect(options.connect);
    if (!client) return complain(client.error(), kCantRun);
    bool differ = false;
    for (const FileRule& rule : *files) {
      const auto there = served(*client, rule.rule_id);
      if (!there) return give_up(*client, there.error());
      Json standing = Json::object();
      if (*there) {
        auto doc = bare(dumped((*there)->answer));
        if (!doc) return complain(doc.error(), kCantRun);
        standing = std::move(*doc);
      }
      const auto all = changes(standing, rule.doc);
      if (all.empty()) continue;
      differ = true;
      if (!*there && options.format == Format::text) {
        std::printf("%s: not in the service\n", printable(rule.rule_id).c_str());
      } else {
        print_changes(rule.rule_id, all, options.format);
      }
    }
    return differ ? kFound : kDone;
  }
  auto client = ApiClient::connect(options.connect);
  if (!client) return complain(client.error(), kCantRun);
  std::string path = "/api/firebreak/rules/" + url_encoded(options.rule) + "/diff";
  char next = '?';
  for (const auto& [key, number] : {std::pair<const char*, int64_t>{"from", options.from}, {"to", options.to}}) {
    if (number <= 0) continue;
    path += next + (key + ("=" + std::to_string(number)));
    next = '&';
  }
  const auto diff = parsed(client->get(path));
  if (!diff) return give_up(*client, diff.error());
  std::vector<FieldChange> all;
  for (const Json& c : diff->value("changes", Json::array())) {
    const std::string field = text_of(c, "field");
    if (field == "updated_at" || field == "updated_by" || field == "revision") continue;  // they differ in any two
    all.push_back({field, c.value("from", Json()), c.value("to", Json())});
  }
  if (options.format == Format::json || !all.empty()) {
    const std::string versions =
        " (version " + diff->value("from", Json()).dump() + " -> " + diff->value("to", Json()).dump() + ")";
    print_changes(options.rule + (options.format == Format::text ? versions : ""), all, options.format);
  }
  return all.empty() ? kDone : kFound;
}

int run_rules_versions(const RulesSyncOptions& options) {
  auto client = ApiClient::connect(options.connect);
  if (!client) return complain(client.error(), kCantRun);
  const auto answer = parsed(client->get("/api/firebreak/rules/" + url_encoded(options.rule) + "/versions"));
  if (!answer) return give_up(*client, answer.error());
  Table table({"VERSION", "AT", "WHAT", "BY"});
  for (const Json& v : answer->value("versions", Json::array())) {
    if (options.format == Format::json) {
      std::printf("%s\n", dumped(v).c_str());
    } else {
      table.row({v.value("version", Json()).dump(), text_of(v, "at"), text_of(v, "what"), text_of(v, "author")});
    }
  }
  if (options.format == Format::text) table.print();
  return kDone;
}

int run_rules_restore(const RulesSyncOptions& options) {
  auto client = ApiClient::connect(options.connect);
  if (!client) return complain(client.error(), kCantRun);
  const auto done = parsed(client->post("/api/firebreak/rules/" + url_encoded(options.rule) + "/restore",
                                        dumped(Json{{"version", options.version}})));
  if (!done) return give_up(*client, done.error());
  if (options.format == Format::json) {
    std::printf("%s\n", dumped(*done).c_str());
  } else {
    std::printf("restored: %s as it was in version %lld\n", printable(text_of(*done, "rule_id")).c_str(),
                static_cast<long long>(options.version));
  }
  return kDone;
}

}  // namespace fb::cli
