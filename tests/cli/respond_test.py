#!/usr/bin/env python3
"""The response console: on a terminal (a pty), over pipes, and against the running demo. usage: respond_test.py FIREBREAK"""
import http.server, json, os, pty, re, select, shutil, signal, socketserver, subprocess, sys, tempfile, threading, time, unittest
from urllib.parse import parse_qs, urlparse

FIREBREAK = sys.argv.pop(1)


class StubService(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """The few routes the console asks, with one host whose actions move on as the test says."""
    daemon_threads = True

    def __init__(self, path, states=("requested", "dispatched", "verified")):
        self.states, self.posted, self.polls = list(states), [], 0
        self.observed = self.desired = "released"
        super().__init__(path, StubHandler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, *_):
        pass  # the console hung up in the middle of an answer: Ctrl-C

    def action(self):
        state = self.states[min(self.polls, len(self.states) - 1)]
        command = self.posted[-1]["command"]
        if state == "verified":
            self.observed = self.desired = "isolated" if command == "isolate" else "released"
        return {"action_id": "ab" * 32, "command": command, "endpoint_id": "agent-1", "status": state, "guard": "", "detail": ""}


class StubHandler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def address_string(self):
        return "unix"

    def log_message(self, *_):
        pass

    def answer(self, status, body):
        data = body.encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        url, service = urlparse(self.path), self.server
        host = parse_qs(url.query).get("host", [""])[0]
        if url.path == "/api/firebreak/endpoints":
            if host == "twice":
                return self.answer(409, json.dumps({"message": "2 endpoints are called 'twice': agent-1 (x), agent-2 (y)"}))
            if host not in ("web-1", "agent-1"):
                return self.answer(404, json.dumps({"message": f"no endpoint is called '{host}'"}))
            return self.answer(200, json.dumps({"endpoint_id": "agent-1", "host_id": "h1", "hostname": "web-1", "os": "linux",
                                                "agent_status": "online", "desired": service.desired,
                                                "observed": service.observed, "generation": 3}) + "\n")
        if url.path == "/api/firebreak/actions":
            self.server.limit = parse_qs(url.query)["limit"][0]
            return self.answer(200, json.dumps(service.action()) + "\n" if service.posted else "")
        service.polls += 1
        self.answer(200, json.dumps(service.action()))

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.posted.append(body)
        self.server.polls = 0
        self.answer(200, json.dumps(self.server.action()))


class Terminal:
    """The program with a terminal of its own."""

    def __init__(self, *args):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ.update(TERM="xterm", NO_COLOR="1")
            os.execv(FIREBREAK, [FIREBREAK, *args])
        self.seen = ""

    def type(self, keys):
        os.write(self.fd, keys.encode())

    def expect(self, pattern, seconds=10):
        """Waits for the pattern in what was not yet looked at; the text up to its end."""
        until = time.monotonic() + seconds
        while True:
            found = re.search(pattern, self.seen)
            if found:
                text, self.seen = self.seen[:found.end()], self.seen[found.end():]
                return text
            left = until - time.monotonic()
            if left <= 0 or not select.select([self.fd], [], [], left)[0]:
                raise AssertionError(f"no {pattern!r} in {self.seen!r}")
            try:
                self.seen += os.read(self.fd, 4096).decode(errors="replace")
            except OSError:
                raise AssertionError(f"it ended without {pattern!r}: {self.seen!r}") from None

    def end(self, seconds=10):
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if select.select([self.fd], [], [], 0.05)[0]:
                try:
                    os.read(self.fd, 4096)
                except OSError:
                    pass
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.pid = 0
                return os.waitstatus_to_exitcode(status)
        raise AssertionError("it did not end")

    def close(self):
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.fd)


class WithStub(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.dir)
        self.socket = os.path.join(self.dir, "s")

    def stub(self, *states):
        service = StubService(self.socket, states or ("requested", "dispatched", "verified"))
        self.addCleanup(lambda: (service.shutdown(), service.server_close()))
        return service

    def terminal(self, *args):
        terminal = Terminal("respond", "web-1", "--socket", self.socket, *args)
        self.addCleanup(terminal.close)
        return terminal

    def pipe(self, text, *args, host="web-1"):
        done = subprocess.run([FIREBREAK, "respond", host, "--socket", self.socket, *args], input=text.encode(),
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=30)
        return done.returncode, done.stdout.decode(), done.stderr.decode()


class OnTerminal(WithStub):
    def test_the_prompt_shows_host_and_state_and_an_action_is_followed(self):
        service, t = self.stub(), self.terminal()
        t.expect(r"web-1 \(released\)> ")
        t.type("isolate --comment \"incident 42\"\r")
        shown = t.expect(r"web-1 \(isolated\)> ")
        self.assertEqual(re.findall(r"^  (\w+)", shown, re.M), ["requested", "dispatched", "verified"])
        self.assertIn("isolate agent-1: verified", shown)
        self.assertEqual(service.posted, [{"command": "isolate", "host": "agent-1", "comment": "incident 42", "override": False}])
        service.desired = "released"
        t.type("\r")
        t.expect(r"web-1 \(isolated, wanted released\)> ")
        t.type("exit\r")
        self.assertEqual(t.end(), 0)

    def test_tab_completes_commands_and_options(self):
        service, t = self.stub(), self.terminal()
        t.expect(r"> ")
        t.type("iso\t")
        t.expect("late ")
        t.type("--c\t")
        t.expect("omment ")
        t.type("why --\t")
        t.expect("override ")  # the other one is there already
        t.type("\r")
        t.expect(r"web-1 \(isolated\)> ")
        self.assertEqual(service.posted[0], {"command": "isolate", "host": "agent-1", "comment": "why", "override": True})
        t.type("h\t\t")
        t.expect(r"history\s+help")  # two fit: both are shown
        t.type("e\t\r")
        t.expect("leave; so does Ctrl-D")
        t.expect(r"> ")
        t.type("\x04")
        self.assertEqual(t.end(), 0)

    def test_arrow_up_brings_the_last_line_back(self):
        self.stub()
        t = self.terminal()
        t.expect(r"> ")
        t.type("history 7\r")
        t.expect("no action")
        t.expect(r"\)> ")
        t.type("\x1b[A\r")
        t.expect("history 7")
        t.expect("no action")

    def test_ctrl_c_ends_the_following_and_not_the_action_nor_the_console(self):
        service, t = self.stub("requested", "dispatched"), self.terminal()
        t.expect(r"> ")
        t.type("release\r")
        t.expect("  dispatched")
        t.type("\x03")
        t.expect(r"the action goes on")
        t.expect(r"> ")
        self.assertEqual(len(service.posted), 1)
        t.type("a line nobody wants\x03")  # while a line is edited it is thrown away
        t.expect(r"> ")
        t.type("status\r")
        self.assertNotIn("no command", t.expect(r"observed +released"))
        t.expect(r"> ")
        t.type("\x04")
        self.assertEqual(t.end(), 0)

    def test_a_mistake_is_one_line_and_the_console_stays(self):
        self.stub()
        t = self.terminal()
        t.expect(r"> ")
        t.type("histroy\r")
        t.expect(r"firebreak: there is no command 'histroy'; did you mean 'history'\?")
        t.expect(r"> ")
        t.type("isolate two words\r")
        t.expect("isolate takes no 'two'")
        t.expect(r"> ")
        t.type("status 'open\r")
        t.expect("the quote is not closed")
        t.expect(r"> ")


class OverPipes(WithStub):
    def test_lines_run_one_after_the_other_and_the_worst_code_is_told(self):
        service = self.stub()
        code, out, err = self.pipe("# a comment\n\nstatus\nrelease --comment='a b'\nhistory 3\n")
        self.assertEqual((code, err), (0, ""), out)
        self.assertIn("release agent-1: verified", out)
        self.assertNotIn("> ", out)
        self.assertNotIn("\x1b", out)
        self.assertEqual((service.posted[0]["comment"], service.limit), ("a b", "3"))
        for wrong in ("bogus", "history x", "history 0", "isolate --comment", "status now", "isolate 'open"):
            code, out, err = self.pipe(wrong + "\nstatus\n")
            self.assertEqual((code, len(err.splitlines())), (2, 1), (wrong, err))
            self.assertIn("observed", out)
        self.assertEqual(self.pipe("exit\nbogus\n"), (0, "", ""))

    def test_one_command_by_option(self):
        self.stub("blocked")
        code, out, _ = self.pipe("", "-e", "isolate --comment x")
        self.assertEqual(code, 1)
        self.assertIn("blocked", out)
        self.assertEqual(self.pipe("", "-e", "status")[0], 0)
        self.assertEqual(self.pipe("", "-e", "nonsense")[0], 2)

    def test_waiting_for_a_person_or_for_the_agent_is_said(self):
        self.stub("awaiting_approval")
        code, out, _ = self.pipe("isolate --override --comment 'dc is bad'\n")
        self.assertEqual(code, 0)
        self.assertIn("firebreak actions approve abababababab", out)

    def test_an_action_that_does_not_end_is_left_after_the_wait(self):
        self.stub("requested", "dispatched")
        began = time.monotonic()
        code, out, _ = self.pipe("isolate\n", "--wait", "1")
        self.assertLess(time.monotonic() - began, 5)
        self.assertEqual(code, 0)
        self.assertIn("dispatched", out)
        self.assertIn("not known to be isolated yet", out)

    def command(self, *args):
        done = subprocess.run([FIREBREAK, *args, "--socket", self.socket], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
        return done.returncode, done.stdout.decode(), done.stderr.decode()

    def test_with_a_wait_only_what_the_host_confirmed_ends_with_0(self):
        self.stub("requested", "dispatched")
        code, out, _ = self.command("isolate", "web-1", "--wait", "1s")
        self.assertEqual(code, 1)
        self.assertIn("isolate agent-1: dispatched\nthe host is not known to be isolated yet", out)
        self.assertEqual(self.command("isolate", "web-1", "--wait", "0")[0], 0)
        for wrong in ("soon", "2h", "-1"):
            code, out, err = self.command("isolate", "web-1", "--wait", wrong)
            self.assertEqual((code, out, len(err.splitlines())), (2, "", 1), wrong)

    def test_an_agent_that_is_offline_is_waited_for_only_when_asked_to(self):
        self.stub("queued", "queued", "dispatched", "verified")
        code, out, _ = self.command("release", "web-1")
        self.assertEqual(code, 0)
        self.assertIn("the agent is offline: it goes out when the agent is back", out)
        code, out, _ = self.command("release", "web-1", "--wait", "10s")
        self.assertEqual((code, out), (0, "release agent-1: verified\n"))

    def test_hosts_that_are_not_one(self):
        self.stub()
        code, out, err = self.pipe("status\n", host="twice")
        self.assertEqual((code, out), (1, ""))
        self.assertIn("agent-1 (x), agent-2 (y)", err)
        code, out, err = self.pipe("status\n", host="nobody")
        self.assertEqual((code, out, len(err.splitlines())), (2, "", 1))

    def test_no_service_is_one_line(self):
        code, out, err = self.pipe("status\n")
        self.assertEqual((code, out, len(err.splitlines())), (2, "", 1))


class AgainstTheDemo(unittest.TestCase):
    def test_a_host_is_released_and_isolated_again(self):
        demo = subprocess.Popen([FIREBREAK, "demo", "--keep"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.addCleanup(lambda: (demo.kill(), demo.wait(), demo.stdout.close()))
        socket = None
        for line in demo.stdout:
            found = re.search(r"--socket (\S+)", line)
            socket = found.group(1) if found else socket
            if "/metrics" in line:
                break
        self.assertIsNotNone(socket)
        rows = subprocess.run([FIREBREAK, "endpoints", "--socket", socket, "--format", "json"], stdout=subprocess.PIPE, timeout=30)
        host = next(e for e in map(json.loads, rows.stdout.splitlines()) if e["observed"] == "isolated")["hostname"]
        done = subprocess.run([FIREBREAK, "respond", host, "--socket", socket], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              input=b"release --comment 'it was a drill'\nstatus\nisolate --comment again\nhistory 2\n", timeout=60)
        out = done.stdout.decode()
        self.assertEqual(done.returncode, 0, out)
        self.assertRegex(out, r"release \S+ \(\S+\): verified")
        self.assertRegex(out, r"observed +released")
        self.assertRegex(out, r"isolate \S+ \(\S+\): verified")
        self.assertEqual(len(re.findall(r"\bverified +-", out)), 2, out)  # two rows of history


if __name__ == "__main__":
    unittest.main(verbosity=2)
