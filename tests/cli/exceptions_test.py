#!/usr/bin/env python3
"""Host isolation exceptions from outside: what clients send and read, the command line, and how soon isolated hosts have
them. usage: exceptions_test.py PATH_TO_FIREBREAK PATH_TO_AGENT"""
import json, os, sys, time, unittest

from running_service import RunningService, until

AGENT = sys.argv.pop(2)
FIREBREAK = sys.argv.pop(1)
LIST = "endpoint_host_isolation_exceptions"
LISTS = "/api/exception_lists"
ITEMS = "/api/exception_lists/items"
OF_LIST = f"list_id={LIST}&namespace_type=agnostic"
ALL_OS = ["linux", "macos", "windows"]


def item(address, item_id=None, **more):
    body = {"list_id": LIST, "name": "an item", "description": "why", "namespace_type": "agnostic", "type": "simple",
            "os_types": ALL_OS, "tags": ["policy:all"],
            "entries": [{"field": "destination.ip", "operator": "included", "type": "match", "value": address}]}
    if item_id:
        body["item_id"] = item_id
    body.update(more)
    return body


class Case(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.service = RunningService(FIREBREAK, AGENT)
        cls.addClassCleanup(cls.service.close)

    def setUp(self):
        self.ask("DELETE", f"{LISTS}?{OF_LIST}", status=None)
        self.ask("POST", LISTS, {"list_id": LIST, "name": "n", "description": "d", "type": LIST,
                                 "namespace_type": "agnostic"})

    def ask(self, method, path, body=None, headers=None, status=200):
        reply = self.service.ask(method, path, body, headers)
        if status is not None:
            self.assertEqual(reply.status, status, f"{method} {path}: {reply.text}")
        return reply

    def found(self, query=""):
        return self.ask("GET", f"{ITEMS}/_find?{OF_LIST}{query}").json


class Clients(Case):
    """Requests in the forms that clients of Kibana send them."""

    def test_headers_and_the_default_space(self):
        for headers in ({"elastic-api-version": "2023-10-31"}, {"kbn-xsrf": "reporting"}, {"kbn-version": "9.0.0"},
                        {"x-elastic-internal-origin": "Kibana", "elastic-api-version": "1"},
                        {"Content-Type": "application/json; charset=utf-8", "Accept": "*/*", "User-Agent": "go"}):
            reply = self.ask("POST", ITEMS, item("10.0.0.1"), headers)
            self.assertTrue(reply.headers.get("Content-Type", "").startswith("application/json"), reply.headers)
        self.assertEqual(self.ask("GET", f"/s/default{ITEMS}/_find?{OF_LIST}").json["total"], 5)
        self.ask("GET", f"/s/another{ITEMS}/_find?{OF_LIST}", status=404)

    def test_unknown_members_are_left_out_and_null_is_absent(self):
        made = self.ask("POST", ITEMS, item("10.0.0.1", "one", space="x", list_type="item", created_by="somebody", id="mine"))
        for key in ("space", "list_type"):
            self.assertNotIn(key, made.json)
        self.assertNotEqual(made.json["created_by"], "somebody")
        self.assertNotEqual(made.json["id"], "mine")
        nulls = dict.fromkeys(("meta", "tags", "comments", "item_id", "expire_time", "_version"))
        bare = self.ask("POST", ITEMS, {**item("10.0.0.1"), **nulls}).json
        self.assertEqual((bare["tags"], bare["comments"]), ([], []))
        self.assertFalse({"meta", "expire_time"} & set(bare))
        for key in ("name", "description", "list_id", "type", "entries"):
            self.assertIn(key, str(self.ask("POST", ITEMS, {**item("10.0.0.1"), key: None}, status=400).message), key)
        # What was read can be sent back as it is, with everything that only an answer has.
        self.ask("PUT", ITEMS, {**made.json, "name": "again"})
        self.assertEqual(self.ask("GET", f"{ITEMS}?item_id=one&namespace_type=agnostic").json["name"], "again")
        empty = self.ask("POST", ITEMS, item("10.0.0.1", "two", tags=[], comments=[], meta={}))
        self.assertEqual((empty.json["tags"], empty.json["comments"], empty.json["meta"]), ([], [], {}))

    def test_find_takes_numbers_as_text_and_encoded_kql(self):
        for n in range(5):
            self.ask("POST", ITEMS, item(f"10.0.0.{n}", f"i{n}", name=f"name {n}"))
        page = self.found("&page=2&per_page=2&sort_field=name&sort_order=asc")
        self.assertEqual([i["item_id"] for i in page["data"]], ["i2", "i3"])
        self.assertEqual((page["page"], page["per_page"], page["total"]), (2, 2, 5))
        for kql, expected in (("exception-list-agnostic.attributes.item_id%3Ai1", ["i1"]),
                              ("exception-list-agnostic.attributes.entries.value%3A%2210.0.0.3%22", ["i3"]),
                              ("exception-list-agnostic.attributes.name%3A%22name+4%22", ["i4"]),
                              ("not+exception-list-agnostic.attributes.tags%3A%22policy%3Aall%22", [])):
            self.assertEqual([i["item_id"] for i in self.found(f"&filter={kql}")["data"]], expected, kql)
        self.assertEqual(self.found("&filter=")["total"], 5)
        both = self.ask("GET", f"{ITEMS}/_find?list_id={LIST},other&namespace_type=agnostic,single").json
        self.assertEqual(both["total"], 5)
        for wrong in ("&page=one", "&per_page=-1", "&sort_order=up", "&filter=name%3Ax", "&filter=%28"):
            self.ask("GET", f"{ITEMS}/_find?{OF_LIST}{wrong}", status=400)

    def test_errors_have_the_two_shapes(self):
        schema = self.ask("POST", ITEMS, {**item("10.0.0.1"), "list_id": 5}, status=400).json
        self.assertEqual(schema, {"statusCode": 400, "error": "Bad Request",
                                  "message": "[request body]: list_id: Expected string, received number"})
        self.assertEqual(self.ask("GET", f"{ITEMS}?item_id=no&namespace_type=agnostic", status=404).json,
                         {"message": 'exception list item item_id: "no" does not exist', "status_code": 404})
        self.assertEqual(self.ask("POST", ITEMS, b"{", {"Content-Type": "application/json"}, status=400).json["statusCode"], 400)
        self.assertEqual(self.service.ask("GET", f"{ITEMS}/_find?{OF_LIST}", key="bad").status, 401)

    def test_export_and_import_by_form(self):
        for n in range(3):
            self.ask("POST", ITEMS, item(f"10.0.0.{n}", f"i{n}", comments=[{"comment": f"c{n}"}]))
        the_list = self.ask("GET", f"{LISTS}?{OF_LIST}").json
        out = self.ask("POST", f"{LISTS}/_export?id={the_list['id']}&{OF_LIST}&include_expired_exceptions=true")
        self.assertEqual(out.headers["Content-Type"].split(";")[0], "application/ndjson")
        self.assertEqual(out.headers["Content-Disposition"], f'attachment; filename="{LIST}"')
        lines = [json.loads(line) for line in out.text.splitlines()]
        self.assertEqual((lines[0]["list_id"], len(lines), lines[-1]["exported_exception_list_item_count"]), (LIST, 5, 3))
        self.ask("DELETE", f"{ITEMS}?item_id=i1&namespace_type=agnostic")
        self.ask("POST", ITEMS, item("10.0.0.9", "other"))
        done = self.service.upload(f"{LISTS}/_import?overwrite=false", out.text, "export.ndjson")
        self.assertEqual(done.status, 200, done.text)
        self.assertEqual((done.json["success"], done.json["success_count_exception_list_items"], len(done.json["errors"])),
                         (False, 1, 3))
        done = self.service.upload(f"{LISTS}/_import?overwrite=true", out.text)
        self.assertEqual((done.json["success"], done.json["success_count"]), (True, 4), done.text)
        self.assertEqual(sorted(i["item_id"] for i in self.found()["data"]), ["i0", "i1", "i2"])
        self.assertEqual(self.service.upload(f"{LISTS}/_import", out.text, "export.txt").json,
                         {"message": "Invalid file extension .txt", "status_code": 400})

    def test_summary(self):
        self.ask("POST", ITEMS, item("10.0.0.1"))
        self.assertEqual(self.ask("GET", f"{LISTS}/summary?{OF_LIST}").json, {"windows": 1, "linux": 1, "macos": 1, "total": 1})

    def test_lists_that_rules_use(self):
        """As Terraform and detection-as-code clients do: make, read by id, change with the version, take away."""
        body = {"list_id": "trusted", "name": "n", "description": "d", "type": "detection", "namespace_type": "single",
                "os_types": [], "tags": []}
        made = self.ask("POST", LISTS, body).json
        self.assertEqual(self.ask("GET", f"{LISTS}?id={made['id']}&namespace_type=single").json, made)
        changed = self.ask("PUT", LISTS, {**body, "id": made["id"], "name": "m", "_version": made["_version"]}).json
        self.assertEqual((changed["name"], changed["version"]), ("m", 1))
        self.ask("PUT", LISTS, {**body, "_version": made["_version"]}, status=409)
        entry = {"field": "user.name", "operator": "included", "type": "match_any", "value": ["a", "b"]}
        one = self.ask("POST", ITEMS, {"list_id": "trusted", "item_id": "t1", "name": "n", "description": "d",
                                       "type": "simple", "namespace_type": "single", "entries": [entry],
                                       "expire_time": "2035-01-01T00:00:00Z"}).json
        self.assertEqual((one["entries"], one["expire_time"]), ([entry], "2035-01-01T00:00:00Z"))
        self.assertEqual(self.ask("DELETE", f"{ITEMS}?id={one['id']}&namespace_type=single").json, one)
        self.ask("DELETE", f"{LISTS}?id={made['id']}&namespace_type=single")
        self.ask("GET", f"{LISTS}?list_id=trusted&namespace_type=single", status=404)


class OfRules(unittest.TestCase):
    """A rule of a file names a list of the record."""

    def test_the_rule_runs_with_the_list_as_it_is(self):
        service = RunningService(FIREBREAK, rules={
            "exceptions_list": [{"list_id": "mine", "type": "detection", "namespace_type": "single"}]})
        self.addCleanup(service.close)

        def rule_sets():
            with open(os.path.join(service.folder, "service.log")) as f:
                return [json.loads(line)["hash"] for line in f if '"rules_loaded"' in line]

        def add(entry, status):
            reply = service.ask("POST", ITEMS, {"list_id": "mine", "item_id": "one", "name": "n", "description": "d",
                                                "type": "simple", "entries": [entry]})
            self.assertEqual(reply.status, status, reply.text)
            return reply

        bare = rule_sets()[-1]
        self.assertEqual(service.ask("POST", LISTS, {"list_id": "mine", "name": "n", "description": "d",
                                                     "type": "detection"}).status, 200)
        self.assertIn("'one'", add({"field": "a", "operator": "included", "type": "list",
                                    "list": {"id": "l", "type": "keyword"}}, 400).message)
        self.assertEqual(rule_sets()[-1], bare)
        add({"field": "user.name", "operator": "included", "type": "match", "value": "svc"}, 200)
        until("another rule set", lambda: rule_sets()[-1] != bare, 5)
        self.assertEqual(service.ask("DELETE", f"{ITEMS}?item_id=one").status, 200)
        until("the first rule set again", lambda: rule_sets()[-1] == bare, 5)


class CommandLine(Case):
    def setUp(self):
        self.ask("DELETE", f"{LISTS}?{OF_LIST}", status=None)

    def test_add_makes_the_list_and_list_shows_it(self):
        self.assertEqual(self.service.cli("exceptions", "list").strip(), "no exceptions")
        out = self.service.cli("exceptions", "add", "10.10.0.1", "--name", "update server", "--comment", "ticket 7",
                               "--item-id", "upd")
        self.assertIn("10.10.0.1", out)
        self.assertIn("upd", out)
        self.service.cli("exceptions", "add", "2001:db8::/48", "--expires", "2035-01-01T00:00:00Z")
        self.assertIn("update server", self.service.cli("exceptions", "list"))
        rows = [json.loads(line) for line in self.service.cli("exceptions", "list", "--format", "json").splitlines()]
        self.assertEqual([r["entries"][0]["value"] for r in rows], ["2001:db8::/48", "10.10.0.1"])
        self.assertEqual(rows[1]["comments"][0]["comment"], "ticket 7")
        self.assertEqual(rows[0]["expire_time"], "2035-01-01T00:00:00Z")
        self.assertEqual(rows[0]["tags"], ["policy:all"])

    def test_bad_input_ends_with_2_and_says_why(self):
        for address in ("0.0.0.0/0", "host.example.org", "10.0.0.0/7"):
            code, _, err = self.service.run("exceptions", "add", address)
            self.assertEqual((code, err.count("\n")), (2, 1), err)
            self.assertIn("invalid ip", err)
        code, _, err = self.service.run("exceptions", "add", "10.0.0.1", "--policy", "nobody")
        self.assertEqual(code, 2)
        self.assertIn("invalid policy ids: nobody", err)
        code, _, err = self.service.run("exceptions", "rm", "two")
        self.assertEqual((code, err.count("\n")), (2, 1), err)
        self.assertIn("two", err)
        self.assertEqual(self.service.run("exceptions", "add")[0], 2)
        self.assertEqual(self.service.run("exceptions", "import", "/nowhere.ndjson")[0], 2)

    def imported(self, text):
        path = os.path.join(self.service.folder, "in.ndjson")
        with open(path, "w") as f:
            f.write(text)
        return path, *self.service.run("exceptions", "import", path)

    def test_a_file_that_is_no_export_is_named_with_its_line(self):
        for text, says in (("{bad", ":1: the line is not a JSON object"), ("\n[1]\n{bad\n", ":2: the line is not a JSON object"),
                           ("", ": there is nothing in it")):
            path, code, out, err = self.imported(text)
            self.assertEqual((code, out, err), (2, "", f"firebreak: {path}{says}\n"))
        code, out, err = self.service.run("exceptions", "import", self.service.folder)
        self.assertEqual((code, out, err.count("\n")), (2, "", 1), err)
        self.assertIn(self.service.folder, err)

    def test_lines_that_are_none_keep_no_other_from_being_imported(self):
        path, code, out, err = self.imported(json.dumps(item("10.0.0.1", "one")) + "\n\n{bad\n" + json.dumps(item("nowhere", "two")) + "\n")
        self.assertEqual((code, out), (1, "imported: 1 items\n"), err)
        self.assertIn(f"{path}:3: the line is not a JSON object\n", err)
        self.assertIn(f"{path}: two: ", err)
        self.assertEqual(err.count("\n"), 2, err)

    def test_one_that_is_there_already_ends_with_1(self):
        self.service.cli("exceptions", "add", "10.0.0.1", "--item-id", "one")
        self.assertEqual(self.service.run("exceptions", "add", "10.0.0.1", "--item-id", "one")[0], 1)

    def test_without_a_word_it_lists(self):
        self.service.cli("exceptions", "add", "10.0.0.1", "--item-id", "one")
        self.assertEqual(self.service.cli("exceptions"), self.service.cli("exceptions", "list"))

    def test_rm_export_and_import(self):
        for n in range(3):
            self.service.cli("exceptions", "add", f"10.0.0.{n}", "--item-id", f"i{n}")
        path = os.path.join(self.service.folder, "out.ndjson")
        self.service.cli("exceptions", "export", path)
        with open(path) as f:
            self.assertEqual(len(f.readlines()), 5)
        self.assertEqual(len(self.service.cli("exceptions", "export").splitlines()), 5)
        self.service.cli("exceptions", "rm", "i0")
        self.assertNotIn("10.0.0.0", self.service.cli("exceptions", "list"))
        code, out, err = self.service.run("exceptions", "import", path)
        self.assertEqual((code, out.strip()), (1, "imported: 1 items"), err)
        self.assertEqual(err.count("already exists"), 2, err)
        self.service.cli("exceptions", "rm", "i1")
        self.assertEqual(self.service.cli("exceptions", "import", path, "--overwrite").strip(), "imported: 3 items")
        self.ask("DELETE", f"{LISTS}?{OF_LIST}")
        self.assertEqual(self.service.cli("exceptions", "import", path).strip(), "imported: 3 items")


class Isolated(Case):
    """From the answer of the API to the host that is isolated already."""

    HOSTS = {"lin-a": "linux", "lin-b": "linux", "win-a": "windows"}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        for host, os_name in cls.HOSTS.items():
            cls.service.enroll(host, os_name)
        reply = cls.service.ask("POST", "/api/firebreak/policies", {"id": "servers", "name": "Servers"})
        assert reply.status == 200, reply.text
        reply = cls.service.ask("POST", "/api/firebreak/policies/servers/assign", {"hosts": ["lin-b"]})
        assert reply.status == 200, reply.text
        for host in cls.HOSTS:
            reply = cls.service.ask("POST", "/api/endpoint/action/isolate", {"endpoint_ids": [host], "comment": "test"})
            assert reply.status == 200, reply.text
        for host in cls.HOSTS:
            until(f"{host} isolated", lambda: cls.service.endpoint(host).get("observed") == "isolated")

    def open_on(self, host):
        cut = self.service.cut_of(host)
        self.assertEqual(cut.get("state"), "isolated", f"{host}: {cut}")
        return set(cut.get("exceptions") or cut.get("rules", {}).get("exceptions", []))

    def timed(self, change, expected):
        """Seconds until every host has what `expected` says; the hosts stay isolated all the time."""
        start = time.monotonic()
        change()
        until(f"{expected}", lambda: all(self.open_on(h) == set(v) for h, v in expected.items()), 10, 0.002)
        return time.monotonic() - start

    def status(self, item_id):
        return self.ask("GET", f"/api/firebreak/exceptions/{item_id}/status").json

    def test_a_change_is_in_force_within_a_second_where_it_applies(self):
        a, b, w = "lin-a", "lin-b", "win-a"
        one = {"10.1.0.1"}
        steps = [
            ("add for all", lambda: self.ask("POST", ITEMS, item("10.1.0.1", "one")), {a: one, b: one, w: one}),
            ("add for a policy", lambda: self.ask("POST", ITEMS, item("10.2.0.0/16", "two", tags=["policy:servers"])),
             {a: one, b: one | {"10.2.0.0/16"}, w: one}),
            ("add for a platform", lambda: self.ask("POST", ITEMS, item("10.3.0.1", "three", os_types=["windows"] * 3)),
             {a: one, b: one | {"10.2.0.0/16"}, w: one | {"10.3.0.1"}}),
            ("change the address", lambda: self.ask("PUT", ITEMS, item("10.1.0.2", "one")),
             {a: {"10.1.0.2"}, b: {"10.1.0.2", "10.2.0.0/16"}, w: {"10.1.0.2", "10.3.0.1"}}),
            ("take one away", lambda: self.ask("DELETE", f"{ITEMS}?item_id=one&namespace_type=agnostic"),
             {a: set(), b: {"10.2.0.0/16"}, w: {"10.3.0.1"}}),
        ]
        for name, change, expected in steps:
            seconds = self.timed(change, expected)
            print(f"\n  {name}: {seconds * 1000:.0f} ms", end="", flush=True)
            self.assertLess(seconds, 1.0, name)
        expiry = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 4))
        self.timed(lambda: self.ask("POST", ITEMS, item("10.4.0.1", "four", expire_time=expiry)),
                   {a: {"10.4.0.1"}, b: {"10.2.0.0/16", "10.4.0.1"}, w: {"10.3.0.1", "10.4.0.1"}})
        until("the expiry", lambda: self.open_on(a) == set(), 10)
        print("")

    def test_the_api_tells_which_hosts_have_it(self):
        self.ask("POST", ITEMS, item("10.9.0.1", "nine"))
        self.ask("POST", ITEMS, item("10.9.0.2", "ten", tags=["policy:servers"]))
        until("applied everywhere", lambda: self.status("nine")["applied"] == 3, 5)
        nine = self.status("nine")
        self.assertEqual((nine["applies_to"], nine["pending"], nine["expired"]), (3, 0, False))
        self.assertEqual({e["endpoint_id"]: e["state"] for e in nine["endpoints"]}, {h: "applied" for h in self.HOSTS})
        until("applied by the server", lambda: self.status("ten")["applied"] == 1, 5)
        self.assertEqual([e["endpoint_id"] for e in self.status("ten")["endpoints"]], ["lin-b"])
        self.ask("GET", "/api/firebreak/exceptions/nobody/status", status=404)


if __name__ == "__main__":
    unittest.main(verbosity=1)
