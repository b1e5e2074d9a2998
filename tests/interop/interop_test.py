#!/usr/bin/env python3
"""gRPC's interoperability cases: stock clients of three languages against our server, and our client
against their servers. Prints a table of each, and fails if any case does (README.md).

usage: interop_test.py [SERVER CLIENT]    names as in PEERS; all pairs of ours and theirs when none are given
       interop_test.py --stock            the stock ones among each other

Environment: INTEROP_BIN_DIR, where our and grpc++'s programs are built; NODE_PATH, where npm has installed
@grpc/grpc-js and @grpc/proto-loader. Those that are not there are left out, which is said at the end.
"""

import os
import pathlib
import shutil
import socket
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "e2e"))

import harness  # noqa: E402
from harness import clean_environment, free_port, wait_for  # noqa: E402
from wire import Relay  # noqa: E402

# Far more than all cases take; one that hangs ends with its own deadline long before.
CLIENT_SECONDS_MAX = 120

CASES = (
    "empty_unary", "cacheable_unary", "large_unary", "client_streaming", "server_streaming", "intervals", "ping_pong",
    "half_duplex", "empty_stream",
    "client_compressed_unary", "server_compressed_unary", "client_compressed_streaming",
    "server_compressed_streaming", "cancel_after_begin", "cancel_after_first_response",
    "timeout_on_sleeping_server", "custom_metadata", "status_code_and_message", "special_status_message",
    "unimplemented_method", "unimplemented_service",
)  # fmt: skip

# What our server has besides, and who asks for it.
STANDARD = ("health", "reflection")
STANDARD_CLIENT = "grpcio"

# On a connection of their own, behind a call that has made it. A client on gRPC's core (grpc++, grpcio) that
# gives a call up before its headers have left may reset a stream that it never opened (grpc/grpc#19655):
# HTTP/2 has the server end the connection then, with whatever call comes next.
ALONE = ("cancel_after_begin", "timeout_on_sleeping_server")

# Whose messages are looked at, client's (0) or server's (1), and which of them must be compressed.
COMPRESSED = {
    "client_compressed_unary": (0, [False, True, False]),
    "client_compressed_unary_noprobe": (0, [True, False]),
    "client_compressed_streaming": (0, [False, True, False]),
    "client_compressed_streaming_noprobe": (0, [True, False]),
    "server_compressed_unary": (1, [True, False]),
    "server_compressed_streaming": (1, [True, False]),
}

SECURITY = {  # What a server gets, and what a client.
    "clear": ((), ()),
    "TLS": (("cert", "key"), ("ca",)),
    "mutual TLS": (("cert", "key", "ca"), ("cert", "key", "ca")),
}
OURS = "mökv"


class Peer:
    def __init__(self, server, client, needs):
        self.programs = {"server": server, "client": client}
        self.needs = needs  # Files; a peer without them is left out.
        self.blind = {}  # Case -> what of it this one's server cannot do.


def peers():
    bin_dir = pathlib.Path(os.environ.get("INTEROP_BIN_DIR", harness.ROOT / "build" / "test" / "bin"))
    node = shutil.which("node") or "node"
    node_path = pathlib.Path(os.environ.get("NODE_PATH", harness.ROOT / "build" / "test" / "grpc_js" / "node_modules"))
    os.environ["NODE_PATH"] = str(node_path)

    def native(name):
        programs = [bin_dir / f"{name}_{side}" for side in ("server", "client")]
        return Peer(*([str(program)] for program in programs), needs=programs)

    def script(folder, interpreter, suffix, needs):
        programs = [[interpreter, str(HERE / folder / f"{side}{suffix}")] for side in ("server", "client")]
        return Peer(*programs, needs=needs)

    found = {
        OURS: native("interop"),
        "grpc++": native("interop_grpcpp"),
        "grpcio": script("grpc_python", "/usr/bin/python3", ".py", []),
        "grpc-js": script("grpc_js", node, ".js",
                          [pathlib.Path(node), node_path / "@grpc/grpc-js", node_path / "@grpc/proto-loader"]),
    }  # fmt: skip
    # To these, a client does not send the call that must fail since its message is not compressed.
    for name in ("grpcio", "grpc-js"):
        for case in ("client_compressed_unary", "client_compressed_streaming"):
            found[name].blind[case] = "noprobe"
    for case in ("server_compressed_unary", "server_compressed_streaming"):
        found["grpc-js"].blind[case] = "n/a"
    return found


PEERS = peers()


def tls_flags(names, role):
    certificates = harness.certificates()
    own = "server" if role == "server" else "root-client"
    files = {"cert": f"{own}.pem", "key": f"{own}-key.pem", "ca": "ca.pem"}
    return [word for name in names for word in (f"--tls-{name}-file", certificates.path(files[name]))]


def environment():
    return clean_environment(harness.scratch_directory("home"), NODE_PATH=os.environ["NODE_PATH"],
                             PYTHONDONTWRITEBYTECODE="1")  # fmt: skip


class Server:
    def __init__(self, name, security):
        self.port = free_port()
        command = PEERS[name].programs["server"] + ["--port", str(self.port)]
        command += tls_flags(SECURITY[security][0], "server")
        self._process = subprocess.Popen(command, env=environment(), stdin=subprocess.DEVNULL)

    def __enter__(self):
        try:
            wait_for(self._is_listening, "the server to listen")
        except BaseException:
            self.__exit__()
            raise
        return self

    def _is_listening(self):
        if self._process.poll() is not None:
            raise AssertionError(f"the server ended with {self._process.returncode}")
        try:
            socket.create_connection(("127.0.0.1", self.port)).close()
        except OSError:
            return False
        return True

    def __exit__(self, *unused):
        self._process.terminate()
        try:
            self._process.wait(harness.STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def run_client(name, security, port, cases):
    """Case -> what the client said of it."""
    command = PEERS[name].programs["client"] + ["--port", str(port)]
    command += tls_flags(SECURITY[security][1], "client") + cases
    try:
        done = subprocess.run(command, env=environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              timeout=CLIENT_SECONDS_MAX, check=False)  # fmt: skip
        output, end = done.stdout, f"the client ended with {done.returncode}"
    except subprocess.TimeoutExpired as late:
        output, end = late.stdout or b"", f"no answer in {CLIENT_SECONDS_MAX} s"
    said = dict(line.split(" ", 1) for line in output.decode().splitlines() if " " in line)
    return {case: said.get(case, f"failed {end}") for case in cases}


def run_watched(client, port, case):
    """A case whose messages are looked at on their way."""
    with Relay(port) as relay:
        said = run_client(client, "clear", relay.port, [case])[case]
        side, wanted = COMPRESSED[case]
        found = relay.compressed[side]
    if said.startswith("n/a"):
        wanted = wanted[:len(found)]  # The client has left the rest out.
    if not said.startswith("failed") and found != wanted:
        said = f"failed on the wire: compressed {found}, not {wanted}"
    return said


def run_pair(server, client):
    """Security -> case -> result."""
    results = {}
    blind = PEERS[server].blind
    names = {case: f"{case}_noprobe" if blind.get(case) == "noprobe" else case for case in CASES}
    todo = [case for case in CASES if blind.get(case) != "n/a"]
    for security in SECURITY:
        watched = [case for case in todo if names[case] in COMPRESSED and security == "clear"]
        rest = [names[case] for case in todo if case not in watched and case not in ALONE]
        with Server(server, security) as running:
            said = run_client(client, security, running.port, rest)
            for case in ALONE:
                said[case] = run_client(client, security, running.port, ["empty_unary", case])[case]
            said.update({names[case]: run_watched(client, running.port, names[case]) for case in watched})
        results[security] = {case: words_of(case, names[case], said) for case in CASES}
    return results


def run_standard():
    """Of our server. Security -> case -> result."""
    results = {}
    for security in SECURITY:
        with Server(OURS, security) as running:
            results[security] = run_client(STANDARD_CLIENT, security, running.port, list(STANDARD))
    return results


def words_of(case, name, said):
    """What the client said of a case that it knew by another name if the server cannot do all of it."""
    if name not in said:
        return "n/a this server never compresses"
    if name != case and said[name] == "ok":
        return "ok but for the call that must fail: this server cannot tell which requests come compressed"
    return said[name]


def table(title, columns, failures, cases=CASES):
    """`columns`: name -> results of one pair. A Markdown table, failed cases with where they failed."""
    notes = []
    rows = [[title, *columns], ["---"] * (len(columns) + 1)]
    for case in cases:
        row = [case]
        for name, results in columns.items():
            words = {}
            for security, said in results.items():
                word, _, reason = said[case].partition(" ")
                if word == "failed":
                    failures.append(f"{title}, {name}, {security}, {case}: {reason}")
                if reason and word != "failed":
                    if reason not in notes:
                        notes.append(reason)
                    word += f" [{notes.index(reason) + 1}]"
                words.setdefault(word, []).append(security)
            row.append("; ".join(
                word if len(where) == len(SECURITY) else f"{word} ({', '.join(where)})"
                for word, where in words.items()))  # fmt: skip
        rows.append(row)
    for row in rows:
        print("| " + " | ".join(row) + " |")
    for number, reason in enumerate(notes, start=1):
        print(f"\n[{number}] {reason}")
    print(flush=True)


def main(arguments):
    absent = {name: [path for path in peer.needs if not path.exists()] for name, peer in PEERS.items()}
    there = [name for name in PEERS if not absent[name]]
    stock = [name for name in there if name != OURS]
    failures = []
    if arguments and arguments[0] == "--stock":
        for server in stock:
            table(f"server {server}", {client: run_pair(server, client) for client in stock}, failures)
    elif arguments:
        server, client = arguments
        table(f"server {server}", {client: run_pair(server, client)}, failures)
    else:
        if absent[OURS]:
            raise SystemExit(f"build our own first: there is no {absent[OURS][0]}")
        table(f"server {OURS}, client", {client: run_pair(OURS, client) for client in (*stock, OURS)}, failures)
        if STANDARD_CLIENT in stock:
            table(f"server {OURS}, gRPC's own services, client", {STANDARD_CLIENT: run_standard()}, failures, STANDARD)
        table(f"client {OURS}, server", {server: run_pair(server, OURS) for server in stock}, failures)
    for name, paths in absent.items():
        if paths:
            print(f"SKIPPED {name}: there is no {paths[0]}")
    print("\n".join(failures))
    print(f"{len(failures)} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
