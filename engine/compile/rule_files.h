// Finds and reads rule files without trusting the file system: only regular files, never more bytes than a limit, links
// only to places inside the path that was given, no loops. Blocks for disk reads only; thread-safe.
#pragma once

#include <string>
#include <vector>

#include "engine/base/limits.h"
#include "engine/base/result.h"
#include "engine/compile/rules.h"

namespace fb::compile {

struct RuleFile {
  std::string path;  // as it is shown: the given path and what was found below it
  std::string text;
};

// A list of rule files in order, and what could not be taken.
struct FoundFiles {
  std::vector<std::string> shown;  // paths to show
  std::vector<std::string> real;   // resolved paths to open, same places
  std::vector<Diagnostic> problems;
};

// An error only when a given path does not exist.
Result<FoundFiles> find_rule_files(const std::vector<std::string>& paths, const RuleLimits& limits);

// The path with its links resolved; itself when that fails (opening it then says why).
std::string resolve_path(const std::string& path);

// Reads a whole file, which must not be a link. The error's message is for a person; its context is a diagnostic code.
Result<std::string> read_rule_file(const std::string& path, const RuleLimits& limits);

// A problem of a file that has no place in its text.
Diagnostic file_problem(std::string_view code, const std::string& file, std::string message, std::string help = {});

// By content, and by name where the content leaves it open.
enum class FileKind : uint8_t { yaml, json, toml };
FileKind kind_of(std::string_view path, std::string_view text);

}  // namespace fb::compile
