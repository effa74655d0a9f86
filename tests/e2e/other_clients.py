#!/usr/bin/env python3
"""More programs that others wrote for Kibana, as they are: edops (response actions on endpoints), detectl (rules and alerts)
and kibana-py's asynchronous half, with many requests at a time; and the requests of two that CI can't install (as_others_ask.py).
Against a real service with simulated agents.

usage: build/venv/bin/python tests/e2e/other_clients.py [--build DIR]
The packages are in requirements.txt."""
import argparse, asyncio, json, os, subprocess, sys, time

from kibana import AsyncKibana
from kibana.exceptions import ConflictError

from as_others_ask import DetectionRules, Provider
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


async def at_once(it):
    """What many clients ask at the same time is done once each."""
    async with AsyncKibana(it.url, api_key=it.admin_key) as kibana:
        ex, de, ep = kibana.exception_lists, kibana.detection_engine, kibana.endpoint
        of_list = {"list_id": "endpoint_host_isolation_exceptions", "namespace_type": "agnostic"}
        await ex.create(name="n", description="d", type="endpoint", **of_list)

        def item(n, **more):
            entry = {"field": "destination.ip", "operator": "included", "type": "match", "value": f"10.9.0.{n}"}
            return {"name": f"n {n}", "description": "d", "entries": [entry], "namespace_type": "agnostic", "tags": ["policy:all"],
                    "os_types": ["linux", "macos", "windows"], **more}

        def outcome(answers):
            unexpected = [a for a in answers if isinstance(a, Exception) and not isinstance(a, ConflictError)]
            if unexpected:
                raise unexpected[0]
            return sum(not isinstance(a, Exception) for a in answers), sum(isinstance(a, ConflictError) for a in answers)
        made = await asyncio.gather(*(ex.create_item(list_id=of_list["list_id"], **item(n)) for n in range(1, 41)))
        found = await ex.find_items(**of_list, per_page=100)
        expect((len({m["item_id"] for m in made}), found["total"]), (40, 40), "40 exceptions are made at once")
        racing = await asyncio.gather(*(ex.create_item(list_id=of_list["list_id"], item_id="one", **item(100 + n)) for n in range(8)),
                                      return_exceptions=True)
        expect(outcome(racing), (1, 7), "of 8 with one item_id one is made")
        standing = await ex.get_item(item_id="one", namespace_type="agnostic")
        racing = await asyncio.gather(*(ex.update_item(item_id="one", _version=standing["_version"], **item(200 + n)) for n in range(8)),
                                      return_exceptions=True)
        expect(outcome(racing), (1, 7), "of 8 changes of one version one is made")
        racing = await asyncio.gather(*(ex.update_item(item_id="one", comments=[{"comment": f"c {n}"}], **item(200)) for n in range(8)))
        last = await ex.get_item(item_id="one", namespace_type="agnostic")
        expect(sorted(c["comment"] for c in last["comments"]), [f"c {n}" for n in range(8)], "8 comments without a version are all kept")
        rules = await asyncio.gather(*(de.create_rule(type="query", name=f"many {n}", description="d", severity="low", risk_score=1,
                                                      query=f"process.name: many-{n}.exe", tags=["many"], enabled=True) for n in range(20)))
        await asyncio.gather(*(de.patch_rule(id=r["id"], severity="high") for r in rules))
        found = await de.find_rules(filter="alert.attributes.tags: many and alert.attributes.params.severity: high", per_page=100)
        expect(found["total"], 20, "20 rules are made and changed at once")
        gone = await de.bulk_action_rules(action="delete", query="alert.attributes.tags: many")
        expect(gone["attributes"]["summary"]["succeeded"], 20, "and deleted by a query")
        actions = await asyncio.gather(*(ep.isolate(endpoint_ids=["agent-1", "agent-2"], comment=f"c {n}") for n in range(5)))
        expect(len({a["action"] for a in actions}), 5, "5 requests to isolate the same hosts are 5 records")
        for action in actions:
            await finished(ep, action["action"])
        await finished(ep, (await ep.unisolate(endpoint_ids=["agent-1", "agent-2"]))["action"])
        hosts = await asyncio.gather(*(ep.get_metadata(id=f"agent-{n % 2 + 1}") for n in range(20)))
        expect({h["metadata"]["Endpoint"]["configuration"]["isolation"] for h in hosts}, {False}, "all of them end, and a release is the last word")
        await asyncio.gather(*(ex.delete_item(id=m["id"], namespace_type="agnostic") for m in made))
        await ex.delete(**of_list)


async def finished(ep, action_id):
    for _ in range(150):
        data = (await ep.get_action_details(action_id=action_id))["data"]
        if data["isCompleted"] and data["status"] == "successful":
            return
        await asyncio.sleep(0.1)
    raise Failed(f"action {action_id} is not done: {data}")


def expect(got, wanted, text):
    if got != wanted:
        raise Failed(f"{text}: {got!r}, not {wanted!r}")
    say(f"  {text}")


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
    changed = os.path.join(it.folder, "changed.json")
    with open(changed, "w") as f:
        json.dump({"name": "Changed by detectl", "query": "process.name: marker.exe", "severity": "low", "enabled": False, "tags": []}, f)
    detectl.holds([*on, "rules", "update", rule, "--file", changed], "Changed by detectl")
    watchlist = os.path.join(it.folder, "list.json")
    with open(watchlist, "w") as f:
        json.dump({"id": "tools", "name": "Our tools", "kind": "allowlist", "items": ["a.exe", "b.exe"]}, f)
    detectl.holds([*on, "lists", "create", "--file", watchlist], "Our tools", "b.exe")
    detectl.holds([*on, "lists", "add-items", "tools", "--item", "c.exe"], "c.exe")
    if "a.exe" in detectl.holds([*on, "lists", "remove-items", "tools", "--item", "a.exe"], "c.exe"):
        raise Failed("the value is still in the list")
    detectl.holds([*on, "lists", "list"], "Our tools")
    detectl(*on, "lists", "delete", "tools")
    detectl(*on, "lists", "get", "tools", ok=1)
    detectl(*on, "rules", "delete", rule)
    if "Made by detectl" in detectl(*on, "rules", "list"):
        raise Failed("the rule is still listed")
    say("  detectl: a rule made, read, disabled, enabled, changed, deleted; an alert read and closed; a value list filled and deleted")
    assert listed

    say("== kibana-py, many at once")
    asyncio.run(at_once(it))

    say("== as Terraform's provider asks")
    Provider(it).run()
    say("== as Elastic's tool for detection rules asks")
    DetectionRules(it).run()
    it.remove()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", default=os.path.join(ROOT, "build/dev"))
    options = parser.parse_args()
    try:
        run(options.build)
    except AssertionError as error:
        print(f"other clients: FAILED: {error}")
        sys.exit(1)
    print("5 passed, 0 failed")


if __name__ == "__main__":
    main()
