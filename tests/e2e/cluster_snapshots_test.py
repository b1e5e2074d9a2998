"""Snapshots of real nodes: they bound the disk and the time of a start, bring up who is too far behind or
new, and are believed only if they verify.

Environment: MOKV_ROUNDS (default 10 kills), MOKV_SEED. With MOKV_LOAD_BIN, the load generator of bench/,
the test of many overwrites makes five million of them (MOKV_OVERWRITES) and not only some ten thousand.
"""

import collections
import os
import pathlib
import shutil
import subprocess
import threading
import time
import unittest

import grpc

import cluster
import harness
import history
from cluster import Cluster, Member, random_for
from harness import kv_pb2, wait_for
from history import Load

ROUNDS = int(os.environ.get("MOKV_ROUNDS", "10"))

# Of src/replica/snapshots.h and src/wal: what docs/reference.md counts at `snapshot-log-bytes`.
TRAILING_ENTRIES = 10_000
SEGMENT_BYTES = 32 << 20
SEGMENTS_BESIDES = 6  # Two prepared, two kept for reuse; the first and the last are not full.
SNAPSHOTS_MAX = 3
# Of an entry, besides value; of a segment's batch, too.
ENTRY_BYTES_BESIDES = 200

# Besides value and key: of an item in a snapshot, at most.
ITEM_BYTES_BESIDES = 40
# The identity and other small files, and what a file system counts for names.
SMALL_FILES_BYTES = 1 << 20

LOAD = os.environ.get("MOKV_LOAD_BIN")
OVERWRITES = int(os.environ.get("MOKV_OVERWRITES", "5000000" if LOAD else "80000"))

IN_FLIGHT = 128  # Calls of one writer: enough to fill the batches of the log.


class Writes:
    """Overwrites a few keys again and again, many calls at a time, and remembers what was acknowledged.
    Confined to one thread at a time."""

    def __init__(self, prefix, keys=IN_FLIGHT, value_bytes=100):
        self.keys = [f"{prefix}/{i}" for i in range(keys)]
        self.value_bytes = value_bytes
        self.count = 0  # That were acknowledged.
        self.acknowledged = {}  # The last number of each key.
        self.revisions = {}
        self._unknown = collections.defaultdict(set)
        self._next = 0

    def _begin(self, client, key, timeout):
        self._next += 1
        value = (b"%d " % self._next).ljust(self.value_bytes, b"v")
        request = kv_pb2.SetRequest(key=key, value=value)
        return key, self._next, client.set.future(request, timeout=timeout)

    def _end(self, key, number, call):
        answer = call.result()
        self.acknowledged[key] = number
        self.revisions[key] = answer.revision
        self.count += 1

    def write(self, client, count):
        """None may fail."""
        calls = collections.deque()
        for i in range(count):
            if len(calls) >= min(IN_FLIGHT, len(self.keys)):
                self._end(*calls.popleft())
            key = self.keys[self._next % len(self.keys)]
            calls.append(self._begin(client, key, harness.CALL_SECONDS_MAX))
        for call in calls:
            self._end(*call)

    def write_each(self, client):
        """Each key once; a node that is down fails them. Whether any was acknowledged."""
        before = self.count
        for call in [self._begin(client, key, history.CALL_SECONDS) for key in self.keys]:
            key, number, _ = call
            try:
                self._end(*call)
            except grpc.RpcError as error:
                if history.outcome_of_failed_write(error) is history.UNKNOWN:
                    self._unknown[key].add(number)
        return self.count > before

    def check(self, test, items):
        """What is there was acknowledged last, or its outcome was never told."""
        for key, number in self.acknowledged.items():
            test.assertIn(key, items)
            found = int(items[key].value.split()[0])
            if found != number:
                test.assertIn(found, self._unknown[key], f"{key}: {number} was acknowledged last")
            elif key in self.revisions:
                test.assertEqual(items[key].mod_revision, self.revisions[key], key)


class Background(threading.Thread):
    """Goes on with `writes` through random running nodes, until it is ended."""

    def __init__(self, nodes, writes, random):
        super().__init__(name="writes")
        self.nodes = nodes
        self.writes = writes
        self.random = random
        self.trouble = None
        self._end = threading.Event()

    def run(self):
        clients = {}
        try:
            while not self._end.is_set():
                node = self.random.choice(list(self.nodes))
                if node not in clients:
                    clients[node] = node.client()
                if not self.writes.write_each(clients[node]):
                    self._end.wait(0.01)  # A node that is down refuses at once.
        except BaseException as error:  # Told by the main thread.
            self.trouble = error
        finally:
            for client in clients.values():
                client.channel.close()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, kind, *unused):
        self._end.set()
        self.join()
        if self.trouble is not None and kind is None:
            raise self.trouble

    def wait_for_more(self, count):
        goal = self.writes.count + count

        def reached():
            if self.trouble is not None:
                raise self.trouble
            return self.writes.count >= goal

        wait_for(reached, f"{count} more writes to be acknowledged")


def snapshot_files(node, ending=".snap"):
    """The newest first."""
    directory = pathlib.Path(node.settings["data-dir"]) / "snapshots"
    return sorted(directory.glob(f"*{ending}"), reverse=True) if directory.exists() else []


def disk_bytes(directory):
    """As `du` counts them. A file that goes meanwhile is not there any more."""
    total = 0
    for path in pathlib.Path(directory).rglob("*"):
        try:
            total += path.stat().st_blocks * 512
        except FileNotFoundError:
            pass
    return total


def log_bytes(node):
    return disk_bytes(pathlib.Path(node.settings["data-dir"]) / "log")


def flip_bytes(path, offset=None):
    """In the middle by default: in the items."""
    with open(path, "r+b") as file:
        file.seek(path.stat().st_size // 2 if offset is None else offset)
        there = file.read(4)
        file.seek(-4, os.SEEK_CUR)
        file.write(bytes(byte ^ 0xFF for byte in there))


def first_index(node):
    return node.metrics().sum("mokv_log_first_index")


def write_until_cut_beyond(node, index, writes, cut=None):
    """Writes through `node` until its log, or that of `cut`, begins later. Each node cuts for itself."""
    with node.client() as client:
        wait_for(
            lambda: writes.write(client, 1000) or first_index(cut or node) > index,
            f"the log to begin behind {index}",
            60,
        )


class SnapshotsTest(unittest.TestCase):
    def setUp(self):
        self.random = random_for(self.id())

    # Goal:   a node that overwrites a few keys for ever fills no disk, and starts quickly.
    # Method: more is written than the bound that docs/reference.md states, which is looked at all the
    #         while; kill -9, and all is there again.
    def test_disk_is_bounded(self):
        value_bytes = 16 << 10
        snapshot_log_bytes = 1 << 20
        writes = Writes("k", value_bytes=value_bytes)
        node = Member("node-1", tls=False, request_log="off",
                      snapshot_log_bytes=str(snapshot_log_bytes))
        self.addCleanup(node.close)
        data_bytes = len(writes.keys) * value_bytes
        due = max(snapshot_log_bytes, data_bytes // 2)
        bound = (
            2 * due
            + TRAILING_ENTRIES * (value_bytes + ENTRY_BYTES_BESIDES)
            + SEGMENTS_BESIDES * SEGMENT_BYTES
        )
        with node.start().client() as client:
            while node.metrics().sum("mokv_log_written_bytes_total") < bound:
                writes.write(client, 1000)
                self.assertLessEqual(log_bytes(node), bound)
                self.assertLessEqual(len(snapshot_files(node, "")), SNAPSHOTS_MAX)
            metrics = node.metrics()
            print(f"{writes.count} writes, {metrics.sum('mokv_log_written_bytes_total'):.0f} bytes "
                  f"written, {log_bytes(node)} of at most {bound} on disk", flush=True)
            self.assertGreater(metrics.sum("mokv_snapshots_taken_total"), 2)
            self.assertGreater(metrics.sum("mokv_log_cuts_total"), 0)
            self.assertGreater(metrics.sum("mokv_log_first_index"), 1)
            self.assertEqual(metrics.sum("mokv_snapshots_failed_total"), 0)
        node.kill()
        newest = snapshot_files(node)[0].name
        node.launch().wait_until_ready()
        (told,) = [line for line in node.log().splitlines() if "state recovered" in line]
        self.assertIn(newest, told)
        with node.client() as client:
            items = {item.key: item for item in harness.list_items(client)}
        self.assertEqual(len(items), len(writes.keys))
        writes.check(self, items)

    # Goal:   the whole data directory stays within what docs/reference.md states, however much is
    #         written over a small key space, and a start does not grow with that.
    # Method: more than the bound is written while the directory is looked at; kill -9. How long the
    #         start takes is told, and not judged: machines differ.
    def test_many_overwrites(self):
        keys, value_bytes = (10_000, 100) if LOAD else (2_000, 4096)
        snapshot_log_bytes = 1 << 20
        node = Member("node-1", tls=False, request_log="off",
                      snapshot_log_bytes=str(snapshot_log_bytes))
        self.addCleanup(node.close)
        node.start()
        data_bytes = keys * (value_bytes + ITEM_BYTES_BESIDES)
        due = max(snapshot_log_bytes, data_bytes // 2)
        # The third `due`: what is written while a snapshot is.
        bound = (
            SNAPSHOTS_MAX * data_bytes
            + 3 * due
            + TRAILING_ENTRIES * (value_bytes + ENTRY_BYTES_BESIDES)
            + SEGMENTS_BESIDES * SEGMENT_BYTES
            + SMALL_FILES_BYTES
        )
        largest = 0
        began = time.monotonic()
        overwrite = self.overwrite_by_load if LOAD else self.overwrite
        for _ in overwrite(node, keys, value_bytes):
            largest = max(largest, disk_bytes(node.settings["data-dir"]))
        took = time.monotonic() - began
        metrics = node.metrics()
        written = metrics.sum("mokv_log_written_bytes_total")
        before = wait_for(node.status, "the node to answer")
        self.assertGreaterEqual(before.revision, OVERWRITES)
        node.kill()
        began = time.monotonic()
        node.launch().wait_until_ready()
        restart = time.monotonic() - began
        (told,) = [line for line in node.log().splitlines() if "state recovered" in line]
        print(f"{OVERWRITES} overwrites of {keys} keys in {took:.1f} s: {written:.0f} bytes of log "
              f"written, {metrics.sum('mokv_snapshots_taken_total'):.0f} snapshots, at most {largest} of "
              f"{bound} bytes on disk; ready {restart:.2f} s after kill -9: {told}", flush=True)
        self.assertGreater(written, bound)  # Or nothing was shown.
        self.assertLessEqual(largest, bound)
        after = wait_for(node.status, "the node to answer")
        self.assertEqual((after.revision, after.keys), (before.revision, before.keys))

    # Both give control back now and then.

    def overwrite(self, node, keys, value_bytes):
        writes = Writes("k", keys=keys, value_bytes=value_bytes)
        with node.client() as client:
            while writes.count < OVERWRITES:
                writes.write(client, 1000)
                yield

    def overwrite_by_load(self, node, keys, value_bytes):
        with subprocess.Popen(
            [LOAD, "--endpoint", node.address, "-c", "8", "-s", "32", "--reads", "0", "--warmup", "0",
             "--keys", str(keys), "--value-bytes", str(value_bytes),
             "--operations", str(OVERWRITES)],
            stdout=subprocess.PIPE, text=True) as load:
            while load.poll() is None:
                yield
                time.sleep(0.01)
            self.assertEqual(load.returncode, 0, load.stdout.read())

    # Goal:   a follower that was away for longer than the log is kept comes back by a snapshot, and
    #         nobody waits for it meanwhile.
    def test_follower_that_was_away_for_long(self):
        with Cluster(3, snapshot_log_bytes="64KiB") as nodes:
            leader = nodes.wait_for_leader()
            with leader.client() as client:
                Writes("large", value_bytes=16 << 10).write(client, IN_FLIGHT)
            nodes.wait_until_equal()
            victim = self.random.choice(nodes.followers(leader))
            had = victim.status().last_index
            victim.kill()
            writes = Writes("small")
            write_until_cut_beyond(leader, had, writes)
            going_on = Writes("going-on", keys=8)
            with Background([leader], going_on, self.random) as background:
                background.wait_for_more(10)
                victim.launch()
                wait_for(
                    lambda: victim._is_alive() and installed(victim) > 0, "a snapshot to be installed"
                )
                background.wait_for_more(10)
                victim.wait_until_ready()
            self.assertIs(nodes.wait_for_leader(), leader)
            items = nodes.check_equal()
            writes.check(self, items)
            going_on.check(self, items)
            self.assertGreater(leader.metrics().sum("mokv_snapshot_sent_bytes_total"), 0)
            # What came is a snapshot of its own now, to begin with and to fall back on.
            victim.kill()
            victim.launch().wait_until_ready()
            self.assertEqual(nodes.check_equal(), items)
            self.assertEqual(installed(victim), 0)

    # Goal:   a new node does not need the whole history: it begins with a snapshot, and votes.
    def test_empty_node_joins(self):
        with Cluster(1, snapshot_log_bytes="64KiB") as nodes:
            first = nodes.nodes[0]
            writes = Writes("k")
            write_until_cut_beyond(first, 1, writes)
            for name in ("node-2", "node-3"):
                node = nodes.new_node(name)
                node.launch().wait_until_alive()
                nodes.add(node)
                node.wait_until_ready()
                self.assertEqual(installed(node), 1, node.log())
            nodes.wait_until_voters(3)
            writes.check(self, nodes.check_equal())
            # They have the state without the first one.
            first.kill()
            leader = nodes.wait_for_leader()
            with leader.client() as client:
                writes.write(client, 100)
            writes.check(self, nodes.check_equal())

    # Goal:   no moment to die loses what was acknowledged.
    # Method: kill -9 under writes, in turns while a snapshot is written, when the log was just cut,
    #         while an empty node fetches a snapshot (it, or who gives it), when it has just installed
    #         it, and at any moment.
    def test_kills(self):
        with Cluster(3, snapshot_log_bytes="256KiB") as nodes:
            leader = nodes.wait_for_leader()
            # So large that writing and fetching it takes a moment.
            still = Writes("still", value_bytes=128 << 10)
            with leader.client() as client:
                still.write(client, IN_FLIGHT)
            write_until_cut_beyond(leader, 1, Writes("first"))
            bulk = Writes("bulk", keys=32, value_bytes=32 << 10)
            with Background(nodes.nodes, bulk, self.random) as background:
                with Load(nodes.nodes, self.random, callers=3) as load:
                    moments = [self.while_written, self.when_cut, self.while_fetched,
                               self.while_given, self.when_installed, self.at_any_moment]
                    order = []
                    for number in range(ROUNDS):
                        if not order:
                            order = self.random.sample(moments, len(moments))
                        moment = order.pop()
                        began = time.monotonic()
                        background.wait_for_more(self.random.randrange(1, 50))
                        load.turn_page()
                        victim = moment(nodes, background)
                        victim.kill()
                        left = [p.name for p in snapshot_files(victim, "ing")]  # Unfinished.
                        victim.launch().wait_until_ready()
                        nodes.wait_until_voters(3)
                        took = time.monotonic() - began
                        print(f"{number}: {moment.__name__}: {victim.name}, {took:.1f} s, {left}",
                              flush=True)
            history.read_all(load.history, nodes.wait_for_leader().admin_client())
            load.history.judge()
            items = nodes.check_equal()
            still.check(self, items)
            bulk.check(self, items)

    # Each waits for its moment, and gives the node that is to die.

    def while_written(self, nodes, _):
        def writing():
            return [node for node in nodes.nodes if snapshot_files(node, ".writing")]

        return self.random.choice(wait_for(writing, "a snapshot to be written"))

    def when_cut(self, nodes, _):
        node = self.random.choice(nodes.nodes)
        before = first_index(node)
        wait_for(lambda: first_index(node) > before, f"the log of {node.name} to be cut")
        return node

    def at_any_moment(self, nodes, background):
        background.wait_for_more(self.random.randrange(1, 200))
        return self.random.choice(nodes.nodes)

    def while_fetched(self, nodes, _):
        return self.begin_fetch(nodes)[0]

    def while_given(self, nodes, _):
        return self.begin_fetch(nodes)[1]

    def when_installed(self, nodes, _):
        empty, _ = self.begin_fetch(nodes)
        wait_for(lambda: installed(empty) > 0, "the snapshot to be installed")
        return empty

    def begin_fetch(self, nodes):
        """An empty node takes the place of a follower. Gives that, when its snapshot is on its way, and
        the leader."""
        leader = nodes.wait_for_leader()
        empty = self.random.choice(nodes.followers(leader))
        start_empty(nodes, empty)
        # Beside this: the snapshot may be there before the command is. What has become of that is seen
        # by who votes in the end.
        adding = threading.Thread(target=nodes.ctl, args=("member", "add", empty.name, empty.address),
                                  kwargs={"nodes": [leader]})
        adding.start()
        self.addCleanup(adding.join)
        wait_for(
            lambda: snapshot_files(empty, ".fetching") or installed(empty) > 0,
            "a snapshot to be fetched",
        )
        return empty, leader


class DamageTest(unittest.TestCase):
    # Goal:   a damaged snapshot is noticed, named and not used: the one before and the log make the
    #         same state.
    def test_newest_gives_way_to_the_older(self):
        node = Member("node-1", snapshot_log_bytes="64KiB", request_log="off")
        self.addCleanup(node.close)
        writes = Writes("k", value_bytes=1 << 10)
        with node.start().client() as client:
            wait_for(
                lambda: writes.write(client, 100) or len(snapshot_files(node)) >= 2,
                "two snapshots",
            )
        node.kill()
        newest, older = snapshot_files(node)[:2]
        flip_bytes(newest)
        node.launch().wait_until_ready()
        errors = [line for line in node.log().splitlines() if " E " in line]
        self.assertEqual(len(errors), 1, node.log())
        self.assertIn(str(newest), errors[0])
        self.assertRegex(errors[0], r"at offset \d+|offset \d+")
        self.assertIn(older.name, node.log())
        self.assertEqual([path.name for path in snapshot_files(node, ".damaged")],
                         [newest.name + ".damaged"])
        with node.client() as client:
            writes.check(self, {item.key: item for item in harness.list_items(client)})
            # Nothing of it is in the way of what comes.
            writes.write(client, 500)
        node.kill()
        node.launch().wait_until_ready()
        self.assertNotIn(" E ", node.log())

    # Goal:   a node that cannot make its state from its disk says so and ends, rather than serve less;
    #         as a member of a cluster it comes back as docs/reference.md says.
    def test_both_damaged(self):
        with Cluster(3, snapshot_log_bytes="64KiB") as nodes:
            leader = nodes.wait_for_leader()
            writes = Writes("k")
            victim = nodes.followers(leader)[0]
            write_until_cut_beyond(leader, 1, writes, cut=victim)
            victim.kill()
            files = snapshot_files(victim)
            for file in files:
                flip_bytes(file)
            victim.launch()
            self.assertEqual(victim.wait_for_exit(), 1)
            for file in files:
                self.assertIn(str(file), victim.log())
            (reason,) = [line for line in victim.log().splitlines() if line.startswith("mokv: ")]
            self.assertIn(files[0].name, reason)
            self.assertIn("the log begins with entry", reason)
            self.assertIn(f"mokvctl rebuild {victim.settings['data-dir']}", reason)
            # It stays so: nothing was made empty or forgotten by the attempt.
            victim.launch()
            self.assertEqual(victim.wait_for_exit(), 1)
            nodes.wait_for_leader()
            rebuilt = nodes.ctl("rebuild", victim.settings["data-dir"])
            self.assertEqual(rebuilt.status, 0, rebuilt)
            victim.launch().wait_until_alive()
            # Nobody gossips here. Its former life may have been heard of a moment ago.
            wait_for(lambda: nodes.ctl("member", "add", victim.name, victim.address,
                                       nodes=nodes.followers(victim)).status == 0,
                     "the rebuilt node to be added", 60)
            nodes.wait_until_voters(3)
            victim.wait_until_ready()
            self.assertEqual(installed(victim), 1)
            writes.check(self, nodes.check_equal())


def installed(node):
    """How many it has installed since it was started; 0 as long as it does not answer."""
    try:
        return node.metrics().sum("mokv_snapshots_installed_total") or 0
    except OSError:
        return 0


def start_empty(nodes, member):
    """Removes it, and starts it again with an empty data directory; to be added."""
    member.kill()
    others = [node for node in nodes.running if node is not member]
    nodes.wait_for_leader(among=others)
    shutil.rmtree(member.settings["data-dir"])
    member.settings["bootstrap"] = False  # It is to begin no cluster of its own.
    # On a busy machine leadership may change, and then nobody knows whether it was done.
    def is_removed():
        removed = nodes.ctl("member", "remove", member.name, nodes=others)
        return removed.status == 0 or f"no member is called {member.name}" in removed.error

    wait_for(is_removed, f"{member.name} to be removed", 60)
    member.launch().wait_until_alive()


if __name__ == "__main__":
    cluster.main()
