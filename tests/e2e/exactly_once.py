#!/usr/bin/env python3
"""Every expected alert exactly once, from a real Kafka, whatever happens to the service.

Makes a load (recorded attacks mapped to ECS under fresh ids, and the shipped rules' own test events), asks the slow path what
must be alerted, then plays the load through a real Apache Kafka to the real service while
  clean      nothing happens,
  kill       the service is killed (SIGKILL) at random moments under load,
  broker     the broker is stopped for a while and started again,
  second     a second instance (dry_run) joins and leaves the group.
Afterwards the alert ids in the record(s) must be exactly those computed here from the oracle's list and the producer's
receipts, the actions must be the expected set of (verb, endpoint), and each agent's journal must hold each action once.

usage: exactly_once.py --build DIR --events FILE.gz... [--phases clean,kill,broker,second] [--events-total 200000]
"""
import argparse, atexit, collections, hashlib, json, os, random, shutil, signal, sqlite3, subprocess, sys, tempfile, time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "support"))
from waiting import free_ports

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))
PARTITIONS = 4
STARTED = time.time()


def say(text):
    print(f"[{time.time() - STARTED:6.1f}s] {text}", flush=True)


def fail(text):
    print(f"exactly_once: FAILED: {text}", flush=True)
    sys.exit(1)


def run(args, **more):
    return subprocess.run(args, check=True, **more)


def alert_id(rule_id, cluster, topic, partition, offset):
    """The id as documented, computed by another program than the one under test."""
    h = hashlib.sha256()
    for part in ("fb-alert-1", rule_id, "[]", cluster, topic, "0", str(partition), str(offset)):
        raw = part.encode()
        h.update(len(raw).to_bytes(8, "big") + raw)
    return h.hexdigest()


def value_at(event, path):
    """The text at a path in the nested or the dotted spelling."""
    if path in event:
        return event[path]
    head, _, rest = path.partition(".")
    return value_at(event[head], rest) if rest and isinstance(event.get(head), dict) else None


class Load:
    """The events, and what the oracle says of them."""

    def __init__(self, options, work):
        self.path = os.path.join(work, "load.ndjson")
        self.options = options
        self.make(work)
        self.ask_oracle(work)

    def make(self, work):
        options = self.options
        mapped = os.path.join(work, "mapped.ndjson")
        say("mapping the recorded events to ECS")
        with open(mapped, "wb") as out:
            run([sys.executable, os.path.join(ROOT, "scripts/dev/map_to_ecs"), *options.events], stdout=out)
        tests = self.rule_test_events(work)
        with open(mapped, "rb") as f:
            base = sum(1 for _ in f) + tests
        repeat = max(1, -(-options.events_total // base))
        say(f"{base} events, repeated {repeat} times under fresh ids")
        with open(self.path, "wb") as out:
            run([sys.executable, os.path.join(ROOT, "scripts/dev/map_to_ecs"), "--repeat", str(repeat), "--hosts", "3",
                 *options.events], stdout=out)
            with open(os.path.join(work, "tests.ndjson"), "rb") as f:
                out.write(f.read())
        with open(self.path, "rb") as f:
            self.count = sum(1 for _ in f)
        say(f"the load holds {self.count} events, {os.path.getsize(self.path) >> 20} MB")

    def rule_test_events(self, work):
        """The positive and negative events written inside the shipped rules: so that every rule fires."""
        listing = run([self.options.firebreak, "rules", "list", "--format", "json", "--with-tests", os.path.join(ROOT, "rules")],
                      stdout=subprocess.PIPE).stdout
        count = 0
        with open(os.path.join(work, "tests.ndjson"), "w") as out:
            for line in listing.splitlines():
                for event in json.loads(line)["test_events"]:
                    out.write(event.replace("\n", " ") + "\n")
                    count += 1
        return count

    def ask_oracle(self, work):
        say("asking the slow path (replay --no-index) what must be alerted")
        out = run([self.options.firebreak, "replay", "--rules", os.path.join(ROOT, "rules"), "--no-index", "--threads", "2",
                   "--format", "json", self.path], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
        self.expected = []  # (rule id, event index)
        self.isolate = set()  # endpoints with at least one isolating alert and a clear target
        rules = set()
        for line in out.splitlines():
            alert = json.loads(line)
            self.expected.append((alert["rule_id"], alert["event_index"]))
            rules.add(alert["rule_id"])
            for action in alert["actions"]:
                if action["guard"] != "unknown_target":
                    self.isolate.add(action["endpoint"])
        listing = run([self.options.firebreak, "rules", "list", "--format", "json", os.path.join(ROOT, "rules")],
                      stdout=subprocess.PIPE).stdout
        shipped = {json.loads(line)["rule_id"] for line in listing.splitlines() if json.loads(line)["enabled"]}
        silent = shipped - rules
        if silent:
            fail(f"the load proves nothing for these rules, they never fire: {sorted(silent)}")
        if len(self.isolate) < 10:
            fail(f"only {len(self.isolate)} hosts would be isolated; the run would prove little")
        say(f"oracle: {len(self.expected)} alerts of {len(rules)} rules, {len(self.isolate)} hosts to isolate")

    def hosts(self):
        """agent.id -> host.id of every endpoint that must be isolated (the id replay names is the agent's)."""
        found = {}
        with open(self.path) as f:
            for line in f:
                event = json.loads(line)
                agent, host, name = (value_at(event, path) for path in ("agent.id", "host.id", "host.name"))
                if agent in self.isolate and isinstance(agent, str):
                    found.setdefault(agent, (host or agent, name or agent))
        missing = self.isolate - set(found)
        if missing:
            fail(f"hosts without an agent.id in the load: {sorted(missing)[:5]}")
        return found


class Service:
    def __init__(self, options, work, name, bootstrap, topic, group, mode, instance, alerts_topic=""):
        self.options, self.name = options, name
        self.dir = os.path.join(work, name)
        os.makedirs(self.dir)
        self.data = os.path.join(self.dir, "data")
        self.config = os.path.join(self.dir, "firebreak.yml")
        self.agents_port = free_ports(1)[0]
        with open(self.config, "w") as f:
            json.dump({
                "data_dir": self.data,
                "kafka": {"properties": {"bootstrap.servers": bootstrap, "group.instance.id": instance,
                                         "session.timeout.ms": 6000, "heartbeat.interval.ms": 1000,
                                         "reconnect.backoff.max.ms": 1000},
                          "topics": [topic], "group": group, "start": "earliest", "alerts_topic": alerts_topic},
                "rules": [os.path.join(ROOT, "rules")],
                "response": {"mode": mode, "guards": {"rule_budget_min": 100000, "fleet_standing_min": 100000,
                                                      "fleet_new_min": 100000, "freshness": "off"}},
                "http": {"listen": "127.0.0.1:0"},
                "agents": {"listen": f"127.0.0.1:{self.agents_port}", "heartbeat": "1s", "offline_after": "5s",
                           "max_connections_per_address": 4096},
            }, f)
        run([options.firebreak, "setup", "-c", self.config], stdout=subprocess.DEVNULL)
        self.process = None
        atexit.register(self.end)  # however the run ends, no service is left behind
        self.log = open(os.path.join(self.dir, "log"), "ab")

    def start(self):
        self.process = subprocess.Popen([self.options.firebreak, "run", "-c", self.config], stdout=self.log, stderr=self.log)

    def end(self):
        if self.process is not None and self.process.poll() is None:
            self.kill()

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout=60)
        if code != 0:
            fail(f"{self.name}: SIGTERM ended with {code}; see {self.dir}/log")

    def wait_for_socket(self):
        for _ in range(300):
            if os.path.exists(os.path.join(self.data, "firebreak.sock")):
                return
            if self.process.poll() is not None:
                fail(f"{self.name} ended by itself with {self.process.returncode}; see {self.dir}/log")
            time.sleep(0.1)
        fail(f"{self.name} did not start")

    def token(self):
        return run([self.options.firebreak, "agents", "token", "--ttl", "1h", "-c", self.config], stdout=subprocess.PIPE,
                   stderr=subprocess.DEVNULL).stdout.decode().strip()

    def ask(self, sql):
        db = sqlite3.connect(f"file:{self.data}/firebreak.db?mode=ro", uri=True, timeout=10)
        try:
            return db.execute(sql).fetchall()
        finally:
            db.close()

    def handled(self):
        try:
            return self.ask("SELECT coalesce(sum(next_offset), 0) FROM offsets")[0][0]
        except sqlite3.OperationalError:
            return 0


def kafka(*args, **more):
    return run([os.path.join(ROOT, "scripts/kafka"), *args], stdout=subprocess.PIPE, **more).stdout.decode().strip()


def wait_handled(services, total, seconds):
    """Until the records together have handled every offset (each partition counts once: the furthest record)."""
    until = time.time() + seconds
    shown = 0
    while time.time() < until:
        done = collections.Counter()
        for service in services:
            try:
                for partition, offset in service.ask("SELECT partition, next_offset FROM offsets"):
                    done[partition] = max(done[partition], offset)
            except sqlite3.OperationalError:
                pass
        if sum(done.values()) >= total:
            return
        if time.time() - shown > 10:
            shown = time.time()
            say(f"  {sum(done.values())} of {total} handled")
        for service in services:
            if service.process is not None and service.process.poll() is not None:
                fail(f"{service.name} ended by itself with {service.process.returncode}; see {service.dir}/log")
        time.sleep(0.1)
    fail(f"only {sum(done.values())} of {total} records were handled in {seconds} s")


def play(options, work, load, phase, bootstrap):
    say(f"phase {phase}")
    topic = f"e2e-{phase}-{os.getpid()}"
    dir_args = ["--dir", os.path.join(work, "kafka")]
    kafka("topic", topic, str(PARTITIONS), *dir_args)
    kafka("topic", f"{topic}-alerts", "1", *dir_args)
    where = os.path.join(work, phase)
    os.makedirs(where)
    main = Service(options, where, "main", bootstrap, topic, f"g-{topic}", "enforce", "main", f"{topic}-alerts")
    services = [main]
    main.start()
    main.wait_for_socket()

    hosts = load.hosts()
    fleet_file = os.path.join(where, "fleet.ndjson")
    with open(fleet_file, "w") as f:
        for agent, (host, name) in sorted(hosts.items()):
            f.write(json.dumps({"agent_id": agent, "host_id": host, "hostname": name, "token": main.token()}) + "\n")
    fleet = subprocess.Popen([options.fleet, f"https://127.0.0.1:{main.agents_port}", os.path.join(main.data, "ca.pem"),
                              fleet_file, os.path.join(where, "agents")],
                             stdout=open(os.path.join(where, "fleet.log"), "wb"), stderr=subprocess.STDOUT)
    try:
        until = time.time() + 60
        while main.ask("SELECT count(*) FROM v_endpoints")[0][0] < len(hosts):
            if time.time() > until or fleet.poll() is not None:
                fail(f"the agents did not enrol; see {where}/fleet.log")
            time.sleep(0.2)
        say(f"  {len(hosts)} agents are enrolled")

        receipts_file = os.path.join(where, "receipts")
        rate = {"clean": 0, "kill": load.count / 40, "broker": load.count / 30, "second": load.count / 40}[phase]
        producer = subprocess.Popen([options.produce, bootstrap, topic, str(PARTITIONS), load.path, receipts_file, str(rate)],
                                    stdout=subprocess.PIPE)
        if phase == "kill":
            for n in range(options.kills):
                time.sleep(options.random.uniform(0.3, 3.0))
                before = main.handled()
                main.kill()
                say(f"  kill {n + 1}: at {before} of {load.count}")
                main.start()
                main.wait_for_socket()
        elif phase == "broker":
            time.sleep(8)
            say("  the broker stops")
            kafka("down", *dir_args)
            time.sleep(20)
            kafka("up", "--port", bootstrap.rsplit(":", 1)[1], *dir_args)
            say("  the broker is back")
        elif phase == "second":
            second = Service(options, where, "second", bootstrap, topic, f"g-{topic}", "dry_run", "second")
            services.append(second)
            for n in range(2):
                time.sleep(4)
                second.start()
                second.wait_for_socket()
                say(f"  the second instance joins ({n + 1})")
                time.sleep(10)
                second.stop()
                say(f"  the second instance leaves, it handled {second.handled()} offsets")
            second.process = None
            if second.handled() == 0:
                fail("the second instance was given nothing; the phase proves nothing")
        if producer.wait(timeout=300) != 0:
            fail("the producer could not send everything: " + producer.stdout.read().decode())
        wait_handled(services, load.count, 300)
        settle(main, load, services, phase)
        main.stop()
    finally:
        fleet.send_signal(signal.SIGTERM)
        fleet.wait(timeout=30)
        for service in services:
            if service.process is not None and service.process.poll() is None:
                service.kill()
    check(options, where, load, services, topic, phase)


def settle(main, load, services, phase):
    """Until no action is on its way and every alert is published."""
    until = time.time() + 60
    while time.time() < until:
        open_ones = main.ask("SELECT count(*) FROM v_actions WHERE status IN ('requested','queued','dispatched','unknown','accepted')")
        if open_ones[0][0] == 0 and main.ask("SELECT count(*) FROM outbox")[0][0] == 0:
            return
        time.sleep(0.2)
    fail(f"{main.ask('SELECT count(*) FROM outbox')[0][0]} alerts are not published, or actions still on their way: {main.ask('SELECT status, count(*) FROM v_actions GROUP BY 1')}")


def check(options, where, load, services, topic, phase):
    where_is = {}
    with open(os.path.join(where, "receipts")) as f:
        for line in f:
            index, partition, offset = map(int, line.split())
            where_is[index] = (partition, offset)
    if len(set(where_is.values())) != load.count:
        fail("the producer's receipts are not one position a record")
    main = services[0]
    cluster = main.ask("SELECT DISTINCT cluster FROM offsets")
    if len(cluster) != 1:
        fail(f"one cluster was read, the record knows {cluster}")
    expected = {alert_id(rule, cluster[0][0], topic, *where_is[index]) for rule, index in load.expected}
    if len(expected) != len(load.expected):
        fail("two expected alerts have one id")

    merged, rows = set(), 0
    for service in services:
        ids = [row[0] for row in service.ask("SELECT alert_id FROM v_alerts")]
        if len(ids) != len(set(ids)):
            fail(f"{service.name} holds an alert twice")
        merged |= set(ids)
        rows += len(ids)
    if merged != expected:
        fail(f"{len(expected - merged)} alerts are missing, {len(merged - expected)} are too many")

    wanted = {("isolate", endpoint) for endpoint in load.isolate}
    done = set(map(tuple, main.ask("SELECT command, endpoint_id FROM v_actions WHERE status = 'verified'")))
    if phase == "second":
        planned = set()
        for service in services:
            planned |= set(map(tuple, service.ask(
                "SELECT command, endpoint_id FROM v_actions WHERE status IN ('verified', 'dry_run', 'blocked')")))
        if not done <= wanted or not planned >= wanted:
            fail(f"actions differ: {len(done - wanted)} too many, {len(wanted - planned)} missing")
    elif done != wanted:
        states = main.ask("SELECT status, guard, count(*) FROM v_actions GROUP BY 1, 2")
        fail(f"actions differ: {len(done - wanted)} too many, {len(wanted - done)} missing; {states}")

    applied = 0
    for agent in sorted(os.listdir(os.path.join(where, "agents"))):
        begun = collections.Counter()
        with open(os.path.join(where, "agents", agent, "enforcer", "journal.ndjson")) as f:
            for line in f:
                row = json.loads(line)
                if row["phase"] == "begin":
                    begun[row["action_id"]] += 1
        twice = [a for a, n in begun.items() if n > 1]
        if twice:
            fail(f"agent {agent} began an action twice: {twice}")
        applied += len(begun)
    if applied != len(done):
        fail(f"{len(done)} actions are verified, the agents' journals hold {applied}")
    for service in services:
        run([options.firebreak, "audit", "verify", "--db", os.path.join(service.data, "firebreak.db")], stdout=subprocess.DEVNULL)
    letters = sum(s.ask("SELECT count(*) FROM dead_letters")[0][0] for s in services)
    say(f"phase {phase}: {len(expected)} alerts exactly once ({rows} rows in {len(services)} records), {len(done)} hosts isolated once, "
        f"{letters} dead letters, audit chains hold")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", default=os.path.join(ROOT, "build/dev"))
    parser.add_argument("--events", nargs="+", required=True)
    parser.add_argument("--phases", default="clean,kill,broker,second")
    parser.add_argument("--events-total", type=int, default=200_000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    parser.add_argument("--keep", action="store_true", help="leave the work folder")
    options = parser.parse_args()
    options.firebreak = os.path.join(options.build, "apps/firebreak/firebreak")
    options.produce = os.path.join(options.build, "tests/e2e/e2e_produce")
    options.fleet = os.path.join(options.build, "tests/e2e/e2e_fleet")
    options.random = random.Random(options.seed)
    say(f"seed {options.seed}")
    os.makedirs(os.path.join(options.build, "e2e"), exist_ok=True)
    work = tempfile.mkdtemp(dir=os.path.join(options.build, "e2e"))
    good = False
    try:
        load = Load(options, work)
        bootstrap = kafka("up", "--port", "0", "--dir", os.path.join(work, "kafka")).splitlines()[-1]
        say(f"Apache Kafka runs at {bootstrap}")
        try:
            for phase in options.phases.split(","):
                play(options, work, load, phase, bootstrap)
        finally:
            kafka("down", "--dir", os.path.join(work, "kafka"))
        good = True
    finally:
        if good and not options.keep:
            shutil.rmtree(work)
        elif not good:
            say(f"left for you to look at: {work}")
    say(f"{len(options.phases.split(','))} passed, 0 failed")


main()
