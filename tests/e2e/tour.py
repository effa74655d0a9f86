#!/usr/bin/env python3
"""Runs the tour of docs/guides/api.md against a fresh service (`firebreak demo --keep`): every `sh` block in one shell, and
what it prints must hold each line of the `text` block below it, in order; `...` stands for anything.
usage: tests/e2e/tour.py [--build DIR] [--guide FILE]"""
import argparse, os, re, shutil, signal, subprocess, sys, tempfile, threading, time

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))


def blocks(path):
    """(line, commands, expected lines) of each sh block."""
    found, kind, at, text, after_sh = [], None, 0, [], False
    with open(path, encoding="utf-8") as guide:
        for number, raw in enumerate(guide, 1):
            line = raw.rstrip("\n")
            if kind is None:
                if line.startswith("```"):
                    kind, at, text = line[3:], number, []
                elif line.strip():
                    after_sh = False
                continue
            if line != "```":
                text.append(line)
                continue
            if kind == "sh":
                found.append((at, "\n".join(text), []))
            elif kind == "text" and after_sh:
                found[-1] = (*found[-1][:2], text)
            after_sh, kind = kind == "sh", None
    return found


def missing(expected, output):
    """The first expected line that is not there after the one before it; None when all are."""
    lines, at = output.splitlines(), 0
    for wanted in expected:
        pattern = re.compile("^" + ".*".join(re.escape(part) for part in wanted.split("...")) + "$")
        while at < len(lines) and not pattern.match(lines[at].strip()):
            at += 1
        if at == len(lines):
            return wanted
        at += 1
    return None


class Demo:
    def __init__(self, firebreak, folder):
        # A group of its own, so that its end does not depend on ours.
        self.process = subprocess.Popen([firebreak, "demo", "--keep"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                        cwd=folder, start_new_session=True)
        self.said, self.reader = [], threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            self.said.append(line)

    def find(self, pattern, seconds=90):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            found = re.search(pattern, "".join(self.said))
            if found:
                return found.group(1)
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        sys.exit("tour: the demo did not start:\n" + "".join(self.said))

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", default=os.path.join(ROOT, "build/dev"))
    parser.add_argument("--guide", default=os.path.join(ROOT, "docs/guides/api.md"))
    options = parser.parse_args()
    steps = blocks(options.guide)
    if len(steps) < 10:
        sys.exit(f"tour: only {len(steps)} sh blocks in {options.guide}")
    programs = os.path.join(os.path.realpath(options.build), "apps/firebreak")
    folder = tempfile.mkdtemp(prefix="firebreak-tour-")
    demo = Demo(os.path.join(programs, "firebreak"), folder)
    shell = None
    try:
        socket, url = demo.find(r"--socket (\S+)\n"), demo.find(r"curl (http://\S+)/metrics")
        shell = subprocess.Popen(["bash"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=folder,
                                 env={**os.environ, "PATH": programs + os.pathsep + os.environ["PATH"], "SOCKET": socket, "URL": url,
                                      "XDG_CONFIG_HOME": folder})
        guard = threading.Timer(300, shell.kill)
        guard.daemon = True
        guard.start()
        for at, commands, expected in steps:
            # `set -e` in a subshell would lose the variables; a trap tells the first command that failed.
            mark = f"end-of-step-{at}-{os.getpid()}"
            shell.stdin.write(f"step_failed=0; trap 'step_failed=1' ERR\n{commands}\ntrap - ERR\nprintf '\\n{mark} %s\\n' $step_failed\n")
            shell.stdin.flush()
            output, failed = "", None
            for line in shell.stdout:
                if line.startswith(mark):
                    failed = line.split()[1] != "0"
                    break
                output += line
            absent = missing(expected, output)
            if failed is None or failed or absent is not None:
                why = "the shell ended" if failed is None else "a command failed" if failed else f"this line is missing: {absent}"
                print(f"{options.guide}:{at}: {why}\n--- commands\n{commands}\n--- output\n{output}", flush=True)
                sys.exit(1)
            print(f"line {at}: {len(expected)} lines as expected", flush=True)
        guard.cancel()
    finally:
        if shell is not None:
            shell.kill()
            shell.wait()
        demo.stop()
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{len(steps)} passed, 0 failed")


if __name__ == "__main__":
    main()
