#!/usr/bin/env python3
"""The requests that the document about host isolation exceptions prints, as it prints them, against a running service.
Only the ids are the service's own. usage: exceptions_seed_test.py PATH_TO_FIREBREAK"""
import base64, copy, glob, json, os, re, sys, unittest

from running_service import RunningService

FIREBREAK = sys.argv.pop(1)
ROOT = os.path.realpath(os.environ.get("FB_SOURCE_DIR", os.path.join(os.path.dirname(__file__), "..", "..")))
SHARED = os.environ.get("FB_SHARED", os.path.join(ROOT, "..", "shared"))
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
UUID = re.compile(r"[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}")


class Exchange:
    def __init__(self, method, path, body, answer):
        self.method, self.path, self.body, self.answer = method, path, body, answer


def json_at(lines, at):
    """The JSON object that begins in line `at`, and the line after it; None when none does."""
    if at >= len(lines) or not lines[at].startswith("{"):
        return None, at
    for end in range(at + 1, len(lines) + 1):
        try:
            return json.loads("\n".join(lines[at:end])), end
        except json.JSONDecodeError:
            continue
    raise AssertionError(f"the object in line {at + 1} of the document does not end")


def read_document():
    texts = []
    for path in glob.glob(os.path.join(SHARED, "seeds", "*")):
        with open(path, encoding="utf-8") as f:
            texts.append(f.read())
    found = [text for text in texts if text.startswith("Host isolation exceptions")]
    assert len(found) == 1, f"the document is not in {SHARED}/seeds"
    lines = [line.rstrip() for line in found[0].split("\n")]
    exchanges, objects, open_request = [], [], None
    at = 0
    while at < len(lines):
        request = re.fullmatch(r"(GET|POST|PUT|DELETE) (api/\S+)", lines[at])
        if request:
            body, at = json_at(lines, at + 1)
            open_request = (request[1], "/" + request[2], body)
            continue
        value, end = json_at(lines, at)
        if value is None:
            at += 1
            continue
        at = end
        if open_request is None:
            objects.append(value)
        else:
            exchanges.append(Exchange(*open_request, value))
            open_request = None
    return exchanges, objects


class Seed(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.service = RunningService(FIREBREAK)
        cls.addClassCleanup(cls.service.close)
        cls.exchanges, cls.objects = read_document()
        cls.ids = {}  # the document's -> the service's

    def one(self, method, path_part):
        found = [e for e in self.exchanges if e.method == method and path_part in e.path]
        self.assertEqual(len(found), 1, f"{method} {path_part} in the document")
        return copy.deepcopy(found[0])

    def substituted(self, text):
        for theirs, ours in self.ids.items():
            text = text.replace(theirs, ours)
        return text

    def send(self, exchange, **headers):
        body = None if exchange.body is None else json.loads(self.substituted(json.dumps(exchange.body)))
        return self.service.ask(exchange.method, self.substituted(exchange.path), body, headers)

    def same_shape(self, ours, theirs, what):
        """Every field that the document shows, of its type and form; besides them only `comments`."""
        self.assertEqual(set(ours) - {"comments"}, set(theirs) - {"comments"}, what)
        for key, value in theirs.items():
            got = ours[key]
            self.assertIs(type(got), type(value), f"{what}: {key}")
            if isinstance(value, str):
                if TIME.fullmatch(value):
                    self.assertRegex(got, TIME, f"{what}: {key}")
                elif UUID.fullmatch(value):
                    self.assertRegex(got, UUID, f"{what}: {key}")
            if key == "_version":
                numbers = json.loads(base64.b64decode(got))
                self.assertEqual([type(n) for n in numbers], [int, int])
            if key in ("list_id", "namespace_type", "type", "os_types", "immutable", "version"):
                self.assertEqual(got, value, f"{what}: {key}")

    def test_the_requests_of_the_document(self):
        create_list = [
            e for e in self.exchanges if e.method == "POST" and e.path == "/api/exception_lists"][0]
        create = self.one("POST", "/items")
        update = self.one("PUT", "/items")
        delete = self.one("DELETE", "/items")
        read = self.one("GET", "/items?")
        find = self.one("GET", "/items/_find?")
        self.assertEqual(len(self.exchanges), 6)

        made_list = self.send(create_list)
        self.assertEqual(made_list.status, 200, made_list.text)
        self.same_shape(made_list.json, create_list.answer, "list")
        for key, value in create_list.body.items():
            self.assertEqual(made_list.json[key], value, key)
        self.assertEqual(made_list.json["tags"], create_list.answer["tags"])

        made = self.send(create)
        self.assertEqual(made.status, 200, made.text)
        self.same_shape(made.json, create.answer, "item")
        for key, value in create.body.items():
            self.assertEqual(made.json[key], value, key)
        self.assertEqual(made.json["comments"], [])
        self.ids = {create.answer["id"]: made.json["id"], create.answer["item_id"]: made.json["item_id"]}

        changed = self.send(update)
        self.assertEqual(changed.status, 200, changed.text)
        self.same_shape(changed.json, update.answer, "changed item")
        for key in ("description", "entries", "name", "os_types"):
            self.assertEqual(changed.json[key], update.body[key], key)
        self.assertEqual(changed.json["tags"], update.answer["tags"])
        for key in ("id", "item_id", "list_id", "created_at", "created_by", "tie_breaker_id"):
            self.assertEqual(changed.json[key], made.json[key], key)
        self.assertNotEqual(changed.json["_version"], made.json["_version"])

        got = self.send(read)
        self.assertEqual(got.status, 200, got.text)
        self.same_shape(got.json, read.answer, "read item")
        self.assertEqual(got.json, changed.json)

        found = self.send(find)
        self.assertEqual(found.status, 200, found.text)
        self.assertEqual(set(found.json), set(find.answer))
        self.assertEqual((found.json["page"], found.json["per_page"], found.json["total"]), (1, 10, 1))
        self.same_shape(found.json["data"][0], find.answer["data"][0], "found item")
        self.assertEqual(found.json["data"], [changed.json])

        gone = self.send(delete)
        self.assertEqual(gone.status, 200, gone.text)
        self.same_shape(gone.json, delete.answer, "deleted item")
        self.assertEqual(gone.json, changed.json)
        self.assertEqual(self.send(read).status, 404)
        self.assertEqual(self.send(delete).status, 404)

        self.comments(create, update)
        self.variations(create_list, create, update, read, find)

    def comments(self, create, update):
        """The objects of the document: a comment without an id is added, one with an id gets its new text."""
        plain, edited = [o for o in self.objects if "comment" in o]
        create.body["comments"] = [plain]
        made = self.send(create)
        self.assertEqual(made.status, 200, made.text)
        [first] = made.json["comments"]
        self.assertEqual(first["comment"], plain["comment"])
        self.assertEqual(first["created_by"], made.json["created_by"])
        self.ids.update({create.answer["id"]: made.json["id"], create.answer["item_id"]: made.json["item_id"],
                         edited["id"]: first["id"]})
        update.body["comments"] = [edited, plain]
        changed = self.send(update)
        self.assertEqual(changed.status, 200, changed.text)
        self.assertEqual([c["comment"] for c in changed.json["comments"]], [edited["comment"], plain["comment"]])
        self.assertEqual(changed.json["comments"][0]["id"], first["id"])
        self.assertEqual(changed.json["comments"][0]["updated_by"], first["created_by"])
        self.assertRegex(changed.json["comments"][0]["updated_at"], TIME)
        del update.body["comments"]
        self.assertEqual(self.send(update).json["comments"], changed.json["comments"], "left out is kept")

    def variations(self, create_list, create, update, read, find):
        [entry] = [o for o in self.objects if "field" in o]
        del create.body["comments"]

        def refused(exchange, status, text, **changes):
            one = copy.deepcopy(exchange)
            for key, value in changes.items():
                if value is None:
                    one.body.pop(key, None)
                else:
                    one.body[key] = value
            reply = self.send(one)
            self.assertEqual(reply.status, status, f"{changes}: {reply.text}")
            body = reply.json
            self.assertEqual(body.get("status_code", body.get("statusCode")), status)
            self.assertIn(text, json.dumps(body["message"]), changes)

        before = self.send(find).json["total"]
        refused(create_list, 409, "already exists")
        refused(create_list, 400, "namespace", namespace_type="single")
        refused(create, 404, "wrong_list", list_id="wrong_list")
        refused(create, 404, "endpoint_host_isolation_exceptions", namespace_type="single")
        refused(create, 400, "namespace_type", namespace_type="elsewhere")
        refused(create, 400, "type", type="complex")
        for value in ("host.example.org", "localhost", "10.10.0", "10.10.0.0/33", "256.1.1.1", " 10.10.0.1", "10.0.0.1-10.0.0.9"):
            refused(create, 400, "invalid ip: " + value, entries=[{**entry, "value": value}])
        for value in ("0.0.0.0/0", "10.0.0.0/7", "1.2.3.4/1", "::/0", "2001:db8::/31"):
            refused(create, 400, "invalid ip: " + value + ": ", entries=[{**entry, "value": value}])
        refused(create, 400, "array size is [2]", entries=[entry, entry])
        refused(create, 400, "entries", entries=[])
        refused(create, 400, "entries", entries=None)
        for change in ({"field": "source.ip"}, {"operator": "excluded"}, {"type": "wildcard"}):
            refused(create, 400, "entries.0", entries=[{**entry, **change}])
        refused(create, 400, "policy:all", tags=["policy:all", "policy:x"])
        refused(create, 400, "invalid policy ids: x", tags=["policy:x"])
        refused(create, 400, "osTypes", os_types=["linux"])
        refused(create, 400, "os_types", os_types=["linux", "macos", "beos"])
        for key in ("name", "description", "list_id", "type"):
            refused(create, 400, key, **{key: None})
        refused(update, 404, "does not exist", id="00000000-0000-4000-8000-000000000000")
        refused(update, 404, "either id or item_id", id=None, item_id=None)
        current = self.send(read).json["_version"]
        self.assertEqual(self.send(update).status, 200)
        refused(update, 409, "version conflict", _version=current)
        refused(update, 400, "policy:all", tags=["policy:all", "policy:x"])
        refused(update, 400, "array size is [2]", entries=[entry, entry])
        self.assertEqual(self.send(find).json["total"], before, "nothing of that was kept")
        missing = copy.deepcopy(read)
        missing.path = re.sub("item_id=[^&]+", "item_id=nobody", missing.path)
        self.assertEqual(self.send(missing).json, {"message": 'exception list item item_id: "nobody" does not exist',
                                                   "status_code": 404})
        for exchange in (read, find):
            elsewhere = copy.deepcopy(exchange)
            elsewhere.path = elsewhere.path.replace("namespace_type=agnostic", "namespace_type=single")
            self.assertEqual(self.send(elsewhere).status, 404)
        for value in ("192.0.2.0/24", "2001:db8::7", "2001:db8:1::/48"):
            one = copy.deepcopy(create)
            one.body["entries"] = [{**entry, "value": value}]
            self.assertEqual(self.send(one).json["entries"][0]["value"], value)


if __name__ == "__main__":
    unittest.main(verbosity=1)
