"""The description of the API's routes is whole: what OpenAPI 3.1 asks for, and what a reader needs.
That it is true is for the unit and black-box tests."""

import json
import re

DOCUMENT = "src/api/openapi.json"
METHODS = {"get", "head", "post", "put", "delete", "options"}
PLACES = {"path", "query", "header"}


def load(root):
    return json.loads((root / DOCUMENT).read_text())


def operations(document):
    """(method, path, operation) of all."""
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield method, path, operation


def nodes(value):
    """Every object in it."""
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    if isinstance(value, list):
        for one in value:
            yield from nodes(one)


def lookup(document, reference):
    """What "#/a/b" names, or None."""
    found = document
    for name in reference.removeprefix("#/").split("/"):
        found = found.get(name) if isinstance(found, dict) else None
    return found


def resolved(document, value):
    return lookup(document, value["$ref"]) or {} if "$ref" in value else value


def references(document):
    """What is named and not there, and what is there and not named."""
    named = {node["$ref"] for node in nodes(document) if isinstance(node.get("$ref"), str)}
    there = {f"#/components/{kind}/{name}" for kind in ("parameters", "responses", "schemas")
             for name in document["components"].get(kind, {})}
    for reference in sorted(named):
        if lookup(document, reference) is None:
            yield f"{reference} is not there"
    for reference in sorted(there - named):
        yield f"{reference} is used by nobody"


def content(what, holder):
    if any("schema" not in media for media in holder.get("content", {}).values()):
        yield f"{what} has no schema"


def parameters(document, path, operation):
    given = [resolved(document, p) for p in operation.get("parameters", [])]
    for p in given:
        if p.get("in") not in PLACES or not p.get("description") or "schema" not in p:
            yield f"parameter {p.get('name')} needs in, description and schema"
        if p.get("in") == "path" and p.get("required") is not True:
            yield f"parameter {p['name']} of the path is not required"
    of_path = sorted(p["name"] for p in given if p.get("in") == "path")
    if of_path != sorted(re.findall(r"{([^}]*)}", path)):
        yield f"the path's parameters are not {of_path}"


def responses(document, operation):
    given = operation.get("responses", {})
    if not any(re.fullmatch("2..", status) for status in given):
        yield "no response is a success"
    for status, response in given.items():
        response = resolved(document, response)
        if not re.fullmatch("[1-5][0-9][0-9]", status) or not response.get("description"):
            yield f"response {status} needs a status and a description"
        yield from content(f"response {status}", response)


def securities(document, holder):
    known = document["components"].get("securitySchemes", {})
    for requirement in holder.get("security", []):
        for name in requirement.keys() - known.keys():
            yield f"no security scheme is called {name}"


def one(document, path, operation):
    tags = {tag["name"] for tag in document["tags"]}
    if not operation.get("operationId") or not operation.get("summary", "").endswith((".", "?")):
        yield "it needs an operationId, and a sentence as its summary"
    if len(operation.get("tags", [])) != 1 or operation["tags"][0] not in tags:
        yield "its tag is to be one of the document's"
    yield from parameters(document, path, operation)
    yield from content("the body", operation.get("requestBody", {}))
    yield from responses(document, operation)
    yield from securities(document, operation)


def faults(document):
    if not document.get("openapi", "").startswith("3.1."):
        yield "it is not OpenAPI 3.1"
    yield from references(document)
    yield from securities(document, document)
    seen = set()
    for method, path, operation in operations(document):
        name = operation.get("operationId")
        if method not in METHODS or name in seen:
            yield f"{method} {path}: not a method, or an operationId that another has: {name}"
        seen.add(name)
        for fault in one(document, path, operation):
            yield f"{method} {path}: {fault}"


def check(root):
    if not (root / DOCUMENT).is_file():
        return []
    try:
        document = load(root)
    except ValueError as e:
        return [f"{DOCUMENT}:{getattr(e, 'lineno', 1)}: {e}"]
    return [f"{DOCUMENT}:1: {fault}" for fault in faults(document)]
