#include "engine/compile/rules.h"

#include <algorithm>
#include <map>
#include <memory>

#include "engine/base/text.h"
#include "engine/compile/checks.h"
#include "engine/compile/diagnostic_codes.h"
#include "engine/compile/exceptions.h"
#include "engine/compile/file_readers.h"
#include "engine/compile/rule_builder.h"
#include "engine/compile/rule_files.h"
#include "engine/lang/query_error.h"

namespace fb {
namespace compile {
namespace {

using Kind = FileNode::Kind;

bool is_error(const Diagnostic& d) {
  return d.level == Diagnostic::Level::error;
}

// A load has two passes, since the items of an exception list may stand in any file: first every file is read and its
// exception items are collected, then the rules are built.
class Loader {
 public:
  explicit Loader(const LoadOptions& options) : options_(options) {}

  void exception_file(const std::string& path) {
    std::unique_ptr<File> file = open(path, resolve_path(path));
    if (file == nullptr) return;
    file->source = std::make_unique<SourceText>(path, file->view());
    ReadFile read = read_json(*file->source, options_.limits.max_yaml_depth);
    for (Diagnostic& d : read.problems) out_.file_diagnostics.push_back(std::move(d));
    for (const FileNode& value : read.values) {
      const ExportLine line = value.is(Kind::object) ? export_line(value) : ExportLine::rule;
      if (line == ExportLine::rule) {
        out_.file_diagnostics.push_back(
            file->source->error(code::kNotAnException, value.begin, value.end,
                                "this line is neither an exception list nor an item of one"));
      } else {
        exception_line(*file->source, value, line);
      }
    }
  }

  void rule_file(const std::string& shown, const std::string& real) {
    ++out_.files;
    std::unique_ptr<File> file = open(shown, real);
    if (file != nullptr) take(std::move(file), shown);
  }

  void rule_text(const std::string& text, const std::string& shown) {
    ++out_.files;
    auto file = std::make_unique<File>();
    file->text = text;
    const FileKind kind = kind_of(shown, text);
    const size_t most =
        kind == FileKind::json ? options_.limits.max_rule_import_bytes : options_.limits.max_rule_file_bytes;
    if (text.size() > most) {
      out_.file_diagnostics.push_back(
          file_problem(code::kFileTooLarge, shown, "the file is larger than " + std::to_string(most) + " bytes"));
      return;
    }
    if (is_text(*file, shown)) take(std::move(file), shown);
  }

  void add_problem(Diagnostic d) { out_.file_diagnostics.push_back(std::move(d)); }

  LoadedRules finish() {
    const BuildContext context{options_.limits, exceptions_, options_.lists_elsewhere, options_.any_names};
    for (const std::unique_ptr<File>& file : files_) {
      for (const FileNode* rule : file->rules) {
        if (out_.rules.size() >= options_.limits.max_rules) {
          out_.file_diagnostics.push_back(file->source->error(code::kTooManyRules, rule->begin, rule->end,
                                                              "more than " + std::to_string(options_.limits.max_rules) +
                                                                  " rules (limits.max_rules); the rest is left out"));
          return unique(std::move(out_));
        }
        LoadedRule loaded = looks_like_sigma(*rule) ? refuse_sigma_rule(*file->source, *rule)
                                                    : build_rule(*file->source, *rule, context);
        check_unique(*file, *rule, loaded);
        out_.rules.push_back(std::move(loaded));
      }
    }
    return std::move(out_);
  }

 private:
  struct File {
    std::string text;
    size_t skipped = 0;  // a byte order mark
    std::unique_ptr<SourceText> source;
    ReadFile read;
    std::vector<const FileNode*> rules;
    std::string_view view() const { return std::string_view(text).substr(skipped); }
  };

  static LoadedRules unique(LoadedRules rules) { return rules; }

  std::unique_ptr<File> open(const std::string& shown, const std::string& real) {
    auto file = std::make_unique<File>();
    Result<std::string> text = read_rule_file(real, options_.limits);
    if (!text) {
      out_.file_diagnostics.push_back(file_problem(text.error().context, shown, text.error().message));
      return nullptr;
    }
    file->text = std::move(*text);
    return is_text(*file, shown) ? std::move(file) : nullptr;
  }

  bool is_text(File& file, const std::string& shown) {
    const std::string_view text = file.text;
    const std::string_view start = text.substr(0, 4);
    if (start.substr(0, 2) == "\xFF\xFE" || start.substr(0, 2) == "\xFE\xFF") {
      out_.file_diagnostics.push_back(file_problem(code::kNotUtf8, shown, "the file is UTF-16", "save it as UTF-8"));
      return false;
    }
    if (start.substr(0, 3) == "\xEF\xBB\xBF") file.skipped = 3;
    const SourceText source(shown, file.view());
    if (const size_t nul = file.view().find('\0'); nul != std::string_view::npos) {
      Diagnostic d = source.error(code::kNotText, nul, nul + 1, "the file is not text: it holds a NUL byte");
      d.excerpt.clear();
      out_.file_diagnostics.push_back(std::move(d));
      return false;
    }
    if (!is_utf8(file.view())) {
      const size_t at = first_bad_byte(file.view());
      Diagnostic d = source.error(code::kNotUtf8, at, at + 1, "the file is not UTF-8 from here on", "save it as UTF-8");
      out_.file_diagnostics.push_back(std::move(d));
      return false;
    }
    if (file.view().find_first_not_of(" \t\r\n") == std::string_view::npos) {
      out_.file_diagnostics.push_back(file_problem(code::kEmptyFile, shown, "the file is empty"));
      return false;
    }
    return true;
  }

  static size_t first_bad_byte(std::string_view text) {
    size_t low = 0;  // the longest good start, by halves over line starts and then byte by byte
    size_t line = 0;
    while (line < text.size()) {
      const size_t end = text.find('\n', line);
      const size_t next = end == std::string_view::npos ? text.size() : end + 1;
      if (!is_utf8(text.substr(line, next - line))) {
        low = line;
        break;
      }
      line = next;
    }
    size_t at = low;
    while (at < text.size()) {
      size_t n = 1;
      while (n <= 4 && at + n <= text.size() && !is_utf8(text.substr(at, n))) ++n;
      if (n > 4 || at + n > text.size()) return at;
      at += n;
    }
    return at;
  }

  void take(std::unique_ptr<File> file, const std::string& shown) {
    file->source = std::make_unique<SourceText>(shown, file->view());
    const FileKind kind = kind_of(shown, file->view());
    const uint32_t depth = options_.limits.max_yaml_depth;
    file->read = kind == FileKind::json   ? read_json(*file->source, depth)
                 : kind == FileKind::toml ? read_toml(*file->source, depth)
                                          : read_yaml(*file->source, depth);
    for (Diagnostic& d : file->read.problems) out_.file_diagnostics.push_back(std::move(d));
    const bool broken = !file->read.problems.empty();
    if (kind == FileKind::toml) {
      for (const FileNode& value : file->read.values) toml_rule(*file, value);
    } else {
      for (const FileNode& value : file->read.values) rule_or_list(*file, value, kind);
    }
    if (file->read.values.empty() && !broken) {
      out_.file_diagnostics.push_back(file_problem(code::kEmptyFile, shown, "the file holds no rule"));
    }
    files_.push_back(std::move(file));
  }

  void toml_rule(File& file, const FileNode& root) {
    std::vector<Diagnostic> problems;
    Checks checks(*file.source, problems);
    checks.only_keys(root, "a rule file", {"metadata", "rule", "transform"});
    const FileMember* rule = root.find("rule");
    if (rule == nullptr) {
      checks.error(code::kNotARule, root, "the table [rule] is missing");
    } else if (checks.is(rule->value, "rule", Kind::object)) {
      file.rules.push_back(&rule->value);
    }
    for (Diagnostic& d : problems) out_.file_diagnostics.push_back(std::move(d));
  }

  void rule_or_list(File& file, const FileNode& value, FileKind kind) {
    if (value.is(Kind::array)) {
      if (value.items.empty()) not_a_rule(file, value, "the list holds no rule");
      for (const FileNode& item : value.items) rule_or_line(file, item, kind);
    } else {
      rule_or_line(file, value, kind);
    }
  }

  void rule_or_line(File& file, const FileNode& value, FileKind kind) {
    if (!value.is(Kind::object)) {
      not_a_rule(file, value, "a rule must be a map, not " + std::string(kind_name(value.kind)));
      return;
    }
    const ExportLine line = kind == FileKind::json ? export_line(value) : ExportLine::rule;
    if (line != ExportLine::rule) return exception_line(*file.source, value, line);
    // A map without any of the keys that every rule has is something else: a config file, a docker-compose file.
    static constexpr std::string_view kMarks[] = {"rule_id", "name", "query", "type", "risk_score", "severity"};
    const bool marked =
        std::any_of(std::begin(kMarks), std::end(kMarks), [&](auto key) { return value.find(key) != nullptr; });
    if (!marked && !looks_like_sigma(value)) return not_a_rule(file, value, "this is not a rule");
    file.rules.push_back(&value);
  }

  void not_a_rule(const File& file, const FileNode& at, const std::string& message) {
    out_.file_diagnostics.push_back(file.source->error(code::kNotARule, at.begin, at.end, message));
  }

  void exception_line(const SourceText& source, const FileNode& value, ExportLine line) {
    Checks checks(source, out_.file_diagnostics);
    if (line == ExportLine::list) {
      if (const std::string* id = checks.filled_string(value, "list_id", Checks::Need::required))
        exceptions_.known.insert(*id);
    } else if (line == ExportLine::item) {
      ExceptionItem item = read_exception_item(value, "", options_.limits.max_pattern_bytes, checks);
      exceptions_.items[item.list_id].push_back(std::move(item));
    }
  }

  void check_unique(const File& file, const FileNode& rule, LoadedRule& loaded) {
    if (loaded.rule_id.empty()) return;
    const FileMember* id = rule.find("rule_id");
    if (id == nullptr) return;  // Sigma
    const std::string place = loaded.file + ":" + std::to_string(file.source->locate(id->value.begin).line);
    const auto [first, added] = ids_.emplace(loaded.rule_id, place);
    if (added) return;
    loaded.diagnostics.push_back(file.source->error(code::kDuplicateRuleId, id->value.begin, id->value.end,
                                                    "the rule_id '" + loaded.rule_id + "' is taken",
                                                    "the first rule with it: " + first->second));
    loaded.ok = false;
    loaded.input = {};
  }

  const LoadOptions& options_;
  ExceptionLists exceptions_;
  std::vector<std::unique_ptr<File>> files_;
  std::map<std::string, std::string> ids_;  // to "file:line" of its first rule
  LoadedRules out_;
};

}  // namespace
}  // namespace compile

std::string render(const Diagnostic& d) {
  if (d.excerpt.empty() && d.line == 1 && d.column == 1) {  // of the file as a whole: there is no line to show
    std::string text = d.level == Diagnostic::Level::warning ? "warning[" : "error[";
    text += d.code + "]: " + printable(d.message) + "\n  --> " + printable(d.file) + "\n";
    if (!d.help.empty()) text += "   = help: " + printable(d.help) + "\n";
    return text;
  }
  lang::QueryError error;
  error.code = d.code;
  error.message = d.message;
  error.help = d.help;
  const std::string where = printable(d.file) + ":" + std::to_string(d.line) + ":" + std::to_string(d.column);
  std::string picture = lang::render(error, where, d.excerpt, d.excerpt_column, d.width);
  if (d.level == Diagnostic::Level::warning && picture.rfind("error", 0) == 0) picture.replace(0, 5, "warning");
  return picture;
}

bool LoadedRules::ok() const {
  return std::none_of(file_diagnostics.begin(), file_diagnostics.end(), compile::is_error) &&
         std::all_of(rules.begin(), rules.end(), [](const LoadedRule& rule) { return rule.ok; });
}

std::vector<RuleInput> LoadedRules::runnable() const {
  std::vector<RuleInput> out;
  for (const LoadedRule& rule : rules) {
    if (rule.ok && rule.input.meta->enabled) out.push_back(rule.input);
  }
  return out;
}

Result<LoadedRules> load_rules(const std::vector<std::string>& paths, const LoadOptions& options) {
  FB_TRY(compile::FoundFiles found, compile::find_rule_files(paths, options.limits));
  compile::Loader loader(options);
  for (Diagnostic& d : found.problems) loader.add_problem(std::move(d));
  for (const std::string& path : options.exception_files) loader.exception_file(path);
  for (size_t i = 0; i < found.real.size(); ++i) loader.rule_file(found.shown[i], found.real[i]);
  return loader.finish();
}

LoadedRules load_rule_text(const std::string& text, const std::string& file, const LoadOptions& options) {
  compile::Loader loader(options);
  for (const std::string& path : options.exception_files) loader.exception_file(path);
  loader.rule_text(text, file);
  return loader.finish();
}

}  // namespace fb
