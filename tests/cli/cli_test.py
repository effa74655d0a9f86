#!/usr/bin/env python3
"""The contracts of the command line, on the real program. usage: cli_test.py PATH_TO_FIREBREAK"""
import ctypes, gzip, json, os, re, shutil, signal, sqlite3, subprocess, sys, tempfile, time, unittest, urllib.error, urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "support"))
from waiting import free_ports, until

FIREBREAK = sys.argv.pop(1)
LIBC = ctypes.CDLL(None, use_errno=True)
ROOT = os.path.realpath(os.environ.get("FB_SOURCE_DIR", os.path.join(os.path.dirname(__file__), "..", "..")))
RULES = os.path.join(ROOT, "rules")


def firebreak(*args, stdin=None):
    done = subprocess.run([FIREBREAK, *args], input=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def read(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


class Case(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.dir)

    def file(self, name, text):
        path = os.path.join(self.dir, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as f:
            f.write(text if isinstance(text, bytes) else text.encode())
        return path

    def rule(self, name="r.yml", query="event.code: 4688", more=""):
        return self.file(name, f"rule_id: {name}\nname: Test\ndescription: d\ntype: query\nseverity: high\nrisk_score: 50\n"
                               f"query: '{query}'\nresponse_actions:\n  - action_type_id: .endpoint\n"
                               f"    params: {{command: isolate, comment: c}}\n{more}")


class Query(Case):
    def test_text_prints_matching_lines_as_they_were(self):
        events = b'{"a": 1}\n\n{"b":"x"}\r\n{"a":1.0}\n'
        code, out, err = firebreak("query", "--query", "a:1", self.file("e.ndjson", events))
        self.assertEqual((code, out, err), (0, '{"a": 1}\n{"a":1.0}\n', ""))

    def test_json_gives_indices_over_all_files_without_blank_lines(self):
        one = self.file("1.ndjson", '{"a":1}\n\n   \n{"a":2}\n')
        two = os.path.join(self.dir, "2.ndjson.gz")
        with gzip.open(two, "wb") as f:
            f.write(b'{"a":1}')
        queries = self.file("q.ndjson", '{"id":"x","query":"a:1"}\n{"id":"y","query":"a:("}\n{"id":"z","query":"a > 1","language":"kuery"}\n')
        code, out, _ = firebreak("query", "--query-file", queries, "--format", "json", one, two)
        lines = [json.loads(line) for line in out.splitlines()]
        self.assertEqual(code, 0)
        self.assertEqual(lines[0], {"id": "x", "matches": [0, 2]})
        self.assertEqual(lines[1]["error"]["type"], "parse")
        self.assertEqual((lines[1]["error"]["line"], lines[1]["error"]["column"]), (1, 4))
        self.assertEqual(lines[2], {"id": "z", "matches": [1]})

    def test_a_query_that_does_not_parse_shows_a_caret_and_ends_with_2(self):
        code, out, err = firebreak("query", "--query", "a: b and\nc: (", "-", stdin=b"")
        self.assertEqual((code, out), (2, ""))
        self.assertIn("query:2:5", err)
        self.assertIn("^", err)

    def test_with_json_the_error_is_a_line_too(self):
        code, out, err = firebreak("query", "--query", "a: b and\nc: (", "--format", "json", "-", stdin=b"")
        self.assertEqual(code, 2)
        error = json.loads(out)["error"]
        self.assertEqual((error["type"], error["line"], error["column"]), ("parse", 2, 5))
        self.assertIn("^", err)
        code, out, _ = firebreak("query", "--language", "lucene", "--query", "a", "--format", "json", "-", stdin=b"")
        self.assertEqual((code, json.loads(out)["error"]["type"]), (2, "unsupported"))

    def test_a_query_line_with_a_language_that_is_no_text_is_an_error(self):
        queries = self.file("q.ndjson", '{"id":"x","query":"a:1","language":5}\n')
        code, out, _ = firebreak("query", "--query-file", queries, "--format", "json", "-", stdin=b'{"a":1}\n')
        self.assertEqual((code, json.loads(out)["error"]["type"]), (0, "parse"))

    def test_languages_of_later_are_named(self):
        for language in ("eql", "lucene", "sql"):
            code, out, err = firebreak("query", "--language", language, "--query", "x", "-", stdin=b"{}")
            self.assertEqual(code, 2)
            self.assertIn("unsupported-language", err)

    def test_malformed_lines_alone_are_no_failure(self):
        code, out, err = firebreak("query", "--query", "*", "--format", "json", "-",
                                   stdin=b'{"a":1}\n[1]\n{"a":tru}\n{"a":"\\q"}\n{"a":01}\n{"b":18446744073709551616}\n')
        self.assertEqual((code, json.loads(out)["matches"]), (0, [0, 5]))
        self.assertIn("event 1:", err)
        self.assertIn("4 malformed event lines matched nothing", err)

    def test_usage_and_missing_files_end_with_2_and_one_line(self):
        for args in (["query", "--query", "a"], ["query", "x"], ["query", "--query", "a", "--bogus", "x"], ["nonsense"], [],
                     ["query", "--query", "a", "/no/such/file"], ["query", "--query", "a", self.dir],
                     ["query", "--query-file", "/no/such", "-"], ["query", "--query-file", self.dir, "-"],
                     ["query", "--query-file", "/dev/zero", "-"], ["query", "--query", "a", "--fields", self.dir, "-"],
                     ["replay", "--rules", RULES, "--endpoints", self.dir, "-"],
                     ["replay", "--rules", RULES, "--exceptions", "/no/such", "--format", "json", "-"],
                     ["rules", "check", "--exceptions", "/no/such", "--format", "json", RULES], ["query", "--query", "a", "--fields", "/no/such", "-"],
                     ["query", "--query", "a", "--format", "xml", "-"]):
            code, out, err = firebreak(*args, stdin=b"")
            self.assertEqual((code, out), (2, ""), args)
            self.assertEqual(len(err.strip().splitlines()), 1, (args, err))

    def test_a_damaged_gz_ends_with_1_and_names_the_file(self):
        whole = gzip.compress(b'{"a":1}\n' * 5000)
        for name, data in (("cut.gz", whole[:-20]), ("bad.gz", whole[:40] + b"\0" * 20 + whole[60:])):
            path = self.file(name, data)
            code, _, err = firebreak("query", "--query", "a:1", "--format", "json", path)
            self.assertEqual(code, 1, name)
            self.assertIn(name, err)

    def test_output_that_can_not_be_written_is_no_success(self):
        events = self.file("e.ndjson", '{"a":1}\n' * 1000)
        rule = self.rule(query="a:1")
        for args in (["query", "--query", "a:1", events], ["query", "--query", "a:1", "--format", "json", events],
                     ["replay", "--rules", rule, "--format", "json", events], ["rules", "check", "--format", "json", rule],
                     ["rules", "list", rule], ["rules", "test", rule]):
            with open("/dev/full", "wb") as full:
                done = subprocess.run([FIREBREAK, *args], stdout=full, stderr=subprocess.PIPE, timeout=60)
            self.assertEqual((done.returncode, done.stderr), (2, b"firebreak: can't write standard output\n"), args)

    def test_a_reader_that_leaves_ends_it_quietly(self):
        events = self.file("e.ndjson", '{"a":1}\n' * 200000)
        query = subprocess.Popen([FIREBREAK, "query", "--query", "a:1", events], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        query.stdout.readline()
        query.stdout.close()
        self.assertEqual((query.wait(timeout=60), query.stderr.read()), (-signal.SIGPIPE, b""))
        query.stderr.close()

    def test_fields_file_renames(self):
        fields = self.file("f.yml", "CommandLine: process.command_line\n")
        code, out, _ = firebreak("query", "--query", "process.command_line: *evil*", "--fields", fields, "--format", "json", "-",
                                 stdin=b'{"CommandLine":"an evil one"}\n{"CommandLine":"good"}\n')
        self.assertEqual(json.loads(out)["matches"], [0])


class Rules(Case):
    def test_shipped_rules_are_good_and_pass_their_tests(self):
        code, out, _ = firebreak("rules", "check", "--format", "json", RULES)
        rules = [json.loads(line) for line in out.splitlines()]
        self.assertEqual(code, 0)
        self.assertGreaterEqual(len(rules), 12)
        self.assertTrue(all(r["ok"] and not r["errors"] for r in rules))
        self.assertEqual(set(rules[0]), {"file", "rule_id", "name", "type", "language", "ok", "errors", "warnings"})
        report = os.path.join(self.dir, "report.xml")
        code, out, _ = firebreak("rules", "test", RULES, "--junit", report)
        self.assertEqual(code, 0, out)
        self.assertIn('failures="0"', read(report))
        _, out, _ = firebreak("rules", "list", "--format", "json", RULES)
        isolating = [r for r in map(json.loads, out.splitlines()) if r["isolates"]]
        self.assertGreaterEqual(len(isolating), 3)

    def test_errors_name_the_place_and_end_with_1(self):
        path = self.file("bad.yml", "rule_id: a\nname: n\ndescription: d\ntype: query\nseverity: hihg\nrisk_score: 5\n"
                                    "query: >\n  process.name: x and\n  a: (\n")
        code, out, _ = firebreak("rules", "check", "--format", "json", path)
        self.assertEqual(code, 1)
        errors = json.loads(out)["errors"]
        places = {(e["line"], e["column"]) for e in errors}
        self.assertIn((5, 11), places)
        self.assertIn((9, 7), places)

    def test_a_failing_rule_test_ends_with_1(self):
        self.rule(more="tests:\n  - name: wrong\n    events: [{a: 1}]\n    expect: {alerts: 1}\n")
        code, out, _ = firebreak("rules", "test", self.dir)
        self.assertEqual(code, 1)
        self.assertIn("0 passed, 1 failed", out)

    def test_a_list_says_what_it_could_not_read(self):
        path = self.file("r.yml", "a: [\n")
        for form in ("text", "json"):
            code, _, err = firebreak("rules", "list", "--format", form, path)
            self.assertEqual(code, 0)
            self.assertIn("yaml-syntax", err)

    def test_missing_path_ends_with_2(self):
        self.assertEqual(firebreak("rules", "check", "/no/such")[0], 2)


class Replay(Case):
    EVENTS = b'{"@timestamp":"2026-01-01T00:00:00Z","event":{"code":4688},"agent":{"id":"a1"},"host":{"id":"h1"}}\n{"x":1}\n{"event.code":"4688"}\n'

    def test_lines_have_the_contract_keys_and_nothing_acts(self):
        stats = os.path.join(self.dir, "stats.json")
        code, out, _ = firebreak("replay", "--rules", self.rule(), "--format", "json", "--stats", stats, "-", stdin=self.EVENTS)
        self.assertEqual(code, 0)
        first, second = map(json.loads, out.splitlines())
        self.assertEqual((first["event_index"], first["event_indices"], second["event_index"]), (0, [0], 2))
        self.assertEqual(first["timestamp"], "2026-01-01T00:00:00.000Z")
        self.assertEqual(first["actions"], [{"command": "isolate", "endpoint": "a1", "comment": "c", "verdict": "would_act", "guard": ""}])
        self.assertEqual((second["actions"][0]["verdict"], second["actions"][0]["guard"]), ("blocked", "unknown_target"))
        self.assertRegex(first["alert_id"], "^[0-9a-f]{64}$")
        self.assertEqual({k: json.loads(read(stats))[k] for k in ("events", "rules", "alerts", "threads")},
                         {"events": 3, "rules": 1, "alerts": 2, "threads": 1})

    def test_every_way_gives_the_same_answer(self):
        samples = sorted(os.path.join(ROOT, "samples", f) for f in os.listdir(os.path.join(ROOT, "samples")) if f.endswith(".ndjson"))
        answers = {firebreak("replay", "--format", "json", *more, "--rules", RULES, "--fields", "ecs", *samples)[1]
                   for more in ([], ["--no-index"], ["--threads", "2"], ["--threads", "3", "--no-index"])}
        self.assertEqual(len(answers), 1)
        self.assertGreaterEqual(len(answers.pop().splitlines()), 5)

    def test_a_broken_rule_runs_nothing_unless_allowed(self):
        self.rule("good.yml")
        self.rule("broken.yml", query="a:")
        code, out, err = firebreak("replay", "--rules", self.dir, "--format", "json", "-", stdin=self.EVENTS)
        self.assertEqual((code, out), (2, ""))
        self.assertIn("broken.yml", err)
        code, out, err = firebreak("replay", "--rules", self.dir, "--allow-broken", "--format", "json", "-", stdin=self.EVENTS)
        self.assertEqual((code, len(out.splitlines())), (0, 2))
        self.assertIn("broken.yml", err)

    def test_the_directory_says_who_is_known_and_protected(self):
        endpoints = self.file("endpoints.ndjson", '{"endpoint_id":"a1","host_id":"h1","protected":true}\n')
        _, out, _ = firebreak("replay", "--rules", self.rule(), "--endpoints", endpoints, "--format", "json", "-", stdin=self.EVENTS)
        self.assertEqual(json.loads(out.splitlines()[0])["actions"][0]["guard"], "protected")

    def test_exceptions_keep_events_out(self):
        rule = self.rule(more="exceptions_list:\n  - {id: l1, list_id: l1, type: detection, namespace_type: single}\n")
        items = self.file("x.ndjson", json.dumps({
            "list_id": "l1", "item_id": "i1", "name": "n", "description": "d", "type": "simple", "namespace_type": "single",
            "entries": [{"field": "host.id", "operator": "included", "type": "match", "value": "h1"}]}) + "\n")
        _, out, _ = firebreak("replay", "--rules", rule, "--exceptions", items, "--format", "json", "-", stdin=self.EVENTS)
        self.assertEqual([json.loads(line)["event_index"] for line in out.splitlines()], [2])


class Service(Case):
    """The service without a broker: it starts, says so, keeps trying, and ends cleanly."""

    def config(self, **changes):
        values = {"data_dir": os.path.join(self.dir, "data"),
                  "kafka": {"properties": {"bootstrap.servers": "127.0.0.1:1"}, "topics": ["t"], "start": "earliest"},
                  "rules": [RULES], "response": {"mode": "dry_run"}, "http": {"listen": "127.0.0.1:0"},
                  "agents": {"listen": "127.0.0.1:0"}}
        values.update(changes)
        return self.file("firebreak.yml", json.dumps(values))

    def start(self, config):
        with open(os.path.join(self.dir, "log"), "ab") as log:
            service = subprocess.Popen([FIREBREAK, "run", "-c", config], stdout=log, stderr=log)
        self.addCleanup(lambda: (service.kill(), service.wait()))
        socket = os.path.join(self.dir, "data", "firebreak.sock")
        for _ in range(200):
            if os.path.exists(socket) or service.poll() is not None:
                break
            time.sleep(0.05)
        self.assertIsNone(service.poll(), read(os.path.join(self.dir, "log")))
        return service

    def until_log(self, words):
        path = os.path.join(self.dir, "log")
        for _ in range(200):
            if words in read(path):
                break
            time.sleep(0.05)
        self.assertIn(words, read(path))
        return read(path)

    def with_closed_socket(self, *args):
        """Runs it where the socket is closed to it; root loses the right to pass that by."""
        socket = os.path.join(self.dir, "data", "firebreak.sock")

        def give_up_rights():
            for right in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
                if os.geteuid() == 0 and LIBC.prctl(24, right, 0, 0, 0) != 0:  # PR_CAPBSET_DROP
                    os._exit(99)

        os.chmod(socket, 0)
        try:
            done = subprocess.run([FIREBREAK, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60,
                                  preexec_fn=give_up_rights)
            return done.returncode, done.stdout.decode(), done.stderr.decode()
        finally:
            os.chmod(socket, 0o600)

    def test_config_problems_end_with_2_and_name_the_place(self):
        config = self.config(response={"mode": "enforced"})
        code, _, err = firebreak("run", "-c", config)
        self.assertEqual(code, 2)
        self.assertIn("did you mean 'enforce'", err)
        self.assertEqual(firebreak("config", "check", config)[0], 1)
        config = self.config(response={"mode": "enforce", "guards": {"fresness_limit": "5m"}})
        code, _, err = firebreak("config", "check", config)
        self.assertEqual(code, 1)
        self.assertIn("freshness_limit", err)
        for command in (["run", "-c", "/nowhere.yml"], ["config", "check", "/nowhere.yml"]):
            code, _, err = firebreak(*command)
            self.assertEqual(code, 2)
            self.assertEqual(err.count("\n"), 1, err)
            self.assertIn("/nowhere.yml", err)
        code, _, err = firebreak("run", "-c", self.config())
        self.assertEqual(code, 2)
        self.assertIn("firebreak setup", err)

    def test_setup_shows_the_key_once_and_keeps_what_is_there(self):
        config = self.config()
        code, first, _ = firebreak("setup", "-c", config)
        self.assertEqual(code, 0)
        key = re.search(r"shown this once:\n  (\S+)", first).group(1)
        code, again, _ = firebreak("setup", "-c", config)
        self.assertEqual(code, 0)
        self.assertNotIn(key, again)
        for name in ("ca.key", "service.key", "api_keys"):
            mode = os.stat(os.path.join(self.dir, "data", name)).st_mode & 0o777
            self.assertEqual(mode, 0o600, name)
            if name == "api_keys":
                self.assertNotIn(key, read(os.path.join(self.dir, "data", name)))

    def test_runs_without_a_broker_says_so_and_drains(self):
        config = self.config()
        firebreak("setup", "-c", config)
        service = self.start(config)
        code, out, err = firebreak("endpoints", "-c", config)
        self.assertEqual((code, out.strip()), (0, "no endpoint is enrolled"), err)
        for what in ("alerts", "actions", "deadletters"):
            self.assertEqual(firebreak(what, "-c", config)[0], 0)
        code, out, err = self.with_closed_socket("endpoints", "-c", config)
        self.assertEqual((code, out), (2, ""), err)
        self.assertRegex(err, "you may not use the service's socket .*firebreak.sock: run this as root")
        code, _, err = firebreak("isolate", "nobody", "--comment", "x", "-c", config)
        self.assertEqual(code, 2)
        self.assertIn("nobody", err)
        code, out, err = firebreak("agents", "token", "-c", config)
        self.assertEqual((code, out[:5]), (0, "fbt1."))
        second = subprocess.run([FIREBREAK, "run", "-c", config], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
        self.assertEqual(second.returncode, 2)
        self.assertIn(b"data", second.stderr)
        self.config(response={"mode": "enforce", "isolation": {"dhcp": False}})
        service.send_signal(signal.SIGHUP)
        told = self.until_log('"key":"response.isolation.dhcp"')
        self.assertIsNone(service.poll())
        self.assertRegex(told, r'"event":"config_needs_restart","message":"response.mode has changed in the file; it takes effect when')
        self.assertRegex(told, r'"event":"config_changed","message":"response.isolation.dhcp has changed and takes effect now"')
        self.config()
        service.send_signal(signal.SIGTERM)
        self.assertEqual(service.wait(timeout=30), 0)
        self.assertEqual(firebreak("endpoints", "-c", config)[0], 2)
        code, out, _ = firebreak("audit", "verify", "-c", config)
        self.assertEqual(code, 0)

    def test_http_needs_a_key_but_for_health_and_metrics(self):
        port = free_ports(1)[0]
        config = self.config(http={"listen": f"127.0.0.1:{port}"})
        key = re.search(r"shown this once:\n  (\S+)", firebreak("setup", "-c", config)[1]).group(1)
        self.start(config)

        def get(path, **headers):
            try:
                with urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers=headers), timeout=10) as r:
                    return r.status, r.read().decode()
            except urllib.error.HTTPError as e:
                return e.code, e.read().decode()

        # Its socket is there before its port.
        until("the port", lambda: get("/healthz")[0] == 200)
        status, body = get("/readyz")
        self.assertEqual(status, 503)
        self.assertFalse(json.loads(body)["parts"]["kafka"]["ready"])
        self.assertIn("firebreak_rules 23", get("/metrics")[1].replace(".0", ""))
        self.assertEqual(get("/api/firebreak/alerts")[0], 401)
        self.assertEqual(get("/nothing")[0], 401)
        self.assertEqual(get("/api/firebreak/alerts", Authorization="ApiKey " + "A" * 100)[0], 401)
        self.assertEqual(get("/api/firebreak/alerts", Authorization="ApiKey " + key)[0], 200)
        self.assertEqual(get("/api/firebreak/alerts?limit=x", Authorization="ApiKey " + key)[0], 400)
        self.assertEqual(get("/nothing", Authorization="ApiKey " + key)[0], 404)
        self.assertEqual(firebreak("alerts", "--url", f"http://127.0.0.1:{port}", "--api-key", key)[0], 0)

    def test_a_changed_rule_is_taken_and_a_broken_one_is_not(self):
        rules = os.path.join(self.dir, "rules")
        self.rule("rules/one.yml")
        port = free_ports(1)[0]
        config = self.config(rules=[rules], http={"listen": f"127.0.0.1:{port}"})
        firebreak("setup", "-c", config)
        self.start(config)

        def wait_for(text):
            until(text, lambda: text in urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10).read().decode())

        wait_for("firebreak_rules 1")
        self.rule("rules/two.yml")
        wait_for("firebreak_rules 2")
        self.rule("rules/three.yml", query="a:")
        wait_for('firebreak_rule_reloads_total{result="refused"} 1')
        wait_for("firebreak_rules 2")


class Demo(Case):
    """The main job, and the operating commands against it."""

    def test_operating_commands(self):
        demo = subprocess.Popen([FIREBREAK, "demo", "--keep"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.addCleanup(lambda: (demo.kill(), demo.wait(), demo.stdout.close()))
        story, socket = [], None
        for line in demo.stdout:
            story.append(line)
            found = re.search(r"--socket (\S+)", line)
            if found:
                socket = found.group(1)
            if "/metrics" in line:
                break
        self.assertIsNotNone(socket, "".join(story))
        self.assertIn("verified: read back", "".join(story))

        def ask(*args):
            return firebreak(*args, "--socket", socket)

        def rows(*args):
            return [json.loads(line) for line in ask(*args, "--format", "json")[1].splitlines()]

        alerts = rows("alerts")
        self.assertEqual(set(alerts[0]), {"alert_id", "rule_id", "rule_name", "severity", "risk_score", "endpoint_id", "timestamp",
                                          "topic", "partition", "offset", "doc"})
        doc = alerts[0]["doc"]
        self.assertEqual(doc["kibana.alert.uuid"], alerts[0]["alert_id"])
        self.assertEqual(doc["event"]["kind"], "signal")
        self.assertIn("kibana.alert.original_event.code", doc)
        actions = rows("actions", "--command", "isolate")
        self.assertEqual(set(actions[0]), {"action_id", "request_id", "alert_id", "rule_id", "command", "endpoint_id", "comment",
                                           "status", "verdict", "guard", "requested_by", "created_at", "dispatched_at", "finished_at"})
        isolated = [e for e in rows("endpoints") if e["observed"] == "isolated"]
        self.assertGreaterEqual(len(isolated), 2)
        host = isolated[0]
        code, out, err = ask("release", host["hostname"], "--comment", "it was a drill")
        self.assertEqual((code, "verified" in out), (0, True), out + err)
        self.assertEqual([e["observed"] for e in rows("endpoints") if e["endpoint_id"] == host["endpoint_id"]], ["released"])
        self.assertEqual(ask("isolate", host["host_id"], "--comment", "once more")[0], 0)
        self.assertEqual(ask("kill-switch", "on")[0], 0, "whoever must stop it at once need not say why")
        self.assertEqual(ask("release", host["endpoint_id"])[0], 0)
        code, out, _ = ask("isolate", host["endpoint_id"])
        self.assertEqual(code, 1)
        self.assertIn("kill_switch", out)
        self.assertEqual(ask("kill-switch", "off", "--comment", "test")[0], 0)
        # What people set that restrains the rules.
        name = host["endpoint_id"]
        self.assertIn("added", ask("endpoints", "tag", name, "add", "dns")[1])
        self.assertIn("a second person", ask("endpoints", "tag", name, "rm", "dns", "--comment", "moved")[1])
        self.assertIn("a second person", ask("endpoints", "tag", name, "rm", "dns", "--comment", "really")[1])
        code, out, _ = ask("isolate", name)
        self.assertEqual((code, "protected" in out), (1, True), out)
        self.assertEqual(ask("endpoints", "tag", name, "add", "no tag")[0], 2)
        times = ("--from", "2031-01-01T00:00:00Z", "--to", "2031-01-01T06:00:00Z")
        self.assertEqual(ask("maintenance", "add", "--tag", "site:x", *times, "--comment", "patches", "--suppress")[0], 0)
        self.assertEqual(ask("maintenance", "add", "--host", name, "--tag", "x", *times, "--comment", "both")[0], 2)
        self.assertEqual(ask("maintenance", "add", "--tag", "x", "--from", "2031-01-01T00:00Z", "--to", "2031-01-02T00:01Z", "--comment", "long")[0], 2)
        window = rows("maintenance", "list")[0]
        self.assertEqual((window["scope"], window["effect"], window["comment"]), ("tag:site:x", "suppress", "patches"))
        self.assertEqual(ask("maintenance", "rm", window["id"])[0], 0)
        self.assertEqual(ask("maintenance", "add", "--tag", "site:x", *times)[0], 0)
        self.assertEqual(ask("maintenance", "rm", rows("maintenance", "list")[0]["id"])[0], 0)
        for command in (("breakers", "reset", "fleet"), ("agents", "approve", "nobody"), ("agents", "deny", "nobody")):
            code, out, err = ask(*command)
            self.assertEqual((code, "--comment" in out + err), (2, False), out + err)
        self.assertEqual(rows("maintenance", "list"), [])
        code, _, err = ask("actions", "approve", *[str(n) for n in range(21)])
        self.assertEqual((code, "at most 20" in err), (2, True), err)
        # Two that wait: who asked can't approve, but may deny.
        other = isolated[1]["endpoint_id"]
        self.assertEqual(ask("release", other)[0], 0)
        self.assertEqual(ask("endpoints", "tag", other, "add", "protected")[0], 0)
        for wanted in (name, other):
            self.assertEqual(ask("isolate", wanted, "--override", "--comment", "it is on fire", "--wait", "0")[0], 0)
        waiting = [a["action_id"] for a in rows("actions", "--status", "awaiting_approval")]
        self.assertEqual(len(waiting), 2)
        code, out, _ = ask("actions", "approve", *waiting)
        self.assertEqual((code, out.count("second person")), (1, 2), out)
        code, out, _ = ask("actions", "deny", waiting[0][:12], waiting[1], "--comment", "it was a lamp")
        self.assertEqual((code, out.count("denied")), (0, 2), out)
        self.assertRegex(out, rf"denied: isolate {re.escape(host['hostname'])} \({host['endpoint_id']}\), asked for by user:local .*nothing is sent")

        # People see the names, and which tags a host has.
        for what in ("alerts", "actions"):
            self.assertRegex(ask(what)[1], rf"{re.escape(host['hostname'])} +{host['endpoint_id']}")
        table = ask("endpoints")[1]
        self.assertRegex(table, rf"{re.escape(host['hostname'])} .* \d+ s ago +dns")
        self.assertNotIn("tags", rows("endpoints")[0])

        # Who did what, from the record itself.
        database = os.path.join(os.path.dirname(socket), "firebreak.db")
        chain = [json.loads(line) for line in firebreak("audit", "list", "--db", database, "--json", "--limit", "100000")[1].splitlines()]
        self.assertEqual([row["seq"] for row in chain], list(range(len(chain), 0, -1)))
        self.assertEqual(set(chain[0]), {"seq", "at", "actor", "what", "ref", "detail", "hash"})

        def audit(*args):
            return [json.loads(line) for line in firebreak("audit", "list", "--db", database, "--json", "--limit", "1000", *args)[1].splitlines()]

        mine = audit("--actor", "user:local")
        self.assertEqual([row["seq"] for row in mine], [row["seq"] for row in chain if "user:local" in row["actor"]])
        self.assertIn("kill_switch_on", [row["what"] for row in mine])
        about = audit("--endpoint", host["hostname"])
        ids = {a["action_id"] for a in rows("actions", "--host", host["endpoint_id"])}
        self.assertEqual([row["seq"] for row in about], [row["seq"] for row in chain if row["ref"] in ids | {host["endpoint_id"]}
                                                         or row["actor"] == "agent:" + host["endpoint_id"]])
        self.assertTrue({"tag_added", "verified"} <= {row["what"] for row in about}, about)
        self.assertEqual(audit("--since", "2031-01-01T00:00:00Z"), [])
        self.assertEqual(len(audit("--since", "1h")), len(chain))
        table = firebreak("audit", "list", "--db", database, "--host", host["endpoint_id"])[1]
        self.assertRegex(table, rf"user:local +tag_added +{re.escape(host['hostname'])} ")
        # The service itself tells the same.
        for args in (["--endpoint", host["hostname"]], ["--actor", "user:local"], ["--since", "1h"]):
            by_file = audit(*args)
            by_service = [json.loads(line) for line in ask("audit", "list", "--json", "--limit", "1000", *args)[1].splitlines()]
            self.assertEqual([row for row in by_service if row["seq"] <= by_file[0]["seq"]], by_file, args)
        self.assertRegex(ask("audit", "list", "--host", host["endpoint_id"])[1], rf"user:local +tag_added +{re.escape(host['hostname'])} ")
        self.assertRegex(ask("audit", "list", "--limit", "1000")[1], rf" verified +{re.escape(host['hostname'])} ")
        self.assertEqual(ask("audit", "verify")[0], 0)
        in_its_folder = subprocess.run([FIREBREAK, "audit", "list", "--json", "--limit", "100000"], stdout=subprocess.PIPE, timeout=60,
                                       env={**os.environ, "FIREBREAK_DATA_DIR": os.path.dirname(database)})
        self.assertGreaterEqual(len(in_its_folder.stdout.splitlines()), len(chain))
        code, _, err = firebreak("audit", "list", "--db", database, "--host", "nobody")
        self.assertEqual((code, "nobody" in err), (2, True), err)
        self.assertEqual(firebreak("audit", "list", "--db", database, "--since", "yesterday")[0], 2)

        self.assertEqual(rows("deadletters"), [])
        table = ask("actions", "--host", host["endpoint_id"])[1].splitlines()
        self.assertTrue(table[0].startswith("TIME"))

        # An altered row is found.
        database = os.path.join(os.path.dirname(socket), "firebreak.db")
        copy = os.path.join(self.dir, "copy.db")
        source, target = sqlite3.connect(f"file:{database}?mode=ro", uri=True), sqlite3.connect(copy)
        source.backup(target)
        source.close()
        self.assertEqual(firebreak("audit", "verify", "--db", copy)[0], 0)
        with self.assertRaises(sqlite3.IntegrityError):  # the table takes no changes, until somebody drops that rule
            target.execute("DELETE FROM audit WHERE seq = 7")
        for (name,) in target.execute("SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'audit'").fetchall():
            target.execute(f"DROP TRIGGER {name}")
        target.execute("UPDATE audit SET detail = 'nothing happened' WHERE seq = 7")
        target.commit()
        target.close()
        code, out, _ = firebreak("audit", "verify", "--db", copy, "--format", "json")
        self.assertEqual((code, json.loads(out)["bad_seq"]), (1, 7))
        demo.send_signal(signal.SIGINT)
        self.assertEqual(demo.wait(timeout=30), 0)


class Help(Case):
    def test_every_command_shows_an_example(self):
        for words in (["--help"], *([w, "--help"] for w in ("demo", "run", "setup", "query", "replay", "alerts", "actions", "endpoints",
                      "isolate", "release", "deadletters")), ["rules", "check", "--help"], ["rules", "list", "--help"],
                      ["rules", "test", "--help"], ["audit", "verify", "--help"], ["config", "check", "--help"],
                      ["agents", "token", "--help"], ["kill-switch", "on", "--help"], ["actions", "approve", "--help"]):
            code, out, err = firebreak(*words)
            self.assertEqual((code, err), (0, ""), words)
            self.assertIn("Example:\n  firebreak ", out, words)

    def test_version(self):
        code, out, _ = firebreak("--version")
        self.assertEqual((code, out.startswith("firebreak ")), (0, True))


if __name__ == "__main__":
    unittest.main(verbosity=1)
