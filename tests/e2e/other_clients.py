#!/usr/bin/env python3
"""Two more programs that others wrote for Kibana, as they are: edops (response actions on endpoints) and detectl (rules and
alerts), against a real service with simulated agents.

usage: build/venv/bin/python tests/e2e/other_clients.py [--build DIR]
The packages are in requirements.txt."""
import argparse, json, os, subprocess, sys, time

from instance import ROOT, Failed, Instance, event, until

PROGRAMS = os.path.dirname(sys.executable)
STARTED = time.monotonic()


def say(text):
    print(f"[{time.monotonic() - STARTED:6.1f}s] {text}", flush=True)


class Program:
    """One client's program with its own environment."""

    def __init__(self, name, home, env):
        self.path, self.env = os.path.join(PROGRAMS, name), {**os.environ, "HOME": home, "COLUMNS": "200", "NO_COLOR": "1", **env}

    def __call__(self, *args, ok=0):
        done = subprocess.run([self.path, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=120, env=self.env)
        if (done.returncode == 0) != (ok == 0):
            raise Failed(f"{os.path.basename(self.path)} {' '.join(args)}: exit {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done.stdout if ok == 0 else done.stdout + done.stderr

    def holds(self, args, *words, ok=0):
        said = self(*args, ok=ok)
        for word in words:
            if word not in said:
                raise Failed(f"{os.path.basename(self.path)} {' '.join(args)} does not say '{word}':\n{said}")
        say(f"  {os.path.basename(self.path)} {' '.join(args[:3])}: {', '.join(words)}")
        return said


def run(build):
    it = Instance(build, response={"guards": {"cooldown": "off"}})
    it.start()
    it.enroll("agent-1", "host-1", "desk-1")
    it.enroll("agent-2", "host-2", "server-1", os_name="linux", ip="192.0.2.20")

    say("== edops")
    edops = Program("edops", it.folder, {"EDOPS_KIBANA_URL": it.url, "EDOPS_KIBANA_API_KEY": it.admin_key})
    edops.holds(["agents"], "agent-1", "agent-2", "desk-1", "server-1", "online")
    found = edops.holds(["agents", "serv"], "agent-2", "192.0.2.20")
    if "agent-1" in found:
        raise Failed(f"a search by host name found another host:\n{found}")
    edops.holds(["agents", "192.0.2.20", "--online"], "agent-2")
    edops.holds(["metadata", "agent-2"], "server-1", "Linux", "192.0.2.20", "isolation", "healthy")
    action = json.loads(edops("isolate", "agent-2", "--comment", "seen in an incident", "--wait", "--json"))["data"]
    if (action["status"], action["command"]) != ("successful", "isolate"):
        raise Failed(f"isolate: {action}")
    say("  edops isolate --wait: successful")
    until("isolated", lambda: "yes" in edops("metadata", "agent-2").split("Isolated")[1].splitlines()[0], 10, 0.2)
    edops.holds(["status", action["id"]], "agent-2", "yes", "successful")
    edops.holds(["actions", "agent-2", "--command", "isolate"], "total: 1", "successful", "seen in an incident")
    edops.holds(["unisolate", "agent-2", "--comment", "over", "--wait"], "unisolate")
    edops.holds(["isolate", "nobody", "--comment", "c"], "HTTP 400", ok=1)
    edops.holds(["kill-process", "agent-2", "--pid", "1", "--comment", "c"], "kill", ok=1)
    password = Program("edops", it.folder, {"EDOPS_KIBANA_URL": it.url, "EDOPS_KIBANA_USERNAME": "ada",
                                            "EDOPS_KIBANA_PASSWORD": "correct horse battery"})
    it.cli("users", "add", "ada", "--role", "viewer", stdin="correct horse battery\n")
    password.holds(["metadata", "agent-1"], "desk-1")
    password.holds(["isolate", "agent-1", "--comment", "c"], "HTTP 403", ok=1)

    say("== detectl")
    config = os.path.join(it.folder, "detectl.yml")
    with open(config, "w") as f:
        f.write(f"elastic:\n  kibana_base_url: {it.url}\n  api_key: {it.admin_key}\n")
    detectl = Program("detectl", it.folder, {"ELASTIC_KIBANA_BASE_URL": it.url, "ELASTIC_API_KEY": it.admin_key})
    on = ["--platform", "elastic"]
    detectl(*on, "test-connection")
    rule_file = os.path.join(it.folder, "rule.json")
    with open(rule_file, "w") as f:
        json.dump({"name": "Made by detectl", "query": "process.name: marker.exe", "description": "d", "severity": "high",
                   "enabled": True, "tags": ["detectl"]}, f)
    detectl.holds([*on, "rules", "create", "--file", rule_file], "Made by detectl")
    listed = detectl.holds([*on, "rules", "list"], "Made by detectl", "From a file")
    rule = it.api("GET", "/api/detection_engine/rules/_find?filter=alert.attributes.tags:detectl")[1]["data"][0]["id"]
    detectl.holds([*on, "rules", "get", rule], "marker.exe")
    detectl(*on, "rules", "disable", rule)
    detectl(*on, "rules", "enable", rule)
    it.send([event("agent-1", "host-1", "desk-1", "marker.exe")])
    alert = until("the alert", lambda: it.api("POST", "/api/detection_engine/signals/search", {"query": {"match_all": {}}})[1]["hits"]["hits"],
                  30)[0]["_id"]
    detectl.holds([*on, "alerts", "list"], alert)
    detectl.holds([*on, "alerts", "get", alert], alert)
    detectl(*on, "alerts", "set-status", alert, "closed")
    edops.holds(["alerts", "agent-1", "--json"], "desk-1", "Made by detectl", '"closed"')
    edops.holds(["alerts", "--since", "1h"], "desk-1")
    detectl(*on, "rules", "delete", rule)
    if "Made by detectl" in detectl(*on, "rules", "list"):
        raise Failed("the rule is still listed")
    say("  detectl: a rule made, read, disabled, enabled, deleted; an alert read and closed")
    it.remove()
    assert listed


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", default=os.path.join(ROOT, "build/dev"))
    options = parser.parse_args()
    try:
        run(options.build)
    except Failed as error:
        print(f"other clients: FAILED: {error}")
        sys.exit(1)
    print("2 passed, 0 failed")


if __name__ == "__main__":
    main()
