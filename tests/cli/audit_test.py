#!/usr/bin/env python3
"""Which record `firebreak audit` speaks of: a service's or a file's. usage: audit_test.py PATH_TO_FIREBREAK"""
import http.client, json, os, sqlite3, subprocess, sys, unittest

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
from running_service import RunningService

FIREBREAK = sys.argv.pop(1)
SWITCHES = 600  # two rows of the audit each: more than one page


class Audit(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.service = RunningService(FIREBREAK)
        cls.addClassCleanup(cls.service.close)
        connection = http.client.HTTPConnection("127.0.0.1", cls.service.http_port, timeout=30)
        for n in range(SWITCHES):
            connection.request("POST", "/api/firebreak/kill_switch", json.dumps({"on": n % 2 == 0, "comment": f"switch {n}"}),
                               {"Authorization": "ApiKey " + cls.service.key, "kbn-xsrf": "true", "Content-Type": "application/json"})
            if connection.getresponse().read() is None:
                raise AssertionError("no answer")
        connection.close()
        # The record of this machine's service, where no service runs: somebody has altered it.
        cls.local = os.path.join(cls.service.folder, "local")
        os.mkdir(cls.local)
        cls.altered = os.path.join(cls.local, "firebreak.db")
        source = sqlite3.connect(f"file:{cls.database()}?mode=ro", uri=True)
        target = sqlite3.connect(cls.altered)
        source.backup(target)
        source.close()
        for (name,) in target.execute("SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'audit'").fetchall():
            target.execute(f"DROP TRIGGER {name}")
        target.execute("UPDATE audit SET detail = 'nothing happened' WHERE seq = 7")
        target.commit()
        target.close()

    @classmethod
    def database(cls):
        return os.path.join(cls.service.data, "firebreak.db")

    def run_it(self, *args, **env):
        done = subprocess.run([FIREBREAK, "audit", *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60,
                              env={"PATH": os.environ["PATH"], "HOME": self.service.folder, "FIREBREAK_DATA_DIR": self.local, **env})
        return done.returncode, done.stdout, done.stderr

    def ways(self):
        """How the running service is named: arguments, environment."""
        service, profiles = self.service, os.path.join(self.service.folder, "profiles.yml")
        with open(os.open(profiles, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as f:
            json.dump({"current": "", "profiles": {"prod": {"url": service.url, "api_key": service.key}}}, f)
        return (["--url", service.url, "--api-key", service.key], {}), (["--socket", os.path.join(service.data, "firebreak.sock")], {}), \
            (["-c", service.config], {}), (["--profile", "prod"], {"FIREBREAK_PROFILES": profiles}), \
            ([], {"FIREBREAK_URL": service.url, "FIREBREAK_API_KEY": service.key})

    def test_verify_speaks_of_the_service_that_is_named(self):
        self.assertEqual(self.run_it("verify")[0], 1, "the local one is altered")
        by_file = json.loads(self.run_it("verify", "--db", self.database(), "--format", "json")[1])
        for args, env in self.ways():
            code, out, err = self.run_it("verify", *args, "--format", "json", **env)
            self.assertEqual((code, err), (0, ""), args)
            self.assertEqual(list(json.loads(out)), list(by_file))
            self.assertEqual((json.loads(out)["ok"], json.loads(out)["bad_seq"]), (True, None))
            self.assertGreaterEqual(json.loads(out)["rows"], 2 * SWITCHES)
            code, out, err = self.run_it("verify", *args, **env)
            self.assertEqual((code, err), (0, ""), args)
            self.assertRegex(out, r"^(http://|/).*: [\d,]+ rows, every link holds\nhead [0-9a-f]{64}\n$")
            self.assertNotIn(self.local, out)

    def test_a_service_that_does_not_answer_gets_no_verdict(self):
        for args in (["--url", "http://127.0.0.1:1", "--api-key", "a2V5"], ["--socket", "/nonexistent/firebreak.sock"],
                     ["--profile", "nope"], ["--url", self.service.url, "--api-key", "d3Jvbmc="]):
            for what in ("verify", "list"):
                code, out, err = self.run_it(what, *args)
                self.assertEqual((code, out, len(err.splitlines())), (2, "", 1), (what, args))

    def test_a_file_and_a_service_contradict_each_other(self):
        for args in (["--url", self.service.url, "--api-key", "a2V5"], ["--socket", "/x"], ["--profile", "p"]):
            for what in ("verify", "list"):
                code, out, err = self.run_it(what, "--db", self.database(), *args)
                self.assertEqual((code, out, len(err.splitlines())), (2, "", 1), (what, args))
                self.assertIn("--db", err)
        code, out, _ = self.run_it("verify", "--db", self.altered, "-c", self.service.config, FIREBREAK_URL=self.service.url)
        self.assertEqual(code, 1, "the file that is named goes before the config's and the environment's")
        self.assertIn("seq 7", out)

    def test_list_shows_the_same_rows_from_a_service_as_from_the_file(self):
        for filters in (["--limit", "3"], ["--limit", "100000"], ["--since", "1h", "--limit", "1500"],
                        ["--since", "2031-01-01T00:00:00Z"]):
            expected = self.run_it("list", "--db", self.database(), "--json", *filters)
            self.assertEqual(expected[0], 0)
            for args, env in self.ways():
                self.assertEqual(self.run_it("list", *args, "--json", *filters, **env), expected, (filters, args))
        self.assertGreaterEqual(len(self.run_it("list", "-c", self.service.config, "--json", "--limit", "100000")[1].splitlines()), 2 * SWITCHES)
        code, out, _ = self.run_it("list", "-c", self.service.config, "--actor", "user:", "--limit", "5")
        self.assertEqual((code, out.count("kill_switch_o") > 0), (0, True), out)
        code, out, err = self.run_it("list", "-c", self.service.config, "--host", "nobody")
        self.assertEqual((code, out), (2, ""))
        self.assertIn("nobody", err)


class WhileItIsDown(unittest.TestCase):
    def test_the_file_of_the_config_is_read(self):
        service = RunningService(FIREBREAK)
        self.addCleanup(service.close)
        self.assertIn("firebreak.sock: ", service.cli("audit", "verify"))
        service.processes[0].kill()  # its socket stays behind
        service.processes[0].wait(20)
        self.assertRegex(service.cli("audit", "verify"), r"firebreak\.db: [\d,]+ rows, every link holds\n")
        self.assertTrue(service.cli("audit", "list", "--json"))


if __name__ == "__main__":
    unittest.main()
