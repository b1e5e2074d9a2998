"""Clusters of real nodes: started, grown with `mokvctl member add`, hurt and looked at.

A node of a cluster may be killed, stopped (SIGSTOP), continued and started again. What the test does
to it is known here, so that nobody waits for an answer of a node that cannot give one.

MOKV_SEED repeats what chance decided in a run; each run prints its own.
"""

import concurrent.futures
import functools
import os
import pathlib
import random
import signal
import subprocess
import sys
import threading
import time
import unittest

import grpc
from google.protobuf.text_format import MessageToString

import harness
from api import cluster_pb2
from harness import MOKVCTL, Node, clean_environment, kv_pb2, wait_for

SEED = int(os.environ.get("MOKV_SEED") or random.SystemRandom().randrange(1 << 32))
print(f"MOKV_SEED={SEED}", flush=True)

ELECTION_SECONDS_MAX = 30  # Fifty times what it takes: the machine may be busy with other tests.
CATCH_UP_SECONDS_MAX = 60

# Half an election timeout. After longer ones nodes have reason to elect a leader.
STANDSTILL_SECONDS_MAX = 0.25

# Of a client that finds out quickly that a node is back.
_EAGER = (
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 2000),  # A handshake may take that long on a busy machine.
    ("grpc.max_reconnect_backoff_ms", 200),
)


def random_for(name):
    """Of this run's seed, and independent of what else draws from it."""
    return random.Random(f"{SEED}/{name}")


class _Standstill:
    """How long at most a thread of this process did not run that wanted to."""

    def __enter__(self):
        self.seconds = 0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *unused):
        self._end.set()
        self._thread.join()

    def _watch(self):
        last = time.monotonic()
        while not self._end.wait(0.01):
            now = time.monotonic()
            self.seconds = max(self.seconds, now - last)
            last = now


_reruns = 0


def _may_run_again(standstill, error):
    """Counts it, for ctest's report; no second time, or the excuse would hide a bug."""
    global _reruns
    if standstill.seconds < STANDSTILL_SECONDS_MAX or _reruns > 0:
        return False
    _reruns += 1
    print(f"once more, the machine stood still for {standstill.seconds:.3f} s: {error!r}")
    print(f'<CTestMeasurement type="numeric/integer" name="reruns">{_reruns}</CTestMeasurement>',
          flush=True)
    return True


def no_election(test):
    """Of a test in which nobody has reason to elect a leader. When the machine itself stands still,
    they have: a failure of that run proves nothing, and the test is run again. Once for all tests of
    a file."""

    @functools.wraps(test)
    def run(self):
        with _Standstill() as standstill:
            try:
                return test(self)
            except Exception as error:
                if not _may_run_again(standstill, error):
                    raise
        self.doCleanups()
        self.setUp()
        return test(self)

    return run


class CtlAnswer:
    def __init__(self, arguments, done):
        self.arguments = arguments
        self.status, self.out, self.error = done.returncode, done.stdout, done.stderr

    def __str__(self):
        return f"mokvctl {self.arguments}: exit status {self.status}, {self.out!r}, {self.error!r}"


def mokvctl(nodes, *arguments, certificate="root-client", timeout="20s"):
    """Runs `mokvctl ARGUMENTS` against these nodes, in this order."""
    certs = nodes[0].certs
    command = [MOKVCTL, "--endpoints", ",".join(node.address for node in nodes)]
    command += ["--timeout", timeout]
    if nodes[0].tls:
        command += ["--cacert", certs.path("ca.pem"), "--cert", certs.path(f"{certificate}.pem")]
        command += ["--key", certs.path(f"{certificate}-key.pem")]
    else:
        command.append("--insecure")
    done = subprocess.run(
        [*command, *arguments],
        env=clean_environment(nodes[0].directory),
        capture_output=True,
        text=True,
        timeout=120,
    )
    return CtlAnswer(arguments, done)


class Member(Node):
    """One node of a cluster."""

    def __init__(self, name, **settings):
        super().__init__(node_name=name, **settings)
        self.name = name
        self.is_paused = False
        self.environment = {}
        self._admin = None

    def launch(self, *flags, environment=None):
        super().launch(*flags, environment={**self.environment, **(environment or {})})
        return self

    def wait_until_alive(self):
        wait_for(self._is_alive, f"{self.name} to live", harness.START_SECONDS_MAX)
        return self

    def wait_until_ready(self, seconds=ELECTION_SECONDS_MAX):
        wait_for(self._is_ready, f"{self.name} to be ready", seconds)
        return self

    def is_ready(self):
        return self.http("/readyz")[0] == 200

    def _is_alive(self):
        if self.process.poll() is not None:
            raise AssertionError(f"the node ended with {self.process.returncode}: {self.log()}")
        try:
            return self.http("/livez")[0] == 200
        except OSError:
            return False

    def kill(self):
        super().kill()
        self.is_paused = False

    def pause(self):
        """SIGSTOP: the process stands still, the kernel keeps its connections open."""
        self.process.send_signal(signal.SIGSTOP)
        self.is_paused = True
        wait_for(self._stands_still, f"every thread of {self.name} to stop")

    def _stands_still(self):
        threads = pathlib.Path(f"/proc/{self.process.pid}/task").glob("*/stat")
        return all(stat.read_text().rpartition(")")[2].split()[0] == "T" for stat in threads)

    def cont(self):
        self.process.send_signal(signal.SIGCONT)
        self.is_paused = False

    @property
    def is_running(self):
        return self.process is not None and not self.is_paused

    def client(self, name="root-client", options=()):
        return super().client(name, [*_EAGER, *options])

    def admin_client(self):
        """One that lasts as long as this object and finds the node again after each start."""
        if self._admin is None:
            self._admin = self.client()
            path = "/api.Cluster/Status"
            self._admin.status = self._admin.unary(path, cluster_pb2.StatusResponse)
        return self._admin

    def status(self, timeout=2):
        """api.Cluster/Status; None when the node does not answer."""
        try:
            return self.admin_client().status(b"", timeout=timeout)
        except grpc.RpcError:
            return None

    def close(self):
        self.kill()
        if self._admin is not None:
            self._admin.channel.close()
            self._admin = None


class Cluster:
    """`size` voters, called node-1, node-2, ... The first one was bootstrapped.

    `addresses`: maps a node to the HOST:PORT that the others dial (default: its own).
    """

    def __init__(self, size, addresses=None, environment=None, **settings):
        settings.setdefault("request_log", "off")
        self.settings = settings
        self.environment = environment or {}
        self.addresses = addresses or (lambda node: node.address)
        self.nodes = [self.new_node(f"node-{i + 1}", bootstrap=i == 0) for i in range(size)]

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(self, kind, *unused):
        if kind is not None:
            self.print_logs()
        self.close()

    def close(self):
        for node in self.nodes:
            node.close()

    def print_logs(self):
        for node in self.nodes:
            if node.starts > 0:
                tail = "\n".join(node.log().splitlines()[-25:])
                print(f"---- {node.name}, start {node.starts}:\n{tail}", flush=True)
        for node, status in self.statuses().items():
            print(f"---- {node.name}: {MessageToString(status, as_one_line=True)}", flush=True)
            try:
                print("\n".join(node.metrics().lines("mokv_raft_")), flush=True)
            except OSError as error:
                print(f"no metrics: {error}", flush=True)
        print(f"MOKV_SEED={SEED}", flush=True)

    def new_node(self, name, bootstrap=False, **settings):
        node = Member(name, bootstrap=bootstrap, **{**self.settings, **settings})
        node.environment = self.environment
        return node

    def start(self):
        for node in self.nodes:
            node.launch()
        for node in self.nodes:
            node.wait_until_alive()
        self.nodes[0].wait_until_ready()
        if self.addresses(self.nodes[0]) != self.nodes[0].address:
            self.add(self.nodes[0], through=self.nodes[:1])
        for node in self.nodes[1:]:
            self.add(node, through=self.nodes[:1])
        self.wait_until_voters(len(self.nodes))
        return self

    def add(self, node, through=None):
        """Through members (default: all others): who is none would wait for a leader in vain."""
        if node not in self.nodes:
            self.nodes.append(node)
        through = through or [other for other in self.running if other is not node]
        answer = self.ctl("member", "add", node.name, self.addresses(node), nodes=through)
        if answer.status != 0:
            raise AssertionError(str(answer))

    def ctl(self, *arguments, nodes=None, **more):
        nodes = nodes or [node for node in self.nodes if node.is_running]
        return mokvctl(nodes, *arguments, **more)

    # -- What there is.

    def named(self, name):
        return next(node for node in self.nodes if node.name == name)

    @property
    def running(self):
        return [node for node in self.nodes if node.is_running]

    def statuses(self):
        """By node; of those that run and answer."""
        running = self.running
        with concurrent.futures.ThreadPoolExecutor(max(1, len(running))) as pool:
            answers = pool.map(lambda node: (node, node.status()), running)
            return {node: status for node, status in answers if status is not None}

    def leader(self, among=None):
        """The leader of the newest term that serves and that all others of `among` (default: all
        that run) follow; None: there is none at the moment."""
        statuses = self.statuses()
        if among is not None:
            statuses = {node: status for node, status in statuses.items() if node in among}
        leaders = [n for n, s in statuses.items() if s.role == "leader" and s.serving]
        if not leaders:
            return None
        leader = max(leaders, key=lambda node: statuses[node].term)
        for status in statuses.values():
            if status.leader != leader.name or status.term != statuses[leader].term:
                return None
        return leader

    def wait_for_leader(self, among=None, other_than=None, seconds=ELECTION_SECONDS_MAX):
        def look():
            leader = self.leader(among)
            return leader if leader is not other_than else None

        return wait_for(look, "one leader that all agree on", seconds)

    def followers(self, leader):
        return [node for node in self.running if node is not leader]

    def wait_until_voters(self, count):
        """As the leader has it: one that has just installed a snapshot may have older members."""
        def all_vote():
            leading = {node: status for node, status in self.statuses().items()
                       if status.role == "leader" and status.serving}
            if not leading:
                return False
            leader = max(leading, key=lambda node: leading[node].term)
            try:
                with leader.client() as client:
                    servers = client.get_servers(b"", timeout=5).servers
            except grpc.RpcError:
                return False
            return len(servers) == count and not any(s.is_learner for s in servers)

        wait_for(all_vote, f"{count} voters", CATCH_UP_SECONDS_MAX)

    def wait_until_equal(self, nodes=None):
        """Waits until all have applied all that the leader's log has."""
        nodes = nodes or self.running

        def equal():
            statuses = self.statuses()
            if any(node not in statuses for node in nodes):
                return False
            ours = [statuses[node] for node in nodes]
            last = max(status.last_index for status in ours)
            return all(status.applied_index == last for status in ours)

        self.wait_for_leader(among=nodes)
        wait_for(equal, "all nodes to have applied the same", CATCH_UP_SECONDS_MAX)

    def contents(self, node):
        """All items as this very node has them, by key."""
        with node.client() as client:
            items = harness.list_items(client, consistency=kv_pb2.STALE)
            return {item.key: item.SerializeToString() for item in items}

    def check_equal(self, nodes=None):
        """All running nodes have the same items, with values and revisions. Returns them."""
        nodes = nodes or self.running
        self.wait_until_equal(nodes)
        first = self.contents(nodes[0])
        for node in nodes[1:]:
            other = self.contents(node)
            if other != first:
                all_keys = first.keys() | other.keys()
                differ = sorted(key for key in all_keys if first.get(key) != other.get(key))
                raise AssertionError(
                    f"{nodes[0].name} and {node.name} differ in {len(differ)} keys: {differ[:5]}"
                )
        return {key: kv_pb2.GetResponse.FromString(item) for key, item in first.items()}


def main():
    # Ended from outside, a test still ends its nodes.
    signal.signal(signal.SIGTERM, lambda *unused: sys.exit(1))
    unittest.main(verbosity=2)
