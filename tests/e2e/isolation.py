#!/usr/bin/env python3
"""Real isolation, end to end: network namespaces as machines, a real Apache Kafka, the real service, agent and helper.

One namespace holds Kafka and the service, two are hosts with firebreak-agent (unprivileged) and firebreak-agent-helper, one is
an attacker, one an address that the policy excepts; a bridge joins them. Everything is asserted by traffic:
  cut        an event is produced on a host; its established session with the attacker dies. Many runs; times are printed.
  keep       while isolated: the excepted address, the control plane and Kafka are reached, the attacker is not, nobody gets in
  update     a changed list of exceptions reaches an isolated host within a second
  drift      `flush ruleset` on an isolated host is mended within a second and reported
  reboot     the host comes up anew: the isolation is in force before its link is, and stays until it is released
  lease      an isolation with a lease ends by itself while the service is gone
  glass      a break-glass code lets the host back in, once, and the service says so
  offline    an action for a host that is away waits and never reads successful
  protected  the host's own flag refuses what the service orders
  name       the service's name can't be looked up any more, and both sides are started anew: the host still finds it
  forged     a genuine order does nothing when it comes again, with one byte changed, or to another host's helper
Needs root. usage: isolation.py [--build DIR] [--runs N] [--only cut,keep,...]
"""
import argparse, atexit, base64, glob, hashlib, json, os, shutil, signal, socket, sqlite3, struct, subprocess, sys, tempfile, time

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))
STARTED = time.time()
NOBODY = 65534
PREFIX = f"fb{os.getpid()}"
NET = "10.97.0"
ADDRESS = {"svc": f"{NET}.10", "exc": f"{NET}.20", "exc2": f"{NET}.21", "att": f"{NET}.30", "h1": f"{NET}.1", "h2": f"{NET}.2"}
ECHO = 7000
SERVICE = "service.firebreak.test"
BACK = 45  # seconds: an agent that lost the service for long tries again every 30 s at the latest


def say(text):
    print(f"[{time.time() - STARTED:6.1f}s] {text}", flush=True)


def fail(text):
    print(f"isolation: FAILED: {text}", flush=True)
    sys.exit(1)


def check(condition, text):
    if not condition:
        fail(text)
    say(f"  {text}")


def run(args, **more):
    return subprocess.run(args, check=True, **more)


def until(what, seconds, ask):
    """Waits for ask() to be true; returns the seconds it took."""
    began = time.time()
    while time.time() - began < seconds:
        if ask():
            return time.time() - began
        time.sleep(0.01)
    fail(f"{what}: not within {seconds} s")


def machine_id(machine):
    return hashlib.md5(machine.encode()).hexdigest()


class Net:
    """The machines: one namespace each, joined by a bridge in one of its own."""

    def __init__(self):
        self.spaces = []
        atexit.register(self.close)
        self.add("sw")
        run(["ip", "-n", self.name("sw"), "link", "add", "br0", "type", "bridge"])
        run(["ip", "-n", self.name("sw"), "link", "set", "br0", "up"])
        self.links = 0
        for machine in ("svc", "exc", "att", "h1", "h2"):
            self.add(machine)
            self.wire(machine)
        run(["ip", "-n", self.name("exc"), "addr", "add", f"{ADDRESS['exc2']}/24", "dev", "eth0"])

    def name(self, machine):
        return f"{PREFIX}{machine}"

    def add(self, machine):
        run(["ip", "netns", "add", self.name(machine)])
        self.spaces.append(machine)
        run(["ip", "-n", self.name(machine), "link", "set", "lo", "up"])

    def wire(self, machine, up=True):
        self.links += 1
        ours, theirs = f"{PREFIX[:9]}a{self.links}", f"{PREFIX[:9]}b{self.links}"
        run(["ip", "link", "add", ours, "type", "veth", "peer", "name", theirs])
        run(["ip", "link", "set", ours, "netns", self.name(machine), "name", "eth0"])
        run(["ip", "link", "set", theirs, "netns", self.name("sw")])
        run(["ip", "-n", self.name("sw"), "link", "set", theirs, "master", "br0", "up"])
        run(["ip", "-n", self.name(machine), "addr", "add", f"{ADDRESS[machine]}/24", "dev", "eth0"])
        if up:
            self.up(machine)

    def up(self, machine):
        run(["ip", "-n", self.name(machine), "link", "set", "eth0", "up"])

    def remove(self, machine):
        self.spaces.remove(machine)
        run(["ip", "netns", "del", self.name(machine)])

    def command(self, machine, args):
        return ["ip", "netns", "exec", self.name(machine), *args]

    def named(self, machine, work, args):
        """The same, as a machine with a name and an id of its own."""
        file = os.path.join(work, f"{machine}.machine-id")
        with open(file, "w") as f:
            f.write(machine_id(machine) + "\n")
        hosts = os.path.join(work, "hosts")
        if not os.path.exists(hosts):
            with open(hosts, "w") as f:
                f.write(f"127.0.0.1 localhost\n{ADDRESS['svc']} {SERVICE}\n")
        return self.command(machine, ["unshare", "--uts", "--mount", "sh", "-c",
                                      'hostname "$0" && mount --bind "$1" /etc/machine-id && mount --bind "$2" /etc/hosts && '
                                      'shift 2 && exec "$@"', machine, file, hosts, *args])

    def close(self):
        for machine in self.spaces:
            subprocess.run(["ip", "netns", "del", self.name(machine)], stderr=subprocess.DEVNULL)
        self.spaces = []


class Processes:
    """What this run started; whatever happens, none is left behind."""

    def __init__(self):
        self.all = []
        atexit.register(self.close)

    def start(self, args, **more):
        process = subprocess.Popen(args, **more)
        self.all.append(process)
        return process

    def close(self):
        for process in self.all:
            if process.poll() is None:
                process.kill()
                process.wait()


ECHO_SERVER = """
import socket, sys, threading
listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(("0.0.0.0", int(sys.argv[1])))
listener.listen(64)
def serve(peer):
    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        while data := peer.recv(4096):
            peer.sendall(data)
    except OSError:
        pass
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
"""
REACH = """
import socket, sys
try:
    s = socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=0.7)
    print("yes")
except OSError:
    print("no")
"""


class Session:
    """e2e_session on one machine."""

    def __init__(self, options, net, processes, machine, bootstrap, topic, event_file):
        self.process = processes.start(net.command(machine, [options.session, bootstrap, topic, event_file]),
                                       stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def close(self):
        self.process.stdin.close()
        self.process.wait(timeout=20)


class Service:
    def __init__(self, options, net, processes, work, bootstrap, topic):
        self.options, self.net, self.processes, self.work = options, net, processes, work
        self.data = os.path.join(work, "data")
        self.config_file = os.path.join(work, "firebreak.yml")
        self.config = {
            "data_dir": self.data,
            "kafka": {"properties": {"bootstrap.servers": bootstrap}, "topics": [topic], "group": f"g-{topic}"},
            "rules": [os.path.join(work, "rules")],
            "response": {"mode": "enforce",
                         "guards": {"cooldown": "off", "rule_budget_min": 100000, "fleet_standing_min": 100, "fleet_new_min": 100000},
                         "isolation": {"exceptions": [ADDRESS["exc"]], "services": [bootstrap], "message": "Call the help desk."}},
            "http": {"listen": ""},
            "agents": {"listen": f"{ADDRESS['svc']}:8771", "names": [ADDRESS["svc"], SERVICE], "heartbeat": "1s", "offline_after": "4s"},
        }
        self.log = open(os.path.join(work, "service.log"), "ab")
        self.process = None
        os.makedirs(os.path.join(work, "rules"))
        with open(os.path.join(work, "rules", "cut.yml"), "w") as f:
            json.dump({"rule_id": "cut-me", "name": "The marker of this test", "description": "d", "type": "query",
                       "language": "kuery", "query": 'process.name: "cut-me.exe"', "severity": "high", "risk_score": 90,
                       "response_actions": [{"action_type_id": ".endpoint",
                                             "params": {"command": "isolate", "comment": "end to end"}}]}, f)
        self.write()
        run([options.firebreak, "setup", "-c", self.config_file], stdout=subprocess.DEVNULL)

    def write(self):
        with open(self.config_file, "w") as f:
            json.dump(self.config, f)

    def start(self):
        self.process = self.processes.start(
            self.net.command("svc", [self.options.firebreak, "run", "-c", self.config_file]), stdout=self.log, stderr=self.log)
        path = os.path.join(self.data, "firebreak.sock")

        def answers():
            if self.process.poll() is not None:
                fail(f"the service ended with {self.process.returncode}; see {self.work}/service.log")
            with socket.socket(socket.AF_UNIX) as s:
                try:
                    s.connect(path)
                    return True
                except OSError:
                    return False
        until("the service's socket", 30, answers)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=30)

    def firebreak(self, *args, ok=(0,)):
        done = subprocess.run([self.options.firebreak, *args, "-c", self.config_file], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True)
        if done.returncode not in ok:
            fail(f"firebreak {' '.join(args)}: exit {done.returncode}: {done.stdout}{done.stderr}")
        return done.stdout.strip()

    def ask(self, sql, *values):
        db = sqlite3.connect(f"file:{self.data}/firebreak.db?mode=ro", uri=True, timeout=10)
        try:
            return db.execute(sql, values).fetchall()
        finally:
            db.close()

    def endpoint(self, host):
        rows = self.ask("SELECT desired, observed, agent_status, generation FROM v_endpoints WHERE hostname = ?", host)
        return rows[0] if rows else ("", "", "", 0)

    def audited(self, what):
        return self.ask("SELECT count(*) FROM audit WHERE what = ?", what)[0][0]


class Host:
    """A machine with agent and helper."""

    def __init__(self, options, net, processes, service, machine):
        self.options, self.net, self.processes, self.service, self.machine = options, net, processes, service, machine
        self.dir = os.path.join(service.work, machine)
        self.helper_folder = os.path.join(self.dir, "helper")
        self.state = os.path.join(self.dir, "state")
        self.socket = os.path.join(self.dir, "run", "helper.sock")
        self.protected = os.path.join(self.dir, "protected")
        self.config_file = os.path.join(self.dir, "agent.yml")
        for folder in (self.dir, self.state, os.path.dirname(self.socket)):
            os.makedirs(folder, exist_ok=True)
            os.chmod(folder, 0o755)
        os.makedirs(self.helper_folder, mode=0o700, exist_ok=True)
        os.chown(self.state, NOBODY, NOBODY)
        self.log = open(os.path.join(self.dir, "log"), "ab")
        token = os.path.join(self.dir, "token")
        with open(token, "w") as f:
            f.write(service.firebreak("agents", "token") + "\n")
        os.chmod(token, 0o600)
        with open(self.config_file, "w") as f:
            json.dump({"server": f"https://{SERVICE}:8771", "token_file": token, "state_dir": self.state,
                       "backend": "nftables", "helper_socket": self.socket, "helper_folder": self.helper_folder,
                       "agent_id": f"agent-{machine}"}, f)
        done = subprocess.run(net.named(machine, service.work, [options.agent, "enroll", "-c", self.config_file]), stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True)
        if done.returncode != 0:
            fail(f"{machine} did not enrol: {done.stdout}")
        self.helper = self.agent = None
        self.start()

    def start_helper(self):
        self.helper = self.processes.start(
            self.net.named(self.machine, self.service.work, [self.options.helper, "--folder", self.helper_folder, "--socket", self.socket,
                                            "--backend", "nftables", "--protected-file", self.protected, "--allow-uid",
                                            str(NOBODY), "--changes-per-hour", "1000"]), stdout=self.log, stderr=self.log)
        until(f"the helper of {self.machine}", 10, lambda: os.path.exists(self.socket))

    def start_agent(self):
        self.agent = self.processes.start(
            self.net.named(self.machine, self.service.work, ["setpriv", "--reuid", str(NOBODY), "--regid", str(NOBODY), "--clear-groups",
                                            "--inh-caps=-all", "--bounding-set=-all", "--no-new-privs", self.options.agent,
                                            "run", "-c", self.config_file]), stdout=self.log, stderr=self.log)

    def start(self):
        self.start_helper()
        self.start_agent()
        until(f"{self.machine} online", 20, lambda: self.service.endpoint(self.machine)[2] == "online")

    def kill(self):
        for process in (self.agent, self.helper):
            process.kill()
            process.wait()
        if os.path.exists(self.socket):
            os.unlink(self.socket)

    def reach(self, machine, port):
        address = ADDRESS.get(machine, machine)
        return run(self.net.command(self.machine, [sys.executable, "-c", REACH, address, str(port)]), stdout=subprocess.PIPE,
                   text=True).stdout.strip() == "yes"

    def nft(self, *args):
        run(self.net.command(self.machine, ["nft", *args]), stdout=subprocess.DEVNULL)

    def isolate(self, *args):
        self.service.firebreak("isolate", self.machine, "--comment", "by hand", *args)
        self.wait("isolated")

    def carry(self, envelope):
        """Hands an envelope to the helper, as the agent would; returns its report."""
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(10)
            s.connect(self.socket)
            body = b"C" + envelope.encode()
            s.sendall(struct.pack(">I", len(body)) + body)
            stream = s.makefile("rb")
            while True:
                size = struct.unpack(">I", stream.read(4))[0]
                answer = stream.read(size)
                if answer[:1] != b"b":
                    return json.loads(answer[1:])

    def release(self):
        self.service.firebreak("release", self.machine, "--comment", "by hand")
        self.wait("released")

    def wait(self, state, seconds=10):
        return until(f"{self.machine} {state}", seconds, lambda: self.service.endpoint(self.machine)[:2] == (state, state))


class Run:
    def __init__(self, options, work):
        self.options = options
        self.net = Net()
        self.processes = Processes()
        net, start = self.net, self.processes.start
        for machine in ("exc", "att", "h1", "h2"):
            start(net.command(machine, [sys.executable, "-c", ECHO_SERVER, str(ECHO)]))
        kafka = [os.path.join(ROOT, "scripts/kafka")]
        where = ["--dir", os.path.join(work, "kafka")]
        up = run(net.command("svc", [*kafka, "up", "--port", "0", "--host", ADDRESS["svc"], *where]), stdout=subprocess.PIPE,
                 text=True).stdout
        atexit.register(lambda: subprocess.run(net.command("svc", [*kafka, "down", *where]), stderr=subprocess.DEVNULL))
        self.bootstrap = up.split()[-1]
        say(f"Apache Kafka runs at {self.bootstrap} in a namespace of its own")
        topic = "events"
        run(net.command("svc", [*kafka, "topic", topic, "1", *where]), stderr=subprocess.DEVNULL)
        self.service = Service(options, net, self.processes, work, self.bootstrap, topic)
        self.service.start()
        self.h1 = Host(options, net, self.processes, self.service, "h1")
        self.h2 = Host(options, net, self.processes, self.service, "h2")
        say("two hosts are enrolled and online")
        event = os.path.join(work, "event.ndjson")
        with open(event, "w") as f:
            json.dump({"@timestamp": "2026-01-01T00:00:00Z", "agent": {"id": "agent-h1"},
                       "host": {"id": machine_id("h1"), "name": "h1"}, "process": {"name": "cut-me.exe"}}, f)
            f.write("\n")
        self.topic, self.event = topic, event
        self.session = Session(options, net, self.processes, "h1", self.bootstrap, topic, event)

    def expect(self, command, wanted="ok"):
        got = self.session.ask(command)
        if not got.startswith(wanted):
            fail(f"'{command}' said '{got}'")

    def cut(self):
        """Also: sessions with the excepted address live through every isolation and release."""
        self.expect(f"open exc {ADDRESS['exc']} {ECHO}")
        times = []
        for n in range(self.options.runs):
            self.expect(f"open att {ADDRESS['att']} {ECHO}")
            words = self.session.ask("cut att").split()
            ms = float(words[1])
            if ms < 0:
                fail(f"run {n + 1}: {' '.join(words)}")
            if n > 0:  # the first one resolves, connects and warms up
                times.append(ms)
            self.expect("close att")
            self.expect("alive exc")
            self.h1.wait("isolated")
            self.h1.release()
            if (n + 1) % 50 == 0:
                say(f"  {n + 1} of {self.options.runs}")
        self.expect("alive exc")
        self.expect("close exc")
        times.sort()
        p = lambda q: times[min(len(times) - 1, int(len(times) * q))]
        say(f"  produce to cut over {len(times)} runs: p50 {p(0.5):.1f} ms, p90 {p(0.9):.1f} ms, p99 {p(0.99):.1f} ms, "
            f"max {times[-1]:.1f} ms, load {os.getloadavg()[0]:.1f}")
        verified = self.service.ask("SELECT count(*) FROM v_actions WHERE command = 'isolate' AND status = 'verified'")[0][0]
        check(verified == self.options.runs, f"{verified} isolations were verified by read-back")

    def keep(self):
        self.expect(f"open exc {ADDRESS['exc']} {ECHO}")
        self.expect(f"open att {ADDRESS['att']} {ECHO}")
        self.h1.isolate()
        check(self.session.ask("alive exc") == "ok", "a session with the excepted address lives on")
        check(self.session.ask("alive att").startswith("dead"), "a session with the attacker is dead")
        check(self.h1.reach("exc", ECHO), "a new connection to the excepted address opens")
        check(not self.h1.reach("att", ECHO), "a new connection to the attacker does not")
        check(not self.h1.reach("h2", ECHO), "nor one to another host")
        reached = run(self.net.command("att", [sys.executable, "-c", REACH, ADDRESS["h1"], str(ECHO)]), stdout=subprocess.PIPE,
                      text=True).stdout.strip()
        check(reached == "no", "the attacker does not get in")
        check(self.session.ask("produce") == "ok", "the isolated host still sends its events to Kafka")
        check(self.h2.reach("att", ECHO), "the other host is not touched")
        self.h1.release()
        check(self.h1.reach("att", ECHO), "after the release the network is there again")
        self.expect("close exc")
        self.expect("close att")

    def update(self):
        self.h1.isolate()
        check(not self.h1.reach("exc2", ECHO), "the second address is not excepted yet")
        self.service.config["response"]["isolation"]["exceptions"].append(ADDRESS["exc2"])
        self.service.write()
        self.service.process.send_signal(signal.SIGHUP)
        took = until("the exception on the isolated host", 5, lambda: self.h1.reach("exc2", ECHO))
        check(took < 1.0, f"the changed exceptions were in force after {took:.2f} s")
        check(not self.h1.reach("att", ECHO), "and the rest stays cut")
        self.h1.release()

    def drift(self):
        self.h1.isolate()
        self.h1.nft("flush", "ruleset")
        began = time.time()
        self.expect_cut_within(1.5, began)
        until("the drift in the heartbeat", 5,
              lambda: self.service.ask("SELECT drift_events FROM endpoints WHERE hostname = 'h1'")[0][0] > 0)
        say("  the drift was reported")
        self.h1.nft("delete", "chain", "inet", "firebreak_iso", "output")
        self.expect_cut_within(1.5, time.time())
        self.h1.release()

    def expect_cut_within(self, seconds, began):
        while self.h1.reach("att", ECHO):
            if time.time() - began > seconds:
                fail(f"the host is still open {seconds} s after its rules were changed")
        say(f"  the isolation was mended {time.time() - began:.2f} s after the rules were changed, at the latest")
        time.sleep(0.2)
        if self.h1.reach("att", ECHO):
            fail("the host is open again")

    def reboot(self):
        self.h1.isolate()
        self.session.close()
        self.h1.kill()
        self.net.remove("h1")
        self.net.add("h1")
        self.net.wire("h1", up=False)
        self.h1.start_helper()
        time.sleep(0.3)
        self.net.up("h1")
        opened = 0
        began = time.time()
        while time.time() - began < 3:
            opened += self.h1.reach("att", ECHO)
        check(opened == 0, "after the reboot nothing got out, from the moment the link came up")
        self.h1.start_agent()
        until("the host's return", 20, lambda: self.service.endpoint("h1")[:3] == ("isolated", "isolated", "online"))
        check(self.h1.reach("svc", 8771), "the control plane is reached")
        self.h1.release()
        self.processes.start(self.net.command("h1", [sys.executable, "-c", ECHO_SERVER, str(ECHO)]))
        self.session = Session(self.options, self.net, self.processes, "h1", self.bootstrap, self.topic, self.event)
        check(self.h1.reach("att", ECHO), "and a release opens it")

    def lease(self):
        self.service.stop()
        self.service.config["response"]["lease"] = "1m"
        self.service.write()
        self.service.start()
        until("h1 online", 20, lambda: self.service.endpoint("h1")[2] == "online")
        self.h1.isolate()
        self.service.stop()
        check(not self.h1.reach("att", ECHO), "isolated, and the service is gone")
        began = time.time()
        took = until("the lease's end", 75, lambda: self.h1.reach("att", ECHO))
        check(50 < took < 70, f"the host let itself back in {took:.0f} s later")
        del self.service.config["response"]["lease"]
        self.service.write()
        self.service.start()
        until("the release in the record", BACK, lambda: self.service.endpoint("h1")[:2] == ("released", "released"))
        # Whichever came first: what the host told, or the service's own clock.
        by_lease = self.service.ask("SELECT count(*) FROM v_actions WHERE command = 'release' AND requested_by = 'lease'")[0][0]
        check(self.service.audited("released_locally") + by_lease > 0, "the service knows why")
        time.sleep(2)
        check(self.h1.reach("att", ECHO), "and does not isolate it again")

    def glass(self):
        self.h1.isolate()
        code = self.service.firebreak("break-glass", "h1", "--comment", "nobody is on call").split()[-1]

        def use(text):
            return subprocess.run(self.net.command("h1", [self.options.agent, "release", "--break-glass", "-c",
                                                          self.h1.config_file]), input=text + "\n", stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, text=True)
        wrong = use("00000-00000-00000-00000-00000-0")
        check(wrong.returncode != 0 and not self.h1.reach("att", ECHO), "a wrong code does nothing")
        right = use(code)
        check(right.returncode == 0 and self.h1.reach("att", ECHO), f"the code lets the host back in ({right.stdout.strip()})")
        until("the release in the record", 20, lambda: self.service.endpoint("h1")[:2] == ("released", "released"))
        check(self.service.audited("released_locally") > 0, "the service has it in its audit")
        self.h1.isolate()
        again = use(code)
        check(again.returncode != 0 and not self.h1.reach("att", ECHO), "the code does not work a second time")
        self.h1.release()

    def offline(self):
        self.h2.agent.kill()
        self.h2.agent.wait()
        until("h2 offline", 15, lambda: self.service.endpoint("h2")[2] == "offline")
        self.service.firebreak("isolate", "h2", "--comment", "while it is away")
        status = lambda: self.service.ask("SELECT status FROM v_actions WHERE endpoint_id = 'agent-h2' ORDER BY created_at DESC")[0][0]
        until("the action queued", 5, lambda: status() == "queued")
        check(self.h2.reach("att", ECHO), "a host that is away is not isolated, and the action reads queued")
        self.h2.start_agent()
        self.h2.wait("isolated", 20)
        check(status() == "verified" and not self.h2.reach("att", ECHO), "when it comes back it is")
        self.h2.release()

    def name(self):
        self.h2.isolate()
        hosts = os.path.join(self.service.work, "hosts")
        with open(hosts, "r+") as f:
            f.truncate(len("127.0.0.1 localhost\n"))
        self.h2.agent.kill()
        self.h2.agent.wait()
        self.service.stop()
        self.service.start()
        self.h2.start_agent()
        until("h2 online", 60, lambda: self.service.endpoint("h2")[2] == "online")
        check(not self.h2.reach("att", ECHO), "the isolated host found the service again, without a name server")
        self.h2.release()
        with open(hosts, "a") as f:
            f.write(f"{ADDRESS['svc']} {SERVICE}\n")

    def forged(self):
        self.h1.isolate()
        orders = glob.glob(os.path.join(self.h1.helper_folder, "orders", "*.order"))
        check(len(orders) == 1, "the isolated host keeps the signed order")
        with open(orders[0]) as f:
            order = f.read().strip()
        self.h1.release()
        check(not glob.glob(os.path.join(self.h1.helper_folder, "orders", "*.order")), "and not after its release")
        magic, kid, payload, signature = order.split(".")
        other = bytearray(base64.b64decode(payload))
        other[-1] ^= 1
        tries = {"replayed": (self.h1, order),
                 "changed in one bit": (self.h1, ".".join([magic, kid, base64.b64encode(bytes(other)).decode(), signature])),
                 "signed by nobody": (self.h1, ".".join([magic, "0" * 16, payload, signature])),
                 "given to another host": (self.h2, order)}
        for how, (host, envelope) in tries.items():
            report = host.carry(envelope)
            if report.get("kind") != "refused" or not host.reach("att", ECHO):
                fail(f"an order {how}: {report}")
            say(f"  an order {how} is refused: {report['message']}")

    def protected(self):
        open(self.h2.protected, "w").close()
        self.service.firebreak("isolate", "h2", "--comment", "protected there", ok=(0, 1))
        until("the refusal", 10, lambda: self.service.ask(
            "SELECT status FROM v_actions WHERE endpoint_id = 'agent-h2' ORDER BY created_at DESC")[0][0] == "failed")
        check(self.h2.reach("att", ECHO), "the host's own flag held, and the action reads failed")
        os.unlink(self.h2.protected)
        self.h2.isolate()
        self.h2.release()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", default=os.path.join(ROOT, "build/dev"))
    parser.add_argument("--runs", type=int, default=201)
    parser.add_argument("--only", default="cut,keep,update,drift,reboot,lease,glass,offline,protected,name,forged")
    parser.add_argument("--keep", action="store_true", help="leave the work folder")
    options = parser.parse_args()
    options.firebreak = os.path.join(options.build, "apps/firebreak/firebreak")
    options.agent = os.path.join(options.build, "apps/firebreak-agent/firebreak-agent")
    options.helper = os.path.join(options.build, "apps/firebreak-agent-helper/firebreak-agent-helper")
    options.session = os.path.join(options.build, "tests/e2e/e2e_session")
    if os.geteuid() != 0:
        fail("this needs root: it makes network namespaces")
    work = tempfile.mkdtemp(prefix="firebreak-isolation-")  # the agent, as nobody, must be able to walk there
    os.chmod(work, 0o755)
    good = False
    try:
        it = Run(options, work)
        parts = options.only.split(",")
        for part in parts:
            say(f"== {part}")
            getattr(it, part)()
        it.processes.close()
        good = True
    finally:
        if good and not options.keep:
            it.net.close()
            shutil.rmtree(work, ignore_errors=True)
        elif not good:
            for log in (f"{work}/service.log", f"{work}/h1/log", f"{work}/h2/log"):
                if os.path.exists(log):
                    with open(log, errors="replace") as f:
                        print(f"the end of {log}:", *f.readlines()[-15:], sep="\n  ", flush=True)
            say(f"left for you to look at: {work}")
    say(f"{len(parts)} passed, 0 failed")


if __name__ == "__main__":
    main()
