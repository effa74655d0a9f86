#!/usr/bin/env python3
"""Profiles, keys and completion of the command line, against a service that is the test itself.
usage: profile_test.py FIREBREAK"""
import http.server, json, os, shutil, socketserver, stat, subprocess, sys, tempfile, threading, unittest

FIREBREAK = os.path.abspath(sys.argv.pop(1))
KEY = "a2V5LWlkOnNlY3JldA=="
SECOND = "b3RoZXI6c2VjcmV0"


class Stub(socketserver.ThreadingMixIn, http.server.HTTPServer):
    """Knows two keys, remembers which one came."""
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self):
        self.keys = []
        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}"


class SocketStub(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True

    def __init__(self, path):
        self.keys = []
        super().__init__(path, Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def address_string(self):
        return "test"

    def log_message(self, *_):
        pass

    def do_GET(self):
        key = self.headers.get("Authorization", "")
        self.server.keys.append(key)
        known = isinstance(self.server, SocketStub) or key in ("ApiKey " + KEY, "ApiKey " + SECOND)
        if not known:
            body = {"statusCode": 401, "error": "Unauthorized", "message": "unable to authenticate"}
        elif self.path == "/api/firebreak/session":
            body = {"user": "ada", "roles": ["admin"], "privileges": [], "key_id": "k", "session": False}
        else:
            body = {"breaker": "fleet"}
        data = (json.dumps(body) + "\n").encode()
        self.send_response(200 if known else 401)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


class Case(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="fb-profile-")
        self.addCleanup(lambda: shutil.rmtree(self.dir))
        self.profiles = os.path.join(self.dir, "config", "firebreak", "profiles.yml")
        self.env = {"PATH": os.environ["PATH"], "HOME": self.dir, "XDG_CONFIG_HOME": os.path.join(self.dir, "config"),
                    "FIREBREAK_DATA_DIR": os.path.join(self.dir, "data")}
        self.stub = Stub()
        self.addCleanup(lambda: (self.stub.shutdown(), self.stub.server_close()))

    def run_it(self, *args, stdin="", **env):
        done = subprocess.run([FIREBREAK, *args], input=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              env={**self.env, **env}, timeout=60)
        return done.returncode, done.stdout, done.stderr

    def good(self, *args, **more):
        code, out, err = self.run_it(*args, **more)
        self.assertEqual((code, err), (0, ""), (args, out, err))
        return out

    def key_file(self, key=KEY, mode=0o600):
        path = os.path.join(self.dir, "key")
        with open(path, "w") as f:
            f.write(key + "\n")
        os.chmod(path, mode)
        return path

    def login(self, name="default", key=KEY):
        return self.good("login", "--url", self.stub.url, "--profile", name, stdin=key + "\n")

    def used(self):
        keys, self.stub.keys[:] = list(self.stub.keys), []
        return keys


class Profiles(Case):
    def test_login_tries_the_key_and_keeps_it_for_the_owner_only(self):
        out = self.login("prod")
        self.assertIn("as ada", out)
        self.assertNotIn(KEY, out)
        self.assertEqual(stat.S_IMODE(os.stat(self.profiles).st_mode), 0o600)
        self.assertEqual(stat.S_IMODE(os.stat(os.path.dirname(self.profiles)).st_mode), 0o700)
        self.assertEqual(self.used(), ["ApiKey " + KEY])
        self.assertIn("fleet", self.good("breakers"))
        self.assertEqual(self.used(), ["ApiKey " + KEY])
        self.assertEqual(json.loads(self.good("profiles", "list", "--format", "json")),
                         {"profile": "prod", "url": self.stub.url, "current": True})
        self.assertNotIn(KEY, self.good("profiles", "list"))

    def test_a_wrong_key_is_not_kept(self):
        code, out, err = self.run_it("login", "--url", self.stub.url, stdin="wrong\n")
        self.assertEqual((code, out), (2, ""))
        self.assertIn("wrong, expired or revoked", err)
        self.assertFalse(os.path.exists(self.profiles))
        code, _, err = self.run_it("login", "--url", "http://127.0.0.1:1", stdin=KEY + "\n")
        self.assertEqual(code, 2, err)
        code, _, err = self.run_it("login", "--url", self.stub.url, stdin="")
        self.assertEqual(code, 2, err)
        self.assertIn("standard input", err)

    def test_the_wrong_scheme_is_told(self):
        code, _, err = self.run_it("breakers", "--url", self.stub.url.replace("http:", "https:"), "--api-key", KEY)
        self.assertEqual(code, 2)
        self.assertIn("no TLS is spoken there", err)

    def test_profiles_are_chosen_and_forgotten(self):
        self.login("one")
        self.login("two", SECOND)
        self.used()
        self.good("breakers")
        self.good("breakers", "--profile", "one")
        self.good("breakers", FIREBREAK_PROFILE="one")
        self.good("profiles", "use", "one")
        self.good("breakers")
        self.assertEqual(self.used(), ["ApiKey " + k for k in (SECOND, KEY, KEY, KEY)])
        self.assertEqual(self.good("profiles", "list", "--names"), "one\ntwo\n")
        code, _, err = self.run_it("breakers", "--profile", "three")
        self.assertEqual(code, 2)
        self.assertIn("'three'", err)
        self.assertEqual(self.run_it("profiles", "use", "three")[0], 2)
        self.good("logout")
        self.good("profiles", "rm", "two")
        self.assertEqual(self.good("profiles", "list", "--names"), "")
        with open(self.profiles) as f:
            self.assertNotIn(KEY, f.read())
        self.assertEqual(self.run_it("breakers")[0], 2)
        self.assertEqual(self.run_it("logout")[0], 2)

    def test_what_is_named_goes_before_what_is_kept(self):
        self.login("prod")
        self.used()
        self.good("breakers", "--url", self.stub.url, "--api-key", SECOND)
        self.good("breakers", "--url", self.stub.url, "--api-key-file", self.key_file(SECOND))
        self.good("breakers", FIREBREAK_URL=self.stub.url, FIREBREAK_API_KEY=SECOND)
        self.good("breakers", "--api-key-file", self.key_file(SECOND))
        self.assertEqual(self.used(), ["ApiKey " + SECOND] * 4)

    def test_the_socket_of_this_machine_goes_before_the_current_profile(self):
        self.login("prod")
        os.mkdir(os.path.join(self.dir, "data"))
        local = SocketStub(os.path.join(self.dir, "data", "firebreak.sock"))
        self.addCleanup(lambda: (local.shutdown(), local.server_close()))
        self.used()
        self.good("breakers")
        self.assertEqual((self.used(), local.keys), ([], [""]))
        self.good("breakers", "--profile", "prod")
        self.assertEqual(self.used(), ["ApiKey " + KEY])
        self.good("breakers", "--socket", os.path.join(self.dir, "data", "firebreak.sock"), "--profile", "prod")
        self.assertEqual(len(local.keys), 2)

    def local(self, folder="data"):
        """A service's socket in a folder, and the config that names it."""
        data = os.path.join(self.dir, folder)
        os.mkdir(data)
        stub = SocketStub(os.path.join(data, "firebreak.sock"))
        self.addCleanup(lambda: (stub.shutdown(), stub.server_close()))
        config = os.path.join(self.dir, folder + ".yml")
        with open(config, "w") as f:
            json.dump({"data_dir": data, "kafka": {"properties": {"bootstrap.servers": "127.0.0.1:1"}, "topics": ["t"]},
                       "response": {"mode": "enforce"}, "rules": [self.dir]}, f)
        return stub, config

    def test_the_config_that_is_named_goes_before_every_url_and_profile(self):
        self.login("prod")
        self.used()
        stub, config = self.local()
        for args, env in (([], {"FIREBREAK_URL": self.stub.url, "FIREBREAK_API_KEY": SECOND}),
                          ([], {"FIREBREAK_PROFILE": "prod"}), ([], {"FIREBREAK_PROFILE": "nope"}),
                          (["--url", self.stub.url, "--api-key", SECOND], {}), (["--profile", "prod"], {})):
            self.good("breakers", "-c", config, *args, **env)
            self.assertEqual((self.used(), stub.keys), ([], [""]), (args, env))
            stub.keys.clear()
        other, _ = self.local("other")
        self.good("breakers", "-c", config, "--socket", os.path.join(self.dir, "other", "firebreak.sock"))
        self.assertEqual((stub.keys, other.keys), ([], [""]))
        # Where it does not run, nothing else is asked in its place.
        os.unlink(os.path.join(self.dir, "data", "firebreak.sock"))
        code, out, err = self.run_it("breakers", "-c", config, FIREBREAK_URL=self.stub.url, FIREBREAK_API_KEY=SECOND)
        self.assertEqual((code, out, self.used()), (2, "", []), err)
        self.assertIn(os.path.join(self.dir, "data", "firebreak.sock"), err)

    def test_a_profile_that_is_named_goes_before_a_url_of_the_environment(self):
        self.login("prod")
        self.used()
        second = Stub()
        self.addCleanup(lambda: (second.shutdown(), second.server_close()))
        env = {"FIREBREAK_URL": second.url, "FIREBREAK_API_KEY": SECOND}
        self.good("breakers", "--profile", "prod", **env)
        self.assertEqual((self.used(), second.keys), (["ApiKey " + KEY], []), "the key of the environment is not this service's")
        self.good("breakers", FIREBREAK_PROFILE="prod", **env)
        self.assertEqual((self.used(), second.keys), ([], ["ApiKey " + SECOND]))
        self.good("breakers", "--profile", "prod", FIREBREAK_API_KEY=SECOND)
        self.good("breakers", "--url", self.stub.url, "--profile", "nope", FIREBREAK_API_KEY=SECOND)
        self.assertEqual(self.used(), ["ApiKey " + SECOND] * 2)

    def test_keys_that_others_could_read_are_refused(self):
        for args in (["breakers", "--url", self.stub.url, "--api-key-file", self.key_file(mode=0o644)],
                     ["login", "--url", self.stub.url, "--api-key-file", self.key_file(mode=0o640)]):
            code, _, err = self.run_it(*args)
            self.assertEqual(code, 2)
            self.assertIn("0600", err)
        self.login()
        os.chmod(self.profiles, 0o644)
        code, _, err = self.run_it("breakers")
        self.assertEqual(code, 2)
        self.assertIn("0600", err)

    def test_a_key_never_crosses_a_network_in_the_clear(self):
        for url in ("http://firebreak.example", "http://127.0.0.1.evil.example", "http://192.0.2.1:8770", "ftp://x", "firebreak"):
            code, _, err = self.run_it("breakers", "--url", url, "--api-key", KEY)
            self.assertEqual(code, 2, url)
            self.assertIn("https://", err)
        self.assertEqual(self.used(), [])

    def test_a_broken_file_is_named(self):
        os.makedirs(os.path.dirname(self.profiles))
        for text in ("[", "- a\n", "current: x\nprofiles: 5\n", "profiles: {a: {url: ''}}\n", "profiles: {'-a b': {url: x}}\n", "\0\1"):
            with open(os.open(self.profiles, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as f:
                f.write(text)
            code, out, err = self.run_it("profiles", "list")
            self.assertEqual((code, out), (2, ""), text)
            self.assertIn(self.profiles, err)
        for name in ("-x", "a/b", "a b", "x" * 65):
            self.assertEqual(self.run_it("login", "--url", self.stub.url, "--profile=" + name, stdin=KEY + "\n")[0],
                             2, name)


class Completion(Case):
    """The bash script, in a real bash: what the Tab key would offer."""

    def setUp(self):
        super().setUp()
        self.bin = os.path.join(self.dir, "bin")
        os.mkdir(self.bin)
        os.symlink(FIREBREAK, os.path.join(self.bin, "firebreak"))
        self.env["PATH"] = self.bin + ":" + self.env["PATH"]

    def offered(self, line):
        words = line.split(" ")
        script = ("source <(firebreak completion bash) || exit 3\n"
                  f"COMP_WORDS=({' '.join(repr(w) for w in words)})\nCOMP_CWORD={len(words) - 1}\n"
                  "_firebreak\nprintf '%s\\n' \"${COMPREPLY[@]}\"\n")
        done = subprocess.run(["bash", "-u", "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              env=self.env, cwd=self.dir, timeout=30)
        self.assertEqual((done.returncode, done.stderr), (0, ""), line)
        return [w for w in done.stdout.split("\n") if w]

    def test_commands_and_subcommands(self):
        self.assertIn("isolate", self.offered("firebreak "))
        self.assertEqual(self.offered("firebreak iso"), ["isolate"])
        self.assertEqual(sorted(self.offered("firebreak users ")), ["add", "disable", "enable", "list", "passwd", "set-roles"])
        self.assertEqual(self.offered("firebreak agents rotate-"), ["rotate-signing-key"])
        self.assertEqual(self.offered("firebreak completion "), ["bash", "zsh", "fish"])

    def test_options_and_their_words(self):
        self.assertIn("--since", self.offered("firebreak alerts --"))
        self.assertNotIn("--role", self.offered("firebreak alerts --"))
        self.assertEqual(self.offered("firebreak alerts --format "), ["text", "json"])
        self.assertEqual(self.offered("firebreak actions --command "), ["isolate", "release"])
        self.assertEqual(self.offered("firebreak actions --status ver"), ["verified"])
        self.assertEqual(self.offered("firebreak users add ada --role ap"), ["approver"])
        self.assertEqual(self.offered("firebreak keys create --scope alerts_"), ["alerts_read", "alerts_write"])
        self.assertEqual(self.offered("firebreak endpoints tag web-1 "), ["add", "rm"])
        for command in ("kill-switch on", "agents revoke", "users add", "keys create", "policies assign", "exceptions export", "maintenance rm",
                        "break-glass"):
            self.assertIn("--format", self.offered(f"firebreak {command} --"), command)
            self.assertEqual(self.offered(f"firebreak {command} --format "), ["text", "json"], command)

    def test_a_value_is_no_command(self):
        self.assertIn("--since", self.offered("firebreak alerts --host users --s"))
        self.assertEqual(self.offered("firebreak alerts --host users --format j"), ["json"])

    def test_profiles_are_offered_by_name(self):
        self.login("prod")
        self.login("staging")
        self.assertEqual(self.offered("firebreak alerts --profile "), ["prod", "staging"])
        self.assertEqual(self.offered("firebreak alerts --profile st"), ["staging"])

    def test_files_where_a_file_is_wanted(self):
        open(os.path.join(self.dir, "some.yml"), "w").close()
        self.assertEqual(self.offered("firebreak run -c some"), ["some.yml"])
        self.assertEqual(self.offered("firebreak rules check some"), ["some.yml"])

    def test_every_shell_gets_every_command_and_other_shells_are_named(self):
        for shell in ("bash", "zsh", "fish"):
            script = self.good("completion", shell)
            for word in ("kill-switch", "rotate-signing-key", "profiles"):
                self.assertIn(word, script, shell)
        for shell, check in (("zsh", ["zsh", "-n"]), ("fish", ["fish", "--no-execute"])):
            if shutil.which(shell):  # where it is installed, its own parser has a say
                path = os.path.join(self.dir, "script")
                with open(path, "w") as f:
                    f.write(self.good("completion", shell))
                self.assertEqual(subprocess.run([*check, path], timeout=30).returncode, 0, shell)
        code, _, err = self.run_it("completion", "tcsh")
        self.assertEqual(code, 2)
        self.assertIn("tcsh", err)


if __name__ == "__main__":
    unittest.main()
