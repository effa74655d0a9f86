#!/usr/bin/env python3
"""Notifications of the running service: delivery, restart, a dead sink, and that no secret shows up anywhere.
usage: notify_test.py FIREBREAK"""
import hashlib, hmac, http.server, json, os, shutil, signal, socket, subprocess, sys, tempfile, threading, time, unittest

FIREBREAK = sys.argv.pop(1)
ROOT = os.path.realpath(os.environ.get("FB_SOURCE_DIR", os.path.join(os.path.dirname(__file__), "..", "..")))
CANARY = "canary-51c9-do-not-tell"


def firebreak(*args):
    done = subprocess.run([FIREBREAK, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=90)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


class Receiver(http.server.ThreadingHTTPServer):
    def __init__(self):
        self.got, self.status = [], 200
        super().__init__(("127.0.0.1", 0), ReceiverHandler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def kinds(self):
        return [json.loads(body)["kind"] for _, _, body in list(self.got) if b'"kind"' in body]


class ReceiverHandler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.server.status == 200:
            self.server.got.append((self.path, dict(self.headers), body))
        self.send_response(self.server.status)
        self.send_header("Content-Length", "0")
        self.end_headers()


class Notify(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.dir)
        self.receiver = Receiver()
        self.addCleanup(lambda: (self.receiver.shutdown(), self.receiver.server_close()))
        self.base = f"http://127.0.0.1:{self.receiver.server_address[1]}"
        self.log = os.path.join(self.dir, "log")

    def secret(self, name, text, mode=0o600):
        path = os.path.join(self.dir, name)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text + "\n")
        os.chmod(path, mode)
        return path

    def config(self, **more):
        sinks = {"allow_http": True, "allow_private": ["127.0.0.1"],
                 "webhook": {"url": self.base + "/hook", "secret_file": self.secret("hook", CANARY)}}
        sinks.update(more)
        path = os.path.join(self.dir, "firebreak.yml")
        with open(path, "w", encoding="utf-8") as f:
            json.dump({"data_dir": os.path.join(self.dir, "data"), "rules": [os.path.join(ROOT, "rules")],
                       "kafka": {"properties": {"bootstrap.servers": "127.0.0.1:1"}, "topics": ["t"]},
                       "response": {"mode": "dry_run"}, "http": {"listen": "127.0.0.1:0"},
                       "agents": {"listen": "127.0.0.1:0"}, "notifications": sinks}, f)
        return path

    def start(self, config):
        with open(self.log, "ab") as log:
            service = subprocess.Popen([FIREBREAK, "run", "-c", config], stdout=log, stderr=log)
        self.addCleanup(lambda: (service.kill(), service.wait()))
        self.until(lambda: service.poll() is not None or firebreak("endpoints", "-c", config)[0] == 0)
        with open(self.log, encoding="utf-8") as f:
            self.assertIsNone(service.poll(), f.read())
        return service

    def stop(self, service):
        service.send_signal(signal.SIGTERM)
        self.assertEqual(service.wait(timeout=30), 0)

    def until(self, done, seconds=20):
        limit = time.monotonic() + seconds
        while not done():
            self.assertLess(time.monotonic(), limit, "it did not come")
            time.sleep(0.05)

    def switch(self, on, config):
        self.assertEqual(firebreak("kill-switch", "on" if on else "off", "--comment", "a test", "-c", config)[0], 0)

    def test_what_happens_is_told_over_a_restart_and_beside_a_dead_sink_and_no_secret_leaks(self):
        # The chat is dead: nobody listens on this port any more. Its URL is a secret.
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            dead = s.getsockname()[1]
        config = self.config(slack={"url_file": self.secret("slack", f"http://127.0.0.1:{dead}/services/{CANARY}")})
        self.assertEqual(firebreak("setup", "-c", config)[0], 0)
        service = self.start(config)
        time.sleep(1)  # a new sink begins with what happens after it looked first
        self.switch(True, config)
        self.until(lambda: self.receiver.kinds() == ["kill_switch_on"])
        path, headers, body = self.receiver.got[0]
        self.assertEqual(path, "/hook")
        told = json.loads(body)
        self.assertEqual((told["comment"], told["severity"]), ("a test", "critical"))
        t, v1 = (part.split("=")[1] for part in headers["X-Firebreak-Signature"].split(","))
        self.assertEqual(v1, hmac.new(CANARY.encode(), t.encode() + b"." + body, hashlib.sha256).hexdigest())
        self.assertLess(abs(time.time() - int(t)), 60)

        # The receiver is away, the service is restarted: what happened meanwhile still comes.
        self.receiver.status = 503
        self.switch(False, config)
        time.sleep(1.5)
        self.stop(service)
        self.receiver.status = 200
        service = self.start(config)
        self.until(lambda: "kill_switch_off" in self.receiver.kinds())

        code, out, err = firebreak("audit", "verify", "-c", config, "--format", "json")
        self.assertEqual(code, 0, err)
        seen = out + err
        for words in (["actions"], ["endpoints"], ["config", "check", config]):
            code, out, err = firebreak(*words, *(["-c", config] if words[0] != "config" else []))
            seen += out + err
        _, out, err = firebreak("notify", "test", "-c", config)
        seen += out + err
        self.assertIn("webhook: sent", out)
        self.assertIn("slack: failed", out)
        self.assertIn("test", self.receiver.kinds())
        self.stop(service)
        # T11: the canary is in the two secret files and nowhere else.
        self.assertNotIn(CANARY, seen)
        with open(self.log, "rb") as f:
            log = f.read()
        self.assertNotIn(CANARY.encode(), log)
        self.assertIn(b"notification_failed", log)
        for folder, _, files in os.walk(os.path.join(self.dir, "data")):
            for name in files:
                with open(os.path.join(folder, name), "rb") as f:
                    self.assertNotIn(CANARY.encode(), f.read(), name)

    def test_a_secret_that_others_can_read_is_refused_and_named(self):
        config = self.config(webhook={"url": self.base, "secret_file": self.secret("open", CANARY, 0o644)})
        self.assertEqual(firebreak("setup", "-c", config)[0], 0)
        for words in (["run", "-c", config], ["notify", "test", "-c", config]):
            code, out, err = firebreak(*words)
            self.assertEqual(code, 2, words)
            self.assertIn("notifications.webhook", err)
            self.assertNotIn(CANARY, out + err)
        code, out, err = firebreak("config", "check", config)
        self.assertEqual((code, "notifications.webhook" in err), (1, True), err)
        self.assertNotIn(CANARY, out + err)

    def test_config_check_finds_what_no_sink_could_be_made_of_or_sent_to(self):
        self.assertEqual(firebreak("config", "check", self.config())[0], 0)
        mail = {"from": "firebreak@example.com", "to": ["soc@example.com"], "server": "smtp://mail.example.com:587"}
        secret = {"secret_file": self.secret("hook2", CANARY)}
        for more, says in (({"webhook": {"url": "https://hooks.example.com/x", "secret_file": "/nowhere"}}, "/nowhere"),
                           ({"webhook": {"url": "ftp://hooks.example.com/x", **secret}}, "notifications.webhook.url"),
                           ({"allow_http": False, "webhook": {"url": "http://hooks.example.com", **secret}}, "https"),
                           ({"allow_private": [], "webhook": {"url": "https://127.0.0.1/x", **secret}}, "not a public address"),
                           ({"slack": {"url_file": self.secret("slack2", "not a url " + CANARY)}}, "notifications.slack.url_file"),
                           ({"webhook": {"url": "https://hooks.example.com/x", "events": ["isolted"], **secret}}, "notifications.webhook.events"),
                           ({"smtp": {**mail, "to": ["soc@example.com\r\nBcc: x@example.com"]}}, "notifications.smtp")):
            code, out, err = firebreak("config", "check", self.config(**more))
            self.assertEqual((code, says in err), (1, True), (more, err))
            self.assertNotIn(CANARY, out + err)

    def test_a_private_address_is_not_called_unless_it_is_listed(self):
        config = self.config(allow_private=[])
        code, out, _ = firebreak("notify", "test", "-c", config)
        self.assertEqual(code, 1)
        self.assertIn("not a public address", out)
        self.assertEqual(self.receiver.got, [])

    def test_a_config_without_sinks_is_said(self):
        code, _, err = firebreak("notify", "test", "-c", self.config(webhook={}))
        self.assertEqual(code, 2)
        self.assertIn("sets up no notifications", err)


if __name__ == "__main__":
    unittest.main(verbosity=2)
