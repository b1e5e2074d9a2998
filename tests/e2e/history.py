"""Load that remembers: threads of stock clients, and what each call was told, judged by lincheck.

Each call is one line of a history (sim/lincheck/history.h). What a write's failure means the server
says in the trailer `mokv-fate`: `not-done` means that nothing was written, now or later, and the
checker takes that at its word. Without the trailer nobody knows.
"""

import json
import os
import subprocess
import threading
import time

import grpc

import harness
from harness import kv_pb2

LINCHECK = os.environ.get("LINCHECK_BIN", str(harness.ROOT / "build" / "test" / "bin" / "lincheck"))

CALL_SECONDS = 2  # Short, so that callers do not all wait for nodes that cannot answer.
JUDGE_SECONDS_MAX = 120

DONE, NOT_DONE, UNKNOWN = True, False, None


# What may become of a write that is well-formed and allowed.
_DUE = (
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.UNAVAILABLE,
)


def outcome_of_failed_write(error, is_conditional=False):
    """Of a grpc.RpcError. False: certainly not done; None: unknown."""
    is_due = error.code() in _DUE
    if error.code() == grpc.StatusCode.FAILED_PRECONDITION:
        is_due = is_conditional
    if not is_due:
        raise error
    return NOT_DONE if harness.fate_of(error) == "not-done" else UNKNOWN


class History:
    """Thread-safe."""

    def __init__(self):
        self._lock = threading.Lock()
        self._lines = []
        self.done = 0  # Calls that were answered as asked.
        self.unknown = 0
        self.acknowledged_at = []  # monotonic_ns of each acknowledged write.

    def add(self, client, op, key, ok, start, value=None, expected=None):
        end = None if ok is UNKNOWN else time.monotonic_ns()
        line = {"client": client, "op": op, "key": key, "ok": ok, "start": start, "end": end}
        if op != "delete":
            line["value"] = value
        if op == "cas":
            line["expected"] = expected
        with self._lock:
            self._lines.append(line)
            if ok:
                self.done += 1
                if op != "get":
                    self.acknowledged_at.append(end)
            self.unknown += ok is UNKNOWN

    def keys(self):
        with self._lock:
            return sorted({line["key"] for line in self._lines})

    def counts(self):
        with self._lock:
            return len(self._lines), self.done, self.unknown

    def judge(self):
        """Raises unless the history is linearizable."""
        path = harness.scratch_directory("history") / "history.jsonl"
        path.write_text("".join(json.dumps(line) + "\n" for line in self._lines))
        verdict = subprocess.run(
            [LINCHECK, str(path)], capture_output=True, text=True, timeout=JUDGE_SECONDS_MAX
        )
        if verdict.returncode != 0:
            raise AssertionError(f"lincheck: {verdict.stdout[-8000:]}{verdict.stderr}")
        print(f"{verdict.stdout.strip()}, {self.done} done, {self.unknown} unknown", flush=True)


class Caller:
    """Calls on one key of one client through one channel, each noted in the history.

    Not thread-safe.
    """

    def __init__(self, history, number):
        self.history = history
        self.number = number
        self._values = 0

    def _next_value(self):
        self._values += 1
        return f"{self.number}.{self._values}"

    def get(self, client, key, timeout=CALL_SECONDS):
        """The item; None when missing. Raises grpc.RpcError, and notes nothing, when it fails."""
        start = time.monotonic_ns()
        item = None
        try:
            item = client.get(kv_pb2.GetRequest(key=key), timeout=timeout)
        except grpc.RpcError as error:
            if error.code() != grpc.StatusCode.NOT_FOUND:
                raise
        value = None if item is None else item.value.decode()
        self.history.add(self.number, "get", key, DONE, start, value)
        return item

    def set(self, client, key, timeout=CALL_SECONDS):
        value = self._next_value()
        request = kv_pb2.SetRequest(key=key, value=value.encode())
        return self._write(client.set, request, timeout, "set", key, value)

    def delete(self, client, key, timeout=CALL_SECONDS):
        return self._write(client.delete, kv_pb2.DeleteRequest(key=key), timeout, "delete", key)

    def cas(self, client, key, timeout=CALL_SECONDS):
        """Of what is read first. Each value is written once, so that it stands for its revision."""
        item = self.get(client, key, timeout)
        value = self._next_value()
        request = kv_pb2.SetRequest(key=key, value=value.encode())
        request.expected_revision = 0 if item is None else item.mod_revision
        expected = None if item is None else item.value.decode()
        return self._write(client.set, request, timeout, "cas", key, value, expected)

    def _write(self, call, request, timeout, op, key, value=None, expected=None):
        """True: done; else the error."""
        start = time.monotonic_ns()
        try:
            answer = call(request, timeout=timeout)
        except grpc.RpcError as error:
            outcome = outcome_of_failed_write(error, op == "cas")
            failed_comparison = error.code() == grpc.StatusCode.FAILED_PRECONDITION
            # To the checker, a cas that is not done has compared and differed; one that was refused
            # has not even compared, and leaves no trace.
            if op != "cas" or failed_comparison or outcome is UNKNOWN:
                self.history.add(self.number, op, key, outcome, start, value, expected)
            return error
        if not answer.ok:
            raise AssertionError(f"{op} of {key}: {answer}")
        self.history.add(self.number, op, key, DONE, start, value, expected)
        return True


class _Connection:
    """A client, and whether grpc has a connection for it."""

    def __init__(self, client):
        self.client = client
        self.is_up = False
        client.channel.subscribe(self._on_state, try_to_connect=True)

    def _on_state(self, state):
        self.is_up = state == grpc.ChannelConnectivity.READY


class Load:
    """Threads that call random nodes with random operations on a few keys, until it is left. The list
    of nodes may change meanwhile.

    `turn_page` makes them go on with new keys: histories of single keys, and with them the
    possibilities that the checker has to try after failures, stay small.
    """

    KEYS = 4

    def __init__(self, nodes, random, callers=6, history=None):
        self.history = history or History()
        self.nodes = nodes
        self.trouble = None
        self._page = 0
        self._end = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(i, type(random)(random.getrandbits(64))))
            for i in range(callers)
        ]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *unused):
        self._end.set()
        for thread in self._threads:
            thread.join()
        if self.trouble is not None and unused[0] is None:
            raise self.trouble

    def turn_page(self):
        self._page += 1

    def wait_for_done(self, more, seconds=harness.CALL_SECONDS_MAX):
        """Waits until `more` further calls have been answered as asked."""
        goal = self.history.done + more

        def reached():
            if self.trouble is not None:
                raise self.trouble
            return self.history.done >= goal

        harness.wait_for(reached, f"{more} more calls to be done", seconds)

    def _run(self, number, random):
        connections = {}
        caller = Caller(self.history, number)
        try:
            while not self._end.is_set():
                node = random.choice(list(self.nodes))
                if node not in connections:
                    connections[node] = _Connection(node.client())
                self._call_once(caller, random, connections[node])
        except BaseException as error:  # Told by the main thread.
            self.trouble = error
        finally:
            for connection in connections.values():
                connection.client.channel.close()

    def _call_once(self, caller, random, connection):
        key = f"page-{self._page}/{random.randrange(self.KEYS)}"
        operations = (caller.get, caller.set, caller.cas, caller.delete)
        (operation,) = random.choices(operations, (4, 4, 2, 1))
        # A write to a node that is down is one of whose outcome nobody tells; a read leaves no trace.
        if not connection.is_up:
            operation = caller.get
        try:
            failed = operation(connection.client, key)
        except grpc.RpcError as error:  # Of a read.
            failed = error
            if error.code() not in (
                grpc.StatusCode.UNAVAILABLE,
                grpc.StatusCode.DEADLINE_EXCEEDED,
            ):
                raise
        if isinstance(failed, grpc.RpcError):
            self._end.wait(0.01)  # A node that is down refuses at once; give way to the others.


def read_all(history, client):
    """Notes a last linearizable read of every key: what was acknowledged must be found there."""
    caller = Caller(history, "last")
    for key in history.keys():
        caller.get(client, key, harness.CALL_SECONDS_MAX)
