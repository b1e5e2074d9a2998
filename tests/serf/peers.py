"""Real `serf agent` processes and our serf_peer, on loopback, on free ports.

Environment: SERF_PEER_BIN and SERF_BIN are the programs. Ends only processes that it started. Waits
for conditions, each with a deadline.
"""

import atexit
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))
from ports import free_port  # noqa: E402

SERF = os.environ.get("SERF_BIN", "serf")
PEER = os.environ.get("SERF_PEER_BIN", str(ROOT / "build" / "bin" / "serf_peer"))
WAIT_SECONDS_MAX = 40  # Suspicion takes 4 to 24 s with LAN timing.

_scratch = tempfile.mkdtemp(prefix="mokv-serf-")
_processes = []


def _end_all():
    for process in _processes:
        if process.poll() is None:
            process.kill()
            process.wait()
    shutil.rmtree(_scratch, ignore_errors=True)


atexit.register(_end_all)


def scratch_path(name):
    return os.path.join(tempfile.mkdtemp(dir=_scratch), name)


def read(path):
    """The file's text; empty while there is none."""
    try:
        return pathlib.Path(path).read_text()
    except FileNotFoundError:
        return ""


def wait_for(condition, what, seconds=WAIT_SECONDS_MAX):
    """Polls until `condition()` is true, and returns what it returned."""
    deadline = time.monotonic() + seconds
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds} s for: {what}")
        time.sleep(0.05)


class Process:
    """Lines of its output are collected by a thread."""

    def __init__(self, arguments, stdin=None):
        self.process = subprocess.Popen(
            arguments, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        _processes.append(self.process)
        self.lines = []
        self._thread = threading.Thread(target=self._collect, daemon=True)
        self._thread.start()

    def _collect(self):
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    def output(self):
        return "\n".join(self.lines[-60:])

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(WAIT_SECONDS_MAX)

    def terminate(self):
        self.process.send_signal(signal.SIGTERM)

    def wait(self):
        return self.process.wait(WAIT_SECONDS_MAX)

    def close(self):
        if self.process.poll() is None:
            self.kill()
        self._thread.join()
        self.process.stdout.close()
        if self.process.stdin is not None:
            self.process.stdin.close()


class Agent(Process):
    """A `serf agent`."""

    def __init__(self, name, *options, bind=None):
        self.name = name
        self.address = bind or f"127.0.0.1:{free_port()}"
        self.rpc = f"127.0.0.1:{free_port()}"
        super().__init__(
            [SERF, "agent", f"-node={name}", f"-bind={self.address}", f"-rpc-addr={self.rpc}",
             "-log-level=debug", *options]
        )
        wait_for(lambda: self.serf("info", check=False).returncode == 0, f"{name}: agent answers")

    def serf(self, *arguments, check=True):
        result = subprocess.run(
            [SERF, arguments[0], f"-rpc-addr={self.rpc}", *arguments[1:]],
            capture_output=True, text=True, timeout=WAIT_SECONDS_MAX,
        )
        if check and result.returncode != 0:
            raise AssertionError(f"serf {arguments}: {result.stdout}{result.stderr}\n{self.output()}")
        return result

    def members(self):
        """Name -> member, as `serf members -format=json` says."""
        found = json.loads(self.serf("members", "-format=json").stdout)["members"] or []
        return {member["name"]: member for member in found}

    def status(self, name):
        return self.members().get(name, {}).get("status")

    def wait_status(self, name, status):
        wait_for(lambda: self.status(name) == status, f"{self.name} sees {name} as {status}")


class Peer(Process):
    """Ours."""

    def __init__(self, name, *options):
        self.name = name
        super().__init__([PEER, "--name", name, *options], stdin=subprocess.PIPE)
        ready = wait_for(lambda: self.events("ready"), f"{name} is ready")[0]
        self.port = ready["port"]
        host = "[::1]" if any("[::1]" in option for option in options) else "127.0.0.1"
        self.address = f"{host}:{self.port}"

    def events(self, kind):
        found = []
        for line in list(self.lines):
            if line.startswith("{"):
                event = json.loads(line)
                if event["event"] == kind:
                    found.append(event)
        return found

    def command(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def ask(self, line, kind):
        before = len(self.events(kind))
        self.command(line)
        return wait_for(lambda: self.events(kind)[before:], f"{self.name} answers {line}")[0]

    def members(self):
        return {m["name"]: m for m in self.ask("members", "members")["members"]}

    def status(self, name):
        return self.members().get(name, {}).get("status")

    def wait_status(self, name, status):
        wait_for(lambda: self.status(name) == status, f"{self.name} sees {name} as {status}")

    def changes(self, name):
        """What it was told of `name`, in order."""
        return [e["change"] for e in self.events("member") if e["member"]["name"] == name]
