#!/usr/bin/env python3
"""A Kibana client that others wrote (kibana-py) against a real service with simulated agents: exceptions, rules, alerts,
endpoint actions; create, read, change, import, delete; with an API key, with a password, through the prefix of a space.

usage: build/venv/bin/python tests/e2e/kibana_client.py [--build DIR] [--runs N] [--only part,part]
The packages are in requirements.txt."""
import argparse, json, os, sys, threading, time, traceback, urllib.request

from kibana import Kibana
from kibana.exceptions import ApiError, AuthenticationException, AuthorizationException, BadRequestError, ConflictError, NotFoundError, SpaceNotFoundError

from instance import ROOT, Failed, Instance, event, until

HOSTS = [("agent-1", "host-1", "desk-1"), ("agent-2", "host-2", "desk-2"), ("agent-3", "host-3", "server-1")]
ISOLATION_LIST = "endpoint_host_isolation_exceptions"
OSES = ["linux", "macos", "windows"]
STARTED = time.monotonic()


def say(text):
    print(f"[{time.monotonic() - STARTED:6.1f}s] {text}", flush=True)


def check(condition, text):
    if not condition:
        raise Failed(text)
    say(f"  {text}")


def same(got, wanted, text):
    if got != wanted:
        raise Failed(f"{text}: {got!r}, not {wanted!r}")
    say(f"  {text}")


def refused(kind, call, *words):
    """The error of a call that must fail in this way."""
    try:
        answer = call()
    except kind as error:
        for word in words:
            if word not in str(error.message):
                raise Failed(f"the error does not say '{word}': {error.message}") from None
        return error
    raise Failed(f"this should have been refused: {answer}")


def lines(answer):
    """The objects of an NDJSON answer, whichever way the client hands it over."""
    body = answer.body
    if isinstance(body, (list, tuple)):
        return list(body)
    if isinstance(body, bytes):
        body = body.decode()
    return [json.loads(line) for line in body.splitlines() if line.strip()]


class Stream(threading.Thread):
    """GET /api/stream: keeps the events."""

    def __init__(self, instance, last_id=None):
        super().__init__(daemon=True)
        headers = {"Authorization": f"ApiKey {instance.admin_key}"}
        if last_id is not None:
            headers["Last-Event-ID"] = last_id
        self.reply = urllib.request.urlopen(urllib.request.Request(instance.url + "/api/stream", headers=headers), timeout=60)
        self.events, self.start_id = [], self._start()
        self.start()

    def _start(self):
        for raw in self.reply:
            if raw.startswith(b"id: "):
                return raw[4:].decode().strip()
        raise Failed("the stream did not begin")

    def run(self):
        fields = {}
        try:
            for raw in self.reply:
                line = raw.decode().rstrip("\r\n")
                if not line:
                    if "data" in fields:
                        self.events.append((fields.get("id"), fields.get("event"), json.loads(fields["data"])))
                    fields = {}
                    continue
                name, _, value = line.partition(": ")
                fields[name] = value
        except (OSError, ValueError, AttributeError):
            pass

    def wait(self, what, found):
        return until(f"in the stream: {what}", lambda: next((e for e in list(self.events) if found(*e)), None), 10)


class Run:
    def __init__(self, options):
        self.options = options
        self.instance = Instance(options.build, response={"guards": {"cooldown": "off"}})
        self.instance.start()
        for host in HOSTS:
            self.instance.enroll(*host)
        self.kibana = Kibana(self.instance.url, api_key=self.instance.admin_key)
        self.alert = "none yet"
        self.ex, self.de, self.ep = self.kibana.exception_lists, self.kibana.detection_engine, self.kibana.endpoint
        say(f"the service answers at {self.instance.url}; {len(HOSTS)} agents are online")

    # --- who it is, who may -------------------------------------------------------------------------------------------

    def front(self):
        until("the service has joined its group",
              lambda: self.kibana.status.get_status()["status"]["overall"]["level"] == "available", 20)
        say("  the status is read: available")
        check(self.kibana.server_version(), f"the client reads the version: {self.kibana.server_version()}")
        same(Kibana(self.instance.url, api_key=tuple(_decoded(self.instance.admin_key))).detection_engine.get_tags().meta.status, 200,
             "a key as a pair of id and secret lets in")
        refused(AuthenticationException, lambda: Kibana(self.instance.url, api_key="bm86Ym9keQ==").detection_engine.get_tags())
        refused(AuthenticationException, lambda: Kibana(self.instance.url).endpoint.get_metadata_list())
        say("  wrong and missing credentials are 401")
        self.instance.cli("users", "add", "ada", "--role", "viewer", stdin="correct horse battery\n")
        ada = Kibana(self.instance.url, basic_auth=("ada", "correct horse battery"))
        same(ada.endpoint.get_metadata_list()["total"], len(HOSTS), "a viewer with a password sees the endpoints")
        refused(AuthorizationException, lambda: ada.endpoint.isolate(endpoint_ids=["agent-1"]))
        refused(AuthorizationException, lambda: ada.exception_lists.create(name="n", description="d", type="detection"))
        say("  and may neither isolate nor write: 403")
        spaces = self.kibana.spaces.get_all()
        same([s["id"] for s in spaces.body], ["default"], "there is one space, and it is listed")
        same(self.ep.get_metadata_list(space_id="default")["total"], len(HOSTS), "the prefix of the default space is taken")
        try:
            self.ep.get_metadata_list(space_id="elsewhere")
            raise Failed("a space that is not there was taken")
        except SpaceNotFoundError as error:
            check("elsewhere" in str(error), "another space is not found")
        privileges = self.de.get_privileges()
        same((privileges["is_authenticated"], privileges["has_all_requested"]), (True, True), "the privileges are told")
        same(ada.detection_engine.get_privileges()["has_all_requested"], False, "a viewer's are told, too")
        check(self.de.get_alerts_index()["name"], "the index of alerts is named")

    # --- exceptions ---------------------------------------------------------------------------------------------------

    def exceptions(self):
        ex = self.ex
        refused(NotFoundError, lambda: ex.get(list_id=ISOLATION_LIST, namespace_type="agnostic"), "does not exist")
        made = ex.create(name="Host isolation exceptions", description="d", list_id=ISOLATION_LIST, type="endpoint",
                         namespace_type="agnostic")
        same(made["type"], "endpoint", "the container is made with the type that was sent")
        refused(ConflictError, lambda: ex.create(name="x", description="d", list_id=ISOLATION_LIST, type="endpoint",
                                                 namespace_type="agnostic"), "already exists")
        read = ex.get(id=made["id"], namespace_type="agnostic")
        same(read.body, made.body, "it reads back the same by its id")
        changed = ex.update(name="Renamed", description="d2", type="endpoint", list_id=ISOLATION_LIST, namespace_type="agnostic",
                            _version=made["_version"], tags=["t"])
        same((changed["name"], changed["tags"]), ("Renamed", ["t"]), "it is changed")
        refused(ConflictError, lambda: ex.update(name="late", description="d", type="endpoint", list_id=ISOLATION_LIST,
                                                 namespace_type="agnostic", _version=made["_version"]))
        say("  a change on an old version is 409")
        found = ex.find(namespace_type="agnostic", sort_field="name", sort_order="asc", page=1, per_page=10)
        same([one["list_id"] for one in found["data"]], [ISOLATION_LIST], "it is found")
        same(ex.find(filter="exception-list-agnostic.attributes.name: Renamed", namespace_type=["agnostic"])["total"], 1,
             "and found by a filter")

        def entry(address):
            return [{"field": "destination.ip", "operator": "included", "type": "match", "value": address}]
        item = ex.create_item(list_id=ISOLATION_LIST, name="Update server", description="d", entries=entry("10.10.0.1"),
                              namespace_type="agnostic", os_types=OSES, tags=["policy:all"], item_id="updates",
                              comments=[{"comment": "asked for by IT"}])
        same((item["item_id"], item["entries"][0]["value"], item["comments"][0]["comment"]),
             ("updates", "10.10.0.1", "asked for by IT"), "an item is made")
        refused(ConflictError, lambda: ex.create_item(list_id=ISOLATION_LIST, name="n", description="d", item_id="updates",
                                                      entries=entry("10.10.0.2"), namespace_type="agnostic", os_types=OSES,
                                                      tags=["policy:all"]), "already exists")
        refused(BadRequestError, lambda: ex.create_item(list_id=ISOLATION_LIST, name="n", description="d",
                                                        entries=entry("256.1.1.1"), namespace_type="agnostic", os_types=OSES,
                                                        tags=["policy:all"]))
        refused(BadRequestError, lambda: ex.create_item(list_id=ISOLATION_LIST, name="n", description="d",
                                                        entries=entry("10.0.0.1"), namespace_type="agnostic", os_types=["linux"],
                                                        tags=["policy:all"]))
        say("  a second one of the same id is 409, a bad address and a missing system are 400")
        same(ex.get_item(id=item["id"], namespace_type="agnostic").body, item.body, "it reads back by its id")
        same(ex.get_item(item_id="updates", namespace_type="agnostic").body, item.body, "and by its own")
        changed = ex.update_item(name="Update servers", description="d", entries=entry("10.10.0.0/24"), item_id="updates",
                                 namespace_type="agnostic", os_types=OSES, tags=["policy:all"], _version=item["_version"],
                                 comments=[*item["comments"], {"comment": "now a network"}])
        same((changed["entries"][0]["value"], [c["comment"] for c in changed["comments"]]),
             ("10.10.0.0/24", ["asked for by IT", "now a network"]), "it is changed, and its comments are kept")
        other = ex.create_item(list_id=ISOLATION_LIST, name="Ticket system", description="d", entries=entry("10.20.0.1"),
                               namespace_type="agnostic", os_types=OSES, tags=["policy:default"])
        found = ex.find_items(list_id=ISOLATION_LIST, namespace_type="agnostic", sort_field="name", sort_order="asc")
        same([one["name"] for one in found["data"]], ["Ticket system", "Update servers"], "both are found, sorted")
        same(ex.find_items(list_id=[ISOLATION_LIST], namespace_type=["agnostic"], search="ticket")["total"], 1, "by a search")
        same(ex.find_items(list_id=ISOLATION_LIST, namespace_type="agnostic", per_page=1, page=2,
                           filter="exception-list-agnostic.attributes.entries.value: 10*")["total"], 2, "by a filter, in pages")
        same(ex.get_summary(list_id=ISOLATION_LIST, namespace_type="agnostic").body,
             {"windows": 2, "linux": 2, "macos": 2, "total": 2}, "the summary counts them")

        exported = ex.export(id=made["id"], list_id=ISOLATION_LIST, namespace_type="agnostic")
        objects = lines(exported)
        same(objects[-1]["exported_exception_list_item_count"], 2, "the export has both")
        ex.delete_item(item_id="updates", namespace_type="agnostic")
        refused(NotFoundError, lambda: ex.get_item(item_id="updates", namespace_type="agnostic"), "does not exist")
        summary = ex.import_lists(file=objects[:-1], overwrite=True)
        same((summary["success"], summary["success_count_exception_list_items"]), (True, 2), "the import takes the export back")
        same(ex.get_item(item_id="updates", namespace_type="agnostic")["entries"][0]["value"], "10.10.0.0/24", "what was deleted is back")
        again = ex.import_lists(file="\n".join(json.dumps(o) for o in objects).encode())
        check(not again["success"] and again["errors"][0]["error"]["status_code"] == 409, "without overwrite it is a conflict each")
        ex.delete_item(id=ex.get_item(item_id=other["item_id"], namespace_type="agnostic")["id"], namespace_type="agnostic")

        # Exceptions of rules: other entries, another namespace, copies.
        rules_list = ex.create(name="Of rules", description="d", type="detection", list_id="of-rules", tags=["a"])
        same(rules_list["namespace_type"], "single", "a list of rules' exceptions is made")
        ex.create_item(list_id="of-rules", name="Trusted tool", description="d", item_id="tool",
                       entries=[{"field": "process.name", "operator": "included", "type": "match_any", "value": ["a.exe", "b.exe"]},
                                {"field": "user.name", "operator": "excluded", "type": "exists"}])
        copy = ex.duplicate(list_id="of-rules", namespace_type="single", include_expired_exceptions=False)
        same(ex.find_items(list_id=copy["list_id"])["total"], 1, "a copy has the item, too")
        ex.delete(id=copy["id"])
        refused(NotFoundError, lambda: ex.get(id=copy["id"]))
        deleted = ex.delete(list_id="of-rules")
        same(deleted["list_id"], "of-rules", "deleting answers with what it was")
        refused(NotFoundError, lambda: ex.find_items(list_id="of-rules"), "does not exist")
        shared = ex.create_shared_list(name="Shared", description="d")
        same((shared["type"], shared["namespace_type"]), ("detection", "single"), "a shared list is made")
        ex.delete(id=shared["id"])

    # --- value lists and the endpoint list ----------------------------------------------------------------------------

    def lists(self):
        vl = self.kibana.lists
        same(vl.create_index()["acknowledged"], True, "value lists may be made")
        same(vl.get_index_status().body, {"list_index": True, "list_item_index": True}, "and it says so")
        made = vl.create(id="scanners", name="Scanners", description="d", type="ip_range", meta={"a": 1})
        same((made["id"], made["type"], made["version"]), ("scanners", "ip_range", 1), "a value list is made")
        refused(ConflictError, lambda: vl.create(id="scanners", name="n", description="d", type="ip"), "already exists")
        same(vl.get(id="scanners").body, made.body, "it reads back")
        refused(NotFoundError, lambda: vl.get(id="nobody"))
        patched = vl.patch(id="scanners", name="Our scanners")
        same((patched["name"], patched["description"], patched["version"]), ("Our scanners", "d", 2), "a patch changes what it says")
        refused(ConflictError, lambda: vl.update(id="scanners", name="n", description="d", _version=made["_version"]))
        vl.update(id="scanners", name="Scanners", description="d2", _version=patched["_version"])
        same(vl.find(filter="type: ip_range", sort_field="name", sort_order="asc")["total"], 1, "it is found")
        item = vl.create_item(list_id="scanners", value="192.0.2.16-192.0.2.31", refresh="wait_for")
        refused(BadRequestError, lambda: vl.create_item(list_id="scanners", value="a host"))
        same(vl.get_item(id=item["id"]).body, item.body, "a value reads back by its id")
        same(vl.get_item(list_id="scanners", value="192.0.2.16-192.0.2.31").body, [item.body], "and by itself")
        vl.update_item(id=item["id"], value="192.0.2.0/28")
        vl.patch_item(id=item["id"], value="192.0.2.16/28")
        vl.import_items(file=["198.51.100.0/24", "203.0.113.7-203.0.113.9"], list_id="scanners")
        same(sorted(vl.export_items(list_id="scanners")), ["192.0.2.16/28", "198.51.100.0/24", "203.0.113.7-203.0.113.9"],
             "an export has what went in one by one and by an import")
        same(vl.find_items(list_id="scanners", per_page=2, page=2)["total"], 3, "the values are found in pages")
        same(vl.import_items(file=["svc-1"], type="keyword", filename="names.txt")["id"], "names.txt", "a file makes a list")
        same(vl.get_privileges()["lists"]["has_all_requested"], True, "the privileges are told")

        self.ex.create(name="n", description="d", type="detection", list_id="with-values")
        self.ex.create_item(list_id="with-values", name="n", description="d", item_id="scanned",
                            entries=[{"field": "source.ip", "type": "list", "operator": "included",
                                      "list": {"id": "scanners", "type": "ip_range"}}])
        rule = self.de.create_rule(type="query", name="Scans", description="d", severity="low", risk_score=1, rule_id="scans",
                                   language="kuery", query="process.name: scan.exe", enabled=True,
                                   exceptions_list=[{"id": "x", "list_id": "with-values", "type": "detection",
                                                     "namespace_type": "single"}])
        same(rule["enabled"], True, "a rule runs with an exception that names it")
        refused(ConflictError, lambda: vl.delete(id="scanners"))
        say("  a list that exceptions name is not deleted unawares")
        same(vl.delete(id="scanners", delete_references=True)["id"], "scanners", "with its references it is")
        refused(NotFoundError, lambda: self.ex.get_item(item_id="scanned"), "does not exist")
        refused(NotFoundError, lambda: vl.delete_item(list_id="names.txt", value="nobody"))
        same(len(vl.delete_item(list_id="names.txt", value="svc-1").body), 1, "a value is deleted by itself")
        self.de.delete_rule(rule_id="scans")
        self.ex.delete(list_id="with-values")
        same(vl.delete_index()["acknowledged"], True, "all of them are deleted")
        refused(NotFoundError, vl.get_index_status, ".lists-default")
        refused(BadRequestError, lambda: vl.create(name="n", description="d", type="ip"))
        vl.create_index()

        ex = self.ex
        same(ex.create_endpoint_list()["list_id"], "endpoint_list", "the endpoint list is made")
        same(ex.create_endpoint_list().body, {}, "a second time it is there")
        entry = [{"field": "file.path", "operator": "included", "type": "match", "value": "C:\\\\tool.exe"}]
        made = ex.create_endpoint_item(name="Tool", description="d", entries=entry, os_types=["windows"], item_id="tool")
        same((made["list_id"], made["namespace_type"]), ("endpoint_list", "agnostic"), "an item of it is made")
        same(ex.get_endpoint_item(item_id="tool").body, made.body, "it reads back")
        same(ex.update_endpoint_item(name="Tool 2", description="d", entries=entry, os_types=["windows"], item_id="tool")["name"],
             "Tool 2", "it is changed")
        same(ex.find_endpoint_items(filter="exception-list-agnostic.attributes.name: Tool*")["total"], 1, "it is found")
        same(ex.delete_endpoint_item(item_id="tool")["item_id"], "tool", "it is deleted")
        refused(NotFoundError, lambda: ex.get_endpoint_item(item_id="tool"))
        ex.delete(list_id="endpoint_list", namespace_type="agnostic")

    # --- rules --------------------------------------------------------------------------------------------------------

    def rules(self):
        de = self.de
        rule = de.create_rule(type="query", name="Marker process", description="d", severity="high", risk_score=73,
                              rule_id="marker", language="kuery", query="process.name: marker.exe", index=["logs-*"],
                              tags=["test", "marker"], enabled=False, interval="5m", from_="now-6m", max_signals=100,
                              threat=[{"framework": "MITRE ATT&CK", "tactic": {"id": "TA0002", "name": "Execution",
                                                                               "reference": "https://attack.mitre.org/tactics/TA0002/"}}],
                              response_actions=[{"action_type_id": ".endpoint",
                                                 "params": {"command": "isolate", "comment": "by the marker rule"}}])
        same((rule["rule_id"], rule["enabled"], rule["version"]), ("marker", False, 1), "a rule is made")
        refused(ConflictError, lambda: de.create_rule(type="query", name="n", description="d", severity="low", risk_score=1,
                                                      rule_id="marker", language="kuery", query="a: b"), "already exists")
        refused(BadRequestError, lambda: de.create_rule(type="query", name="n", description="d", severity="low", risk_score=1,
                                                        language="kuery", query="a: ("))
        refused(BadRequestError, lambda: de.create_rule(type="query", name="n", description="d", severity="low", risk_score=1,
                                                        fields={"nonsense_type": 1, "severity": "extreme"}))
        say("  a second of the same id is 409, a query that does not parse and a wrong severity are 400")
        same(de.get_rule(id=rule["id"]).body, rule.body, "it reads back by its id")
        same(de.get_rule(rule_id="marker").body, rule.body, "and by its own")
        refused(NotFoundError, lambda: de.get_rule(rule_id="nobody"))
        patched = de.patch_rule(rule_id="marker", severity="critical", risk_score=90, tags=["marker"])
        same((patched["severity"], patched["risk_score"], patched["tags"], patched["query"]),
             ("critical", 90, ["marker"], rule["query"]), "a patch changes what it says and nothing else")
        updated = de.update_rule(rule_id="marker", type="query", name="Marker process, again", description="d", severity="high",
                                 risk_score=73, language="kuery", query="process.name: marker.exe", enabled=True,
                                 response_actions=rule["response_actions"])
        same((updated["name"], updated["tags"], updated["enabled"]), ("Marker process, again", [], True), "an update replaces all")
        de.create_rule(type="query", name="Another", description="d", severity="low", risk_score=21, rule_id="another",
                       language="kuery", query='user.name: "nobody" and not host.os.type: windows', tags=["more"])
        found = de.find_rules(sort_field="name", sort_order="asc", page=1, per_page=10)
        same([one["rule_id"] for one in found["data"]], ["another", "base", "marker"], "they are found, sorted, with the one of a file")
        same(de.find_rules(filter='alert.attributes.name: "Another"')["total"], 1, "by a filter")
        same(de.find_rules(filter="alert.attributes.tags: more", per_page=1)["total"], 1, "by a tag")
        same(sorted(de.get_tags().body), ["files", "more"], "the tags are listed")

        exported = lines(de.export_rules(objects=[{"rule_id": "marker"}], exclude_export_details=False))
        same((exported[0]["rule_id"], exported[-1]["exported_rules_count"]), ("marker", 1), "one rule is exported")
        everything = lines(de.export_rules(exclude_export_details=True))
        same(sorted(r["rule_id"] for r in everything), ["another", "marker"], "all that came through the API, without the details")
        again = de.import_rules(file=everything)
        same((again["success"], {e["error"]["status_code"] for e in again["errors"]}), (False, {409}), "an import of what is there conflicts")
        again = de.import_rules(file=everything, overwrite=True)
        same((again["success"], again["success_count"]), (True, 2), "and overwrites when asked to")
        fresh = [{**everything[0], "rule_id": f"imported-{n}", "name": f"Imported {n}", "enabled": False} for n in range(3)]
        for one in fresh:
            one.pop("id", None)
        again = de.import_rules(file="\n".join(json.dumps(r) for r in fresh))
        same((again["success"], again["success_count"]), (True, 3), "three new ones are imported")
        broken = de.import_rules(file=[{**fresh[0], "rule_id": "broken", "query": "a: ("}])
        check(not broken["success"] and broken["errors"][0]["rule_id"] == "broken", "a broken one is named")

        ids = [r["id"] for r in de.find_rules(filter="alert.attributes.name: Imported*", per_page=100)["data"]]
        same(len(ids), 3, "the imported ones are found by a wildcard")
        dry = de.bulk_action_rules(action="enable", ids=ids, dry_run=True)
        same(dry["attributes"]["summary"]["total"], 3, "a dry run of a bulk action counts")
        same(de.get_rule(id=ids[0])["enabled"], False, "and changes nothing")
        done = de.bulk_action_rules(action="enable", ids=ids)
        same(done["attributes"]["summary"]["succeeded"], 3, "enabled at once")
        done = de.bulk_action_rules(action="disable", query="alert.attributes.name: Imported*")
        same(done["attributes"]["summary"]["succeeded"], 3, "disabled by a query")
        done = de.bulk_action_rules(action="edit", ids=ids, edit=[{"type": "add_tags", "value": ["bulk"]}])
        same(done["attributes"]["summary"]["succeeded"], 3, "tagged at once")
        same(de.get_rule(id=ids[0])["tags"][-1], "bulk", "and the tag is there")
        done = de.bulk_action_rules(action="duplicate", ids=ids[:1], duplicate={"include_exceptions": False,
                                                                                "include_expired_exceptions": False})
        copies = done["attributes"]["results"]["created"]
        same(len(copies), 1, "one is copied")
        exported = lines(de.bulk_action_rules(action="export", ids=ids))
        same(exported[-1]["exported_rules_count"], 3, "exported by a bulk action")
        done = de.bulk_action_rules(action="delete", ids=[*ids, copies[0]["id"]])
        same(done["attributes"]["summary"]["succeeded"], 4, "deleted at once")
        refused(NotFoundError, lambda: de.get_rule(id=ids[0]))

        # Exceptions of one rule.
        items = self.ex.create_rule_exceptions(id=rule["id"], items=[{
            "name": "Not this user", "description": "d", "type": "simple", "namespace_type": "single",
            "entries": [{"field": "user.name", "operator": "included", "type": "match", "value": "builder"}]}])
        same(items.body[0]["name"], "Not this user", "a rule gets an exception of its own")
        lists = de.get_rule(rule_id="marker")["exceptions_list"]
        same(lists[0]["type"], "rule_default", "in a list of its own")
        same(self.ex.find_items(list_id=lists[0]["list_id"], namespace_type="single")["total"], 1, "which is found")
        deleted = de.delete_rule(rule_id="another")
        same(deleted["rule_id"], "another", "deleting answers with what it was")
        refused(NotFoundError, lambda: de.delete_rule(rule_id="another"))
        status = de.get_prepackaged_rules_status()
        same(status["rules_not_installed"], 0, "there are no rules to be installed")

        preview = de.preview_rule(type="query", name="p", description="d", severity="low", risk_score=1, language="kuery",
                                  query="process.name: marker.exe", invocation_count=1, timeframe_end=_now())
        check("previewId" in preview.body or "logs" in preview.body, "a preview answers")

    # --- alerts -------------------------------------------------------------------------------------------------------

    def alerts(self):
        de = self.de
        until("the rule runs", lambda: self.instance.api("GET", "/api/detection_engine/rules?rule_id=marker")[1]["enabled"], 10)
        stream = Stream(self.instance)
        began = time.monotonic()
        self.instance.send([event(*HOSTS[0], "marker.exe"), event(*HOSTS[0], "other.exe"),
                            {**event(*HOSTS[1], "marker.exe"), "user": {"name": "builder"}}])
        hits = until("the alert", lambda: de.search_alerts(query={"match_all": {}}, size=10)["hits"]["hits"], 30)
        say(f"  {len(hits)} alert after {time.monotonic() - began:.1f} s")
        same([h["_source"]["host"]["name"] for h in hits], ["desk-1"], "the marker raises one, the exception held the other back")
        source, alert = hits[0]["_source"], hits[0]["_id"]
        same((source["kibana.alert.rule.rule_id"], source["kibana.alert.severity"], source["kibana.alert.workflow_status"]),
             ("marker", "high", "open"), "the alert names its rule")
        _, name, data = stream.wait("the alert", lambda _, kind, data: kind == "alert")
        same((name, data["alert_id"]), ("alert", alert), "it came over the stream, too")
        found = de.search_alerts(query={"bool": {"filter": [{"term": {"kibana.alert.rule.rule_id": "marker"}},
                                                            {"terms": {"kibana.alert.severity": ["high", "critical"]}},
                                                            {"range": {"@timestamp": {"gte": "now-1h"}}}]}},
                                 sort=[{"@timestamp": {"order": "desc"}}], size=1, track_total_hits=True,
                                 fields=["host.name"], source=False,
                                 aggs={"hosts": {"terms": {"field": "host.name", "size": 10}}})
        same(found["hits"]["total"]["value"], 1, "found by a filter")
        same(found["aggregations"]["hosts"]["buckets"], [{"key": "desk-1", "doc_count": 1}], "counted by host")
        same(found["hits"]["hits"][0]["fields"]["host.name"], ["desk-1"], "only the fields that were asked for")

        def now():
            return de.search_alerts(query={"ids": {"values": [alert]}})["hits"]["hits"][0]["_source"]
        same(de.set_alert_status(status="acknowledged", signal_ids=[alert])["updated"], 1, "acknowledged")
        same(now()["kibana.alert.workflow_status"], "acknowledged", "and so it reads")
        de.set_alert_tags(ids=[alert], tags_to_add=["Duplicate", "Seen"], tags_to_remove=[])
        de.set_alert_tags(ids=[alert], tags_to_add=[], tags_to_remove=["Duplicate"])
        same(now()["kibana.alert.workflow_tags"], ["Seen"], "tagged")
        de.set_alert_assignees(ids=[alert], add=["ada"], remove=[])
        same(now()["kibana.alert.workflow_assignee_ids"], ["ada"], "assigned")
        same(de.set_alert_status(status="closed", query={"term": {"kibana.alert.rule.rule_id": "marker"}}, reason="duplicate",
                                 conflicts="proceed")["updated"], 1, "closed by a query")
        same(now()["kibana.alert.workflow_status"], "closed", "and so it reads")
        refused(BadRequestError, lambda: de.set_alert_status(status="forgotten", signal_ids=[alert]))
        notes = self.kibana.timeline
        note = notes.create_note(note={"eventId": alert, "note": "seen before", "timelineId": ""})["note"]
        notes.update_note(note_id=note["noteId"], note={"eventId": alert, "note": "seen twice", "timelineId": ""})
        listed = notes.get_notes(document_ids=alert)
        same((listed["totalCount"], [n["note"] for n in listed["notes"]]), (1, ["seen twice"]), "a note is made and changed")
        notes.delete_notes(note_ids=[note["noteId"]])
        same(notes.get_notes(document_ids=[alert])["totalCount"], 0, "and deleted")
        self.alert = alert

        # The rule isolated the host by itself; its action carries the rule and the alert.
        action = until("the rule's action", lambda: self.ep.get_actions_list(types=["automated"])["data"], 10)[0]
        same((action["ruleName"], action["alertIds"], action["agents"], action["command"], action["comment"]),
             ("Marker process, again", [alert], ["agent-1"], "isolate", "by the marker rule"), "an automated action carries rule and alert")
        same(action["ruleId"], now()["kibana.alert.rule.uuid"], "and the rule's id as the alert has it")
        self.finished(action["id"], "successful")
        stream.wait("the action", lambda _, kind, data: kind == "action" and data["endpoint_id"] == "agent-1" and data["status"] == "verified")
        stream.wait("the endpoint", lambda _, kind, data: kind == "endpoint" and data["endpoint_id"] == "agent-1" and data["observed"] == "isolated")
        say("  the stream told of the action and of the endpoint")
        resumed = Stream(self.instance, stream.start_id)
        resumed.wait("the alert again", lambda _, kind, data: kind == "alert" and data["alert_id"] == alert)
        same([e[0] for e in resumed.events][:3], [e[0] for e in stream.events][:3], "a stream that goes on from an id has the same events")
        self.finished(self.ep.unisolate(endpoint_ids=["agent-1"], comment="it was a test")["action"], "successful")

    def finished(self, action_id, status, seconds=15):
        return until(f"action {action_id} {status}", lambda: (d := self.ep.get_action_details(action_id=action_id)["data"])["isCompleted"]
                     and d["status"] == status and d, seconds)

    # --- endpoint actions ---------------------------------------------------------------------------------------------

    def actions(self):
        ep = self.ep
        same(ep.get_actions_state()["data"]["canEncrypt"], True, "the state of actions")
        listed = ep.get_metadata_list(page=0, page_size=2, sort_field="metadata.host.hostname", sort_direction="asc",
                                      host_statuses=["healthy"])
        same(([h["metadata"]["host"]["hostname"] for h in listed["data"]], listed["total"]), (["desk-1", "desk-2"], 3),
             "endpoints are listed in pages")
        same(ep.get_metadata_list(kuery='united.endpoint.host.hostname: "server-1"')["total"], 1, "and found by a query")
        host = ep.get_metadata(id="agent-2")
        m = host["metadata"]
        same((host["host_status"], m["host"]["os"]["name"].lower(), m["host"]["ip"], m["Endpoint"]["state"]["isolation"]),
             ("healthy", "windows", ["192.0.2.10"], False), "one endpoint: status, system, addresses, not isolated")
        check(m["Endpoint"]["policy"]["applied"]["name"], "its policy has a name")
        refused(NotFoundError, lambda: ep.get_metadata(id="nobody"))
        refused(BadRequestError, lambda: ep.isolate(endpoint_ids=[]), "array size is [0]")
        refused(BadRequestError, lambda: ep.isolate(endpoint_ids=["nobody"]))
        refused(BadRequestError, lambda: ep.isolate(endpoint_ids=["agent-2"], agent_type="crowdstrike"))
        say("  no endpoint, an unknown one, another vendor's: 400")

        made = ep.isolate(endpoint_ids=["agent-2", "agent-3"], comment="found in an incident", alert_ids=[self.alert],
                          case_ids=["case-7"], agent_type="endpoint")
        same((made["action"], made["data"]["command"], sorted(made["data"]["agents"])),
             (made["data"]["id"], "isolate", ["agent-2", "agent-3"]), "two endpoints are isolated by one action")
        done = self.finished(made["action"], "successful")
        same((sorted(done["agentState"]), done["agentState"]["agent-2"]["wasSuccessful"], done["comment"], done["hosts"]["agent-3"]["name"]),
             (["agent-2", "agent-3"], True, "found in an incident", "server-1"), "each with its own outcome")
        until("the badge", lambda: ep.get_metadata(id="agent-2")["metadata"]["Endpoint"]["state"]["isolation"], 10)
        same(ep.get_metadata(id="agent-2")["metadata"]["Endpoint"]["configuration"]["isolation"], True, "isolated, as wanted and as observed")
        until("nothing pending", lambda: all(s["pending_actions"].get("isolate", 0) == 0
                                             for s in ep.get_actions_status(agent_ids=["agent-2", "agent-3"])["data"]), 10)
        same([s["agent_id"] for s in ep.get_actions_status(agent_ids="agent-2")["data"]], ["agent-2"], "pending actions, of one")

        same([ep.get_actions_list(agent_ids="agent-2", commands=["isolate"], types=[kind])["total"] for kind in ("automated", "manual")],
             [1, 0], "the history: by agent, command, type; asked for with an alert is automated, as in Kibana")
        same(ep.get_actions_list(agent_ids=["agent-2", "agent-3"], user_ids=["admin"], start_date="now-1h", end_date="now",
                                 agent_types="endpoint", page=1, page_size=5)["total"], 1, "by user, dates, agent type")
        same(ep.get_actions_list(user_ids="nobody")["total"], 0, "nobody did nothing")
        same(ep.get_actions_list(commands=["unisolate"], agent_ids="agent-1")["total"], 1, "releases are unisolate there")
        listed = ep.get_actions_list(with_outputs=[made["action"]], page_size=1)
        same((listed["pageSize"], len(listed["data"]), listed["total"] > 1), (1, 1, True), "in pages")
        refused(NotFoundError, lambda: ep.get_action_details(action_id="nothing"), "not found")
        for call in (lambda: ep.kill_process(endpoint_ids=["agent-2"], parameters={"pid": 1}),
                     lambda: ep.get_running_processes(endpoint_ids=["agent-2"]),
                     lambda: ep.execute(endpoint_ids=["agent-2"], parameters={"command": "ls"})):
            refused(ApiError, call)
        say("  what Firebreak does not do is refused")
        same(ep.get_policy_response(agent_id="agent-2")["policy_response"]["Endpoint"]["policy"]["applied"]["status"], "success",
             "what an endpoint says of its policy")
        refused(NotFoundError, lambda: ep.get_policy_response(agent_id="nobody"))
        same((ep.get_scripts(page_size=50)["total"], ep.get_scripts()["data"]), (0, []), "there are no scripts")
        for call in (lambda: ep.get_action_file_info(action_id=made["action"], file_id="f"), lambda: ep.get_script(script_id="s"),
                     lambda: ep.download_action_file(action_id=made["action"], file_id="f"), lambda: ep.delete_script(script_id="s"),
                     lambda: ep.download_script(script_id="s"), lambda: ep.update_script(script_id="s", name="n"),
                     lambda: ep.get_protection_updates_note(package_policy_id="default")):
            refused(NotFoundError, call)
        for call in (lambda: ep.create_script(name="n", platform=["linux"], file_type="script", file=b"#!/bin/sh"),
                     lambda: ep.create_update_protection_updates_note(package_policy_id="default", note="n"),
                     lambda: ep.scan(endpoint_ids=["agent-2"], parameters={"path": "/"}),
                     lambda: ep.run_script(endpoint_ids=["agent-2"], agent_type="crowdstrike", parameters={"raw": "ls"})):
            same(refused(ApiError, call).status_code, 501, "not implemented, and it says so")
        released = ep.unisolate(endpoint_ids=["agent-2", "agent-3"], comment="over", parameters={})
        same(self.finished(released["action"], "successful")["command"], "unisolate", "both are released")

        # An endpoint that is protected needs an override and a second person.
        self.instance.cli("endpoints", "tag", "server-1", "add", "protected")
        refused(AuthorizationException, lambda: ep.isolate(endpoint_ids=["agent-3"], comment="c"), "protected")
        asked = ep.isolate(endpoint_ids=["agent-3"], comment="it really must be", parameters={"firebreak": {"override": True}})
        action = asked["data"]["firebreak"]["endpoints"]["agent-3"]
        same((asked["data"]["status"], action["status"]), ("pending", "awaiting_approval"), "an override waits for a second person")
        status, body = self.instance.api("POST", f"/api/firebreak/actions/{action['action_id']}/approve", {"comment": "me too"})
        same(status, 403, "who is not the one who asked")
        self.instance.cli("users", "add", "grace", "--role", "approver", "--no-password")
        key = self.instance.cli("keys", "create", "--user", "grace", "--name", "test").strip()
        status, body = self.instance.api("POST", f"/api/firebreak/actions/{action['action_id']}/approve", {"comment": "yes"}, key=key)
        same(status, 200, "a second person approves")
        self.finished(asked["action"], "successful")
        self.finished(ep.unisolate(endpoint_ids=["agent-3"])["action"], "successful")

        # The same key, the same action.
        def keyed(name, endpoint="agent-2"):
            return self.instance.api("POST", "/api/endpoint/action/isolate", {"endpoint_ids": [endpoint], "comment": "once"},
                                     headers={"Idempotency-Key": name})
        first, second = keyed("k-1"), keyed("k-1")
        same((first[0], second[0], first[1]["action"] == second[1]["action"]), (200, 200, True), "a repeated request is one action")
        self.finished(first[1]["action"], "successful")
        self.finished(ep.unisolate(endpoint_ids=["agent-2"])["action"], "successful")

    def other_headers(self):
        """What Kibana's own pages and other tools send besides."""
        for headers in ({"kbn-xsrf": "true"}, {"elastic-api-version": "2023-10-31", "kbn-xsrf": "reporting"},
                        {"x-elastic-internal-origin": "Kibana", "kbn-version": "8.18.0"}, {"elastic-api-version": "1"},
                        {"x-elastic-product-origin": "security-solution", "Accept": "*/*"}):
            for path in ("/api/endpoint/metadata", "/api/detection_engine/rules/_find", "/api/endpoint/action",
                         "/api/exception_lists/_find", "/s/default/api/endpoint/metadata?page=0&pageSize=10",
                         "/internal/api/endpoint/agent_status?agentIds=agent-1"):
                status, body = self.instance.api("GET", path, headers=headers)
                # Internal routes have numbers for versions, in Kibana too.
                wanted = 400 if path.startswith("/internal") and "-" in headers.get("elastic-api-version", "") else 200
                if status != wanted:
                    raise Failed(f"{path} with {headers}: {status} {body}")
        say("  the headers of Kibana's own pages and tools are taken")

    def command_line(self):
        """The program over the same API, with a URL and a key."""
        it, at = self.instance, {"FIREBREAK_URL": self.instance.url, "FIREBREAK_API_KEY": self.instance.admin_key}

        def firebreak(*args, **more):
            return it.run(*args, env=at, **more)

        def as_json(*args):
            return json.loads(firebreak(*args, "--format", "json"))
        made = as_json("policies", "add", "Servers", "--id", "servers", "--service", "10.0.0.5:9092", "--dns", "10.0.0.53", "--dhcp", "no")
        same((made["id"], made["services"], made["dns"], made["dhcp"], made["version"]), ("servers", ["10.0.0.5:9092"], ["10.0.0.53"], False, 1),
             "a policy is made")
        changed = as_json("policies", "set", "servers", "--message", "Call 117.", "--unset", "dns")
        same((changed["services"], "dns" in changed, changed["message"], changed["version"]), (["10.0.0.5:9092"], False, "Call 117.", 2),
             "changed, and what was not named stayed")
        check("1 of 1" in firebreak("policies", "assign", "servers", "server-1"), "given to an endpoint")
        same(self.ep.get_metadata(id="agent-3")["metadata"]["Endpoint"]["policy"]["applied"]["id"], "servers", "which has it, as the client sees")
        check("agent-3" in firebreak("policies", "show", "servers"), "shown with its endpoints")
        firebreak("policies", "rm", "servers", ok=(1,))
        firebreak("policies", "assign", "default", "server-1")
        firebreak("policies", "rm", "servers")
        firebreak("policies", "show", "servers", ok=(2,))
        say("  it is not removed while an endpoint has it, and afterwards it is")
        firebreak("policies", "add", "Bad", "--service", "nonsense", ok=(2,))
        watched = [json.loads(line) for line in firebreak("watch", "--after", "0", "--events", "action", "--limit", "3", "--format",
                                                          "json").splitlines()]
        same((len(watched), {w["event"] for w in watched}), (3, {"action"}), "watch follows the stream from an id on")
        ids = [int(w["id"]) for w in watched]
        again = firebreak("watch", "--after", str(ids[0]), "--events", "action", "--limit", "2", "--format", "json")
        same([json.loads(line)["id"] for line in again.splitlines()], [w["id"] for w in watched[1:]], "and goes on where it was")
        self.instance.run("watch", env={**at, "FIREBREAK_API_KEY": "bm86Ym9keQ=="}, ok=(2,))
        rows = [json.loads(line) for line in firebreak("actions", "--host", "desk-2", "--command", "isolate", "--since", "1d", "--format",
                                                       "json").splitlines()]
        check(rows and {(r["endpoint_id"], r["command"]) for r in rows} == {("agent-2", "isolate")}, "actions by host, command and time")
        same(firebreak("actions", "--host", "desk-2", "--since", "2099-01-01", "--format", "json"), "", "and none from the future")

    def timing(self):
        """From the request's first byte until the service reads the outcome that the agent told."""
        times, stream = [], Stream(self.instance)
        for n in range(self.options.runs):
            agent = HOSTS[n % 2][0]  # in turn: a host takes 120 changes an hour and no more
            began = time.monotonic()
            action = self.ep.isolate(endpoint_ids=[agent], comment="how long",
                                     parameters={"firebreak": {"lease": "1h"}})["data"]["firebreak"]["endpoints"][agent]["action_id"]
            until("the outcome", lambda: any(kind == "action" and data["action_id"] == action and data["status"] == "verified"
                                             for _, kind, data in stream.events[-20:]), 10, 0.001)
            times.append((time.monotonic() - began) * 1000)
            self.finished(self.ep.unisolate(endpoint_ids=[agent])["action"], "successful")
        listed = self.instance.cli("actions", "--command", "isolate", "--status", "verified", "--limit", str(self.options.runs),
                                   "--format", "json")
        record = sorted(_ms(r["finished_at"]) - _ms(r["created_at"]) for r in map(json.loads, listed.splitlines()))
        times.sort()
        p = lambda list, q: list[min(len(list) - 1, int(len(list) * q))]
        say(f"  isolate over the API until the outcome is in the stream, {len(times)} runs: p50 {p(times, 0.5):.0f} ms, p90 "
            f"{p(times, 0.9):.0f} ms, max {times[-1]:.0f} ms; in the record, request to read-back: p50 {p(record, 0.5):.0f} ms, "
            f"max {record[-1]:.0f} ms; load {os.getloadavg()[0]:.1f}")
        check(p(record, 0.5) < 1000, "half of them within a second, from the request to the read-back")


def _decoded(key):
    import base64
    return base64.b64decode(key).decode().split(":", 1)


def _now():
    return time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime())


def _ms(text):
    import datetime
    return int(datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() * 1000)


PARTS = ["front", "exceptions", "lists", "rules", "alerts", "actions", "other_headers", "command_line", "timing"]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", default=os.path.join(ROOT, "build/dev"))
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--only", default=",".join(PARTS))
    parser.add_argument("--keep-going", action="store_true", help="show every part that fails, not the first only")
    options = parser.parse_args()
    run = Run(options)
    failed = []
    for part in options.only.split(","):
        say(f"== {part}")
        try:
            getattr(run, part)()
        except Exception as error:  # whatever the client or the service came up with
            failed.append(part)
            if not isinstance(error, AssertionError):
                traceback.print_exc()
            say(f"FAILED in {part}: {error}")
            if not options.keep_going:
                break
    if failed:
        run.instance.close()
        say(f"left for you to look at: {run.instance.folder}")
        print(f"{len(failed)} failed: {', '.join(failed)}")
        sys.exit(1)
    run.instance.remove()
    say(f"{len(options.only.split(','))} passed, 0 failed")


if __name__ == "__main__":
    main()
