#!/usr/bin/env python3
"""Rule files and the rules of a service: push, pull, diff, versions, restore. usage: rules_test.py PATH_TO_FIREBREAK"""
import json, os, shutil, sys, tempfile, unittest

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
from running_service import RunningService

FIREBREAK = sys.argv.pop(1)
RULES = "/api/detection_engine/rules"
HOSTILE = ["<script>alert(1)</script>", "'; DROP TABLE api_rules; --", "tab\tnew\nline\r\x00\x01\x1f\x7f", "{{7*7}} %s ${x}",
           "\u202eexe.cod \u2028 \u0085 \ufeff", "\U0001f525 \\ \" ' `", "- not: a list # nor a comment", "null", "yes", "12", "~",
           "first\nsecond\n", "  indented\nblock\n", "trailing blank \nline\n", "\n\n", "a\n\nb\n"]


class Sync(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.service = RunningService(FIREBREAK)

    @classmethod
    def tearDownClass(cls):
        cls.service.close()

    def setUp(self):
        self.dir = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.dir)
        self.addCleanup(self.service.ask, "POST", RULES + "/_bulk_action", {"action": "delete", "query": "alert.attributes.params.immutable: false"})

    def write(self, name, rule):
        path = os.path.join(self.dir, name)
        with open(path, "w", encoding="utf-8") as f:
            f.write(rule if isinstance(rule, str) else json.dumps(rule))
        return path

    def rule(self, rule_id, **more):
        return {"rule_id": rule_id, "name": "Rule " + rule_id, "description": "d", "type": "query", "severity": "high", "risk_score": 50,
                "query": "process.name: evil.exe", **more}

    def get(self, rule_id):
        return self.service.ask("GET", RULES + "?rule_id=" + rule_id).json

    def results(self, *args):
        code, out, err = self.service.run("rules", "push", *args, "--format", "json")
        return code, {line["rule_id"]: line["result"] for line in map(json.loads, out.splitlines())}, err

    def test_push_makes_changes_and_leaves_the_rest_alone(self):
        self.write("a.yml", self.rule("a", tags=["one"]))
        self.write("b.yml", self.rule("b", enabled=False))
        self.assertEqual(self.results(self.dir, "--dry-run")[:2], (0, {"a": "created", "b": "created"}))
        self.assertEqual(self.service.ask("GET", RULES + "?rule_id=a").status, 404)
        self.assertEqual(self.results(self.dir)[:2], (0, {"a": "created", "b": "created"}))
        self.assertEqual((self.get("a")["enabled"], self.get("b")["enabled"]), (True, False))
        self.assertEqual(self.get("a")["tags"], ["one"])
        self.assertEqual(self.results(self.dir)[:2], (0, {"a": "unchanged", "b": "unchanged"}))
        self.write("a.yml", self.rule("a", tags=["two"]))
        self.assertEqual(self.results(self.dir)[:2], (0, {"a": "updated", "b": "unchanged"}))
        versions = self.service.cli("rules", "versions", "a", "--format", "json").splitlines()
        self.assertEqual([json.loads(v)["version"] for v in versions], [1, 2])
        self.assertEqual(len(self.service.cli("rules", "versions", "b", "--format", "json").splitlines()), 1)

    def test_a_broken_rule_holds_back_all_and_a_rule_of_a_file_is_not_written_over(self):
        self.write("a.yml", self.rule("a"))
        self.write("b.yml", self.rule("b", query="process.name: ("))
        code, out, err = self.service.run("rules", "push", self.dir)
        self.assertEqual((code, out), (2, ""))
        self.assertIn("b.yml", err)
        self.assertEqual(self.service.ask("GET", RULES + "?rule_id=a").status, 404)
        self.write("b.yml", self.rule("one"))
        code, results, err = self.results(self.dir)
        self.assertEqual((code, results), (1, {"a": "created", "one": "refused"}))
        self.assertIn("rule file", err)

    def test_what_is_pulled_is_what_was_there(self):
        for i, text in enumerate(HOSTILE):
            rule = self.rule(f"h{i}", tags=[text], note=text, setup=text, references=[text], meta={"deep": {"er": [text, {"k": text}]}, text: text})
            rule["description"] = "x" + text
            reply = self.service.ask("POST", RULES, rule)
            self.assertEqual(reply.status, 200, (text, reply.text))
        folder = os.path.join(self.dir, "out")
        files = self.service.cli("rules", "pull", "-o", folder).splitlines()
        self.assertEqual(len(files), len(HOSTILE))
        code, out, err = self.service.run("rules", "diff", folder, "--format", "json")
        self.assertEqual((code, out), (0, ""), err)
        code, results, err = self.results(folder)
        self.assertEqual((code, set(results.values())), (0, {"unchanged"}), err)
        # And into a service that has none of them.
        self.service.ask("POST", RULES + "/_bulk_action", {"action": "delete", "query": "alert.attributes.params.immutable: false"})
        self.assertEqual(self.results(folder)[0], 0)
        for i, text in enumerate(HOSTILE):
            rule = self.get(f"h{i}")
            self.assertEqual((rule["note"], rule["tags"], rule["meta"]), (text, [text], {"deep": {"er": [text, {"k": text}]}, text: text}))

    def test_pulled_files_have_names_of_their_own(self):
        for rule_id in ("../../etc/x", "a/b", "a_b", ".hidden", "x" * 300):
            self.assertEqual(self.service.ask("POST", RULES, self.rule(rule_id)).status, 200)
        folder = os.path.join(self.dir, "out")
        files = self.service.cli("rules", "pull", "-o", folder).splitlines()
        self.assertEqual(len(set(files)), 5)
        self.assertEqual(sorted(os.path.realpath(f) for f in files), sorted(os.path.realpath(os.path.join(folder, f)) for f in os.listdir(folder)))
        self.assertEqual(self.service.run("rules", "pull", "none", "-o", folder)[0], 2)
        self.assertEqual(self.service.cli("rules", "pull", "a_b", "-o", folder).splitlines(), [os.path.join(folder, "a_b.yml")])

    def test_a_rule_that_cant_be_written_is_named_and_the_rest_is_pulled(self):
        for rule_id in ("a", "b", "c"):
            self.assertEqual(self.service.ask("POST", RULES, self.rule(rule_id)).status, 200)
        folder = os.path.join(self.dir, "out")
        os.makedirs(os.path.join(folder, "b.yml"))  # in the way
        code, out, err = self.service.run("rules", "pull", "-o", folder)
        self.assertEqual((code, out.splitlines()), (1, [os.path.join(folder, f) for f in ("a.yml", "c.yml")]), err)
        self.assertIn("b: can't write", err)
        self.assertIn("1 of 3 rules", err)

    def test_words_that_are_no_versions_are_named_in_a_line(self):
        for args in (("restore", "a", "x"), ("restore", "a", "-1"), ("restore", "a", "0"), ("diff", "--rule", "a", "--from", "0"),
                     ("diff", "--rule", "a", "--from=-1"), ("diff", "--rule", "a", "--to", "x")):
            code, out, err = self.service.run("rules", *args)
            self.assertEqual((code, out), (2, ""), args)
            self.assertRegex(err, "^firebreak: (VERSION|--from|--to): '(x|-1|0)' is no version of a rule; they count from 1")
            self.assertLess(len(err), 130)

    def test_a_key_that_holds_for_no_time_names_the_option(self):
        code, out, err = self.service.run("keys", "create", "--expires", "xx")
        self.assertEqual((code, out), (2, ""))
        self.assertRegex(err, "--expires: 'xx' is no duration")

    def test_diff_and_restore_of_versions(self):
        self.write("a.yml", self.rule("a", note="old"))
        self.assertEqual(self.results(self.dir)[0], 0)
        self.write("a.yml", self.rule("a", note="new"))
        code, out, _ = self.service.run("rules", "diff", self.dir, "--format", "json")
        self.assertEqual(code, 1)
        self.assertEqual(json.loads(out), {"rule_id": "a", "changes": [{"field": "note", "from": "old", "to": "new"}]})
        self.assertEqual(self.results(self.dir)[0], 0)
        code, out, _ = self.service.run("rules", "diff", "--rule", "a", "--format", "json")
        self.assertEqual((code, json.loads(out)["changes"]), (1, [{"field": "note", "from": "old", "to": "new"}]))
        self.assertIn("restored: a", self.service.cli("rules", "restore", "a", "1"))
        self.assertEqual(self.get("a")["note"], "old")
        self.assertEqual(self.service.run("rules", "diff", "--rule", "a", "--from", "1", "--to", "3")[0], 0)
        self.assertEqual(self.service.run("rules", "restore", "a", "9")[0], 2)
        self.assertEqual(self.service.run("rules", "restore", "none", "1")[0], 2)
        self.assertEqual(self.service.run("rules", "restore", "a", "0")[0], 2)
        self.assertEqual(self.service.run("rules", "diff")[0], 2)
        self.service.ask("DELETE", RULES + "?rule_id=a")
        self.service.cli("rules", "restore", "a", "2")
        self.assertEqual(self.get("a")["note"], "new")

    def test_help_shows_an_example(self):
        for name in ("push", "pull", "diff", "versions", "restore"):
            code, out, _ = self.service.run("rules", name, "--help")
            self.assertEqual(code, 0)
            self.assertIn("firebreak rules " + name, out)


class WithoutRuleFiles(unittest.TestCase):
    """`rules` may be empty or missing: rules come through the API. One service each way, with a restart."""

    def log(self, service):
        with open(os.path.join(service.folder, "service.log")) as f:
            return [json.loads(line) for line in f if line.startswith("{")]

    def start_and_use(self, rules):
        service = RunningService(FIREBREAK, config={"rules": rules})
        self.addCleanup(service.close)
        said = [line["message"] for line in self.log(service) if line["event"] == "no_rules"]
        self.assertEqual(len(said), 1, said)
        self.assertIn("none came through the API yet", said[0])
        self.assertEqual(service.ask("GET", RULES + "/_find").json["total"], 0)
        rule = {"rule_id": "first", "name": "First", "description": "d", "type": "query", "severity": "high", "risk_score": 50,
                "query": "process.name: evil.exe", "enabled": True}
        self.assertEqual(service.ask("POST", RULES, rule).status, 200)
        self.assertIn("firebreak_rules 1\n", service.ask("GET", "/metrics").text)
        service.restart()
        self.assertIn("firebreak_rules 1\n", service.ask("GET", "/metrics").text)
        self.assertEqual(len([line for line in self.log(service) if line["event"] == "no_rules"]), 1, "a rule of the record runs")

    def test_an_empty_list(self):
        self.start_and_use([])

    def test_no_list_at_all(self):
        self.start_and_use(None)

    def test_a_folder_without_rules(self):
        folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, folder)
        self.start_and_use([folder])

    def test_a_path_that_is_not_there_is_still_told(self):
        with self.assertRaisesRegex(AssertionError, "/nonexistent/rules"):
            RunningService(FIREBREAK, config={"rules": ["/nonexistent/rules"]})


if __name__ == "__main__":
    unittest.main()
