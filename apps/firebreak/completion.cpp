#include "apps/firebreak/completion.h"

#include <functional>

namespace fb::cli {
namespace {

constexpr const char* kProfiles = "$(firebreak profiles list --names 2>/dev/null)";

std::string joined(const std::vector<std::string>& words) {
  std::string out;
  for (const std::string& w : words) out += (out.empty() ? "" : " ") + w;
  return out;
}

// In single quotes; help texts hold anything.
std::string quoted(std::string_view text) {
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

// Every command with its path: "" for the program, "rules check" for what is below.
void each_command(const CompletedCommand& command, const std::string& path,
                  const std::function<void(const CompletedCommand&, const std::string& path)>& see) {
  see(command, path);
  for (const CompletedCommand& c : command.commands) each_command(c, path.empty() ? c.name : path + " " + c.name, see);
}

// The words that stand for themselves and what takes a value, as branches of `case` that bash and zsh both read. The
// word before the cursor is $before, the path of commands so far $at.
std::string branches(const CompletedCommand& program) {
  std::string values = "  case \"$at:$before\" in\n";
  std::string words = "  case \"$at\" in\n";
  each_command(program, "", [&](const CompletedCommand& c, const std::string& path) {
    std::string options;
    for (const CompletedOption& o : c.options) {
      options += " " + o.name;
      if (!o.takes_value) continue;
      const std::string here = "    " + quoted(path + ":" + o.name) + ") ";
      if (o.is_profile) {
        values += here + "found=\"" + kProfiles + "\" ;;\n";
      } else if (!o.words.empty()) {
        values += here + "found=" + quoted(joined(o.words)) + " ;;\n";
      } else {
        values += here + "files=1 ;;\n";
      }
    }
    std::vector<std::string> below = c.words;
    for (const CompletedCommand& s : c.commands) below.push_back(s.name);
    words += "    " + quoted(path) + ") options=" + quoted(options) + "; below=" + quoted(joined(below)) + " ;;\n";
  });
  return values + "  esac\n  if [ -z \"$found$files\" ]; then\n" + words + "  esac\n  fi\n";
}

// Sets $at: the words before the cursor that are commands, options and their values left out.
std::string walk(const CompletedCommand& program, const char* words, const char* first, const char* last) {
  std::string commands, valued;
  each_command(program, "", [&](const CompletedCommand& c, const std::string& path) {
    for (const CompletedCommand& s : c.commands)
      commands += (commands.empty() ? "" : "|") + quoted(path + ":" + s.name);
    for (const CompletedOption& o : c.options) {
      if (o.takes_value) valued += (valued.empty() ? "" : "|") + quoted(path + ":" + o.name);
    }
  });
  const std::string w(words);
  return "  local at=\"\" skip=0 i word found=\"\" files=\"\" options=\"\" below=\"\"\n  for ((i = " +
         std::string(first) + "; i < " + last + "; i++)); do\n    word=\"${" + w +
         "[i]}\"\n    if [ \"$skip\" = 1 ]; then skip=0; continue; fi\n    case \"$at:$word\" in\n      " + commands +
         ") at=\"${at:+$at }$word\" ;;\n      " + valued + ") skip=1 ;;\n    esac\n  done\n";
}

std::string bash(const CompletedCommand& program) {
  return "# Completion of firebreak for bash: source <(firebreak completion bash)\n"
         "_firebreak() {\n"
         "  local now=\"${COMP_WORDS[COMP_CWORD]}\" before=\"${COMP_WORDS[COMP_CWORD-1]}\"\n" +
         walk(program, "COMP_WORDS", "1", "COMP_CWORD") + branches(program) +
         "  if [ -z \"$found$files\" ]; then\n"
         "    case \"$now\" in\n"
         "      -*) found=\"$options\" ;;\n"
         "      *) found=\"$below\" ;;\n"
         "    esac\n"
         "  fi\n"
         "  if [ -n \"$found\" ]; then\n"
         "    COMPREPLY=($(compgen -W \"$found\" -- \"$now\"))\n"
         "  else\n"
         "    COMPREPLY=($(compgen -f -- \"$now\"))\n"
         "  fi\n"
         "}\n"
         "complete -o filenames -F _firebreak firebreak\n";
}

std::string zsh(const CompletedCommand& program) {
  return "#compdef firebreak\n"
         "# Completion of firebreak for zsh: source <(firebreak completion zsh)\n"
         "_firebreak() {\n"
         "  local now=\"${words[CURRENT]}\" before=\"${words[CURRENT-1]}\"\n" +
         walk(program, "words", "2", "CURRENT") + branches(program) +
         "  if [ -z \"$found$files\" ]; then\n"
         "    case \"$now\" in\n"
         "      -*) found=\"$options\" ;;\n"
         "      *) found=\"$below\" ;;\n"
         "    esac\n"
         "  fi\n"
         "  if [ -n \"$found\" ]; then\n"
         "    compadd -- ${(s: :)${(f)found}}\n"
         "  else\n"
         "    _files\n"
         "  fi\n"
         "}\n"
         "compdef _firebreak firebreak\n";
}

std::string fish(const CompletedCommand& program) {
  std::string commands, valued, lines;
  each_command(program, "", [&](const CompletedCommand& c, const std::string& path) {
    const std::string here = "complete -c firebreak -n " + quoted("__firebreak_is " + quoted(path));
    for (const CompletedCommand& s : c.commands) {
      commands += " " + quoted(path + ":" + s.name);
      lines += here + " -f -a " + quoted(s.name) + " -d " + quoted(s.help) + "\n";
    }
    if (!c.words.empty()) lines += here + " -f -a " + quoted(joined(c.words)) + "\n";
    for (const CompletedOption& o : c.options) {
      const bool is_long = o.name.starts_with("--");
      std::string line = here + (is_long ? " -l " + o.name.substr(2) : " -s " + o.name.substr(1));
      if (o.takes_value) {
        valued += " " + quoted(path + ":" + o.name);
        line += " -r";
        if (o.is_profile) line += " -f -a '(firebreak profiles list --names 2>/dev/null)'";
        if (!o.words.empty()) line += " -f -a " + quoted(joined(o.words));
      }
      lines += line + " -d " + quoted(o.help) + "\n";
    }
  });
  return "# Completion of firebreak for fish: firebreak completion fish | source\n"
         "function __firebreak_is\n"
         "  set -l at ''\n"
         "  set -l skip 0\n"
         "  for word in (commandline -opc)[2..-1]\n"
         "    if test $skip = 1\n"
         "      set skip 0\n"
         "    else if contains -- \"$at:$word\"" +
         commands +
         "\n"
         "      set at (string trim -- \"$at $word\")\n"
         "    else if contains -- \"$at:$word\"" +
         valued +
         "\n"
         "      set skip 1\n"
         "    end\n"
         "  end\n"
         "  test \"$at\" = \"$argv[1]\"\n"
         "end\n" +
         lines;
}

}  // namespace

std::string completion_script(std::string_view shell, const CompletedCommand& program) {
  if (shell == "bash") return bash(program);
  if (shell == "zsh") return zsh(program);
  if (shell == "fish") return fish(program);
  return "";
}

}  // namespace fb::cli
