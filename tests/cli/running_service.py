"""A service for a test, without a broker: its folder, its API over TCP, simulated agents. All of it ends with the test."""
import http.client, json, os, re, shutil, subprocess, sys, tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "support"))
from waiting import free_ports, until


class Reply:
    def __init__(self, status, headers, raw):
        self.status, self.headers, self.raw = status, headers, raw

    @property
    def text(self):
        return self.raw.decode()

    @property
    def json(self):
        return json.loads(self.raw)

    @property
    def message(self):
        return self.json.get("message")


class RunningService:
    def __init__(self, firebreak, agent=None, rules=None, config=None):
        self.firebreak, self.agent = firebreak, agent
        self.folder = tempfile.mkdtemp(prefix="firebreak-test-")
        self.processes = []
        self.http_port, agents_port = free_ports(2)
        self.agents_url = f"https://127.0.0.1:{agents_port}"
        self.url = f"http://127.0.0.1:{self.http_port}"
        self.config = os.path.join(self.folder, "firebreak.yml")
        self.data = os.path.join(self.folder, "data")
        rule_folder = os.path.join(self.folder, "rules")
        os.makedirs(rule_folder)
        with open(os.path.join(rule_folder, "one.yml"), "w") as f:
            json.dump({"rule_id": "one", "name": "One", "description": "d", "type": "query", "language": "kuery",
                       "query": "event.code: 4688", "severity": "low", "risk_score": 10, **(rules or {})}, f)
        with open(self.config, "w") as f:
            whole = {"data_dir": self.data,
                     "kafka": {"properties": {"bootstrap.servers": "127.0.0.1:1"}, "topics": ["t"]},
                     "rules": [rule_folder], "response": {"mode": "enforce"},
                     "http": {"listen": f"127.0.0.1:{self.http_port}"},
                     "agents": {"listen": f"127.0.0.1:{agents_port}", "heartbeat": "1s", "offline_after": "5s"}}
            whole.update(config or {})  # None takes a key away
            json.dump({key: value for key, value in whole.items() if value is not None}, f)
        try:
            self.key = re.search(r"shown this once:\s+(\S+)", self.cli("setup")).group(1)
            self._start([firebreak, "run", "-c", self.config], "service.log")
            until("the service", self._is_up, 30)
        except BaseException:
            self.close()
            raise

    def _start(self, args, log):
        with open(os.path.join(self.folder, log), "ab") as out:
            self.processes.append(subprocess.Popen(args, stdout=out, stderr=out))
        return self.processes[-1]

    def _is_up(self):
        if self.processes[0].poll() is not None:
            with open(os.path.join(self.folder, "service.log")) as f:
                raise AssertionError("the service ended: " + f.read())
        try:
            return self.ask("GET", "/healthz").status == 200
        except OSError:
            return False

    def restart(self):
        service = self.processes[0]
        service.terminate()
        service.wait(20)
        others = self.processes[1:]
        self.processes = []
        self._start([self.firebreak, "run", "-c", self.config], "service.log")
        self.processes += others
        until("the service", self._is_up, 30)

    def close(self):
        for process in reversed(self.processes):
            process.terminate()
        for process in reversed(self.processes):
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def run(self, *args, stdin=None):
        """(exit code, standard output, standard error) of `firebreak ARGS -c CONFIG`."""
        done = subprocess.run([self.firebreak, *args, "-c", self.config], input=stdin, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, timeout=60)
        return done.returncode, done.stdout, done.stderr

    def cli(self, *args):
        code, out, err = self.run(*args)
        if code != 0:
            raise AssertionError(f"firebreak {' '.join(args)}: exit {code}: {out}{err}")
        return out

    def ask(self, method, path, body=None, headers=None, key=None):
        """One request. A body that is not bytes is sent as JSON."""
        sent = {"Authorization": f"ApiKey {key or getattr(self, 'key', '')}", "kbn-xsrf": "true"}
        data = body
        if body is not None and not isinstance(body, bytes):
            data = json.dumps(body).encode()
            sent["Content-Type"] = "application/json"
        sent.update(headers or {})
        connection = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=30)
        try:
            connection.request(method, path, body=data, headers=sent)
            reply = connection.getresponse()
            return Reply(reply.status, dict(reply.getheaders()), reply.read())
        finally:
            connection.close()

    def upload(self, path, content, filename="exceptions.ndjson"):
        edge = "test-edge-7f3a"
        form = (f"--{edge}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{filename}\"\r\n"
                f"Content-Type: application/ndjson\r\n\r\n{content}\r\n--{edge}--\r\n").encode()
        return self.ask("POST", path, form, {"Content-Type": f"multipart/form-data; boundary={edge}"})

    def enroll(self, agent_id, os_name):
        """A simulated agent of its own process, online."""
        folder = os.path.join(self.folder, agent_id)
        os.makedirs(folder)
        token = os.path.join(folder, "token")
        with open(token, "w") as f:
            f.write(self.cli("agents", "token"))
        os.chmod(token, 0o600)
        config = os.path.join(folder, "agent.yml")
        with open(config, "w") as f:
            json.dump({"server": self.agents_url, "token_file": token, "state_dir": os.path.join(folder, "state"),
                       "backend": "simulated", "agent_id": agent_id,
                       "simulated": {"host_id": "host-" + agent_id, "hostname": agent_id, "os": os_name,
                                     "ips": ["192.0.2.10"]}}, f)
        with open(os.path.join(self.folder, agent_id + ".log"), "ab") as log:
            subprocess.run([self.agent, "enroll", "-c", config], stdout=log, stderr=log, check=True, timeout=60)
        self._start([self.agent, "run", "-c", config], agent_id + ".log")
        until(f"{agent_id} online", lambda: self.endpoint(agent_id).get("agent_status") == "online")

    def endpoint(self, agent_id):
        for line in self.cli("endpoints", "--format", "json").splitlines():
            row = json.loads(line)
            if row["endpoint_id"] == agent_id:
                return row
        return {}

    def cut_of(self, agent_id):
        """What the simulated agent has in place of a firewall; {} when there is nothing yet."""
        try:
            with open(os.path.join(self.folder, agent_id, "state", "simulated_isolation.json")) as f:
                return json.load(f)
        except (FileNotFoundError, json.JSONDecodeError):
            return {}
