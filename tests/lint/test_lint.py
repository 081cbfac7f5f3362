"""Each check on a tiny tree: silent on what is right, and loud on each thing it is there for."""

import copy
import json
import subprocess
import sys
from pathlib import Path

import re

import pytest

import banned
import formatting
import headers
import includes
import openapi
import proto_fuzz
import routes
import run
import sizes
import tree
import words


@pytest.fixture
def make(tmp_path):
    """make({path: text}) writes a tree and returns its root."""
    def write(files):
        for path, text in files.items():
            file = tmp_path / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        return tmp_path
    return write


def source(*headers):
    return "".join(f"#include {h if h.startswith('<') else f'{chr(34)}{h}{chr(34)}'}\n"
                   for h in headers)


# ---- includes

EMPTY = {f"src/{folder}/x.h": "" for folder in ["base", "proto", "net", "store", "tracker", "api"]}
EMPTY |= {"src/tracker/swarm.h": "", "src/serve.h": ""}


@pytest.mark.parametrize("path, header", [
    ("base/a.c", "base/x.h"), ("proto/a.c", "base/x.h"), ("net/a.c", "base/x.h"),
    ("store/a.c", "net/x.h"), ("tracker/a.c", "store/x.h"), ("tracker/a.c", "tracker/swarm.h"),
    ("tracker/tracker.c", "tracker/swarm.h"), ("tracker/swarm.c", "proto/x.h"),
    ("api/a.c", "tracker/x.h"), ("api/a.c", "store/x.h"), ("main.c", "api/x.h"),
    ("main.c", "serve.h"),
    ("main.c", "<uv.h>"), ("net/a.c", "<uv.h>"), ("tracker/worker.c", "<uv.h>"),
    ("store/a.c", "<libpq-fe.h>"), ("api/http_impl.h", "<h2o/http2.h>"), ("api/a.c", "<cJSON.h>"),
    ("base/config_yaml.c", "<yaml.h>"), ("base/digest.c", "<openssl/evp.h>"),
    ("base/log.c", "<unistd.h>"), ("net/a.c", "<sys/socket.h>"), ("proto/a.c", "<string.h>"),
])
def test_includes_allows(make, path, header):
    assert includes.check(make(EMPTY | {f"src/{path}": source(header)})) == []


@pytest.mark.parametrize("path, header", [
    ("base/a.c", "proto/x.h"), ("base/a.c", "net/x.h"), ("proto/a.c", "net/x.h"),
    ("proto/a.c", "tracker/x.h"), ("net/a.c", "proto/x.h"), ("net/a.c", "store/x.h"),
    ("store/a.c", "tracker/x.h"), ("store/a.c", "proto/x.h"), ("tracker/a.c", "api/x.h"),
    ("tracker/swarm.c", "net/x.h"), ("tracker/swarm.c", "store/x.h"),
    ("tracker/swarm.h", "tracker/x.h"), ("tracker/swarm_table.c", "store/x.h"), ("tracker/a.c", "serve.h"), ("api/a.c", "serve.h"),
    ("base/a.c", "base/absent.h"), ("base/a.c", "x.h"),
    ("proto/a.c", "<uv.h>"), ("tracker/swarm.c", "<uv.h>"), ("base/a.c", "<uv.h>"),
    ("tracker/a.c", "<libpq-fe.h>"), ("main.c", "<libpq-fe.h>"), ("api/route.c", "<h2o.h>"),
    ("api/http.h", "<h2o.h>"), ("tracker/a.c", "<cJSON.h>"), ("base/config.c", "<yaml.h>"),
    ("proto/a.c", "<openssl/evp.h>"), ("net/a.c", "<sodium.h>"),
    ("proto/a.c", "<sys/socket.h>"), ("tracker/connid.c", "<time.h>"), ("base/a.c", "<dirent.h>"),
    ("stranger/a.c", "base/x.h"),
])
def test_includes_refuses(make, path, header):
    complaints = includes.check(make(EMPTY | {f"src/{path}": "\n" + source(header)}))
    assert len(complaints) == 1
    assert complaints[0].startswith(f"src/{path}:")


@pytest.mark.parametrize("folder", sorted(includes.CORES))
def test_includes_knows_the_core_that_is_built(folder):
    """includes.py and the build agree on what is in a core's library."""
    cmake = (tree.ROOT / "CMakeLists.txt").read_text()
    names = re.search(rf"rookery_split\({folder} ([^)]*)\)", cmake).group(1).split()
    assert set(names) == includes.CORES[folder]


# ---- headers

GUARDED = "#ifndef A_H\n#define A_H\n{}\n#endif\n"


def test_headers_that_stand_alone(make):
    root = make({"src/base/a.h": GUARDED.format("#include <stddef.h>\nsize_t f(void);"),
                 "src/base/b.h": '#include "base/a.h"\nsize_t g(void);\n'})
    assert headers.check(root) == []


@pytest.mark.parametrize("text", [
    GUARDED.format("size_t f(void);"),           # needs an include
    "struct twice { int i; };\n",                # has no guard
    GUARDED.format("int f();"),                  # a warning is enough
])
def test_headers_that_do_not(make, text):
    complaints = headers.check(make({"src/base/a.h": text}))
    assert len(complaints) == 2, "gcc and clang"
    assert all(c.startswith("src/base/a.h:1: ") for c in complaints)


# ---- sizes

def function(body="", parameters="void", name="f"):
    return f"static int *{name}({parameters})\n{{\n{body}}}\n"


def nested(depth):
    return "if (a) {\n" * depth + "x();\n" + "}\n" * depth


def test_sizes_at_the_limit(make):
    root = make({
        "src/a.c": function("x();\n" * 77) + function(nested(4)) + "\n" * 600,
        "src/b.c": function(parameters="int a, int (*b)(int, int), int c, int d, int e, int f"),
    })
    assert sizes.check(root) == []


@pytest.mark.parametrize("text, what", [
    ("\n" * 801, "801 lines"),
    (function("x();\n" * 78), "f has 81 lines"),
    (function("x();\n" * 78, name="g") + function(), "g has 81 lines"),
    (function(nested(5)), "f has 5 levels"),
    (function("for (;;) {\nwhile (a) {\nswitch (b) {\ncase 1:\ndo {\nif (c) {\n} else {\n}\n"
              "} while (d);\n}\n}\n}\n"), "f has 5 levels"),
    (function(parameters="int a, int b, int c, int d,\n    int e, int f, int g"),
     "f has 7 parameters"),
])
def test_sizes_over_the_limit(make, text, what):
    complaints = sizes.check(make({"src/a.c": text}))
    assert len(complaints) == 1
    assert what in complaints[0] and complaints[0].startswith("src/a.c:")


def test_sizes_counts_code_only(make):
    deep = "/* " + "if (a) { " * 9 + "*/\nchar *s = \"" + "{(" * 9 + "\";\nchar c = '{';\n"
    table = "struct x t = {{{{{{1}}}}}};\nt = (struct x){{{{{{1}}}}}};\nreturn (struct x){{{{{1}}}}};\n"
    macro = "#define MANY(a, b, c, d, e, f, g) \\\n    do { \\\n    } while (0)\n"
    call = "int g(int);\nint x = 1;\n"
    assert sizes.check(make({"src/a.c": macro + call + function(deep + table)})) == []


def test_sizes_waivers(make):
    long = function("x();\n" * 78)
    files = {"src/a.c": long, sizes.WAIVERS: "# comment\n\nsrc/a.c:f a switch that is a table\n"}
    assert sizes.check(make(files)) == []
    assert len(sizes.check(make({sizes.WAIVERS: "src/a.c:f\n"}))) == 1, "no reason"
    assert len(sizes.check(make({sizes.WAIVERS: "src/a.c a reason\n"}))) == 2, "another thing"
    needless = sizes.check(make({"src/a.c": function(), sizes.WAIVERS: "src/a.c:f a reason\n"}))
    assert len(needless) == 1 and "not needed" in needless[0]


def test_sizes_sees_the_functions_of_this_project():
    found = {f.name: f for f in sizes.functions((tree.ROOT / "src/base/endpoint.c").read_text())}
    assert {"addr_parse", "masked", "endpoint_to_sockaddr"} <= set(found)
    assert found["endpoint_parse"].parameters == 2 and found["masked"].nesting == 1


# ---- banned, proto_fuzz, words, formatting

def test_banned(make):
    assert banned.check(make({"src/a.c": source("<stdio.h>", "base/banned.h"), "src/a.h": ""})) == []
    assert len(banned.check(make({"src/a.c": source("<stdio.h>")}))) == 1
    assert len(banned.check(make({"src/a.c": source("base/banned.h", "<stdio.h>")}))) == 1


def test_proto_fuzz(make):
    root = make({"src/proto/a.c": "", "src/proto/a.h": "", "src/proto/a_part.c": ""})
    assert len(proto_fuzz.check(root)) == 1, "no target"
    make({"tests/fuzz/fuzz_a.c": ""})
    assert len(proto_fuzz.check(root)) == 1, "no corpus"
    make({"tests/fuzz/corpus/a/.keep": ""})
    assert len(proto_fuzz.check(root)) == 1, "an empty corpus"
    make({"tests/fuzz/corpus/a/one": ""})
    assert proto_fuzz.check(root) == []
    make({"src/proto/other.c": ""})
    assert len(proto_fuzz.check(root)) == 1, "a part of nothing"


@pytest.mark.parametrize("text", [
    "see /hom" + "e/someone/notes", "cd /wor" + "k/x", "# TOD" + "O: later", "/* FIXM" + "E */",
    "#if " + "0", "@pytest.mark.ski" + "p", "    pytest.ski" + "p('why')", "@xfai" + "l",
])
def test_words(make, text):
    complaints = words.check(make({"docs/a.md": f"fine\n{text}\n"}))
    assert len(complaints) == 1
    assert complaints[0].startswith("docs/a.md:2: ")


def test_words_that_are_fine(make):
    assert words.check(make({"a.c": "#if 1\n/* framework/x, a skipped entry, ./home/x */\n",
                             "build/a.c": "TOD" + "O", "logo.png": "\0TOD" + "O"})) == []


def test_words_skips_what_git_ignores(make):
    root = make({".gitignore": "out/\n", "out/a": "TOD" + "O", "in/a": "TOD" + "O"})
    subprocess.run(["git", "init", "-q", root], check=True)
    assert [c.split(":")[0] for c in words.check(root)] == ["in/a"]


def test_formatting(make):
    style = (tree.ROOT / ".clang-format").read_text()
    root = make({".clang-format": style, "src/a.c": "int f(void)\n{\n    return 1;\n}\n"})
    assert formatting.check(root) == []
    make({"src/a.c": "int f(void) {\n  return 1; }\n"})
    complaints = formatting.check(root)
    assert len(complaints) == 1 and complaints[0].startswith("src/a.c:1:")


# ---- openapi, routes

DOCUMENT = {
    "openapi": "3.1.0",
    "tags": [{"name": "A", "description": "Letters."}],
    "security": [{"token": []}],
    "paths": {"/a/{b}": {"get": {
        "operationId": "getB", "tags": ["A"], "summary": "Show b.", "security": [],
        "parameters": [{"$ref": "#/components/parameters/B"}],
        "responses": {"200": {"description": "It.", "content": {
            "text/plain": {"schema": {"$ref": "#/components/schemas/B"}}}}}}}},
    "components": {
        "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        "parameters": {"B": {"name": "b", "in": "path", "required": True, "description": "Which.",
                             "schema": {"type": "string"}}},
        "schemas": {"B": {"type": "string"}}}}


def with_document(make, *path, value):
    """A tree whose document has this value at this path; None: nothing there."""
    document = copy.deepcopy(DOCUMENT)
    at = document
    for name in path[:-1]:
        at = at[name]
    if value is None:
        at.pop(path[-1])
    else:
        at[path[-1]] = value
    return make({openapi.DOCUMENT: json.dumps(document)})


GET_B = ("paths", "/a/{b}", "get")


def test_openapi_as_it_should_be(make):
    assert openapi.check(make({})) == []
    assert openapi.check(with_document(make, "openapi", value="3.1.0")) == []


@pytest.mark.parametrize("path, value, what", [
    (("openapi",), "3.0.3", "not OpenAPI 3.1"),
    (("security",), [{"key": []}], "no security scheme is called key"),
    (("components", "schemas"), {}, "#/components/schemas/B is not there"),
    (("components", "schemas", "C"), {}, "C is used by nobody"),
    (("components", "parameters", "B", "schema"), None, "needs in, description and schema"),
    (("components", "parameters", "B", "required"), False, "is not required"),
    (("components", "parameters", "B", "name"), "c", "the path's parameters"),
    (("paths", "/b"), {"get": DOCUMENT["paths"]["/a/{b}"]["get"]}, "an operationId that another has"),
    ((*GET_B, "summary"), None, "a sentence as its summary"),
    ((*GET_B, "tags"), ["B"], "its tag"),
    ((*GET_B, "security"), [{"key": []}], "no security scheme is called key"),
    ((*GET_B, "responses"), {"404": {"description": "No."}}, "no response is a success"),
    ((*GET_B, "responses", "200", "description"), None, "a status and a description"),
    ((*GET_B, "responses", "200", "content"), {"text/plain": {}}, "has no schema"),
    ((*GET_B, "requestBody"), {"content": {"text/plain": {}}}, "the body has no schema"),
])
def test_openapi_with_faults(make, path, value, what):
    complaints = openapi.check(with_document(make, *path, value=value))
    assert any(what in complaint for complaint in complaints), complaints


def test_openapi_that_is_no_json(make):
    complaint, = openapi.check(make({openapi.DOCUMENT: '{\n"openapi": }'}))
    assert complaint.startswith("src/api/openapi.json:2: ")


def test_routes(make):
    root = with_document(make, "openapi", value="3.1.0")
    make({routes.README: "# It\n"})
    assert "marks" in routes.check(root)[0]
    make({routes.README: f"# It\n{routes.BEGIN}{routes.END}more\n"})
    assert len(routes.check(root)) == 1
    routes.write(root)
    assert routes.check(root) == []
    text = (root / routes.README).read_text()
    assert text.startswith("# It\n") and text.endswith("more\n")
    assert "| **A** | *Letters.* |\n| `GET /a/:b` | Show b. (no token) |\n" in text


# ---- run

def test_run_fails_when_a_check_complains(make, monkeypatch, capsys):
    monkeypatch.setattr(tree, "ROOT", make({"src/a.c": source("<stdio.h>")}))
    assert run.main(["banned"]) == 1
    assert "src/a.c:1: does not include" in capsys.readouterr().out
    make({"src/a.c": source("base/banned.h")})
    assert run.main(["banned", "proto_fuzz"]) == 0


def test_run_knows_every_check():
    helpers = {"run", "tree", "test_lint"}
    here = {p.stem for p in Path(__file__).parent.glob("*.py")}
    assert set(run.CHECKS) == here - helpers
    result = subprocess.run([sys.executable, run.__file__, "nonsense"], capture_output=True)
    assert result.returncode != 0
