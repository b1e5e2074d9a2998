"""Disks that hang, fail or are full: heartbeats do not wait for a disk, a leader without one hands
over, nothing is acknowledged that is not on a quorum of disks, and a full one is told to people.

DISK_SHIM is the library of disk_shim.c.
"""

import concurrent.futures
import os
import threading
import unittest

import grpc

import cluster
import harness
import history
from cluster import Cluster, mokvctl, no_election, random_for
from harness import kv_pb2, wait_for
from history import Load

SHIM = os.environ.get("DISK_SHIM", str(harness.ROOT / "build/test/tests/e2e/libmokv_disk_shim.so"))

SHORT_STALL_SECONDS = 1.5  # Three election timeouts.
# A leader gives up after five seconds; the rest is the machine's.
HAND_OVER_SECONDS_MAX = 30


class Disk:
    """Of one node."""

    def __init__(self, node):
        self.directory = harness.scratch_directory("disk")
        node.environment = {"LD_PRELOAD": SHIM, "MOKV_DISK_CONTROL": str(self.directory)}

    def hang(self):
        (self.directory / "hang").touch()

    def fail(self):
        (self.directory / "fail").touch()

    def fill(self):
        (self.directory / "full").touch()

    def work(self):
        for control in self.directory.iterdir():
            control.unlink()


class DiskTest(unittest.TestCase):
    def setUp(self):
        self.random = random_for(self.id())
        self.nodes = Cluster(3)
        self.disks = {node: Disk(node) for node in self.nodes.nodes}
        self.addCleanup(self.nodes.close)
        self.nodes.start()
        self.leader = self.nodes.wait_for_leader()

    def writes_go_on(self, node, key, count=20):
        with node.client() as client:
            for i in range(count):
                harness.put(client, key, str(i).encode())

    # Goal:   a leader whose disk stalls for a moment stays leader, and writes go on: its disk is
    #         one of three.
    @no_election
    def test_short_stalls_cause_no_election(self):
        term = self.leader.status().term
        for i in range(3):
            self.disks[self.leader].hang()
            stall = threading.Timer(SHORT_STALL_SECONDS, self.disks[self.leader].work)
            stall.start()
            while stall.is_alive():
                self.writes_go_on(self.leader, f"stall-{i}")
                self.writes_go_on(self.nodes.followers(self.leader)[0], f"stall-{i}")
            stall.join()
        status = self.leader.status()
        self.assertEqual((status.role, status.term), ("leader", term))
        self.nodes.check_equal()

    # Goal:   a leader whose disk is gone for good hands over and does not come back meanwhile; what
    #         was acknowledged is there.
    def test_long_stall_hands_leadership_over(self):
        with Load(self.nodes.nodes, self.random) as load:
            load.wait_for_done(100)
            load.turn_page()
            self.disks[self.leader].hang()
            new = self.nodes.wait_for_leader(
                other_than=self.leader, seconds=HAND_OVER_SECONDS_MAX
            )
            load.turn_page()
            load.wait_for_done(100)
            self.assertEqual(self.leader.metrics().sum("mokv_raft_disk_stalls_total"), 1)
            self.assertIs(self.nodes.leader(), new)
            self.disks[self.leader].work()
        history.read_all(load.history, new.admin_client())
        load.history.judge()
        self.nodes.check_equal()

    # Goal:   a follower's disk is nobody's business.
    @no_election
    def test_follower_without_disk(self):
        follower = self.random.choice(self.nodes.followers(self.leader))
        term = self.leader.status().term
        self.disks[follower].hang()
        self.writes_go_on(self.leader, "k", 100)
        self.writes_go_on(follower, "k", 100)  # Passed on.
        self.assertEqual(self.leader.status().term, term)
        self.disks[follower].work()
        self.nodes.check_equal()

    # Goal:   no acknowledgement before a quorum of disks has it.
    def test_no_quorum_of_disks_no_acknowledgement(self):
        stalled = self.random.sample(self.nodes.nodes, 2)
        with self.leader.client() as client:
            harness.put(client, "k", b"before")
            for node in stalled:
                self.disks[node].hang()
            write = client.set.future(kv_pb2.SetRequest(key="k", value=b"after"), timeout=1.5)
            self.assertEqual(write.code(), grpc.StatusCode.DEADLINE_EXCEEDED, write.details())
            for node in stalled:
                self.disks[node].work()
            self.nodes.wait_for_leader()
            # It may have been done since then; then it is everywhere.
            self.assertIn(harness.get(client, "k").value, (b"before", b"after"))
        self.nodes.check_equal()

    # Goal:   an fsync that fails ends the node, saying so, and the others go on; started again on a
    #         disk that works, it has lost nothing that it acknowledged.
    def test_failing_sync_ends_the_node(self):
        for victim in (self.leader, self.random.choice(self.nodes.followers(self.leader))):
            others = [node for node in self.nodes.nodes if node is not victim]
            self.writes_go_on(others[0], "k")
            self.disks[victim].fail()
            with concurrent.futures.ThreadPoolExecutor(1) as pool:
                ended = pool.submit(victim.wait_for_exit)
                with others[0].client() as client:

                    def write_and_look():
                        try:
                            client.set(kv_pb2.SetRequest(key="k", value=b"last"), timeout=5)
                        except grpc.RpcError as error:
                            self.assertEqual(error.code(), grpc.StatusCode.UNAVAILABLE)
                        return ended.done()

                    wait_for(write_and_look, "the node to end")
                self.assertGreater(ended.result(), 0)
            self.assertIn("fdatasync", victim.log())
            self.nodes.wait_for_leader()
            self.writes_go_on(others[0], "k")
            self.disks[victim].work()
            victim.launch().wait_until_ready()
            self.nodes.check_equal()


class FullDiskTest(unittest.TestCase):
    # Goal:   a node whose disk is full refuses writes, says so where people look, once in the log,
    #         goes on reading, and is well again when there is room.
    def test_a_full_disk_is_told_and_forgotten(self):
        node = harness.Node()
        disk = Disk(node)
        with node.launch(environment=node.environment), node.client() as client:
            wait_for(node._is_ready, "the node to be ready")
            harness.put(client, "kept", b"before")
            disk.fill()
            self.write_until_full(client)
            self.assertEqual(harness.get(client, "kept").value, b"before")
            self.assertIn("serving; no space", mokvctl([node], "status").out)
            code, body = node.http("/readyz?verbose")
            self.assertEqual(code, 200)
            self.assertIn("[!]space: ", body)
            wait_for(lambda: "make room in data-dir" in node.log(), "the log to tell")
            self.write_until_full(client)
            self.assertEqual(node.log().count("make room in data-dir"), 1)
            disk.work()
            wait_for(lambda: "[+]space ok" in node.http("/readyz?verbose")[1], "room is seen")
            wait_for(lambda: self.write(client) is None, "writes to be taken again")
            self.assertNotIn("no space", mokvctl([node], "status").out)

    # Goal:   a snapshot that finds no space costs no write: it is told, the log is kept, and one is
    #         written once there is room.
    # Method: few bytes, for which the log's prepared segments have room.
    def test_snapshots_on_a_full_disk(self):
        node = harness.Node(snapshot_log_bytes="64KiB")
        disk = Disk(node)
        with node.launch(environment=node.environment), node.client() as client:
            wait_for(node._is_ready, "the node to be ready")
            disk.fill()

            def write_until(done, what):
                def write_and_look():
                    self.assertIsNone(self.write(client, 10_000))
                    return done()

                wait_for(write_and_look, what)

            def count(name):
                return node.metrics().sum(f"mokv_snapshots_{name}_total")

            write_until(lambda: count("failed") > 0, "a snapshot to fail")
            wait_for(lambda: "no new snapshots" in mokvctl([node], "status").out, "it to be told")
            self.assertIn("[!]snapshots: ", node.http("/readyz?verbose")[1])
            wait_for(lambda: "tried again; until then the log grows" in node.log(), "the log to tell")
            self.assertEqual(count("taken"), 0)
            disk.work()
            write_until(lambda: count("taken") > 0, "a snapshot to be taken")
            wait_for(lambda: "[+]snapshots ok" in node.http("/readyz?verbose")[1], "it to be over")
            self.assertNotIn("no new snapshots", mokvctl([node], "status").out)
            node.kill()
            node.launch(environment=node.environment)
            wait_for(node._is_ready, "the node to be ready again")
            with node.client() as again:
                self.assertEqual(harness.get(again, "k").value, b"v" * 10_000)

    def write(self, client, value_bytes=1_000_000):
        """Why it was refused; None when it is done."""
        try:
            harness.put(client, "k", b"v" * value_bytes)
        except grpc.RpcError as error:
            self.assertEqual(error.code(), grpc.StatusCode.RESOURCE_EXHAUSTED)
            return error.details()

    def write_until_full(self, client):
        # Before that a write may come before the next segment is ready, and is refused for it.
        for _ in range(1000):  # 1 GB: several segments.
            if "no space left for the log" in (self.write(client) or ""):
                return
        self.fail("a full disk refuses nothing")


if __name__ == "__main__":
    cluster.main()
