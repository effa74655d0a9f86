#!/usr/bin/env python3
"""How the commands that ask a service end: exit codes, and the answer as JSON.
usage: answers_test.py PATH_TO_FIREBREAK PATH_TO_AGENT"""
import json, subprocess, sys, unittest

from running_service import RunningService

AGENT = sys.argv.pop(2)
FIREBREAK = sys.argv.pop(1)


class Case(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.service = RunningService(FIREBREAK, AGENT)
        cls.addClassCleanup(cls.service.close)
        cls.service.enroll("lin-a", "linux")
        cls.viewer = cls.key_of("vera", "viewer")

    @classmethod
    def key_of(cls, name, role):
        cls.service.cli("users", "add", name, "--role", role, "--no-password")
        return cls.service.cli("keys", "create", "--user", name).strip()

    def ends(self, code, *args, key=None, stdin=None):
        """The command ends with this code and, when it is no 0, with one line on standard error and nothing else."""
        more = ("--url", self.service.url, "--api-key", key) if key else ()
        got, out, err = self.service.run(*args, *more, stdin=stdin)
        self.assertEqual(got, code, (args, out, err))
        if code != 0:
            self.assertEqual((out, err.count("\n"), err.startswith("firebreak: ")), ("", 1, True), (args, out, err))
        return out

    def waiting(self):
        """An action on lin-a that waits for a second person."""
        self.service.cli("endpoints", "tag", "lin-a", "add", "protected")
        return json.loads(self.service.cli("isolate", "lin-a", "--override", "--comment", "x", "--wait", "0", "--format", "json"))["action_id"]


class ExitCodes(Case):
    def test_what_is_not_there_ends_with_2(self):
        self.service.cli("policies", "add", "P", "--id", "here")
        for args in (("isolate", "nope"), ("release", "nope"), ("respond", "nope"), ("actions", "approve", "nope"), ("actions", "deny", "nope"),
                     ("breakers", "reset", "nope"), ("endpoints", "tag", "nope", "add", "x"), ("maintenance", "rm", "nope"),
                     ("exceptions", "rm", "nope"), ("policies", "show", "nope"), ("policies", "set", "nope", "--message", "m"),
                     ("policies", "rm", "nope"), ("policies", "assign", "nope", "lin-a"), ("policies", "assign", "here", "nope"),
                     ("users", "disable", "nope"), ("users", "enable", "nope"), ("users", "set-roles", "nope", "--role", "viewer"),
                     ("keys", "create", "--user", "nope"), ("keys", "revoke", "nope"), ("agents", "approve", "nope"), ("agents", "deny", "nope"),
                     ("agents", "revoke", "nope"), ("agents", "rotate", "nope"), ("break-glass", "nope", "--comment", "x"),
                     ("rules", "pull", "nope", "-o", self.service.folder), ("rules", "restore", "nope", "1"), ("rules", "versions", "nope"),
                     ("rules", "diff", "--rule", "nope")):
            self.ends(2, *args)
        self.ends(2, "users", "passwd", "nope", stdin="a long password 17\n")

    def log_in(self, key):
        done = subprocess.run([FIREBREAK, "login", "--url", self.service.url], input=key + "\n", text=True, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=60, env={"HOME": self.service.folder})
        return done.returncode, done.stdout, done.stderr

    def test_a_wrong_key_ends_with_2(self):
        for args in (("alerts",), ("users", "list"), ("policies", "list"), ("exceptions", "list"), ("isolate", "lin-a"), ("agents", "revoke", "lin-a"),
                     ("rules", "versions", "one"), ("maintenance", "list"), ("kill-switch", "on"), ("watch",)):
            self.ends(2, *args, key="bm86bm8=")
        code, out, err = self.log_in("bm86bm8=")
        self.assertEqual((code, out, err.count("\n")), (2, "", 1), err)

    def test_what_one_may_not_do_ends_with_1(self):
        for args in (("isolate", "lin-a"), ("exceptions", "add", "10.0.0.1"), ("exceptions", "rm", "x"), ("policies", "add", "Q"),
                     ("users", "list"), ("users", "add", "x", "--role", "admin", "--no-password"), ("keys", "create", "--user", "vera2"),
                     ("agents", "token"), ("agents", "revoke", "lin-a"), ("agents", "rotate-signing-key"), ("kill-switch", "on"),
                     ("breakers", "reset", "fleet"), ("endpoints", "tag", "lin-a", "add", "x"), ("maintenance", "rm", "x"),
                     ("break-glass", "lin-a", "--comment", "x"), ("rules", "restore", "one", "1")):
            self.ends(1, *args, key=self.viewer)
        action = self.waiting()
        self.ends(1, "actions", "approve", action)  # whoever asked for it
        self.service.cli("actions", "deny", action)

    def test_what_is_in_conflict_ends_with_1(self):
        self.service.cli("policies", "add", "R", "--id", "there")
        self.service.cli("users", "add", "otto", "--role", "viewer", "--no-password")
        action = self.waiting()
        self.service.cli("actions", "deny", action)
        for args in (("policies", "add", "R", "--id", "there"), ("users", "add", "otto", "--role", "viewer", "--no-password"),
                     ("actions", "approve", action), ("break-glass", "lin-a", "--comment", "x")):
            self.ends(1, *args)

    def test_what_is_wrong_ends_with_2(self):
        for args in (("policies", "add", "S", "--id", "no id"), ("policies", "add", "S", "--dns", "no address"),
                     ("exceptions", "add", "host.example.org"), ("endpoints", "tag", "lin-a", "add", "no tag")):
            self.ends(2, *args)


if __name__ == "__main__":
    unittest.main(verbosity=1)
