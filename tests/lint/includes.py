"""Who may include whom: docs/decisions/0001-folders.md as a table."""

from fnmatch import fnmatch

import tree

FOLDERS = {
    "base": {"base"},
    "proto": {"proto", "base"},
    "net": {"net", "base"},
    "store": {"store", "net", "base"},
    "tracker core": {"tracker core", "proto", "base"},
    "tracker": {"tracker", "tracker core", "net", "store", "proto", "base"},
    "client core": {"client core", "proto", "base"},
    "client": {"client", "client core", "net", "store", "proto", "base"},
    "api": {"api", "tracker", "tracker core", "client", "client core", "net", "store", "proto",
            "base"},
    "main": {"main", "api", "tracker", "tracker core", "client", "client core", "net", "store",
             "proto", "base"},
}

# The cores: files of these names, and parts of them such as swarm_table.
CORES = {
    "tracker": {"access", "connid", "loop_watch", "policy", "stats", "swarm", "tracker"},
    "client": {"announce", "announcer", "candidates", "choker", "data_buf", "disk_job", "engine",
               "layout", "metadata", "peer", "pex", "picker", "pieces", "rate", "requests",
               "resume", "scraper", "sendq", "torrent"},
}

# Libraries, and the only places that may include them. The first row that fits a header counts.
LIBRARIES = [
    ("uv.h", ["net/*", "store/*", "api/*", "tracker/*", "client/*", "*.c", "*.h"]),
    ("libpq-fe.h", ["store/*"]),
    ("h2o*", ["api/http_impl.h"]),
    ("wslay/*", ["api/websocket.c"]),
    ("cJSON.h", ["api/*"]),
    ("yaml.h", ["base/config_yaml.c"]),
    ("sodium.h", ["base/digest.c", "api/auth.c"]),
    ("openssl/*", ["base/digest.c", "net/tls.c", "api/http.c"]),
    ("sys/mman.h", ["base/pages.c", "store/embedded.c"]),
    ("sanitizer/*", ["base/pages.c"]),
    ("curl/*", ["net/http_client*"]),
]

# No sockets, no files, no clock: all that pure code may have of the system.
PURE = {"proto", "tracker core", "client core"}
PURE_HEADERS = {"assert.h", "ctype.h", "inttypes.h", "limits.h", "pthread.h", "sched.h", "stdarg.h",
                "stdatomic.h", "stdbool.h", "stddef.h", "stdint.h", "stdio.h", "stdlib.h",
                "string.h", "strings.h", "sys/types.h", "sys/uio.h"}
BASE_HEADERS = PURE_HEADERS | {"arpa/inet.h", "errno.h", "netinet/in.h", "sys/socket.h",
                               "sys/time.h", "time.h", "unistd.h"}


def is_core(folder, stem):
    return any(stem == name or stem.startswith(name + "_") for name in CORES.get(folder, ()))


def layer_of(path):
    """The row of FOLDERS for a path below src/; None: a folder that is not in the table."""
    folder, _, file = path.rpartition("/")
    if not folder:
        return "main"
    if is_core(folder, file.split(".")[0]):
        return f"{folder} core"
    return folder if folder in FOLDERS else None


def library_of(header):
    return next((row for row in LIBRARIES if fnmatch(header, row[0])), None)


def check_system(layer, path, header):
    """What is wrong with <header> in path, or None."""
    library = library_of(header)
    if library:
        allowed = any(fnmatch(path, place) and ("/" in path) == ("/" in place)
                      for place in library[1])
        if layer in PURE or not allowed:
            return f"<{header}> belongs to {', '.join(library[1])}"
    elif layer in PURE and header not in PURE_HEADERS:
        return f"<{header}> in pure code: {layer} does no I/O and reads no clock"
    elif layer == "base" and header not in BASE_HEADERS:
        return f"<{header}> is not among the system headers of base/"
    return None


def check_own(src, layer, header):
    target = layer_of(header)
    if not (src / header).is_file():
        return f'"{header}" is not a file below src/'
    if target not in FOLDERS[layer]:
        return f'{layer} may not include {target} ("{header}")'
    return None


def check(root):
    src = root / "src"
    complaints = []
    for file in tree.files(root, "src", suffixes={".c", ".h"}):
        path = tree.name(src, file)
        layer = layer_of(path)
        if layer is None:
            complaints.append(f"src/{path}:1: its folder is not in the table of includes.py")
            continue
        for line, header, is_system in tree.includes(file):
            wrong = (check_system(layer, path, header) if is_system
                     else check_own(src, layer, header))
            if wrong:
                complaints.append(f"src/{path}:{line}: {wrong}")
    return complaints
