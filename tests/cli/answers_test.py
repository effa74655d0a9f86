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

    def run_as(self, key, *args, stdin=None):
        if not key:
            return self.service.run(*args, stdin=stdin)
        # Without -c, which goes before every address.
        done = subprocess.run([FIREBREAK, *args, "--url", self.service.url, "--api-key", key], input=stdin, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
        return done.returncode, done.stdout, done.stderr

    def ends(self, code, *args, key=None, stdin=None):
        """The command ends with this code and, when it is no 0, with one line on standard error and nothing else."""
        got, out, err = self.run_as(key, *args, stdin=stdin)
        self.assertEqual(got, code, (args, out, err))
        if code != 0:
            self.assertEqual((out, err.count("\n"), err.startswith("firebreak: ")), ("", 1, True), (args, out, err))
        return out

    def waiting(self, host="lin-a"):
        """An action that waits for a second person."""
        self.service.cli("endpoints", "tag", host, "add", "protected")
        return json.loads(self.service.cli("isolate", host, "--override", "--comment", "x", "--wait", "0", "--format", "json"))["action_id"]


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


class AsJson(Case):
    def one(self, *args, stdin=None, key=None, code=0):
        """The one object that the command prints; nothing stands beside it."""
        got, out, err = self.run_as(key, *args, "--format", "json", stdin=stdin)
        self.assertEqual((got, out.count("\n")), (code, 1), (args, out, err))
        if code == 0:
            self.assertEqual(err, "", args)
        answer = json.loads(out)
        self.assertIsInstance(answer, dict, args)
        return answer

    def test_people_and_keys(self):
        self.assertEqual(self.one("users", "add", "jo", "--role", "viewer", "--no-password")["name"], "jo")
        self.assertEqual(self.one("users", "set-roles", "jo", "--role", "analyst")["roles"], ["analyst"])
        self.assertEqual([self.one("users", word, "jo")["disabled"] for word in ("disable", "enable")], [True, False])
        self.assertEqual(self.one("users", "passwd", "jo", stdin="a long password 17\n")["name"], "jo")
        key = self.one("keys", "create", "--user", "jo")
        self.assertEqual(self.service.ask("GET", "/api/firebreak/session", key=key["api_key"]).json["user"], "jo")
        self.assertEqual([self.one("keys", "revoke", key["id"])["was_revoked"] for _ in range(2)], [False, True])

    def test_policies_and_exceptions(self):
        self.assertEqual(self.one("policies", "add", "J", "--id", "j")["id"], "j")
        self.assertEqual(self.one("policies", "assign", "j", "lin-a")["endpoint_ids"], ["lin-a"])
        self.assertEqual(self.one("policies", "set", "j", "--message", "m")["message"], "m")
        self.service.cli("policies", "add", "K", "--id", "k")
        self.assertEqual(self.one("policies", "rm", "k")["id"], "k")
        self.assertEqual(self.one("exceptions", "add", "10.0.0.1", "--item-id", "e")["item_id"], "e")
        export = self.service.cli("exceptions", "export", "--format", "json")
        self.assertEqual(len([json.loads(line) for line in export.splitlines()]), 3)
        self.assertEqual(self.one("exceptions", "rm", "e")["item_id"], "e")
        path = self.service.folder + "/e.ndjson"
        with open(path, "w") as f:
            f.write(export)
        self.assertEqual(self.one("exceptions", "import", path)["success_count_exception_list_items"], 1)
        self.assertFalse(self.one("exceptions", "import", path, code=1)["success"])

    def test_what_restrains_the_rules(self):
        self.assertEqual([self.one("kill-switch", word)["on"] for word in ("on", "off")], [True, False])
        self.assertEqual(self.one("endpoints", "tag", "lin-a", "add", "blue")["result"], "done")
        window = self.one("maintenance", "add", "--tag", "x", "--from", "2031-01-01T00:00:00Z", "--to", "2031-01-01T06:00:00Z")
        self.assertEqual(window["scope"], "tag:x")
        self.assertEqual(self.one("maintenance", "rm", window["id"])["id"], window["id"])
        self.ends(2, "breakers", "reset", "fleet", "--format", "json")  # it has not tripped

    def test_agents(self):
        self.assertTrue(self.one("agents", "token")["token"])
        self.assertEqual(self.one("agents", "rotate", "lin-a")["agent"], "lin-a")
        self.assertTrue(self.one("agents", "rotate-signing-key")["kid"])
        for word in ("approve", "deny"):
            self.ends(2, "agents", word, "nope", "--format", "json")
        self.service.enroll("lin-b", "linux")
        self.service.cli("isolate", "lin-b", "--wait", "20s")
        glass = self.one("break-glass", "lin-b", "--comment", "x")
        self.assertEqual((glass["agent"], bool(glass["code"])), ("lin-b", True))
        self.assertEqual(self.one("agents", "revoke", "lin-b")["agent"], "lin-b")

    def test_decisions(self):
        action = self.waiting()
        denied = self.one("actions", "deny", action)
        self.assertEqual((denied["action_id"], denied["status"]), (action, "denied"))
        action = self.waiting()
        approved = self.one("actions", "approve", action, "--wait", "20s", key=self.key_of("adam", "approver"))
        self.assertEqual((approved["action_id"], approved["status"]), (action, "verified"))
        self.service.cli("release", "lin-a", "--wait", "20s")
        # Several at once, by whoever asked for them: each has its line.
        self.service.enroll("lin-c", "linux")
        both = [self.waiting(host) for host in ("lin-a", "lin-c")]
        for word, code in (("approve", 1), ("deny", 0)):
            got, out, err = self.service.run("actions", word, *both, "--format", "json")
            lines = [json.loads(line) for line in out.splitlines()]
            self.assertEqual((got, err, [line["action_id"] for line in lines]), (code, "", both), out)
            self.assertEqual(["second person" in line.get("error", "") for line in lines], [code == 1] * 2, out)
        self.ends(2, "actions", "deny", both[0], "nope")


if __name__ == "__main__":
    unittest.main(verbosity=1)
