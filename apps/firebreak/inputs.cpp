#include "apps/firebreak/inputs.h"

#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <filesystem>
#include <fstream>

#include "apps/firebreak/options.h"
#include "apps/firebreak/terminal.h"
#include "connectors/file/line_reader.h"
#include "engine/compile/file_readers.h"

namespace fb::cli {

Result<NextLine> open_events(const std::vector<std::string>& paths) {
  namespace fs = std::filesystem;
  for (const std::string& path : paths) {
    if (path == "-") continue;
    std::error_code error;
    if (!fs::exists(path, error)) return fail(ErrorCode::not_found, "there is no file " + path);
    if (fs::is_directory(path, error)) return fail(ErrorCode::invalid_argument, path + " is a folder; give files");
    if (access(path.c_str(), R_OK) != 0) return fail(ErrorCode::io, "can't read " + path);
  }
  auto reader = std::make_shared<LineReader>(paths);
  return NextLine([reader](std::string_view* line) { return reader->next(line); });
}

Result<std::string> read_text(const std::string& path, std::string_view what) {
  constexpr size_t kMost = size_t{64} << 20;
  const std::string named = std::string(what) + " " + path;
  std::error_code error;
  if (std::filesystem::is_directory(path, error))
    return fail(ErrorCode::invalid_argument, "the " + named + " is a folder");
  std::ifstream in(path, std::ios::binary);
  if (!in) return fail(ErrorCode::not_found, "can't open the " + named);
  std::string text;
  char buffer[64 * 1024];
  while (in.read(buffer, sizeof buffer) || in.gcount() > 0) {
    text.append(buffer, static_cast<size_t>(in.gcount()));
    // A device such as /dev/zero has no end.
    if (text.size() > kMost) return fail(ErrorCode::limit, "the " + named + " is larger than 64 MiB");
  }
  if (in.bad()) return fail(ErrorCode::io, "can't read the " + named);
  return text;
}

Status must_exist(const std::vector<std::string>& paths) {
  for (const std::string& path : paths) {
    std::error_code error;
    if (!std::filesystem::exists(path, error)) return fail(ErrorCode::not_found, "there is no file " + path);
  }
  return {};
}

Result<std::vector<std::pair<std::string, std::string>>> read_fields(const std::string& fields) {
  std::vector<std::pair<std::string, std::string>> renames;
  if (fields == "ecs" || fields == "none") return renames;
  if (!must_exist({fields})) {
    return fail(ErrorCode::not_found, "--fields takes ecs, none, or a file of renamings; there is no file " + fields);
  }
  FB_TRY(const std::string text, read_text(fields, "file of renamings"));
  const compile::SourceText source(fields, text);
  const compile::ReadFile read = compile::read_yaml(source, 4);
  if (!read.problems.empty()) {
    const Diagnostic& d = read.problems[0];
    return fail(ErrorCode::invalid_argument, d.message,
                fields + ":" + std::to_string(d.line) + ":" + std::to_string(d.column));
  }
  if (read.values.empty() || !read.values[0].is(compile::FileNode::Kind::object)) {
    return fail(ErrorCode::invalid_argument,
                "a file of renamings holds lines such as `CommandLine: process.command_line`", fields);
  }
  for (const compile::FileMember& member : read.values[0].members) {
    if (!member.value.is(compile::FileNode::Kind::string) || member.value.text.empty()) {
      const auto at = source.locate(member.value.begin);
      return fail(ErrorCode::invalid_argument, "the new name of '" + member.key + "' is not a text",
                  fields + ":" + std::to_string(at.line) + ":" + std::to_string(at.column));
    }
    renames.emplace_back(member.key, member.value.text);
  }
  return renames;
}

int after_output(int code) {
  if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return code;
  return complain("can't write standard output", kCantRun);
}

void end_with_the_pipe() {
  std::signal(SIGPIPE, SIG_DFL);
}

void RefusedLines::note(int64_t event_index, const Refusal& refusal) {
  if (++count_ <= kMaxNotes) {
    std::fprintf(stderr, "firebreak: event %lld: %s: %s (offset %u)\n", static_cast<long long>(event_index),
                 std::string(refusal.reason).c_str(), refusal.detail.c_str(), refusal.offset);
  }
}

void RefusedLines::finish() const {
  if (count_ == 0) return;
  std::fprintf(stderr, "firebreak: %s malformed event line%s matched nothing%s\n", grouped(count_).c_str(),
               count_ == 1 ? "" : "s", count_ > kMaxNotes ? " (the first 20 are named above)" : "");
}

void ProgressLine::show(uint64_t events, uint64_t bytes) {
  if (isatty(STDERR_FILENO) == 0) return;
  std::fprintf(stderr, "\r%s events, %s MB", grouped(events).c_str(), grouped(bytes >> 20).c_str());
  shown_ = true;
}

void ProgressLine::clear() {
  if (shown_) std::fprintf(stderr, "\r\x1b[K");
  shown_ = false;
}

}  // namespace fb::cli
