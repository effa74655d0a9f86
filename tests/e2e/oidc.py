#!/usr/bin/env python3
"""Logging in through a real OpenID provider (npm's oidc-provider), as a browser does, against the real service.

  login    authorization code with PKCE; the roles are those of the groups; the session works and ends with the logout
  nobody   a person without a group that counts, a person who says no at the provider, a callback of another browser or twice
  rotation the provider comes back with another key of another kind (ES256): the next login works, the service unasked
  away     the provider is gone: 503, and sessions that stand go on
Needs node and npm. usage: oidc.py [--build DIR]
"""
import argparse, atexit, html, json, os, re, shutil, subprocess, sys, tempfile, time, urllib.error, urllib.parse, urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "support"))
from waiting import free_ports, until

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))
HERE = os.path.dirname(os.path.realpath(__file__))
CLIENT, SECRET = "firebreak", "a secret/with+signs"
GROUPS = {"ada": ["soc", "staff"], "lead": ["soc-leads"], "guest": ["staff"]}


def fail(text):
    print(f"oidc: FAILED: {text}", flush=True)
    sys.exit(1)


def check(condition, text):
    if not condition:
        fail(text)


class NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None


class Browser:
    """Cookies by address and port, forms, redirects: what a person's browser does."""

    def __init__(self):
        self.cookies, self.opener = {}, urllib.request.build_opener(NoRedirect)

    def ask(self, method, url, form=None, headers=None):
        origin = "/".join(url.split("/")[:3])
        jar = self.cookies.setdefault(origin, {})
        request = urllib.request.Request(url, method=method, headers=dict(headers or {}))
        if form is not None:
            request.data = urllib.parse.urlencode(form).encode()
        if jar:
            request.add_header("Cookie", "; ".join(f"{k}={v}" for k, v in jar.items()))
        try:
            reply = self.opener.open(request, timeout=30)
        except urllib.error.HTTPError as e:
            reply = e
        with reply:
            for line in reply.headers.get_all("Set-Cookie") or []:
                name, value = line.split(";")[0].split("=", 1)
                jar[name] = value
                if not value or "expires=Thu, 01 Jan 1970" in line:
                    jar.pop(name)
            return reply.status, reply.headers, reply.read().decode()

    def go(self, url, stop_at=None):
        """Follows redirects; with stop_at, ends at the address that begins so, unasked."""
        for _ in range(20):
            if stop_at and url.startswith(stop_at):
                return url, None, None
            status, headers, body = self.ask("GET", url)
            if status not in (301, 302, 303, 307):
                return url, status, body
            url = urllib.parse.urljoin(url, headers["Location"])
        fail(f"too many redirects at {url}")

    def submit(self, url, page, **fields):
        action = html.unescape(re.search(r'<form[^>]*action="([^"]+)"', page).group(1))
        hidden = dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', page))
        status, headers, _ = self.ask("POST", urllib.parse.urljoin(url, action), {**hidden, **fields})
        check(status in (302, 303), f"the provider's form answered {status}")
        return urllib.parse.urljoin(url, headers["Location"])


class Setting:
    def __init__(self, build):
        self.dir = tempfile.mkdtemp(prefix="firebreak-oidc-")
        self.running = {}
        atexit.register(self.close)
        self.firebreak = os.path.join(build, "apps/firebreak/firebreak")
        self.modules = os.path.join(build, "oidc")
        self.http, agents, self.provider_port = free_ports(3)
        self.url = f"http://127.0.0.1:{self.http}"
        self.callback = f"{self.url}/api/firebreak/session/oidc/callback"
        self.secret = os.path.join(self.dir, "secret")
        with open(os.open(self.secret, os.O_WRONLY | os.O_CREAT, 0o600), "w") as f:
            f.write(SECRET + "\n")
        self.config = os.path.join(self.dir, "firebreak.yml")
        with open(self.config, "w") as f:
            json.dump({"data_dir": os.path.join(self.dir, "data"),
                       "kafka": {"properties": {"bootstrap.servers": "127.0.0.1:1"}, "topics": ["t"]},
                       "rules": [os.path.join(ROOT, "rules")], "response": {"mode": "dry_run"},
                       "http": {"listen": f"127.0.0.1:{self.http}"}, "agents": {"listen": f"127.0.0.1:{agents}"},
                       "oidc": {"issuer": f"http://127.0.0.1:{self.provider_port}", "client_id": CLIENT,
                                "client_secret_file": self.secret, "redirect_url": self.callback,
                                "roles": {"soc": "responder", "soc-leads": "approver"}}}, f)

    def close(self):
        for name in list(self.running):
            self.end(name)
        shutil.rmtree(self.dir, ignore_errors=True)

    def end(self, name):
        process = self.running.pop(name)
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def start(self, name, args, **more):
        with open(os.path.join(self.dir, name + ".log"), "ab") as log:
            self.running[name] = subprocess.Popen(args, stdout=log, stderr=log, **more)

    def install(self):
        os.makedirs(self.modules, exist_ok=True)
        for file in ("package.json", "package-lock.json", "provider.mjs"):
            shutil.copy(os.path.join(HERE, "oidc", file), self.modules)
        done = subprocess.run(["npm", "ci", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=self.modules,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300)
        check(done.returncode == 0, "npm ci: " + done.stdout)

    def start_provider(self, algorithm):
        env = {**os.environ, "PORT": str(self.provider_port), "CLIENT_ID": CLIENT, "CLIENT_SECRET": SECRET,
               "REDIRECT": self.callback, "ALG": algorithm, "PEOPLE": json.dumps(GROUPS)}
        self.start("provider", ["node", "provider.mjs"], cwd=self.modules, env=env)
        at = f"http://127.0.0.1:{self.provider_port}/.well-known/openid-configuration"
        until("the provider", lambda: urllib.request.urlopen(at, timeout=5).status == 200)

    def start_service(self):
        done = subprocess.run([self.firebreak, "setup", "-c", self.config], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        check(done.returncode == 0, "setup: " + done.stdout)
        self.start("service", [self.firebreak, "run", "-c", self.config])
        until("the service", lambda: urllib.request.urlopen(self.url + "/healthz", timeout=5).status == 200)

    def log(self, name):
        with open(os.path.join(self.dir, name + ".log")) as f:
            return f.read()

    def at_provider(self, browser, person):
        """Up to the callback's address, which is not asked yet."""
        url, status, page = browser.go(f"{self.url}/api/firebreak/session/oidc")
        check(status == 200 and "<form" in page, f"no form at the provider: {url} {status}\n{page}\n{self.log('provider')}")
        url = browser.submit(url, page, login=person, password="anything")
        url, status, page = browser.go(url, stop_at=self.callback)
        if status is not None:  # it asks whether we may know who this is
            check(status == 200 and "<form" in page, f"no consent: {url} {status}\n{page}")
            url, _, _ = browser.go(browser.submit(url, page), stop_at=self.callback)
        return url

    def log_in(self, person):
        browser = Browser()
        url = self.at_provider(browser, person)
        status, _, body = browser.ask("GET", url)
        return browser, status, json.loads(body), url


def main():
    args = argparse.ArgumentParser()
    args.add_argument("--build", default=os.path.join(ROOT, "build/dev"))
    s = Setting(args.parse_args().build)
    s.install()
    s.start_provider("RS256")
    s.start_service()

    browser, status, who, url = s.log_in("ada")
    check(status == 200 and who["user"] == "ada" and who["roles"] == ["responder"], f"login: {status} {who}")
    check(browser.ask("GET", s.url + "/api/firebreak/endpoints")[0] == 200, "the session does not work")
    check(browser.ask("GET", s.url + "/api/firebreak/users")[0] == 403, "a responder may not manage people")
    check(browser.ask("GET", url)[0] == 401, "a callback counts twice")
    _, status, who, _ = s.log_in("lead")
    check(status == 200 and who["roles"] == ["approver"], f"the other group: {status} {who}")
    print("oidc: login: right", flush=True)

    _, status, body, _ = s.log_in("guest")
    check(status == 401, f"without a group that counts: {status} {body}")
    url = s.at_provider(Browser(), "ada")
    check(Browser().ask("GET", url)[0] == 401, "a callback of another browser")
    refusing = Browser()
    url, _, page = refusing.go(f"{s.url}/api/firebreak/session/oidc")
    abort = urllib.parse.urljoin(url, html.unescape(re.search(r'href="([^"]*abort[^"]*)"', page).group(1)))
    url, _, _ = refusing.go(abort, stop_at=s.callback)
    check("error=access_denied" in url, f"the provider does not say no: {url}")
    check(refusing.ask("GET", url)[0] == 401, "who said no came in")
    print("oidc: nobody: kept out", flush=True)

    s.end("provider")
    s.start_provider("ES256")
    time.sleep(5.1)  # keys are not asked for more often
    _, status, who, _ = s.log_in("ada")
    check(status == 200 and who["user"] == "ada", f"after a new key: {status} {who}\n{s.log('service')}")
    print("oidc: rotation: right", flush=True)

    url = s.at_provider(late := Browser(), "ada")
    s.end("provider")
    check(late.ask("GET", url)[0] == 503, "the provider is gone")
    check(browser.ask("GET", s.url + "/api/firebreak/endpoints")[0] == 200, "a session that stands does not need it")
    status, _, _ = browser.ask("DELETE", s.url + "/api/firebreak/session", headers={"kbn-xsrf": "x"})
    check(status == 200 and browser.ask("GET", s.url + "/api/firebreak/endpoints")[0] == 401, "the logout does not hold")
    print("oidc: away: right\noidc: passed", flush=True)


if __name__ == "__main__":
    main()
