#!/usr/bin/env python3
"""The requests of two clients that CI can't install, by hand.

Terraform's provider for Kibana is a Go program. What it holds in its state is what it reads back, so whatever was sent has to
come back as it was, ids have to be UUIDs and times RFC 3339: else the next plan is not empty. Each resource goes through
apply, plan, change, plan, destroy, in the provider's way: through /s/default, lists in the query repeated, by `id` alone.

Elastic's own tool for detection rules is in no registry. It sends null for what it has nothing to say of, sorts by _id, repeats
what failed once, and reads rule_id of every error.

usage: build/venv/bin/python tests/e2e/as_others_ask.py [--build DIR]"""
import argparse, datetime, json, os, sys, urllib.parse, urllib.request, uuid

from instance import ROOT, Failed, Instance

RULE = {"id": "uuid", "rule_id": str, "name": str, "description": str, "type": str, "enabled": bool, "severity": str, "risk_score": int,
        "from": str, "to": str, "interval": str, "max_signals": int, "version": int, "revision": int, "immutable": bool, "setup": str,
        "created_at": "time", "created_by": str, "updated_at": "time", "updated_by": str, "rule_source": dict,
        **{key: list for key in ("actions", "author", "exceptions_list", "false_positives", "references", "related_integrations",
                                 "required_fields", "risk_score_mapping", "severity_mapping", "tags", "threat")}}
OBJECT = {"id": str, "name": str, "description": str, "type": str, "namespace_type": str, "tie_breaker_id": str, "_version": str,
          "created_at": "time", "created_by": str, "updated_at": "time", "updated_by": str, "os_types": list, "tags": list}
LIST = {**OBJECT, "list_id": str, "version": int, "immutable": bool}
ITEM = {**OBJECT, "list_id": str, "item_id": str, "entries": list, "comments": list}
VALUES = {"id": str, "name": str, "description": str, "type": str, "immutable": bool, "version": int, "_version": str, "@timestamp": "time",
          "tie_breaker_id": str, "created_at": "time", "created_by": str, "updated_at": "time", "updated_by": str}
VALUE = {"id": str, "list_id": str, "type": str, "value": str, "_version": str, "@timestamp": "time", "tie_breaker_id": str,
         "created_at": "time", "created_by": str, "updated_at": "time", "updated_by": str}


def is_of(value, kind):
    try:
        if kind == "uuid":
            return str(uuid.UUID(value)) == value
        if kind == "time":
            return datetime.datetime.fromisoformat(value.replace("Z", "+00:00")).tzinfo is not None
    except (AttributeError, TypeError, ValueError):
        return False
    return isinstance(value, kind) and (kind is not int or not isinstance(value, bool))


class Provider:
    def __init__(self, instance):
        self.instance = instance

    def ask(self, method, path, body=None, query=None, status=200):
        target = "/s/default" + path + ("?" + urllib.parse.urlencode(query, doseq=True) if query else "")
        got, answer = self.instance.api(method, target, body, headers={"kbn-xsrf": "true", "User-Agent": "tf-provider"})
        if got != status:
            raise Failed(f"{method} {target}: {got}, not {status}: {answer}\n{json.dumps(body)}")
        return answer

    @staticmethod
    def held(what, sent, got, shape):
        """All that was sent, and the shape that a typed client decodes."""
        for key, kind in shape.items():
            if not is_of(got.get(key), kind):
                raise Failed(f"{what}: {key} is {got.get(key)!r}")
        for key, value in got.items():
            if value is None:
                raise Failed(f"{what}: {key} is null")
        for key, value in sent.items():
            back = got.get(key)
            if key == "required_fields":  # the service says which of them are ECS
                back = [{k: v for k, v in field.items() if k != "ecs"} for field in back]
            if key == "comments":
                back = [{"comment": c["comment"]} for c in back]
            if back != value:
                raise Failed(f"{what}: {key} was sent as {json.dumps(value)} and came back as {json.dumps(back)}")

    def lives(self, what, path, first, later, shape, key="id", scope=None):
        """Apply, plan, change, plan, destroy; what is `later` replaces the first whole."""
        scope = scope or {}
        made = self.ask("POST", path, first)
        self.held(f"{what}, applied", first, made, shape)
        by_id = {"id": made["id"], **scope}
        if self.ask("GET", path, query=by_id) != made:
            raise Failed(f"{what}: the plan after apply is not empty")
        # The provider names a rule by its own id when it has one, everything else by `id`.
        changed = self.ask("PUT", path, {**later, key: made[key]})
        self.held(f"{what}, changed", later, changed, shape)
        if self.ask("GET", path, query=by_id) != changed:
            raise Failed(f"{what}: the plan after the change is not empty")
        return made["id"], by_id

    def destroyed(self, path, by_id):
        self.ask("DELETE", path, query=by_id)
        self.ask("GET", path, query=by_id, status=404)
        self.ask("DELETE", path, query=by_id, status=404)

    def exceptions(self):
        lists, items = "/api/exception_lists", "/api/exception_lists/items"
        entries = [{"field": "a", "operator": "included", "type": "match", "value": "v"},
                   {"field": "b", "operator": "excluded", "type": "match_any", "value": ["x", "y"]},
                   {"field": "c", "operator": "included", "type": "exists"},
                   {"field": "d", "operator": "included", "type": "wildcard", "value": "*.exe"},
                   {"field": "e", "type": "nested", "entries": [{"field": "f", "operator": "included", "type": "match", "value": "1"}]}]
        address = [{"field": "destination.ip", "operator": "included", "type": "match", "value": "10.1.2.3"}]
        for kind, name_space in (("detection", "single"), ("rule_default", "single"), ("endpoint", "agnostic"),
                                 ("endpoint_trusted_apps", "agnostic"), ("endpoint_host_isolation_exceptions", "agnostic")):
            isolation = kind == "endpoint_host_isolation_exceptions"
            scope = {"namespace_type": name_space}
            list_id = kind if isolation else f"tf-{kind}"
            first = {"list_id": list_id, "name": kind, "description": "d", "type": kind, **scope, "tags": ["b", "a"],
                     "os_types": ["linux", "windows"], "meta": {"k": {"x": [1, 2.5]}}}
            later = {"name": "renamed", "description": "d2", "type": kind, **scope, "tags": ["c"], "os_types": ["macos"], "meta": {"z": True}}
            _, by_id = self.lives(f"list {kind}", lists, first, later, LIST, scope=scope)
            body = {"name": "n", "description": "d", "type": "simple", **scope, "entries": address if isolation else entries,
                    "tags": ["policy:all"], "os_types": ["linux", "macos", "windows"], "meta": {"m": 1}}
            first = {**body, "list_id": list_id, "item_id": f"{list_id}-item", "comments": [{"comment": "one"}, {"comment": "two"}]}
            later = {**body, "name": "n2", "meta": {"m": 2}}
            if name_space == "single":
                first["expire_time"], later["expire_time"] = "2030-01-02T03:04:05.000Z", "2031-01-02T03:04:05.000Z"
            _, item = self.lives(f"item of {kind}", items, first, later, ITEM, scope=scope)
            found = self.ask("GET", items + "/_find", query={"list_id": [list_id, "is-not-there"], "namespace_type": [name_space] * 2})
            if (found["total"], found["data"][0]["item_id"]) != (1, f"{list_id}-item"):
                raise Failed(f"repeated lists in the query: {found}")
            self.destroyed(items, item)
            self.destroyed(lists, by_id)

    def rules(self):
        path = "/api/detection_engine/rules"
        small = {"name": "tf", "type": "query", "description": "d", "severity": "low", "risk_score": 21, "language": "kuery",
                 "query": "process.name: tf.exe", "index": ["logs-*"], "from": "now-6m", "to": "now", "interval": "5m", "enabled": False}
        attack = {"id": "TA0009", "name": "Collection", "reference": "https://attack.mitre.org/tactics/TA0009"}
        technique = {"id": "T1123", "name": "Audio Capture", "reference": "https://attack.mitre.org/techniques/T1123",
                     "subtechnique": [{"id": "T1123.001", "name": "s", "reference": "https://attack.mitre.org"}]}
        full = {**small, "enabled": True, "severity": "medium", "risk_score": 50, "max_signals": 50, "namespace": "ns",
                "rule_name_override": "host.name", "timestamp_override": "event.ingested", "timestamp_override_fallback_disabled": True,
                "timeline_id": "t1", "timeline_title": "T", "license": "MIT", "note": "# guide", "setup": "do it", "author": ["A"],
                "tags": ["b", "a"], "false_positives": ["f"], "references": ["https://example.org/r"], "building_block_type": "default",
                "investigation_fields": {"field_names": ["user.name", "event.action"]},
                "risk_score_mapping": [{"field": "event.severity", "operator": "equals", "value": "high", "risk_score": 85}],
                "severity_mapping": [{"field": "event.severity", "operator": "equals", "value": "9", "severity": "critical"}],
                "related_integrations": [{"package": "windows", "version": "1.0.0", "integration": "system"}, {"package": "n", "version": "2"}],
                "required_fields": [{"name": "event.type", "type": "keyword"}, {"name": "own.field", "type": "text"}],
                "alert_suppression": {"group_by": ["host.name"], "duration": {"value": 5, "unit": "m"}, "missing_fields_strategy": "suppress"},
                "threat": [{"framework": "MITRE ATT&CK", "tactic": attack, "technique": [technique]}, {"framework": "MITRE ATT&CK", "tactic": attack}],
                "filters": [{"bool": {"must": [{"term": {"event.category": "process"}}], "must_not": [{"term": {"event.outcome": "failure"}}]}},
                            {"terms": {"event.action": ["login", "start"]}}, {"range": {"@timestamp": {"gte": "now-1h", "lte": "now"}}},
                            {"prefix": {"user.name": "adm"}}],
                "exceptions_list": [{"id": "e", "list_id": "of-tf", "namespace_type": "single", "type": "detection"}],
                "actions": [{"action_type_id": ".slack", "id": "c", "group": "default", "params": {"message": "{{rule.name}}"},
                             "frequency": {"summary": True, "notifyWhen": "onActiveAlert", "throttle": None}}],
                "response_actions": [
                    {"action_type_id": ".osquery", "params": {"query": "SELECT 1;", "timeout": 300, "ecs_mapping": {"a": {"field": "b"}}}},
                    {"action_type_id": ".endpoint", "params": {"command": "isolate", "comment": "cut off"}},
                    {"action_type_id": ".endpoint", "params": {"command": "kill-process", "config": {"field": "process.pid", "overwrite": False}}}]}
        for name, first, later in (("small rule", small, full), ("full rule", full, small), ("rule with its own id", {**full, "rule_id": "tf-own"}, small)):
            key = "rule_id" if "rule_id" in first else "id"
            _, by_id = self.lives(name, path, first, later, RULE, key=key)
            for gone in set(first) - set(later) - {"rule_id"}:  # what a change leaves out is over
                left = self.ask("GET", path, query=by_id).get(gone)
                if left and gone not in ("max_signals",):
                    raise Failed(f"{name}: {gone} stayed: {left}")
            self.destroyed(path, by_id)
        # Prebuilt rules are switched on by a tag.
        made = [self.ask("POST", path, {**small, "name": f"os {n}", "tags": ["OS: Windows"]})["id"] for n in range(3)]
        done = self.ask("POST", path + "/_bulk_action", {"action": "enable", "query": 'alert.attributes.tags:("OS: Windows")'})
        off = self.ask("GET", path + "/_find", query={"filter": 'alert.attributes.enabled: false AND alert.attributes.tags:("OS: Windows")',
                                                      "page": 1, "per_page": 1})
        none = self.ask("POST", path + "/_bulk_action", {"action": "disable", "query": 'alert.attributes.tags:("OS: none")'})
        if (done["attributes"]["summary"]["succeeded"], off["total"], none["success"]) != (3, 0, True):
            raise Failed(f"switched on by a tag: {done['attributes']['summary']}, {off}, {none}")
        for one in made:
            self.destroyed(path, {"id": one})

    def value_lists(self):
        lists, items, index = "/api/lists", "/api/lists/items", "/api/lists/index"
        self.instance.api("POST", "/s/default" + index, {})  # 200, or 409 when it is there
        if self.ask("GET", index) != {"list_index": True, "list_item_index": True}:
            raise Failed("the index of value lists")
        for kind, one, other in (("ip", "10.0.0.1", "10.0.0.2"), ("keyword", "a.exe", "b.exe"), ("ip_range", "10.0.0.0/8", "10.0.0.0/16")):
            first = {"id": f"tf-{kind}", "name": "n", "description": "d", "type": kind, "meta": {"k": 1}}
            later = {"name": "n2", "description": "d2", "meta": {"k": 2}}
            _, by_id = self.lives(f"value list of {kind}", lists, first, later, VALUES)
            _, item = self.lives(f"value of {kind}", items, {"list_id": f"tf-{kind}", "id": f"tf-{kind}-1", "value": one, "meta": {"m": 1}},
                                 {"value": other, "meta": {"m": 2}}, VALUE)
            self.destroyed(items, item)
            self.destroyed(lists, by_id)

    def run(self):
        version = self.ask("GET", "/api/status")["version"]
        if tuple(int(part) for part in version["number"].split(".")) < (8, 16, 0) or version["build_flavor"] == "serverless":
            raise Failed(f"the provider asks for 8.16: {version}")
        self.exceptions()
        self.rules()
        self.value_lists()


class DetectionRules:
    """Imports, finds, changes, exports rules, and looks at alerts."""
    PATH = "/api/detection_engine/rules"

    def __init__(self, instance):
        self.instance = instance

    def ask(self, method, path, body=None, query=None, status=200):
        target = path + ("?" + urllib.parse.urlencode(query) if query else "")
        got, answer = self.instance.api(method, target, body, headers={"kbn-xsrf": str(uuid.uuid4()), "Content-Type": "application/json"})
        if got != status:
            raise Failed(f"{method} {target}: {got}, not {status}: {answer}")
        return answer

    def upload(self, objects, **query):
        mark, lines = "----ABoundary", "\n".join(json.dumps(o) for o in objects) + "\n"
        body = (f'--{mark}\r\nContent-Disposition: form-data; name="file"; filename="import.ndjson"\r\n'
                f"Content-Type: application/x-ndjson\r\n\r\n{lines}\r\n--{mark}--\r\n").encode()
        headers = {"Authorization": f"ApiKey {self.instance.admin_key}", "content-type": f"multipart/form-data; boundary={mark}"}
        url = f"{self.instance.url}{self.PATH}/_import?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(urllib.request.Request(url, data=body, headers=headers), timeout=30) as reply:
            return json.loads(reply.read())

    def run(self):
        self.ask("GET", "/api/status")
        if [space["id"] for space in self.ask("GET", "/api/spaces/space")] != ["default"]:
            raise Failed("the spaces")
        rule = {"name": "Ours", "rule_id": "dr-1", "description": "d", "severity": "low", "risk_score": 21, "type": "query", "language": "kuery",
                "query": "process.name: dr.exe", "index": ["logs-*"], "from": "now-9m", "interval": "5m", "version": 3, "author": ["A"],
                "license": "MIT", "timestamp_override": "event.ingested", "meta": {"maturity": "production"}, "setup": "s", "tags": ["dr"],
                "required_fields": [{"ecs": True, "name": "process.name", "type": "keyword"}],
                "related_integrations": [{"package": "endpoint", "version": "^8.2.0"}],
                "exceptions_list": [{"id": "x", "list_id": "dr-list", "namespace_type": "single", "type": "detection"}]}
        of = {"list_id": "dr-list", "description": "d", "namespace_type": "single", "tags": []}
        entry = {"field": "user.name", "operator": "included", "type": "match", "value": "builder"}
        exceptions = [{**of, "name": "L", "type": "detection"},
                      {**of, "item_id": "dr-item", "name": "I", "type": "simple", "entries": [entry], "comments": [], "os_types": []}]
        done = self.upload([rule, *exceptions], overwrite="true", overwrite_exceptions="true", overwrite_action_connectors="false")
        if (done["success"], done["success_count"], done["exceptions_success_count"]) != (True, 1, 2):
            raise Failed(f"the import: {done}")
        done = self.upload([rule, {**rule, "rule_id": "dr-2", "query": "a: ("}, {"name": "no id"}], overwrite="false")
        if sorted(e["rule_id"] for e in done["errors"]) != ["(unknown id)", "dr-1", "dr-2"]:
            raise Failed(f"the errors of an import: {done}")
        listed, page = [], {"page": 0, "perPage": 2}
        custom = 'alert.attributes.tags:"__internal_immutable:false"'
        self.ask("POST", self.PATH + "/_bulk_create", [{**rule, "rule_id": f"dr-{n}", "name": f"Ours {n}"} for n in range(3, 6)])
        while not listed or len(page["data"]) == page["perPage"]:
            page = self.ask("GET", self.PATH + "/_find", query={"per_page": 2, "page": page["page"] + 1, "filter": f"(alert.attributes.tags: dr) and ({custom})",
                                                                "sort_field": "_id", "sort_order": "asc"})
            listed += [r["rule_id"] for r in page["data"]]
        if sorted(listed) != ["dr-1", "dr-3", "dr-4", "dr-5"]:
            raise Failed(f"found in pages: {listed}")
        ids = [self.ask("GET", self.PATH, query={"rule_id": r})["id"] for r in listed]
        bulk, dry = {"query": None, "ids": None, "edit": None, "duplicate": None}, {"dry_run": "false"}
        for change in ({"action": "enable", "ids": ids}, {"action": "disable", "query": "alert.attributes.tags: dr"},
                       {"action": "edit", "ids": ids, "edit": [{"type": "add_tags", "value": ["more"]}]}):
            results = self.ask("POST", self.PATH + "/_bulk_action", {**bulk, **change}, query=dry)["attributes"]["results"]
            if sorted(r["rule_id"] for r in results["updated"]) != sorted(listed):
                raise Failed(f"{change['action']}: {results}")
        copy = {"action": "duplicate", "ids": ids[:1], "duplicate": {"include_exceptions": True}}
        made = self.ask("POST", self.PATH + "/_bulk_action", {**bulk, **copy}, query=dry)["attributes"]["results"]["created"]
        for wanted in ({"objects": [{"rule_id": r} for r in listed]}, None):
            text = self.ask("POST", self.PATH + "/_export", wanted, query={"exclude_export_details": "true"})
            rules = [one for one in map(json.loads, text.splitlines()) if "rule_id" in one]
            if len(rules) != len(listed) + (wanted is None):
                raise Failed(f"exported: {[r['rule_id'] for r in rules]}")
        found = self.ask("POST", "/api/detection_engine/signals/search", {
            "size": 0, "track_total_hits": True, "aggs": {"lastSeen": {"max": {"field": "@timestamp"}}},
            "query": {"bool": {"filter": [{"match": {"signal.status": "open"}}]}}})
        if not isinstance(found["hits"]["total"]["value"], int) or "lastSeen" not in found["aggregations"]:
            raise Failed(f"the last alert: {found}")
        self.ask("POST", self.PATH + "/_bulk_action", {**bulk, "action": "delete", "ids": [*ids, made[0]["id"]]}, query=dry)
        self.ask("DELETE", "/api/exception_lists", query={"list_id": "dr-list"})


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", default=os.path.join(ROOT, "build/dev"))
    options = parser.parse_args()
    instance = Instance(options.build)
    try:
        instance.start()
        Provider(instance).run()
        DetectionRules(instance).run()
    except AssertionError as error:
        print(f"as others ask: FAILED: {error}")
        sys.exit(1)
    instance.remove()
    print("2 passed, 0 failed")


if __name__ == "__main__":
    main()
