"""Cuts between the nodes: a minority answers nothing that must be linearizable and loses nothing, the
majority goes on, and all are equal after healing.

Environment: MOKV_ROUNDS (default 4), MOKV_SEED.
"""

import concurrent.futures
import os
import threading
import time
import unittest

import grpc

import cluster
import harness
import history
from cluster import Cluster, no_election, random_for
from harness import health_pb2, kv_pb2, wait_for
from history import Load
from network import Network

ROUNDS = int(os.environ.get("MOKV_ROUNDS", "4"))
# A call that waits in vain is answered after five seconds at the latest; the rest is the machine's.
ANSWER_SECONDS_MAX = 15


class PartitionTest(unittest.TestCase):
    def setUp(self):
        self.random = random_for(self.id())

    def start(self, size, **settings):
        """Network and cluster."""
        network = Network()
        self.addCleanup(network.__exit__)
        nodes = Cluster(size, addresses=network.address_of, **settings)
        network.nodes = nodes.nodes
        for node in nodes.nodes:
            network.address_of(node)
        self.addCleanup(self.close, nodes)
        nodes.start()
        return network, nodes

    def close(self, nodes):
        if self._outcome.result.failures or self._outcome.result.errors:
            nodes.print_logs()
        nodes.close()

    def assert_unavailable(self, call, fates):
        """Within the time that the contract gives, with one of these fates."""
        started = time.monotonic()
        with self.assertRaises(grpc.RpcError) as caught:
            call()
        error = caught.exception
        self.assertEqual(error.code(), grpc.StatusCode.UNAVAILABLE, error.details())
        self.assertIn(harness.fate_of(error), fates, error.details())
        self.assertLess(time.monotonic() - started, ANSWER_SECONDS_MAX)

    def test_isolated_leader(self):
        self.check_isolated_leader(read_lease=False)

    def test_isolated_leader_with_read_lease(self):
        self.check_isolated_leader(read_lease=True)

    # Goal:   a leader that is cut off answers no linearizable read and acknowledges no write; the
    #         others go on; what it had accepted is not there afterwards unless it says so.
    def check_isolated_leader(self, **settings):
        network, nodes = self.start(3, **settings)
        old = nodes.wait_for_leader()
        with old.client() as minority:
            harness.put(minority, "k", b"before")
            network.isolate(old)
            # The write is on its way to nobody when the leader still believes in itself.
            write = kv_pb2.SetRequest(key="k", value=b"lost")
            lost = minority.set.future(write, timeout=60)
            majority_nodes = [node for node in nodes.nodes if node is not old]
            new = nodes.wait_for_leader(among=majority_nodes)
            with new.client() as majority:
                harness.put(majority, "k", b"after")
                self.assertEqual(harness.get(majority, "k").value, b"after")
            self.check_minority(old, minority)
            self.assertIn(lost.code(), (grpc.StatusCode.UNAVAILABLE,), lost.details())
            self.assertEqual(harness.fate_of(lost), "unknown")
            network.heal()
            nodes.wait_until_equal()
            self.assertEqual(harness.get(minority, "k").value, b"after")
            old.wait_until_ready()
        items = nodes.check_equal()
        self.assertEqual(items["k"].value, b"after")
        self.assertEqual(network.unknown_dialers, 0)

    def check_minority(self, node, client):
        wait_for(lambda: not node.is_ready(), "the minority to be unready")
        answer = client.check(health_pb2.HealthCheckRequest(), timeout=5)
        self.assertEqual(answer.status, health_pb2.HealthCheckResponse.NOT_SERVING)
        told = ("not-done", "unknown")
        calls = (
            (lambda: client.get(kv_pb2.GetRequest(key="k"), timeout=60), (None,)),
            (lambda: client.set(kv_pb2.SetRequest(key="k"), timeout=60), told),
            (lambda: client.delete(kv_pb2.DeleteRequest(key="k"), timeout=60), told),
            (lambda: list(client.list(kv_pb2.ListRequest(), timeout=60)), (None,)),
        )
        with concurrent.futures.ThreadPoolExecutor(len(calls)) as pool:
            for answered in [pool.submit(self.assert_unavailable, *call) for call in calls]:
                answered.result()
        stale = harness.get(client, "k", consistency=kv_pb2.STALE)
        self.assertEqual(stale.value, b"before")

    # Goal:   a follower that was cut off comes back without an election (pre-vote), and catches up.
    @no_election
    def test_isolated_follower_disturbs_nobody(self):
        network, nodes = self.start(3)
        leader = nodes.wait_for_leader()
        follower = self.random.choice(nodes.followers(leader))
        term = leader.status().term
        network.isolate(follower)
        wait_for(lambda: not follower.is_ready(), "the follower to miss its leader")
        with leader.client() as client:
            for i in range(300):
                harness.put(client, f"k-{i}", os.urandom(100))
        network.heal()
        follower.wait_until_ready()
        self.assertEqual(len(nodes.check_equal()), 300)
        self.assertEqual(leader.status().term, term)
        self.assertEqual(leader.status().role, "leader")

    # Goal:   two nodes that cannot see each other, while both see the third, elect no leaders in
    #         turns: the leader stays, and clients of two nodes are served.
    @no_election
    def test_partial_partition_keeps_the_leader(self):
        network, nodes = self.start(3)
        leader = nodes.wait_for_leader()
        cut_off, other = nodes.followers(leader)
        term = leader.status().term
        network.cut_both(leader, cut_off)
        wait_for(lambda: not cut_off.is_ready(), "the follower to miss its leader")
        served_until = time.monotonic() + 3  # Several elections, if there were any.
        with leader.client() as one, other.client() as another:
            while time.monotonic() < served_until:
                harness.put(one, "k", b"1")
                harness.put(another, "k", b"2")
        self.assertEqual((leader.status().role, leader.status().term), ("leader", term))
        network.heal()
        cut_off.wait_until_ready()
        nodes.check_equal()

    # Goal:   a leader that hears nobody, or that nobody hears, is replaced.
    def test_one_way_cuts(self):
        network, nodes = self.start(3)
        for is_deaf in (True, False):
            leader = nodes.wait_for_leader()
            others = nodes.followers(leader)
            for node in others:
                network.cut(*((node, leader) if is_deaf else (leader, node)))
            nodes.wait_for_leader(among=others)
            with others[0].client() as client:
                harness.put(client, "k", str(is_deaf).encode())
            network.heal()
            leader.wait_until_ready()
            self.assertEqual(nodes.check_equal()["k"].value, str(is_deaf).encode())

    def test_random_cuts(self):
        self.check_random_cuts(read_lease=False)

    def test_random_cuts_with_read_lease(self):
        self.check_random_cuts(read_lease=True)

    # Goal:   whatever is cut, clients see one store.
    def check_random_cuts(self, **settings):
        network, nodes = self.start(5, **settings)
        with Load(nodes.nodes, self.random, callers=10) as load:
            load.wait_for_done(100)
            for _ in range(ROUNDS):
                load.turn_page()
                load.wait_for_done(30)
                self.cut_at_random(network, nodes)
                threading.Event().wait(self.random.uniform(0.5, 2.5))  # How long the cuts last.
                network.heal()
                nodes.wait_for_leader()
                load.wait_for_done(100)
        history.read_all(load.history, nodes.nodes[0].admin_client())
        load.history.judge()
        nodes.check_equal()

    def cut_at_random(self, network, nodes):
        leader = nodes.leader()
        if leader is not None and self.random.random() < 0.4:
            network.isolate(leader)
            return
        for one in nodes.nodes:
            for other in nodes.nodes:
                if one is not other and self.random.random() < 0.35:
                    network.cut(one, other)


if __name__ == "__main__":
    cluster.main()
