"""Real nodes for end-to-end tests: starts bin/mokv with certificates of its own, on free ports and
in a temporary directory, and speaks to it as a stock gRPC client.

Environment: MOKV_BIN and MOKVCTL_BIN are the programs (default: build/bin of this tree), CERT_DIR a
directory of existing certificates (default: made anew with `mokvctl cert init`).

Ends only processes that it started. Waits for conditions, each with a deadline.
"""

import atexit
import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import grpc

ROOT = pathlib.Path(__file__).resolve().parents[2]
MOKV = os.environ.get("MOKV_BIN", str(ROOT / "build" / "bin" / "mokv"))
MOKVCTL = os.environ.get("MOKVCTL_BIN", str(ROOT / "build" / "bin" / "mokvctl"))

START_SECONDS_MAX = 30  # Generous: a loaded machine, a build with sanitizers.
STOP_SECONDS_MAX = 30
CALL_SECONDS_MAX = 30

# Certificates name these, too: where a test may listen in a node's stead, and a name that no machine
# has unless the test says so.
OTHER_HOST, OTHER_NAME = "127.0.0.2", "mokv-test-late"

_scratch = tempfile.mkdtemp(prefix="mokv-e2e-")
atexit.register(shutil.rmtree, _scratch, ignore_errors=True)


def scratch_directory(name):
    """A new empty directory that goes away with this process."""
    return pathlib.Path(tempfile.mkdtemp(prefix=name + "-", dir=_scratch))


def wait_for(condition, what, seconds=CALL_SECONDS_MAX):
    """Polls until `condition()` is true, and returns what it returned."""
    deadline = time.monotonic() + seconds
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds} s for: {what}")
        time.sleep(0.01)


# ---- The API, compiled from the tree's own protos.


def _compile_api():
    # Debian's grpc_tools predates `optional` in proto3; protoc makes the messages, and the methods
    # are called through grpc's generic interface.
    out = scratch_directory("api")
    subprocess.run(
        ["protoc", f"--proto_path={ROOT}", f"--python_out={out}"]
        + [str(ROOT / "api" / f"{name}.proto") for name in ("kv", "health", "cluster", "session", "reflection")],
        check=True,
    )
    sys.path.insert(0, str(out))


_compile_api()
sys.path.insert(0, str(ROOT / "tests"))
from api import health_pb2, kv_pb2, session_pb2  # noqa: E402
from google.protobuf import empty_pb2  # noqa: E402
from ports import free_port  # noqa: E402


def fate_of(error):
    """What the server says of a write that failed: `not-done` or `unknown`; None when it said nothing,
    since the call did not reach it, or its answer did not come back."""
    # Pairs, of both kinds of client.
    return dict(list(error.trailing_metadata() or ())).get("mokv-fate")


def _raw(message):
    return message if isinstance(message, bytes) else message.SerializeToString()


class Client:
    """Stubs of one channel. Requests are messages, or bytes to be sent as they are."""

    def __init__(self, channel):
        self.channel = channel
        kv = "/api.KV/"
        self.get = self.unary(kv + "Get", kv_pb2.GetResponse)
        self.set = self.unary(kv + "Set", kv_pb2.SetResponse)
        self.delete = self.unary(kv + "Delete", kv_pb2.DeleteResponse)
        self.list = self.stream(kv + "List", kv_pb2.GetResponse)
        self.get_servers = self.unary(kv + "GetServers", kv_pb2.GetServersResponse)
        session = "/api.Session/"
        self.open_session = self.unary(session + "Open", session_pb2.OpenResponse)
        self.keep_alive = self.unary(session + "KeepAlive", session_pb2.KeepAliveResponse)
        self.close_session = self.unary(session + "Close", session_pb2.CloseResponse)
        health = "/grpc.health.v1.Health/"
        self.check = self.unary(health + "Check", health_pb2.HealthCheckResponse)
        self.watch = self.stream(health + "Watch", health_pb2.HealthCheckResponse)

    def unary(self, path, response):
        return self.channel.unary_unary(path, _raw, response.FromString)

    def stream(self, path, response):
        return self.channel.unary_stream(path, _raw, response.FromString)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.channel.close()


def put(client, key, value=b"v", **fields):
    request = kv_pb2.SetRequest(key=key, value=value, **fields)
    return client.set(request, timeout=CALL_SECONDS_MAX)


def get(client, key, **fields):
    return client.get(kv_pb2.GetRequest(key=key, **fields), timeout=CALL_SECONDS_MAX)


def delete(client, key, **fields):
    return client.delete(kv_pb2.DeleteRequest(key=key, **fields), timeout=CALL_SECONDS_MAX)


def list_items(client, prefix="", **fields):
    request = kv_pb2.ListRequest(prefix=prefix, **fields)
    return list(client.list(request, timeout=CALL_SECONDS_MAX))


# ---- Certificates.


class Certificates:
    def __init__(self, directory):
        self.directory = pathlib.Path(directory)

    def path(self, name):
        return str(self.directory / name)

    def read(self, name):
        return (self.directory / name).read_bytes()

    def credentials(self, name):
        """Of a client; `name` None presents no certificate."""
        if name is None:
            return grpc.ssl_channel_credentials(self.read("ca.pem"))
        return grpc.ssl_channel_credentials(
            self.read("ca.pem"), self.read(f"{name}-key.pem"), self.read(f"{name}.pem")
        )


def clean_environment(home, **more):
    keep = ("PATH", "LANG", "ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS", "LD_LIBRARY_PATH")
    environment = {name: os.environ[name] for name in keep if name in os.environ}
    environment.update(HOME=str(home), **more)
    return environment


def make_certificates(ca_of=None):
    """A new CA, or that of other certificates, with everything that it signed, by our own tool."""
    directory = scratch_directory("certs")
    if ca_of is not None:
        for name in ("ca.pem", "ca-key.pem"):
            shutil.copy(ca_of.path(name), directory)
    subprocess.run(
        [MOKVCTL, "cert", "init"],
        env=clean_environment(directory, CERT_DIR=str(directory), CERT_HOSTS=f"{OTHER_HOST},{OTHER_NAME}"),
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return Certificates(directory)


_shared_certificates = None


def certificates():
    """The one CA that the tests of this process share."""
    global _shared_certificates
    if _shared_certificates is None:
        given = os.environ.get("CERT_DIR")
        _shared_certificates = Certificates(given) if given else make_certificates()
    return _shared_certificates


# ---- Nodes.

_processes = []  # All that were started, so that a test that breaks leaves nothing behind.


def _end_processes():
    for process in _processes:
        if process.poll() is None:
            process.kill()
            process.wait()


def _check_sanitizers():
    """A node that a sanitizer has ended may look to a test like one that it has killed itself."""
    for log in sorted(pathlib.Path(_scratch).rglob("stderr-*.log")):
        text = log.read_text(errors="replace")
        if "Sanitizer: " in text:
            print(f"{log}:\n{text}", file=sys.stderr, flush=True)
            os._exit(1)  # Whatever the tests came to.


atexit.register(_check_sanitizers)
atexit.register(_end_processes)  # Both run before the scratch directory goes, this one first.



class Node:
    """One mokv process and its directory. It can be started again after `stop` or `kill`.

    Settings are configuration keys with `_` for `-`; None takes a key of the default away.
    """

    def __init__(self, tls=True, certs=None, **settings):
        self.directory = scratch_directory("node")
        self.certs = certs or certificates()
        self.tls = tls
        self.rpc_port, self.metrics_port, serf_port = free_port(), free_port(), free_port()
        self.settings = {
            "data-dir": str(self.directory / "data"),
            "node-name": "node-1",
            "bind-addr": f"127.0.0.1:{serf_port}",
            "rpc-port": self.rpc_port,
            "metrics-port": self.metrics_port,
            "bootstrap": True,
            "log-format": "text",
        }
        if tls:
            path = self.certs.path
            self.settings.update(
                {
                    "server-tls-cert-file": path("server.pem"),
                    "server-tls-key-file": path("server-key.pem"),
                    "server-tls-ca-file": path("ca.pem"),
                    "peer-tls-cert-file": path("peer.pem"),
                    "peer-tls-key-file": path("peer-key.pem"),
                    "peer-tls-ca-file": path("ca.pem"),
                    "acl-model-file": path("model.conf"),
                    "acl-policy-file": path("policy.csv"),
                }
            )
        else:
            self.settings["insecure"] = True
        for name, value in settings.items():
            self.settings[name.replace("_", "-")] = value
        self.process = None
        self.starts = 0
        self.prefix = []  # Of the command.
        self.output = None  # Where standard output and error go instead of to `log_file`.

    def __enter__(self):
        return self.start() if self.process is None else self

    def __exit__(self, *unused):
        self.kill()

    # -- The process.

    @property
    def config_file(self):
        return self.directory / "config.yaml"

    @property
    def log_file(self):
        """Standard error of the newest start."""
        return self.directory / f"stderr-{self.starts}.log"

    def write_config(self):
        lines = [
            f"{key}: {json.dumps(value)}\n"  # JSON is YAML.
            for key, value in self.settings.items()
            if value is not None
        ]
        self.config_file.write_text("".join(lines))

    def launch(self, *flags, environment=None):
        """Starts the process and does not wait for anything."""
        assert self.process is None, "is running"
        self.write_config()
        self.starts += 1
        with open(self.log_file, "wb") as log:
            self.process = subprocess.Popen(
                [*self.prefix, MOKV, "--config-file", str(self.config_file), *flags],
                env=clean_environment(self.directory, **(environment or {})),
                stdin=subprocess.DEVNULL,
                stdout=self.output or log,
                stderr=self.output or log,
            )
        _processes.append(self.process)
        return self

    def start(self):
        self.launch()
        try:
            wait_for(self._is_ready, "the node to be ready", START_SECONDS_MAX)
        except BaseException:
            self.kill()
            raise
        return self

    def _is_ready(self):
        if self.process.poll() is not None:
            raise AssertionError(f"the node ended with {self.process.returncode}: {self.log()}")
        try:
            return self.http("/readyz")[0] == 200
        except OSError:
            return False

    def wait_for_exit(self, seconds=STOP_SECONDS_MAX):
        """Exit status; negative when it died of a signal."""
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"still running after {seconds} s: {self.log()}") from None
        self.process = None
        return code

    def stop(self, signal_number=signal.SIGTERM):
        self.process.send_signal(signal_number)
        return self.wait_for_exit()

    def kill(self):
        """kill -9; nothing when it is not running."""
        if self.process is None:
            return
        self.process.kill()
        self.process.wait()
        self.process = None

    def log(self):
        return self.log_file.read_text(errors="replace")

    # -- Clients.

    @property
    def address(self):
        return f"127.0.0.1:{self.rpc_port}"

    def client(self, name="root-client", options=()):
        """A channel of its own: grpc would share connections between equal ones."""
        options = [("grpc.use_local_subchannel_pool", 1), *options]
        if self.tls:
            credentials = self.certs.credentials(name)
            return Client(grpc.secure_channel(self.address, credentials, options))
        return Client(grpc.insecure_channel(self.address, options))

    def http(self, path, method="GET"):
        """Status and body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.metrics_port, timeout=10)
        try:
            connection.request(method, path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        except http.client.HTTPException as error:
            raise OSError(f"HTTP: {error!r}") from error
        finally:
            connection.close()

    def metrics(self):
        return Metrics(self.http("/metrics")[1])


class Metrics:
    """One scrape."""

    _SAMPLE = re.compile(r"^([a-z_][a-z0-9_]*)(\{.*\})? (\S+)$")
    _LABEL = re.compile(r'([a-z_]+)="((?:[^"\\]|\\.)*)"')

    def __init__(self, text):
        self.samples = []  # Name, labels, value.
        for line in text.splitlines():
            if line.startswith("#") or not line:
                continue
            match = self._SAMPLE.match(line)
            if match is None:
                raise AssertionError(f"not a line of Prometheus text: {line!r}")
            labels = dict(self._LABEL.findall(match.group(2) or ""))
            self.samples.append((match.group(1), labels, float(match.group(3))))

    def sum(self, name, **labels):
        """Over all series of a name that carry these labels; None when there is none."""
        values = [
            value
            for sample_name, sample_labels, value in self.samples
            if sample_name == name and labels.items() <= sample_labels.items()
        ]
        return sum(values) if values else None

    def lines(self, prefix):
        """Of the series whose names begin so, for people to read."""
        return [f"{n} {labels} {v:g}" for n, labels, v in self.samples if n.startswith(prefix)]

    def names(self):
        return {name for name, _, _ in self.samples}
