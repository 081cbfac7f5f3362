"""What /openapi.json says: its operations, and whether an answer is as it says."""

import copy
import json
import re

from jsonschema import Draft202012Validator, RefResolver

from lib.rookery import REPOSITORY

FILE = REPOSITORY / "src/api/openapi.json"


class Operation:
    """One method of one path."""

    def __init__(self, document, method, path, raw):
        self.document = document
        self.method = method.upper()
        self.template = path
        self.raw = raw
        self.id = raw["operationId"]
        self.tag = raw["tags"][0]
        self.responses = {int(k): document.resolved(v) for k, v in raw["responses"].items()}

    @property
    def security(self):
        return self.raw.get("security", self.document.raw["security"])

    @property
    def success(self):
        return min(status for status in self.responses if status >= 200)

    @property
    def has_head(self):
        """GETs that answer with something are for reading."""
        return self.method == "GET" and "content" in self.responses[self.success]

    def path(self, **values):
        return re.sub(r"{([^}]*)}", lambda m: str(values[m.group(1)]), self.template)

    def check(self, response):
        """The answer is one of the documented ones; its JSON has every member, and no other."""
        said = (self.id, response.status, response.headers.get("content-type"), response.body[:300])
        assert response.status in self.responses, said
        documented = self.responses[response.status]
        for name in documented.get("headers", {}):
            assert name.lower() in response.headers, said
        if "content" not in documented:
            assert response.body == b"" and "content-type" not in response.headers, said
            return
        media = documented["content"].get(response.headers["content-type"])
        assert media is not None, said
        self.document.validate(media["schema"], value_of(said[2], response.body))


class Document:
    """A description. It is read strictly: an object has no members but those it names."""

    def __init__(self, raw):
        self.raw = raw
        self.operations = [Operation(self, method, path, operation)
                           for path, item in raw["paths"].items()
                           for method, operation in item.items()]
        self.resolver = RefResolver("", closed(raw))

    def resolved(self, value):
        """value, or what its reference names."""
        if "$ref" not in value:
            return value
        found = self.raw
        for name in value["$ref"].removeprefix("#/").split("/"):
            found = found[name]
        return found

    def validate(self, schema, value):
        Draft202012Validator(closed(schema), resolver=self.resolver).validate(value)

    def by_id(self, name):
        return next(operation for operation in self.operations if operation.id == name)

    def methods_of(self, path):
        """What a call of this path may be: {method: operation}. Several templates may fit it."""
        return {operation.method: operation for operation in self.operations
                if re.fullmatch(re.sub(r"{[^}]*}", "[^/]+", operation.template), path)}

    def examples(self):
        """(where, schema, example) of everything that has one."""
        for operation in self.operations:
            holders = [(str(status), response) for status, response in operation.responses.items()]
            holders.append(("body", operation.raw.get("requestBody", {})))
            for where, holder in holders:
                for media in holder.get("content", {}).values():
                    if "example" in media:
                        yield f"{operation.id}-{where}", media["schema"], media["example"]


def closed(schema):
    """A copy in which every object with members has these alone."""
    schema = copy.deepcopy(schema)

    def close(node):
        if isinstance(node, dict):
            if node.get("type") == "object" and "properties" in node:
                node.setdefault("additionalProperties", False)
            node = list(node.values())
        if isinstance(node, list):
            for one in node:
                close(one)
    close(schema)
    return schema


def value_of(content_type, body):
    return json.loads(body) if content_type.startswith("application/json") else body.decode()


def load():
    return Document(json.loads(FILE.read_text()))
