// Shell completion: the command line as plain data, and the scripts made of it. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace fb::cli {

struct CompletedOption {
  std::string name;                // "--format", "-c"
  std::string help;                // one line
  bool takes_value = false;        // else a flag
  std::vector<std::string> words;  // what its value may be; empty: a file, or anything
  bool is_profile = false;         // its value is the name of a profile
};

struct CompletedCommand {
  std::string name;  // "" = the program
  std::string help;
  std::vector<CompletedOption> options;
  std::vector<std::string> words;  // that arguments may be
  std::vector<CompletedCommand> commands;
};

// "" for a shell that is not known; bash, zsh and fish are.
std::string completion_script(std::string_view shell, const CompletedCommand& program);

}  // namespace fb::cli
