"""One whole Firebreak for an end-to-end script: an embedded broker, the service with its API on a TCP port, simulated
agents. Everything lives in one folder and ends with the script."""
import atexit, json, os, re, shutil, signal, subprocess, sys, tempfile, time, urllib.error, urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "support"))
from waiting import free_ports, until

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))
TOPIC = "events"


class Failed(AssertionError):
    pass


class Instance:
    def __init__(self, build, mode="enforce", response=None, folder=None):
        self.firebreak = os.path.join(build, "apps/firebreak/firebreak")
        self.agent = os.path.join(build, "apps/firebreak-agent/firebreak-agent")
        self.folder = folder or tempfile.mkdtemp(prefix="firebreak-e2e-")
        self.data = os.path.join(self.folder, "data")
        self.socket = os.path.join(self.data, "firebreak.sock")
        self.config_file = os.path.join(self.folder, "firebreak.yml")
        self.rules = os.path.join(self.folder, "rules")
        self.log_file = os.path.join(self.folder, "service.log")
        self.processes = []
        self.service = None
        http, agents = free_ports(2)
        self.url = f"http://127.0.0.1:{http}"
        self.agents_url = f"https://127.0.0.1:{agents}"
        atexit.register(self.close)
        os.makedirs(self.rules)
        with open(os.path.join(self.rules, "base.yml"), "w") as f:
            json.dump({"rule_id": "base", "name": "From a file", "description": "d", "type": "query", "language": "kuery",
                       "query": 'process.name: "from-a-file.exe"', "severity": "low", "risk_score": 10, "tags": ["files"]}, f)
        self.broker = self._start([os.path.join(build, "tests/e2e/e2e_broker"), TOPIC, "1"], stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE, text=True)
        bootstrap = self.broker.stdout.readline().strip()
        if not bootstrap:
            raise Failed("the embedded broker did not start")
        settings = {"mode": mode}
        settings.update(response or {})
        self.config = {
            "data_dir": self.data,
            # The mock broker holds a fetch for its whole wait.
            "kafka": {"properties": {"bootstrap.servers": bootstrap, "fetch.wait.max.ms": "10"}, "topics": [TOPIC]},
            "rules": [self.rules],
            "response": settings,
            "http": {"listen": f"127.0.0.1:{http}"},
            "agents": {"listen": f"127.0.0.1:{agents}", "heartbeat": "1s", "offline_after": "5s"},
        }
        with open(self.config_file, "w") as f:
            json.dump(self.config, f)
        said = self.run("setup", "-c", self.config_file)
        self.admin_key = re.search(r"shown this once:\s+(\S+)", said).group(1)

    def _start(self, args, **more):
        process = subprocess.Popen(args, **more)
        self.processes.append(process)
        return process

    def run(self, *args, ok=(0,), stdin=None, env=None):
        """`firebreak ARGS`: what it printed."""
        done = subprocess.run([self.firebreak, *args], input=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              timeout=120, env={**os.environ, **(env or {})})
        if done.returncode not in ok:
            raise Failed(f"firebreak {' '.join(args)}: exit {done.returncode}: {done.stdout}{done.stderr}")
        return done.stdout

    def cli(self, *args, **more):
        """An operating command, over the socket."""
        return self.run(*args, "--socket", self.socket, **more)

    def start(self):
        with open(self.log_file, "ab") as log:
            self.service = self._start([self.firebreak, "run", "-c", self.config_file], stdout=log, stderr=log)

        def answers():
            if self.service.poll() is not None:
                raise Failed(f"the service ended with {self.service.returncode}; see {self.log_file}")
            return os.path.exists(self.socket)
        until("the service", answers, 30)

    def enroll(self, agent_id, host_id, hostname, os_name="windows", ip="192.0.2.10"):
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
                       "simulated": {"host_id": host_id, "hostname": hostname, "os": os_name, "ips": [ip]}}, f)
        with open(os.path.join(folder, "log"), "ab") as log:
            subprocess.run([self.agent, "enroll", "-c", config], stdout=log, stderr=log, check=True, timeout=60)
            self._start([self.agent, "run", "-c", config], stdout=log, stderr=log)
        until(f"{hostname} online", lambda: self.endpoint(agent_id).get("agent_status") == "online")

    def endpoint(self, agent_id):
        for line in self.cli("endpoints", "--format", "json").splitlines():
            row = json.loads(line)
            if row["endpoint_id"] == agent_id:
                return row
        return {}

    def send(self, events):
        """Events into the topic."""
        path = os.path.join(self.folder, "events.ndjson")
        with open(path, "w") as f:
            for event in events:
                f.write(json.dumps(event) + "\n")
        self.broker.stdin.write(path + "\n")
        self.broker.stdin.flush()
        said = self.broker.stdout.readline().strip()
        if said != f"sent {len(events)}":
            raise Failed(f"the broker: {said}")

    def api(self, method, path, body=None, key=None, headers=None):
        """(status, parsed or plain body) of one request with an API key."""
        data = json.dumps(body).encode() if body is not None else None
        all_headers = {"Authorization": f"ApiKey {key or self.admin_key}"}
        if data is not None:
            all_headers["Content-Type"] = "application/json"
        request = urllib.request.Request(self.url + path, data=data, method=method, headers={**all_headers, **(headers or {})})
        try:
            with urllib.request.urlopen(request, timeout=30) as reply:
                status, raw = reply.status, reply.read()
        except urllib.error.HTTPError as error:
            status, raw = error.code, error.read()
        try:
            return status, json.loads(raw)
        except ValueError:
            return status, raw.decode()

    def close(self):
        if self.service is not None and self.service.poll() is None:
            self.service.send_signal(signal.SIGTERM)
            try:
                self.service.wait(timeout=15)
            except subprocess.TimeoutExpired:
                pass
        for process in self.processes:
            if process.poll() is None:
                process.kill()
                process.wait()
        self.processes = []

    def remove(self):
        self.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def event(agent_id, host_id, hostname, process, when=None):
    return {"@timestamp": when or time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime()),
            "event": {"kind": "event", "category": ["process"]}, "agent": {"id": agent_id, "type": "endpoint"},
            "host": {"id": host_id, "name": hostname, "hostname": hostname}, "process": {"name": process}}
