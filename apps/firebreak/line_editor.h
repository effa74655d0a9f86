// A line at a time from a terminal, with editing, history and completion by Tab (libedit). One thread; not for anything
// but a terminal.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace fb::cli {

class LineEditor {
 public:
  // The words that may stand where the last, half-written word stands; `before` are the whole words in front of it.
  using Complete = std::function<std::vector<std::string>(const std::vector<std::string>& before)>;
  explicit LineEditor(Complete complete);
  ~LineEditor();
  LineEditor(const LineEditor&) = delete;
  LineEditor& operator=(const LineEditor&) = delete;

  // The next line without its end; "" also when Ctrl-C threw the line away. Nothing at the end of the input (Ctrl-D).
  std::optional<std::string> read(const std::string& prompt);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace fb::cli
