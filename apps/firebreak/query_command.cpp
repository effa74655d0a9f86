// firebreak query: which events does a query match. Every query becomes a rule of one rule set, so any number of them
// costs one pass over the events.
#include <cstdio>
#include <sstream>

#include "apps/firebreak/inputs.h"
#include "apps/firebreak/options.h"
#include "apps/firebreak/terminal.h"
#include "engine/base/clock.h"
#include "engine/base/json.h"
#include "engine/base/json_dump.h"
#include "engine/base/text.h"
#include "engine/lang/kuery/kuery.h"
#include "engine/lang/query_error.h"

namespace fb::cli {
namespace {

using Json = nlohmann::ordered_json;

struct Query {
  std::string id;
  std::string text;
  std::string language;
  std::optional<lang::QueryError> error;
  std::string input_error;  // the line itself is not a query
  std::optional<RuleIx> rule;
  std::vector<int64_t> matches;
};

Json error_json(const Query& q) {
  if (!q.input_error.empty()) {
    return Json{{"type", "parse"}, {"message", q.input_error}, {"line", 1}, {"column", 1}};
  }
  const LineColumn at = locate(q.text, q.error->begin);
  return Json{{"type", lang::to_string(q.error->kind)},
              {"message", q.error->message},
              {"line", at.line},
              {"column", at.column}};
}

void print_line(const Json& line) {
  std::printf("%s\n", dumped(line).c_str());
}

// The picture of the error in the query's own text.
std::string picture(const Query& q) {
  const LineColumn at = locate(q.text, q.error->begin);
  size_t line_start = 0;
  for (uint32_t line = 1; line < at.line; ++line) line_start = q.text.find('\n', line_start) + 1;
  const std::string line = q.text.substr(line_start, q.text.find('\n', line_start) - line_start);
  const LineColumn end = locate(q.text, q.error->end);
  const uint32_t width = end.line == at.line && end.column > at.column ? end.column - at.column : 1;
  return lang::render(*q.error, "query:" + std::to_string(at.line) + ":" + std::to_string(at.column), line, at.column,
                      width);
}

Result<ir::Node> parse(Query& q) {
  if (q.language != "kuery") {
    const bool known = q.language == "lucene" || q.language == "eql";
    q.error = lang::QueryError{lang::QueryError::Kind::unsupported,
                               "unsupported-language",
                               0,
                               0,
                               known ? q.language + " is not built yet; this version reads kuery"
                                     : "there is no language '" + printable(q.language) + "'; this version reads kuery",
                               ""};
    return fail(ErrorCode::unsupported, q.error->message);
  }
  auto parsed = lang::parse_kuery(q.text);
  if (!parsed) {
    q.error = parsed.error();
    return fail(ErrorCode::invalid_argument, q.error->message);
  }
  return std::move(*parsed);
}

Result<std::vector<Query>> read_query_file(const QueryOptions& options) {
  FB_TRY(std::string content, read_text(options.query_file, "query file"));
  if (content.compare(0, 3, "\xEF\xBB\xBF") == 0) content.erase(0, 3);
  std::istringstream in(std::move(content));
  std::vector<Query> queries;
  std::string line;
  for (size_t number = 1; std::getline(in, line); ++number) {
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    const auto json = parse_json(line);
    const std::string place = options.query_file + ":" + std::to_string(number);
    if (!json.is_object()) return fail(ErrorCode::invalid_argument, "this line is not a JSON object", place);
    Query q;
    if (!json.contains("id") || !json.contains("query")) {
      return fail(ErrorCode::invalid_argument, "a query line needs \"id\" and \"query\"", place);
    }
    q.id = json["id"].is_string() ? json["id"].get<std::string>() : json["id"].dump();
    q.language = options.language;
    if (const auto it = json.find("language"); it != json.end() && it->is_string()) {
      q.language = it->get<std::string>();
    } else if (it != json.end() && !it->is_null()) {
      q.input_error = "\"language\" is not a string";
    }
    if (json["query"].is_string()) {
      q.text = json["query"].get<std::string>();
    } else {
      q.input_error = "\"query\" is not a string";
    }
    queries.push_back(std::move(q));
  }
  return queries;
}

RuleMetaPtr anonymous_rule(const std::string& id) {
  auto meta = std::make_shared<RuleMeta>();
  meta->rule_id = id;
  meta->hash = id;
  return meta;
}

}  // namespace

int run_query(const QueryOptions& options) {
  end_with_the_pipe();
  if (options.query.has_value() == !options.query_file.empty()) {
    return complain("give either --query or --query-file", kCantRun);
  }
  std::vector<Query> queries;
  if (options.query) {
    Query q;
    q.id = "query";
    q.text = *options.query;
    q.language = options.language;
    queries.push_back(std::move(q));
  } else {
    auto read = read_query_file(options);
    if (!read) return complain(read.error(), kCantRun);
    queries = std::move(*read);
  }
  auto renames = read_fields(options.fields);
  if (!renames) return complain(renames.error(), kCantRun);

  std::vector<RuleInput> rules;
  std::vector<size_t> query_of_rule;
  for (size_t i = 0; i < queries.size(); ++i) {
    if (!queries[i].input_error.empty()) continue;
    auto node = parse(queries[i]);
    if (!node) continue;
    queries[i].rule = static_cast<RuleIx>(rules.size());
    query_of_rule.push_back(i);
    rules.push_back({anonymous_rule(std::to_string(i)), std::move(*node)});
  }
  const bool single = options.query.has_value();
  if (single && queries[0].error) {
    // A script that reads JSON gets the error in the shape that a query file's lines have.
    if (options.format == Format::json) print_line(Json{{"id", queries[0].id}, {"error", error_json(queries[0])}});
    std::fputs(picture(queries[0]).c_str(), stderr);
    return kCantRun;
  }

  auto next = open_events(options.events);
  if (!next) return complain(next.error(), kCantRun);
  RefusedLines refused;
  ProgressLine progress;
  ScanSinks sinks;
  const bool text = options.format == Format::text;
  sinks.hit = [&](const ScanHit& hit) {
    for (const RuleIx rule : hit.rules) {
      Query& q = queries[query_of_rule[index(rule)]];
      if (!text) {
        q.matches.push_back(hit.event_index);
        continue;
      }
      if (!single) std::printf("%s\t", printable(q.id).c_str());
      std::fwrite(hit.line.data(), 1, hit.line.size(), stdout);
      std::fputc('\n', stdout);
    }
  };
  sinks.refused = [&](int64_t event_index, const Refusal& refusal) {
    progress.clear();
    refused.note(event_index, refusal);
  };
  if (!text || !stdout_is_terminal()) sinks.progress = [&](uint64_t e, uint64_t b) { progress.show(e, b); };
  ScanOptions scan_options;
  scan_options.now_ms = system_clock().wall_ms();
  const auto stats = scan(RuleSet::build(std::move(rules), {std::move(*renames)}), *next, scan_options, false, sinks);
  progress.clear();
  refused.finish();

  for (const Query& q : queries) {
    const bool broken = q.error || !q.input_error.empty();
    if (!text) {
      Json line{{"id", q.id}};
      if (broken) {
        line["error"] = error_json(q);
      } else {
        line["matches"] = q.matches;
      }
      print_line(line);
    } else if (broken) {
      std::fprintf(stderr, "firebreak: query %s: %s\n", printable(q.id).c_str(),
                   printable(q.input_error.empty() ? q.error->message : q.input_error).c_str());
    }
  }
  const int written = after_output(kDone);
  if (!stats) return complain(stats.error(), stats.error().code == ErrorCode::corrupt ? kFound : kCantRun);
  return written;
}

}  // namespace fb::cli
