#!/usr/bin/env python3
"""Rule files and the rules of a service: push, pull, diff, versions, restore. usage: rules_test.py PATH_TO_FIREBREAK"""
import json, os, shutil, subprocess, sys, tempfile, unittest

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
        self.assertEqual(self.service.cli("rules", "pull", "a_b", "-o", folder).splitlines(), [os.path.join(folder, "a_b.yml") + ": unchanged"])
        self.assertEqual(sorted(self.service.cli("rules", "pull", "-o", folder).splitlines()), sorted(f + ": unchanged" for f in files))

    def test_a_rule_that_cant_be_written_is_named_and_the_rest_is_pulled(self):
        for rule_id in ("a", "b", "c"):
            self.assertEqual(self.service.ask("POST", RULES, self.rule(rule_id)).status, 200)
        folder = os.path.join(self.dir, "out")
        os.makedirs(os.path.join(folder, "b.yml"))  # in the way
        code, out, err = self.service.run("rules", "pull", "-o", folder)
        self.assertEqual((code, out.splitlines()), (1, [os.path.join(folder, f) for f in ("a.yml", "c.yml")]), err)
        self.assertIn("b: can't write", err)
        self.assertIn("1 of 3 rules", err)

    def pull(self, *args):
        """Exit code, result by rule_id (with the file's name), standard error."""
        code, out, err = self.service.run("rules", "pull", "-o", self.dir, "--format", "json", *args)
        return code, {line["rule_id"]: (line["result"], os.path.relpath(line["file"], self.dir)) for line in map(json.loads, out.splitlines())}, err

    def text(self, name):
        with open(os.path.join(self.dir, name), encoding="utf-8") as f:
            return f.read()

    BY_HAND = ("# Ours; ask ada.\n\nrule_id: a\nname: Rule a\ndescription: d\ntype: query\nseverity: high  # seen in June\nrisk_score: 50\n"
               "tests:\n  # as on web-1\n  - name: it is found\n    events:\n      - {process.name: evil.exe, n: 1.0, big: 123456789012345678901, t: '5'}\n"
               "      - '{\"process.name\": \"evil.exe\", \"a\": 1e3}'\n    expect: {alerts: 2, isolate: []}\n"
               "query: 'process.name: evil.exe'\n")

    def own_tests_pass(self):
        code, out, err = self.service_less("rules", "test", self.dir)
        self.assertEqual(code, 0, out + err)
        return out

    def service_less(self, *args):
        done = subprocess.run([FIREBREAK, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60)
        return done.returncode, done.stdout, done.stderr

    def test_pull_leaves_a_file_alone_that_holds_the_same_rule(self):
        os.makedirs(os.path.join(self.dir, "windows"))
        self.write("windows/office.yml", self.BY_HAND)
        self.assertEqual(self.results(self.dir)[0], 0)
        self.assertEqual(self.pull(), (0, {"a": ("unchanged", "windows/office.yml")}, ""))
        self.assertEqual(self.service.cli("rules", "pull", "a", "-o", self.dir), os.path.join(self.dir, "windows/office.yml") + ": unchanged\n")
        self.assertEqual((self.text("windows/office.yml"), os.listdir(self.dir)), (self.BY_HAND, ["windows"]))

    def test_pull_writes_a_changed_rule_to_its_file_and_keeps_the_tests(self):
        self.write("office.yml", self.BY_HAND)
        flow = {**self.rule("b"), "tests": [{"name": "b", "events": [{"process.name": "evil.exe", "n": [1, "x"]}], "expect": {"alerts": 1}}]}
        self.write("b.yml", flow)
        os.symlink("office.yml", os.path.join(self.dir, "alias.yml"))
        self.assertEqual(self.results(self.dir)[0], 0)
        before = self.own_tests_pass()
        for rule_id in ("a", "b"):
            self.assertEqual(self.service.ask("PATCH", RULES, {"rule_id": rule_id, "note": "first\nsecond\n", "severity": "low"}).status, 200)
        code, results, err = self.pull()
        self.assertEqual((code, err, {k: v[0] for k, v in results.items()}), (0, "", {"a": "written", "b": "written"}))
        self.assertEqual(sorted(os.listdir(self.dir)), ["alias.yml", "b.yml", "office.yml"])
        self.assertTrue(os.path.islink(os.path.join(self.dir, "alias.yml")))
        text = self.text("office.yml")
        self.assertTrue(text.startswith("# Ours; ask ada.\n\n"), text)
        self.assertIn(self.BY_HAND[self.BY_HAND.index("tests:"):self.BY_HAND.index("query:")], text)
        self.assertIn("severity: \"low\"", text)
        self.assertEqual(self.own_tests_pass(), before)
        self.assertEqual(self.service.run("rules", "diff", self.dir)[0], 0)
        self.assertEqual({v[0] for v in self.pull()[1].values()}, {"unchanged"})

    def test_pull_refuses_what_it_would_spoil_and_goes_on(self):
        self.write("two.yml", [self.rule("a"), self.rule("b")])
        self.write("export.ndjson", self.rule("c"))
        self.write("d.toml", '[rule]\nrule_id = "d"\nname = "Rule d"\ndescription = "d"\ntype = "query"\nseverity = "high"\nrisk_score = 50\n'
                             'query = "process.name: evil.exe"\n')
        self.write("e.yml", json.dumps(self.rule("e")) + "\n" + json.dumps(self.rule("f")) + "\n")
        self.write("plain.yml", self.rule("g"))
        self.assertEqual(self.results(self.dir)[0], 0)
        kept = {name: self.text(name) for name in os.listdir(self.dir)}
        self.assertEqual(set(self.pull()[1].values()), {("unchanged", name) for name in kept})
        for rule_id in "abcdefg":
            self.assertEqual(self.service.ask("PATCH", RULES, {"rule_id": rule_id, "note": "new"}).status, 200)
        self.assertEqual(self.service.ask("POST", RULES, self.rule("h")).status, 200)
        code, results, err = self.pull()
        self.assertEqual((code, results), (1, {"g": ("written", "plain.yml"), "h": ("written", "h.yml")}), err)
        for rule_id, name in (("a", "two.yml"), ("b", "two.yml"), ("c", "export.ndjson"), ("d", "d.toml"), ("e", "e.yml"), ("f", "e.yml")):
            self.assertRegex(err, rf"(?m)^{rule_id}: .*/{name} holds this rule ", rule_id)
            self.assertEqual(self.text(name), kept[name])
        self.assertIn("6 of 8 rules", err)

    def test_pull_writes_over_nothing_that_it_can_not_read(self):
        self.write("a.yml", self.rule("a", query="process.name: ("))  # half edited
        self.write("b.yml", self.rule("other"))
        self.write("c.yml", "rule_id: c\n  name: [\n")
        self.write("one.yml", self.rule("twice"))
        self.write("two.yml", self.rule("twice"))
        kept = {name: self.text(name) for name in os.listdir(self.dir)}
        for rule_id in ("a", "b", "c", "twice"):
            self.assertEqual(self.service.ask("POST", RULES, self.rule(rule_id)).status, 200)
        code, results, err = self.pull()
        self.assertEqual((code, results), (1, {}), err)
        for words in ("a: .*a.yml holds this rule and is broken", "b: can't write .*b.yml: something else", "c: can't write .*c.yml",
                      "twice: .*one.yml and .*two.yml both hold", ".*c.yml: .*which rules it holds is not known", "firebreak: 4 of 4 rules"):
            self.assertRegex(err, "(?m)^" + words)
        self.assertEqual({name: self.text(name) for name in os.listdir(self.dir)}, kept)

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
