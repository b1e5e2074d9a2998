#!/usr/bin/env python3
"""Checks who includes whom: every folder of src/ may use only the folders of its row, and a file of
a folder that has floors only what stands on lower floors.

usage: include_check.py ROOT          check ROOT/src; exit 1 and one line for each wrong include
       include_check.py --self-test   show that each kind of wrong include is found

The rows are the design's (docs/architecture.md). To let a folder use another one, change its row
here, and say why in the same commit. FLOORS are the order within a folder.
"""

import pathlib
import re
import sys
import tempfile

# Folder -> folders of ours that it may include besides itself. "api" is the wire contract, the
# code generated from api/*.proto.
ALLOWED = {
    "base": set(),
    "net": {"base"},
    "rpc": {"net", "base"},
    "raft": {"base"},
    "store": {"base"},
    "machine": {"store", "base"},
    "wal": {"base"},
    "snapshot": {"base"},
    "auth": {"base"},
    "serf": {"net", "base"},
    "telemetry": {"net", "base"},
    "replica": {"raft", "wal", "machine", "store", "snapshot", "base"},
    "peer": {"replica", "machine", "raft", "net", "base"},
    # Reads are answered from the store on the I/O thread: docs/decisions/0004-folders.md.
    "service": {"replica", "auth", "rpc", "telemetry", "api", "base", "machine", "store", "net"},
    # What every gRPC server has, and so without what this one serves.
    "standard": {"rpc", "api", "base"},
    "client": {"rpc", "net", "api", "base"},
}
# The composition roots put everything together, so they may include everything in src/.
ROOTS = {"node", "cli"}
# Includes of these would make a folder that decides depend on sockets, files, threads or a clock;
# tests of such a folder may do as they like.
PURE = {"raft", "store", "machine", "auth"}
IMPURE = re.compile(
    r"^(asio|openssl/|nghttp2/|sys/socket|netinet/|arpa/|unistd\.h|fcntl\.h|sys/stat|fstream|"
    r"filesystem|thread$|ctime|time\.h|random$)"
)

# A folder that decides everywhere but in this part of it, which may see what its row allows.
SHELLS = {"serf": "shell"}

# Folders that are built in floors, from the bottom up, each with a word for what is on it. A file
# (x.h and x.cc are one) may include only of lower floors: so the files of one floor do not know each
# other, and no circle can come. What the floors are for stands in the folder's README.md.
FLOORS = {
    "rpc": [
        (
            "rules",
            {
                "answer_budget",
                "backoff",
                "compression",
                "connection_life",
                "deadline_queue",
                "ended_streams",
                "flood_counts",
                "flood_guard",
                "grpc_wire",
                "http2_header",
                "keepalive",
                "opened_streams",
                "ping_policy",
                "read_pace",
                "receive_window",
                "session_memory",
            },
        ),
        ("metadata", {"metadata"}),
        ("sources", {"message_source"}),
        ("words", {"client_request", "message_sink", "method", "server_options", "server_telemetry"}),
        ("answers", {"completion", "message_counter", "message_cutter"}),
        (
            "parts",
            {"client_call", "deadlines", "flood_watch", "frame_counter", "responder", "server_shared"},
        ),
        ("requests", {"client_connection", "request_head"}),
        ("calls", {"channel", "server_call"}),
        ("handlers", {"call", "server_answer", "server_calls", "server_receiver"}),
        ("connections", {"server_connection"}),
        ("callbacks", {"server_callbacks", "server_life"}),
        ("threads", {"server_thread"}),
        ("server", {"server"}),
    ],
}

INCLUDE = re.compile(r'^\s*#\s*include\s*(?:"([^"]+)"|<([^>]+)>)')
PROTO_IMPORT = re.compile(r'^\s*import\s+(?:public\s+)?"([^"]+)"')
SOURCES = {".h", ".cc", ".proto"}
# Trees beside src/ whose files use src/ and are used by nobody.
OUTSIDE = {"sim", "tests", "bench"}


def is_test_file(path):
    """Whether only tests use this file of src/: a test, or a helper of tests."""
    return (
        path.stem.endswith(("_test", "_fuzz", "_harness", "_bench", "_testing"))
        or path.stem.startswith("fake_")
        or "testing" in path.parts
    )


def is_pure(path):
    folder = path.parts[0]
    return folder in PURE or (folder in SHELLS and SHELLS[folder] not in path.parts)


def floor_of(path):
    """The number of a file's floor, from 1 at the bottom; 0 when it has none."""
    for number, (_, stems) in enumerate(FLOORS[path.parts[0]], start=1):
        if path.stem in stems:
            return number
    return 0


def trouble_with_floors(path, target):
    """What is wrong with an include within one folder, or None."""
    if path.parts[0] not in FLOORS or is_test_file(path) or path.stem == target.stem:
        return None
    mine, its = floor_of(path), floor_of(target)
    if 0 in (mine, its):
        homeless = target if its == 0 else path
        return f"src/{homeless} has no floor in include_check.py"
    if its < mine:
        return None
    names = [name for name, _ in FLOORS[path.parts[0]]]
    return f'of floor "{names[mine - 1]}" may not include "{target}", of "{names[its - 1]}"'


def trouble_with(path, ours, system):
    """What is wrong with one include of `path` (relative to src/), or None."""
    folder = path.parts[0]
    decides = is_pure(path) and not is_test_file(path)
    if system is not None:
        # Encryption is arithmetic, wherever it is done.
        if decides and IMPURE.match(system) and system != "openssl/evp.h":
            return f"{folder} decides only: no <{system}>"
        return None
    target = pathlib.PurePosixPath(ours)
    if len(target.parts) < 2:
        return f'"{ours}" must name its folder'
    if target.parts[0] == "google":  # protobuf's own .proto files
        return None
    if target.parts[0] in OUTSIDE:
        return f'nothing may include "{ours}"'
    if is_test_file(target):
        if is_test_file(path):
            return None
        return f'only tests may include "{ours}"'
    into_shell = target.parts[0] == folder and not is_pure(target)
    if decides and folder in SHELLS and (target.parts[0] == "net" or into_shell):
        return f'{folder} decides only outside {SHELLS[folder]}/: no "{ours}"'
    if target.parts[0] == folder:
        return trouble_with_floors(path, target)
    if folder in ROOTS or target.parts[0] in ALLOWED[folder]:
        return None
    row = ", ".join(sorted(ALLOWED[folder])) or "nothing of ours"
    return f'{folder} may not include "{ours}" (only {row})'


def check(source_root):
    """All wrong includes under `source_root`, as lines of text, and the number of files read."""
    problems = []
    files = [p for p in sorted(source_root.rglob("*")) if p.suffix in SOURCES and p.is_file()]
    for file in files:
        path = file.relative_to(source_root)
        if len(path.parts) < 2:
            continue
        if path.parts[0] not in ALLOWED and path.parts[0] not in ROOTS:
            problems.append(f"src/{path}: folder {path.parts[0]} has no row in include_check.py")
            continue
        pattern = PROTO_IMPORT if file.suffix == ".proto" else INCLUDE
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
            match = pattern.match(line)
            if match is None:
                continue
            system = match.group(2) if pattern is INCLUDE else None
            trouble = trouble_with(path, match.group(1), system)
            if trouble is not None:
                problems.append(f"src/{path}:{number}: {trouble}")
    return problems, len(files)


def stale_floors(source_root):
    """Names on floors that no file has: a file that came under such a name would be let in."""
    problems = []
    for folder, floors in FLOORS.items():
        files = {path.stem for path in (source_root / folder).glob("*")}
        for name, stems in floors:
            for stem in sorted(stems - files):
                problems.append(f"src/{folder}: no file {stem}, which is on floor {name}")
    return problems


def self_test():
    """Builds small trees, good and bad, and demands the right answer for each."""
    cases = [
        # (path in src/, line, whether it is wrong)
        ("base/a.cc", '#include "base/b.h"', False),
        ("base/a.cc", '#include "net/b.h"', True),
        ("base/a.cc", "#include <thread>", False),
        ("net/a.h", '#include "base/b.h"', False),
        ("net/a.h", '#include "rpc/b.h"', True),
        ("raft/a.cc", '#include "wal/log.h"', True),
        ("raft/a.cc", "#include <unistd.h>", True),
        ("raft/a_test.cc", "#include <fstream>", False),
        ("store/a.cc", "  #  include <thread>", True),
        ("store/a.cc", "#include <vector>", False),
        ("store/a.cc", '// #include "net/b.h"', False),
        ("store/a.proto", 'import "raft/b.proto";', True),
        ("store/a.proto", 'import "google/protobuf/empty.proto";', False),
        ("serf/a.cc", '#include "net/b.h"', True),
        ("serf/a.cc", '#include "serf/shell/b.h"', True),
        ("serf/a.cc", "#include <unistd.h>", True),
        ("serf/a.cc", "#include <openssl/evp.h>", False),
        ("serf/a.cc", '#include "base/b.h"', False),
        ("serf/shell/a.cc", '#include "net/b.h"', False),
        ("serf/shell/a.cc", "#include <asio.hpp>", False),
        ("serf/shell/a.cc", '#include "rpc/b.h"', True),
        ("replica/a.cc", '#include "store/command.pb.h"', False),
        ("replica/a.cc", '#include "net/b.h"', True),
        ("service/a.cc", '#include "api/kv.pb.h"', False),
        ("rpc/a.cc", '#include "api/kv.pb.h"', True),
        ("standard/a.cc", '#include "api/health.pb.h"', False),
        ("standard/a.cc", '#include "service/a.h"', True),
        ("client/a.cc", '#include "replica/replica.h"', True),
        ("node/a.cc", '#include "replica/replica.h"', False),
        ("cli/a.cc", '#include "node/config.h"', False),
        ("service/a.cc", '#include "node/config.h"', True),
        ("node/a.cc", '#include "sim/cluster.h"', True),
        ("wal/a.cc", '#include "b.h"', True),
        ("wal/a.cc", '#include "base/testing/fake_disk.h"', True),
        ("wal/a_test.cc", '#include "base/testing/fake_disk.h"', False),
        ("wal/a_fuzz.cc", '#include "base/testing/fake_disk.h"', False),
        ("auth/a_test.cc", '#include "wal/log_harness.h"', False),
        ("auth/a_test.cc", '#include "wal/log.h"', True),
        ("strange/a.cc", "#include <vector>", True),
        ("rpc/server_call.h", '#include "rpc/completion.h"', False),
        ("rpc/server_call.cc", '#include "rpc/server_call.h"', False),
        ("rpc/server_call.cc", '#include "rpc/server_connection.h"', True),
        ("rpc/keepalive.h", '#include "rpc/flood_guard.h"', True),
        ("rpc/client_connection.h", '#include "rpc/channel.h"', True),
        ("rpc/server_call.h", '#include "rpc/nobody_knows.h"', True),
        ("rpc/nobody_knows.h", '#include "rpc/completion.h"', True),
        ("rpc/keepalive_test.cc", '#include "rpc/server.h"', False),
        ("service/a.cc", '#include "rpc/keepalive.h"', False),
    ]
    failures = 0
    for name, line, is_wrong in cases:
        with tempfile.TemporaryDirectory() as directory:
            file = pathlib.Path(directory) / name
            file.parent.mkdir(parents=True)
            file.write_text(f"// A file.\n{line}\n", encoding="utf-8")
            problems, _ = check(pathlib.Path(directory))
        if bool(problems) != is_wrong or any(name not in problem for problem in problems):
            print(f"self-test: {name} with {line!r}: found {problems}, wrong is {is_wrong}")
            failures += 1
    print(f"self-test: {len(cases) - failures} of {len(cases)} cases right")
    return 1 if failures else 0


def main(arguments):
    if arguments == ["--self-test"]:
        return self_test()
    if len(arguments) != 1 or arguments[0].startswith("-"):
        print(__doc__, file=sys.stderr)
        return 2
    source_root = pathlib.Path(arguments[0]) / "src"
    problems, file_count = check(source_root)
    problems += stale_floors(source_root)
    for problem in problems:
        print(problem)
    print(f"{file_count} files, {len(problems)} wrong includes")
    # A wrong path would otherwise pass for a clean tree.
    return 1 if problems or file_count == 0 else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
