// The command line of `firebreak`: names, options, help. It parses and calls; what a command does stands in its own
// file. The only unit that sees CLI11.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <csignal>
#include <filesystem>
#include <functional>

#include "apps/firebreak/completion.h"
#include "apps/firebreak/options.h"
#include "apps/firebreak/terminal.h"
#include "apps/firebreak/version.h"
#include "engine/access/access.h"
#include "engine/base/text.h"
#include "engine/model/names.h"

namespace fb::cli {
namespace {

const std::map<std::string, Format> kFormats = {{"text", Format::text}, {"json", Format::json}};

void add_format(CLI::App& command, Format& format) {
  const auto set = [&format](const std::string& word) {
    const auto known = kFormats.find(word);
    if (known == kFormats.end())
      throw CLI::ValidationError("--format", "'" + printable(word) + "' is neither text nor json");
    format = known->second;
  };
  command.add_option_function<std::string>("--format", set, "text (default) or json, one object a line")
      ->type_name("text|json");
}

std::vector<std::string> action_states() {
  std::vector<std::string> words;
  for (auto n = static_cast<int>(ActionState::requested); n <= static_cast<int>(ActionState::superseded); ++n) {
    words.emplace_back(to_string(static_cast<ActionState>(n)));
  }
  return words;
}

// Of a rule, as `rules versions` shows it.
const CLI::Validator& version_number() {
  static const CLI::Validator check(
      [](const std::string& word) {
        const bool digits = !word.empty() && word.size() <= 18 && word.find_first_not_of("0123456789") == word.npos;
        return digits && word.find_first_not_of('0') != word.npos
                   ? std::string()
                   : "'" + printable(word.substr(0, 40)) + "' is no version of a rule; they count from 1";
      },
      "");
  return check;
}

// How long a key holds, as the service takes it.
const CLI::Validator& key_lifetime() {
  static const CLI::Validator check(
      [](const std::string& word) {
        constexpr int64_t kLongestMs = 3650ll * 86'400'000;
        const auto ms = parse_duration_ms(word);
        return ms && *ms > 0 && *ms <= kLongestMs
                   ? std::string()
                   : "'" + printable(word.substr(0, 40)) + "' is no duration such as 90d, at most 3650d";
      },
      "");
  return check;
}

void add_connect(CLI::App& command, ConnectOptions& connect) {
  command.add_option("-c,--config", connect.config, "the service's config file; its data_dir holds the socket");
  command.add_option("--socket", connect.socket, "the service's socket (default: firebreak.sock in the data_dir)");
  // What stands in the environment is read where the service is chosen (client.cpp): it counts less than any of these.
  command.add_option("--url", connect.url, "the service's URL, when it is not on this machine (or FIREBREAK_URL)");
  command.add_option("--api-key", connect.api_key, "API key for --url (or FIREBREAK_API_KEY)");
  command.add_option("--api-key-file", connect.api_key_file, "file (mode 0600) with the API key");
  command.add_option("--profile", connect.profile,
                     "a service that `firebreak login` made known (or FIREBREAK_PROFILE)");
  command.add_option("--ca-file", connect.ca_file, "CA certificate of the service");
}

struct Commands {
  QueryOptions query;
  ReplayOptions replay;
  RulesOptions rules;
  RulesSyncOptions rules_sync;
  ServiceOptions service;
  DemoOptions demo;
  ListOptions list;
  ActOptions act;
  AuditOptions audit;
  TokenOptions token;
  std::string config;
  std::vector<std::string> action_ids;
  MaintenanceOptions maintenance;
  std::string maintenance_id;
  std::string tag_op;
  std::string tag;
  std::string breaker;
  RespondOptions respond;
  UsersOptions users;
  KeysOptions keys;
  ExceptionsOptions exceptions;
  PoliciesOptions policies;
  WatchOptions watch;
  ProfileOptions profile;
  std::string shell;
};

void example(CLI::App& command, const std::string& text) {
  command.footer("Example:\n  " + text);
}

using Chosen = std::function<int()>;

void add_query(CLI::App& app, Commands& c, Chosen& chosen) {
  auto& q = *app.add_subcommand("query", "Which events does a query match: grep for events");
  q.add_option("--language", c.query.language, "kuery (default), lucene or eql");
  q.add_option("--query", c.query.query, "the query");
  q.add_option("--query-file", c.query.query_file, "NDJSON, one {\"id\",\"query\"} a line");
  q.add_option("--fields", c.query.fields, "ecs (default), none, or a YAML file of renamings (event field: ECS field)");
  add_format(q, c.query.format);
  q.add_option("EVENTS", c.query.events, "NDJSON files (.gz, .zst too); - is standard input")->required();
  example(q, "firebreak query --query 'process.name: (cmd.exe or powershell.exe)' events.ndjson.gz");
  q.callback([&] { chosen = [&] { return run_query(c.query); }; });
}

// `--rules` takes several paths, so in `--rules rules/ a.ndjson b.ndjson` it takes the events too. Where no events are
// left, the last paths that can't be YAML or TOML rules are the events; the first path after each `--rules` is always a
// rule. An empty path stands between one `--rules` and the next.
void tell_events_from_rules(std::vector<std::string>& rules, std::vector<std::string>& events) {
  const auto last = std::find(rules.rbegin(), rules.rend(), "").base();
  const auto first_path = static_cast<size_t>(last - rules.begin());
  const auto no_separators = [&rules] { std::erase(rules, ""); };
  if (!events.empty()) return no_separators();
  const auto may_be_events = [](const std::string& path) {
    for (const char* ending : {".yml", ".yaml", ".toml"}) {
      if (path.ends_with(ending)) return false;
    }
    std::error_code error;
    return !std::filesystem::is_directory(path, error);
  };
  size_t first = rules.size();
  while (first > first_path + 1 && may_be_events(rules[first - 1])) --first;
  events.assign(rules.begin() + static_cast<std::ptrdiff_t>(first), rules.end());
  rules.resize(first);
  no_separators();
}

void add_replay(CLI::App& app, Commands& c, Chosen& chosen) {
  auto& r = *app.add_subcommand("replay", "Backtest: what would these rules have done; never acts");
  auto* rules = r.add_option("--rules", c.replay.rules, "rule files or folders");
  rules->required();
  rules->inject_separator();
  r.add_option("--fields", c.replay.fields, "ecs (default), none, or a YAML file of renamings");
  add_format(r, c.replay.format);
  r.add_option("--stats", c.replay.stats_file, "write counts and times to this file as JSON");
  r.add_option("--endpoints", c.replay.endpoints_file,
               "NDJSON of the known endpoints (endpoint_id, host_id, hostname, protected)");
  r.add_option("--exceptions", c.replay.exceptions, "NDJSON of exception lists and items, as Kibana exports it")
      ->allow_extra_args(false);
  r.add_flag("--no-index", c.replay.no_index, "judge every rule on every event by the slow interpreter");
  r.add_flag("--allow-broken", c.replay.allow_broken, "name broken rules and leave them out");
  r.add_option("--threads", c.replay.threads, "how many threads match (default 1)")->check(CLI::Range(1, 256));
  r.add_option("EVENTS", c.replay.events, "NDJSON files (.gz, .zst too); - is standard input");
  example(r, "firebreak replay --rules rules/ samples/*.ndjson");
  r.callback([&] {
    tell_events_from_rules(c.replay.rules, c.replay.events);
    if (c.replay.events.empty()) throw CLI::RequiredError("EVENTS");
    chosen = [&] { return run_replay(c.replay); };
  });
}

// Those that talk to a service.
void add_rules_sync(CLI::App& rules, Commands& c, Chosen& chosen) {
  RulesSyncOptions& o = c.rules_sync;
  const auto sub = [&](const char* name, const char* what, const std::string& shown,
                       int (*run)(const RulesSyncOptions&)) -> CLI::App& {
    auto& s = *rules.add_subcommand(name, what);
    add_connect(s, o.connect);
    add_format(s, o.format);
    example(s, shown);
    s.callback([&c, &chosen, run] { chosen = [&c, run] { return run(c.rules_sync); }; });
    return s;
  };
  auto& push = sub("push", "Make the service have the rules of these files", "firebreak rules push rules/ --dry-run",
                   run_rules_push);
  push.add_option("PATH", o.paths, "rule files or folders")->required();
  push.add_flag("--dry-run", o.dry_run, "only tell what would change");
  auto& pull = sub("pull", "Write the rules that came through the API as files", "firebreak rules pull -o rules/",
                   run_rules_pull);
  pull.add_option("RULE", o.rule, "only this rule_id");
  pull.add_option("-o,--output", o.folder, "folder for the files")->required();
  auto& diff = sub("diff", "What differs between files and the service, or between versions of a rule",
                   "firebreak rules diff --rule office-child --from 1 --to 3", run_rules_diff);
  diff.add_option("PATH", o.paths, "rule files or folders");
  diff.add_option("--rule", o.rule, "a rule_id or id, instead of files");
  diff.add_option("--from", o.from, "version (default: the one before --to)")->check(version_number());
  diff.add_option("--to", o.to, "version (default: the newest)")->check(version_number());
  sub("versions", "Every version of a rule, with author and time", "firebreak rules versions office-child",
      run_rules_versions)
      .add_option("RULE", o.rule, "a rule_id or id")
      ->required();
  auto& restore = sub("restore", "Make an old version of a rule the standing one",
                      "firebreak rules restore office-child 2", run_rules_restore);
  restore.add_option("RULE", o.rule, "a rule_id or id")->required();
  restore.add_option("VERSION", o.version, "as `rules versions` shows it")->required()->check(version_number());
}

void add_rules(CLI::App& app, Commands& c, Chosen& chosen) {
  auto& rules = *app.add_subcommand("rules", "Work with rules: files, and those of a service");
  rules.require_subcommand(1);
  example(rules, "firebreak rules check rules/");
  const auto add = [&](const char* name, const char* what, const std::string& shown, int (*run)(const RulesOptions&)) {
    auto& s = *rules.add_subcommand(name, what);
    s.add_option("PATH", c.rules.paths, "rule files or folders")->required();
    s.add_option("--exceptions", c.rules.exceptions, "NDJSON of exception lists and items")->allow_extra_args(false);
    add_format(s, c.rules.format);
    example(s, shown);
    s.callback([&c, &chosen, run] { chosen = [&c, run] { return run(c.rules); }; });
    return &s;
  };
  add("check", "Load and type-check rule files of every kind it reads", "firebreak rules check rules/",
      run_rules_check);
  auto* list = add("list", "What is in these rule files", "firebreak rules list rules/", run_rules_list);
  list->add_flag("--with-tests", c.rules.with_tests, "with --format json: the events of the rules' own tests too");
  auto* test = add("test", "Run the tests written inside rule files", "firebreak rules test rules/ --junit report.xml",
                   run_rules_test);
  test->add_option("--junit", c.rules.junit_file, "write the results as JUnit XML");
  add_rules_sync(rules, c, chosen);
}

void add_service(CLI::App& app, Commands& c, Chosen& chosen) {
  auto& run = *app.add_subcommand("run", "The service: evaluate, record, respond");
  run.add_option("-c,--config", c.service.config, "config file")->required();
  run.add_flag("--allow-broken", c.service.allow_broken, "start without the rules that are broken");
  run.add_flag("--from-record", c.service.from_record, "the record was restored: rewind Kafka to its offsets");
  example(run, "firebreak run -c /etc/firebreak/firebreak.yml");
  run.callback([&] { chosen = [&] { return run_service(c.service); }; });

  auto& setup = *app.add_subcommand("setup", "First start: data directory, certificates, keys");
  setup.add_option("-c,--config", c.config, "config file")->required();
  example(setup, "firebreak setup -c /etc/firebreak/firebreak.yml");
  setup.callback([&] { chosen = [&] { return run_setup(c.config); }; });

  auto& demo = *app.add_subcommand("demo", "The main job on recorded attacks, with nothing to install");
  demo.add_flag("--keep", c.demo.keep, "leave it running with its API until Ctrl-C");
  demo.add_option("--samples", c.demo.samples, "folder of sample events");
  demo.add_option("--rules", c.demo.rules, "folder of rules");
  example(demo, "firebreak demo");
  demo.callback([&] { chosen = [&] { return run_demo(c.demo); }; });

  auto& config = *app.add_subcommand("config", "Check a config file, or print the schema of one");
  config.require_subcommand(1);
  example(config, "firebreak config check /etc/firebreak/firebreak.yml");
  auto& check = *config.add_subcommand("check", "Name what is wrong with a config file");
  check.add_option("FILE", c.config, "config file")->required();
  example(check, "firebreak config check /etc/firebreak/firebreak.yml");
  check.callback([&] { chosen = [&] { return run_config_check(c.config); }; });
  auto& schema = *config.add_subcommand("schema", "Print the JSON schema of the config file");
  example(schema, "firebreak config schema > firebreak.schema.json");
  schema.callback([&] { chosen = [] { return run_config_schema(); }; });
}

void add_lists(CLI::App& app, Commands& c, Chosen& chosen) {
  const auto add = [&](const std::string& name, const char* what, const std::string& shown) {
    auto& s = *app.add_subcommand(name, what);
    add_connect(s, c.list.connect);
    add_format(s, c.list.format);
    s.add_option("--limit", c.list.limit, "at most this many, newest first (default 50)")->check(CLI::Range(1, 100000));
    example(s, shown);
    s.callback([&c, &chosen, &app, name] {
      if (app.get_subcommand(name)->get_subcommands().empty()) chosen = [&c, name] { return run_list(name, c.list); };
    });
    return &s;
  };
  auto* alerts = add("alerts", "What was detected", "firebreak alerts --since 1d --host WORKSTATION5");
  alerts->add_option("--host", c.list.host, "agent id, host id or host name");
  alerts->add_option("--rule", c.list.rule, "rule id");
  alerts->add_option("--since", c.list.since, "a duration such as 30m or 1d, or an ISO time");
  auto* actions = add("actions", "What was done, or would have been, and why",
                      "firebreak actions --host web-1 --command isolate --since 1d");
  actions->add_option("--host", c.list.host, "agent id, host id or host name");
  actions->add_option("--command", c.list.command, "only these")->check(CLI::IsMember({"isolate", "release"}));
  actions->add_option("--status", c.list.status, "only those in this state")->check(CLI::IsMember(action_states()));
  actions->add_option("--since", c.list.since, "a duration such as 30m or 1d, or an ISO time");
  for (const bool approve : {true, false}) {
    auto& s = *actions->add_subcommand(approve ? "approve" : "deny",
                                       approve ? "Let a waiting action go ahead" : "Refuse a waiting action");
    add_connect(s, c.act.connect);
    add_format(s, c.act.format);
    s.add_option("ID", c.action_ids, "action ids, at most 20 (of each a prefix that is unique)")->required();
    s.add_option("--comment", c.act.comment, "why");
    if (approve) {
      s.add_option("--wait", c.act.wait, "how long to wait for the outcome of a single one (default 10s, 0 = don't)")
          ->type_name("DURATION");
    }
    example(s, std::string("firebreak actions ") + (approve ? "approve" : "deny") +
                   " 3f2a --comment 'checked with the owner'");
    s.callback([&c, &chosen, approve] {
      chosen = [&c, approve] {
        return c.action_ids.size() == 1 ? run_decide(approve, c.action_ids.front(), c.act)
                                        : run_decide_many(approve, c.action_ids, c.act);
      };
    });
  }
  auto* breakers = add("breakers", "Budgets that tripped and wait for a person", "firebreak breakers");
  auto& reset = *breakers->add_subcommand("reset", "Let a rule (or the fleet) isolate again");
  add_connect(reset, c.act.connect);
  add_format(reset, c.act.format);
  reset.add_option("BREAKER", c.breaker, "a rule id, or fleet")->required();
  reset.add_option("--comment", c.act.comment, "why");
  example(reset, "firebreak breakers reset office-starts-shell --comment 'the rule is mended'");
  reset.callback([&c, &chosen] { chosen = [&c] { return run_breaker_reset(c.breaker, c.act); }; });
  auto* endpoints = add("endpoints", "The known endpoints and whether they are isolated", "firebreak endpoints");
  auto& tag = *endpoints->add_subcommand("tag", "Add a tag to an endpoint, or take one away");
  add_connect(tag, c.act.connect);
  add_format(tag, c.act.format);
  tag.add_option("HOST", c.act.host, "agent id, host id, or a host name that is unique")->required();
  tag.add_option("OP", c.tag_op, "add or rm")->required()->check(CLI::IsMember({"add", "rm"}));
  tag.add_option("TAG", c.tag, "the tag; to take a protecting one away takes two people")->required();
  tag.add_option("--comment", c.act.comment, "why; kept in the audit");
  example(tag, "firebreak endpoints tag web-1 add group:frontend");
  tag.callback([&c, &chosen] { chosen = [&c] { return run_tag(c.tag_op, c.tag, c.act); }; });
  add("deadletters", "Records that could not be processed, with their reason", "firebreak deadletters --format json");
}

void add_maintenance(CLI::App& app, Commands& c, Chosen& chosen) {
  auto& m = *app.add_subcommand("maintenance", "Times in which isolations by rules wait for a person");
  m.require_subcommand(1);
  example(m, "firebreak maintenance list");
  auto& add = *m.add_subcommand("add", "Announce a time of maintenance, at most 24 hours");
  MaintenanceOptions& o = c.maintenance;
  add_connect(add, o.connect);
  add_format(add, o.format);
  add.add_option("--host", o.host, "agent id, host id, or a host name that is unique");
  add.add_option("--tag", o.tag, "every endpoint with this tag");
  add.add_option("--from", o.from, "ISO time")->required();
  add.add_option("--to", o.to, "ISO time")->required();
  add.add_flag("--suppress", o.suppress, "leave isolations out instead of asking a person");
  add.add_flag("--include-critical", o.include_critical, "rules of severity critical too");
  add.add_option("--comment", o.comment, "why; kept in the audit");
  example(
      add,
      "firebreak maintenance add --tag site:berlin --from 2026-12-01T20:00Z --to 2026-12-02T02:00Z --comment patches");
  add.callback([&c, &chosen] { chosen = [&c] { return run_maintenance_add(c.maintenance); }; });
  auto& list = *m.add_subcommand("list", "The times that are announced, past ones too");
  add_connect(list, c.list.connect);
  add_format(list, c.list.format);
  example(list, "firebreak maintenance list");
  list.callback([&c, &chosen] { chosen = [&c] { return run_maintenance_list(c.list.connect, c.list.format); }; });
  auto& rm = *m.add_subcommand("rm", "End or withdraw a time of maintenance");
  add_connect(rm, c.act.connect);
  add_format(rm, c.act.format);
  rm.add_option("ID", c.maintenance_id, "as `maintenance list` shows it")->required();
  rm.add_option("--comment", c.act.comment, "why; kept in the audit");
  example(rm, "firebreak maintenance rm m-3f2a9c01");
  rm.callback([&c, &chosen] { chosen = [&c] { return run_maintenance_remove(c.maintenance_id, c.act); }; });
}

void add_exceptions(CLI::App& app, Commands& c, Chosen& chosen) {
  auto& e = *app.add_subcommand("exceptions", "Addresses that isolated hosts may still talk to");
  e.require_subcommand(0, 1);
  example(e, "firebreak exceptions list");
  ExceptionsOptions& o = c.exceptions;
  add_connect(e, o.connect);
  add_format(e, o.format);
  e.callback([&c, &chosen] {
    if (!chosen) chosen = [&c] { return run_exceptions_list(c.exceptions); };
  });
  const auto sub = [&](const char* name, const char* what, const std::string& shown,
                       int (*run)(const ExceptionsOptions&)) -> CLI::App& {
    auto& s = *e.add_subcommand(name, what);
    add_connect(s, o.connect);
    add_format(s, o.format);
    example(s, shown);
    s.callback([&c, &chosen, run] { chosen = [&c, run] { return run(c.exceptions); }; });
    return s;
  };
  auto& add = sub("add", "Let isolated hosts talk to an address or network; makes the list when there is none",
                  "firebreak exceptions add 10.10.0.1 --name 'update server'", run_exceptions_add);
  add.add_option("ADDRESS", o.address, "IPv4 or IPv6, one address or a prefix such as 192.0.2.0/24")->required();
  add.add_option("--name", o.name, "what it is called (default: the address)");
  add.add_option("--description", o.description, "what it is for");
  add.add_option("--policy", o.policies, "only for hosts with this endpoint policy; may be repeated (default: all)")
      ->allow_extra_args(false);
  add.add_option("--item-id", o.item_id, "an id of your own");
  add.add_option("--expires", o.expires, "ISO time from which on it no longer holds");
  add.add_option("--comment", o.comment, "why; kept with the exception");
  sub("list", "The exceptions, newest first", "firebreak exceptions list --format json", run_exceptions_list);
  sub("rm", "Take an exception away; isolated hosts lose it within a second",
      "firebreak exceptions rm 1342081d-66ad-4b03-b554-131195ce404b", run_exceptions_remove)
      .add_option("ITEM_ID", o.item_id, "as `exceptions list` shows it")
      ->required();
  auto& import = sub("import", "Take exceptions from an NDJSON export", "firebreak exceptions import exceptions.ndjson",
                     run_exceptions_import);
  import.add_option("FILE", o.file, "NDJSON as `exceptions export` or Kibana writes it")->required();
  import.add_flag("--overwrite", o.overwrite, "what the file has takes the place of all that is there");
  sub("export", "Write the list and its exceptions as NDJSON", "firebreak exceptions export exceptions.ndjson",
      run_exceptions_export)
      .add_option("FILE", o.file, "where to (default: standard output)");
}

void add_policies(CLI::App& app, Commands& c, Chosen& chosen) {
  auto& p = *app.add_subcommand("policies", "What isolated hosts may still talk to, host by host");
  p.require_subcommand(1);
  example(p, "firebreak policies list");
  PoliciesOptions& o = c.policies;
  const auto sub = [&](const char* name, const char* what, const std::string& shown,
                       int (*run)(const PoliciesOptions&)) -> CLI::App& {
    auto& s = *p.add_subcommand(name, what);
    add_connect(s, o.connect);
    add_format(s, o.format);
    example(s, shown);
    s.callback([&c, &chosen, run] { chosen = [&c, run] { return run(c.policies); }; });
    return s;
  };
  const auto add_id = [&o](CLI::App& s) { s.add_option("ID", o.id, "as `policies list` shows it")->required(); };
  const auto add_settings = [&o](CLI::App& s) {
    s.add_option("--description", o.description, "what it is for");
    s.add_option("--service", o.services, "host:port that isolated hosts may still connect to; may be repeated")
        ->allow_extra_args(false);
    s.add_option("--dns", o.dns, "a name server they may still ask; may be repeated")->allow_extra_args(false);
    s.add_option("--dhcp", o.dhcp, "whether they may renew their address")->check(CLI::IsMember({"yes", "no"}));
    s.add_option("--on-lockout", o.on_lockout, "what a host does that can't reach the service: stay or rollback")
        ->check(CLI::IsMember({"stay", "rollback"}));
    s.add_option("--message", o.message, "what users of an isolated host are told");
  };
  sub("list", "The policies", "firebreak policies list", run_policies_list);
  auto& show = sub("show", "One policy and its endpoints", "firebreak policies show servers", run_policies_show);
  add_id(show);
  auto& add = sub("add", "Make a policy; what it does not set is the config's",
                  "firebreak policies add Servers --id servers --service 10.0.0.5:9092", run_policies_add);
  add.add_option("NAME", o.name, "what it is called")->required();
  add.add_option("--id", o.id, "an id of your own, for tags such as policy:ID");
  add_settings(add);
  auto& set = sub("set", "Change a policy; what is not named stays", "firebreak policies set servers --dns 10.0.0.53",
                  run_policies_set);
  add_id(set);
  set.add_option("--name", o.name, "what it is called");
  add_settings(set);
  set.add_option("--unset", o.unset, "a setting that the config decides again; may be repeated")
      ->allow_extra_args(false)
      ->check(CLI::IsMember({"services", "dns", "dhcp", "on_lockout", "message"}));
  auto& rm = sub("rm", "Remove a policy that no endpoint has", "firebreak policies rm servers", run_policies_remove);
  add_id(rm);
  rm.add_option("--comment", o.comment, "why; kept in the audit");
  auto& assign = sub("assign", "Give endpoints a policy; isolated ones have it within a second",
                     "firebreak policies assign servers web-1 web-2", run_policies_assign);
  add_id(assign);
  assign.add_option("HOST", o.hosts, "agent ids, host ids, or host names that are unique")->required();
}

void add_watch(CLI::App& app, Commands& c, Chosen& chosen) {
  auto& w = *app.add_subcommand("watch", "Alerts, actions and endpoints as they change, until Ctrl-C");
  add_connect(w, c.watch.connect);
  add_format(w, c.watch.format);
  w.add_option("--events", c.watch.kinds, "only these: alert, action, endpoint; may be repeated")
      ->allow_extra_args(false)
      ->check(CLI::IsMember({"alert", "action", "endpoint"}));
  w.add_option("--after", c.watch.after, "go on after this id, as --format json shows it (default: what is new)");
  w.add_option("--limit", c.watch.limit, "end after so many")->check(CLI::Range(1, 1000000));
  example(w, "firebreak watch --events alert --events action");
  w.callback([&] { chosen = [&] { return run_watch(c.watch); }; });
}

void add_users(CLI::App& app, Commands& c, Chosen& chosen) {
  auto& users = *app.add_subcommand("users", "People who may use the API, and their roles");
  users.require_subcommand(1);
  example(users, "firebreak users list");
  UsersOptions& o = c.users;
  const auto sub = [&](const char* name, const char* what, const std::string& shown,
                       std::function<int()> run) -> CLI::App& {
    auto& s = *users.add_subcommand(name, what);
    add_connect(s, o.connect);
    add_format(s, o.format);
    example(s, shown);
    s.callback([&chosen, run = std::move(run)] { chosen = run; });
    return s;
  };
  const auto add_name = [&o](CLI::App& s) { s.add_option("NAME", o.name, "the person's name")->required(); };
  const auto add_roles = [&o](CLI::App& s) {
    s.add_option("--role", o.roles, "viewer, analyst, responder, approver, rule_author or admin; may be repeated")
        ->required()
        ->allow_extra_args(false);
  };
  sub("list", "Who there is", "firebreak users list", [&c] { return run_users_list(c.users); });
  auto& add = sub("add", "Add a person; the password is read from standard input",
                  "firebreak users add ada --role responder < password", [&c] { return run_users_add(c.users); });
  add_name(add);
  add_roles(add);
  add.add_flag("--no-password", o.no_password, "a person who comes in with API keys only");
  auto& roles = sub("set-roles", "Give a person these roles and no others",
                    "firebreak users set-roles ada --role viewer", [&c] { return run_users_set_roles(c.users); });
  add_name(roles);
  add_roles(roles);
  roles.add_option("--comment", o.comment, "why; kept in the audit");
  for (const bool disable : {true, false}) {
    auto& s =
        sub(disable ? "disable" : "enable", disable ? "Keep a person out, with all their keys" : "Let them in again",
            std::string("firebreak users ") + (disable ? "disable" : "enable") + " ada",
            [&c, disable] { return run_users_disable(disable, c.users); });
    add_name(s);
    s.add_option("--comment", o.comment, "why; kept in the audit");
  }
  add_name(sub("passwd", "Set a person's password, read from standard input", "firebreak users passwd ada",
               [&c] { return run_users_passwd(c.users); }));
}

void add_keys(CLI::App& app, Commands& c, Chosen& chosen) {
  auto& keys = *app.add_subcommand("keys", "API keys");
  keys.require_subcommand(1);
  example(keys, "firebreak keys list");
  KeysOptions& o = c.keys;
  const auto sub = [&](const char* name, const char* what, const std::string& shown,
                       int (*run)(const KeysOptions&)) -> CLI::App& {
    auto& s = *keys.add_subcommand(name, what);
    add_connect(s, o.connect);
    add_format(s, o.format);
    example(s, shown);
    s.callback([&c, &chosen, run] { chosen = [&c, run] { return run(c.keys); }; });
    return s;
  };
  auto& create =
      sub("create", "Make a key; it is printed this once",
          "firebreak keys create --user ada --name pipeline --scope rules_read --expires 90d", run_keys_create);
  create.add_option("--user", o.user, "whose key it is (default: yours)");
  create.add_option("--name", o.name, "what it is for");
  create.add_option("--scope", o.scopes, "a privilege it is for; may be repeated (default: all that the roles give)")
      ->allow_extra_args(false);
  create.add_option("--expires", o.expires_in, "how long it holds, such as 90d (default: until it is revoked)")
      ->check(key_lifetime());
  auto& list = sub("list", "Keys without their secrets", "firebreak keys list --user ada", run_keys_list);
  list.add_option("--user", o.user, "only this person's");
  auto& revoke = sub("revoke", "Take a key away at once", "firebreak keys revoke 3f2a9c017be1d2f0", run_keys_revoke);
  revoke.add_option("ID", o.id, "as `keys list` shows it")->required();
  revoke.add_option("--comment", o.comment, "why; kept in the audit");
}

void add_agent_commands(CLI::App& agents, Commands& c, Chosen& chosen) {
  auto& list = *agents.add_subcommand("list", "Agents, enrolments that wait, certificates, problems");
  add_connect(list, c.list.connect);
  add_format(list, c.list.format);
  example(list, "firebreak agents list");
  list.callback([&c, &chosen] { chosen = [&c] { return run_list("agents", c.list); }; });
  for (const bool approve : {true, false}) {
    auto& s = *agents.add_subcommand(approve ? "approve" : "deny",
                                     approve ? "Let a waiting agent take over its host" : "Refuse a waiting enrolment");
    add_connect(s, c.act.connect);
    add_format(s, c.act.format);
    s.add_option("AGENT", c.act.host, "agent id, as `agents list` shows it")->required();
    s.add_option("--comment", c.act.comment, "why; kept in the audit");
    example(s, std::string("firebreak agents ") + (approve ? "approve" : "deny") +
                   " 5f0e9a54 --comment 'reinstalled on ticket 7'");
    s.callback([&c, &chosen, approve] { chosen = [&c, approve] { return run_enrollment_decision(approve, c.act); }; });
  }
  auto& revoke = *agents.add_subcommand("revoke", "Take an agent's certificate away; it is cut off at once");
  add_connect(revoke, c.act.connect);
  add_format(revoke, c.act.format);
  revoke.add_option("HOST", c.act.host, "agent id, host id, or a host name that is unique")->required();
  revoke.add_option("--comment", c.act.comment, "why; kept in the audit");
  example(revoke, "firebreak agents revoke WORKSTATION5 --comment 'laptop lost'");
  revoke.callback([&c, &chosen] { chosen = [&c] { return run_agent_revoke(c.act); }; });
  auto& rotate = *agents.add_subcommand("rotate", "Ask an agent to get a new certificate now");
  add_connect(rotate, c.act.connect);
  add_format(rotate, c.act.format);
  rotate.add_option("HOST", c.act.host, "agent id, host id, or a host name that is unique")->required();
  example(rotate, "firebreak agents rotate WORKSTATION5");
  rotate.callback([&c, &chosen] { chosen = [&c] { return run_agent_rotate(c.act); }; });
  auto& keys = *agents.add_subcommand("rotate-signing-key", "Make a new key that orders are signed with");
  add_connect(keys, c.act.connect);
  add_format(keys, c.act.format);
  keys.add_option("--comment", c.act.comment, "why; kept in the audit");
  example(keys, "firebreak agents rotate-signing-key --comment 'yearly'");
  keys.callback([&c, &chosen] { chosen = [&c] { return run_rotate_signing_key(c.act); }; });
}

void add_operate(CLI::App& app, Commands& c, Chosen& chosen) {
  for (const std::string verb : {"isolate", "release"}) {
    auto& s =
        *app.add_subcommand(verb, verb == "isolate" ? "Cut a host off the network" : "Give a host its network back");
    add_connect(s, c.act.connect);
    add_format(s, c.act.format);
    s.add_option("HOST", c.act.host, "agent id, host id, or a host name that is unique")->required();
    s.add_option("--comment", c.act.comment, "why; kept with the action");
    s.add_option("--wait", c.act.wait,
                 "end with 0 only when the host confirms within this time: 30s, 2m (default: shows up to 10s, ends "
                 "with 0 when taken; 0 = don't follow)")
        ->type_name("DURATION");
    if (verb == "isolate")
      s.add_flag("--override", c.act.override_protected, "ask for a protected endpoint; a second person must approve");
    example(s, "firebreak " + verb + " WORKSTATION5 --comment 'incident 42'");
    s.callback([&c, &chosen, verb] { chosen = [&c, verb] { return run_act(verb, c.act); }; });
  }

  auto& stop = *app.add_subcommand("kill-switch", "Stop all new isolations at once, or allow them again");
  stop.require_subcommand(1);
  example(stop, "firebreak kill-switch on --comment 'incident 42'");
  for (const bool on : {true, false}) {
    auto& s = *stop.add_subcommand(on ? "on" : "off",
                                   on ? "No new isolation until it is off" : "Isolations may go out again");
    add_connect(s, c.act.connect);
    add_format(s, c.act.format);
    s.add_option("--comment", c.act.comment, "why");
    example(s, std::string("firebreak kill-switch ") + (on ? "on" : "off") + " --comment 'rule 7f0c misfires'");
    s.callback([&c, &chosen, on] { chosen = [&c, on] { return run_kill_switch(on, c.act); }; });
  }

  auto& agents = *app.add_subcommand("agents", "Enrol agents, see them, take them away");
  agents.require_subcommand(1);
  example(agents, "firebreak agents list");
  auto& token = *agents.add_subcommand("token", "A one-time enrolment token, printed once");
  add_connect(token, c.token.connect);
  add_format(token, c.token.format);
  token.add_option("--ttl", c.token.ttl, "how long it is good for (default 1h)");
  example(token, "firebreak agents token --ttl 1h > token");
  token.callback([&] { chosen = [&] { return run_token(c.token); }; });
  add_agent_commands(agents, c, chosen);

  auto& glass = *app.add_subcommand("break-glass", "The code that lets an isolated host back in, typed at the host");
  add_connect(glass, c.act.connect);
  add_format(glass, c.act.format);
  glass.add_option("HOST", c.act.host, "agent id, host id, or a host name that is unique")->required();
  glass.add_option("--comment", c.act.comment, "why; kept in the audit")->required();
  example(glass, "firebreak break-glass WORKSTATION5 --comment 'no route to the service, incident 42'");
  glass.callback([&] { chosen = [&] { return run_break_glass(c.act); }; });

  auto& respond = *app.add_subcommand("respond", "A console for one host: isolate, release, status, history");
  add_connect(respond, c.respond.connect);
  respond.add_option("HOST", c.respond.host, "agent id, host id, or a host name that is unique")->required();
  respond.add_option("-e,--execute", c.respond.command, "run this one command and end");
  respond.add_option("--wait", c.respond.wait_s, "seconds an action is followed (default 60)")
      ->check(CLI::Range(0, 3600));
  example(respond, "firebreak respond WORKSTATION5\n  echo status | firebreak respond WORKSTATION5");
  respond.callback([&] { chosen = [&] { return run_respond(c.respond); }; });

  auto& notify = *app.add_subcommand("notify", "Notifications");
  notify.require_subcommand(1);
  example(notify, "firebreak notify test -c /etc/firebreak/firebreak.yml");
  auto& notify_test =
      *notify.add_subcommand("test", "Send a test through every sink of a config and tell what came of it");
  notify_test.add_option("-c,--config", c.config, "the service's config file")->required();
  example(notify_test, "firebreak notify test -c /etc/firebreak/firebreak.yml");
  notify_test.callback([&] { chosen = [&] { return run_notify_test(c.config); }; });

  auto& audit = *app.add_subcommand("audit", "The chain of everything that was decided and done");
  audit.require_subcommand(1);
  example(audit, "firebreak audit list -c /etc/firebreak/firebreak.yml --since 1d");
  auto& list = *audit.add_subcommand("list", "Who did what, newest first");
  add_connect(list, c.audit.connect);
  list.add_option("--db", c.audit.db, "the database itself (opened read-only), when the service is not running");
  list.add_option("--since", c.audit.since, "a duration such as 30m or 1d, or an ISO time");
  list.add_option("--actor", c.audit.actor, "who: a part of it is enough, such as rule: or user:local");
  list.add_option("--host,--endpoint", c.audit.host, "what concerns one host: agent id, host id or host name");
  list.add_option("--limit", c.audit.limit, "at most this many, newest first (default 50)")
      ->check(CLI::Range(1, 100000));
  add_format(list, c.audit.format);
  list.add_flag_callback(
      "--json", [&c] { c.audit.format = Format::json; }, "the same as --format json");
  example(list, "firebreak audit list -c /etc/firebreak/firebreak.yml --since 1d --host WORKSTATION5");
  list.callback([&] { chosen = [&] { return run_audit_list(c.audit); }; });
  auto& verify = *audit.add_subcommand("verify", "Check every link; names the first bad one");
  add_connect(verify, c.audit.connect);
  verify.add_option("--db", c.audit.db, "the database itself (opened read-only), when the service is not running");
  add_format(verify, c.audit.format);
  example(verify, "firebreak audit verify --db /var/lib/firebreak/firebreak.db");
  verify.callback([&] { chosen = [&] { return run_audit_verify(c.audit); }; });
}

void add_profiles(CLI::App& app, Commands& c, Chosen& chosen) {
  ProfileOptions& o = c.profile;
  auto& login = *app.add_subcommand("login", "Make a service known: its address and an API key, tried and kept");
  login.add_option("--url", o.connect.url, "the service's URL")->required();
  login.add_option("--profile", o.name, "what to call it (default: default)")->default_str("default");
  login.add_option("--api-key-file", o.connect.api_key_file,
                   "file (mode 0600) with the API key (default: standard input)");
  login.add_option("--ca-file", o.connect.ca_file, "CA certificate of the service");
  example(login, "firebreak login --url https://firebreak.example.com:8770 --profile prod < key");
  login.callback([&] {
    if (c.profile.name.empty()) c.profile.name = "default";
    chosen = [&] { return run_login(c.profile); };
  });
  auto& logout = *app.add_subcommand("logout", "Forget a service and its key on this machine");
  logout.add_option("--profile", o.name, "which one (default: the current one)");
  example(logout, "firebreak logout");
  logout.callback([&] { chosen = [&] { return run_logout(c.profile); }; });
  auto& profiles = *app.add_subcommand("profiles", "The services that are known");
  profiles.require_subcommand(1);
  example(profiles, "firebreak profiles list");
  auto& list = *profiles.add_subcommand("list", "Their names and addresses");
  add_format(list, o.format);
  list.add_flag("--names", o.names_only, "names alone, one a line");
  example(list, "firebreak profiles list");
  list.callback([&] { chosen = [&] { return run_profiles_list(c.profile); }; });
  auto& use = *profiles.add_subcommand("use", "Make one the current one");
  use.add_option("NAME", o.name, "as `profiles list` shows it")->required();
  example(use, "firebreak profiles use prod");
  use.callback([&] { chosen = [&] { return run_profiles_use(c.profile); }; });
  auto& rm = *profiles.add_subcommand("rm", "Forget one and its key on this machine");
  rm.add_option("NAME", o.name, "as `profiles list` shows it")->required();
  example(rm, "firebreak profiles rm prod");
  rm.callback([&] { chosen = [&] { return run_logout(c.profile); }; });
}

// What the value of an option may be, where that is a fixed set of words.
std::vector<std::string> words_of(const std::string& option) {
  std::vector<std::string> words;
  if (option == "--format") return {"text", "json"};
  if (option == "--language") return {"kuery", "lucene", "eql"};
  if (option == "--fields") return {"ecs", "none"};
  if (option == "--command") return {"isolate", "release"};
  if (option == "--status") return action_states();
  if (option == "--role") {
    for (const Role r : all_roles()) words.emplace_back(to_string(r));
  }
  if (option == "--scope") {
    for (const Privilege p : all_privileges()) words.emplace_back(to_string(p));
  }
  return words;
}

CompletedCommand described(const CLI::App& app, const std::string& name) {
  CompletedCommand command;
  command.name = name;
  command.help = app.get_description();
  for (const CLI::Option* option : app.get_options()) {
    if (option->get_positional()) {
      if (option->get_name() == "OP") command.words = {"add", "rm"};
      if (option->get_name() == "SHELL") command.words = {"bash", "zsh", "fish"};
      continue;
    }
    CompletedOption o;
    o.help = option->get_description();
    o.takes_value = option->get_items_expected_max() > 0;
    for (const std::string& n : option->get_snames()) {
      o.name = "-" + n;
      command.options.push_back(o);
    }
    for (const std::string& n : option->get_lnames()) {
      o.name = "--" + n;
      o.words = words_of(o.name);
      o.is_profile = o.name == "--profile";
      command.options.push_back(o);
    }
  }
  for (const CLI::App* sub : app.get_subcommands(nullptr)) command.commands.push_back(described(*sub, sub->get_name()));
  return command;
}

void add_completion(CLI::App& app, Commands& c, Chosen& chosen) {
  auto& completion = *app.add_subcommand("completion", "Print the script that completes commands in a shell");
  completion.add_option("SHELL", c.shell, "bash, zsh or fish")->required();
  example(completion, "source <(firebreak completion bash)");
  completion.callback([&] {
    chosen = [&] {
      const std::string script = completion_script(c.shell, described(app, ""));
      if (script.empty())
        return complain("completion is there for bash, zsh and fish, not '" + printable(c.shell) + "'", kCantRun);
      std::fputs(script.c_str(), stdout);
      return kDone;
    };
  });
}

int run(int argc, char** argv) {
  CLI::App app{"Firebreak: detection rules over event streams that isolate hosts by themselves"};
  app.set_version_flag("--version", std::string("firebreak ") + kVersion);
  app.require_subcommand(1);
  app.fallthrough(false);
  example(app, "firebreak demo");
  Commands commands;
  Chosen chosen;
  add_service(app, commands, chosen);
  add_query(app, commands, chosen);
  add_replay(app, commands, chosen);
  add_rules(app, commands, chosen);
  add_lists(app, commands, chosen);
  add_maintenance(app, commands, chosen);
  add_users(app, commands, chosen);
  add_keys(app, commands, chosen);
  add_exceptions(app, commands, chosen);
  add_policies(app, commands, chosen);
  add_watch(app, commands, chosen);
  add_operate(app, commands, chosen);
  add_profiles(app, commands, chosen);
  add_completion(app, commands, chosen);
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp& e) {
    return app.exit(e);
  } catch (const CLI::CallForAllHelp& e) {
    return app.exit(e);
  } catch (const CLI::CallForVersion& e) {
    return app.exit(e);
  } catch (const CLI::ParseError& e) {
    // What nobody knows is named before what is missing because of it.
    if (const auto unknown = app.remaining(true); !unknown.empty()) {
      return complain("there is no " +
                          std::string(unknown.front().starts_with('-') ? "option '" : "command or argument '") +
                          printable(unknown.front()) + "' here (--help shows what there is)",
                      kCantRun);
    }
    return complain(std::string(e.what()) + " (--help shows the options)", kCantRun);
  }
  return chosen();
}

}  // namespace
}  // namespace fb::cli

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);
  try {
    return fb::cli::run(argc, argv);
  } catch (const std::exception& e) {
    return fb::cli::complain(std::string("internal error: ") + e.what(), 70);
  }
}
