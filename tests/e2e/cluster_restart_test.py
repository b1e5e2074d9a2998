"""Nodes that stop and come back: a rolling restart without a failed call, all nodes at once, and
nodes whose disk was wiped."""

import shutil
import threading
import unittest

import grpc

import cluster
import harness
from cluster import Cluster, random_for
from harness import kv_pb2, wait_for

# On a client's connection, calls may wait for a leader as long as the server lets them.
CALL_SECONDS = 20


class Steady(threading.Thread):
    """Calls one node without pause, one call after the other, and remembers each failure."""

    def __init__(self, node, name):
        super().__init__(name=name)
        self.node = node
        self.calls = 0
        self.revisions = []
        self.failures = []
        self._end = threading.Event()
        self.start()

    def run(self):
        with self.node.client() as client:
            while not self._end.is_set():
                try:
                    request = kv_pb2.SetRequest(key=self.name, value=str(self.calls).encode())
                    answer = client.set(request, timeout=CALL_SECONDS)
                    self.revisions.append(answer.revision)
                    found = client.get(kv_pb2.GetRequest(key=self.name), timeout=CALL_SECONDS)
                    if found.value != request.value:
                        self.failures.append(f"wrote {request.value}, read {found.value}")
                except grpc.RpcError as error:
                    self.failures.append(f"{error.code()}: {error.details()}")
                self.calls += 1

    def end(self):
        self._end.set()
        self.join()


class RestartTest(unittest.TestCase):
    def setUp(self):
        self.random = random_for(self.id())

    def members(self, node):
        with node.client() as client:
            servers = client.get_servers(b"", timeout=harness.CALL_SECONDS_MAX).servers
            return sorted((s.id, s.rpc_addr, s.is_learner) for s in servers)

    # Goal:   SIGTERM is a stop, not a farewell, and costs clients of other nodes no call.
    # Method: each node in turn, the leader too, while a client of another node calls on and on.
    def test_rolling_restart(self):
        with Cluster(3) as nodes:
            members = self.members(nodes.nodes[0])
            order = nodes.nodes * 2
            self.random.shuffle(order)
            was_leader = 0
            for i, stopping in enumerate(order):
                was_leader += stopping is nodes.wait_for_leader()
                others = [node for node in nodes.nodes if node is not stopping]
                steady = [Steady(node, f"steady-{i}-{node.name}") for node in others]
                wait_for(lambda: all(s.calls > 5 for s in steady), "the clients to call")
                self.assertEqual(stopping.stop(), 0, stopping.log())
                calls = [s.calls for s in steady]
                wait_for(
                    lambda: all(s.calls > n + 5 for s, n in zip(steady, calls)), "further calls"
                )
                self.assertEqual(self.members(others[0]), members)
                stopping.launch().wait_until_ready()
                for s in steady:
                    s.end()
                    self.assertEqual(s.failures, [], f"{stopping.name} stopped")
                    self.assertEqual(s.revisions, sorted(s.revisions))
            if was_leader == 0:
                leader = nodes.wait_for_leader()
                self.assertEqual(leader.stop(), 0)
                leader.launch().wait_until_ready()
            self.assertEqual(self.members(nodes.nodes[0]), members)
            nodes.check_equal()

    # Goal:   all at once, in an orderly way: everything is there again, and nobody waits for others
    #         that are stopping as well.
    def test_all_stop_and_start(self):
        with Cluster(3) as nodes:
            with nodes.nodes[1].client() as client:
                for i in range(100):
                    harness.put(client, f"k-{i}", str(i).encode())
            before = nodes.check_equal()
            threads = [threading.Thread(target=node.stop) for node in nodes.nodes]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            for node in nodes.nodes:
                self.assertIsNone(node.process)
                node.launch()
            for node in nodes.nodes:
                node.wait_until_ready()
            self.assertEqual(nodes.check_equal(), before)

    # Goal:   a disk that was wiped has forgotten votes and acknowledgements: under the old name the
    #         node counts for nothing until the old one was removed.
    def test_wiped_node_under_the_old_name(self):
        with Cluster(3) as nodes:
            leader = nodes.wait_for_leader()
            wiped, other = nodes.followers(leader)
            with leader.client() as client:
                harness.put(client, "k", b"1")
                nodes.wait_until_equal()
                wiped.kill()
                shutil.rmtree(wiped.settings["data-dir"])
                wiped.launch().wait_until_alive()
                refused = nodes.ctl("member", "add", wiped.name, wiped.address, nodes=[leader])
                self.assertEqual(refused.status, 1, refused)
                self.assertIn("another data directory", refused.error)
                self.assertIn(f"member remove {wiped.name}", refused.error)
                self.assertFalse(wiped.is_ready())
                # Whoever asks it hears what to do, and its log says so once.
                wait_for(
                    lambda: f"member remove {wiped.name} first" in wiped.http("/readyz?verbose")[1],
                    "the wiped node to know what is wrong",
                )
                status = wait_for(wiped.status, "the wiped node to answer")
                self.assertIn("another instance is the member", status.conditions)
                refusals = [line for line in wiped.log().splitlines() if "refused a conn" in line]
                self.assertLessEqual(len(refusals), 2, refusals)
                # Its vote is not there: with the other one gone there is no quorum.
                other.kill()
                wait_for(lambda: not leader.is_ready(), "the quorum to be missed")
                with self.assertRaises(grpc.RpcError) as caught:
                    client.set(kv_pb2.SetRequest(key="k", value=b"2"), timeout=2)
                self.assertEqual(caught.exception.code(), grpc.StatusCode.UNAVAILABLE)
                self.assertEqual(wiped.status().role, "none")
                other.launch().wait_until_ready()
                nodes.wait_for_leader(among=[leader, other])
                removed = nodes.ctl("member", "remove", wiped.name, nodes=[other])
                self.assertEqual(removed.status, 0, removed)
                added = nodes.ctl("member", "add", wiped.name, wiped.address, nodes=[other])
                self.assertEqual(added.status, 0, added)
                nodes.wait_until_voters(3)
                wiped.wait_until_ready()
                status = wait_for(wiped.status, "the node to answer")
                self.assertEqual(list(status.conditions), [])
            self.assertIn("k", nodes.check_equal())

    # Goal:   a new disk with a new name is just one more member; the lost one is removed.
    def test_wiped_node_under_a_new_name(self):
        with Cluster(3) as nodes:
            lost = self.random.choice(nodes.nodes)
            with nodes.nodes[0].client() as client:
                harness.put(client, "k", b"1")
            nodes.wait_until_equal()
            lost.kill()
            nodes.nodes.remove(lost)
            nodes.wait_for_leader()
            new = nodes.new_node("node-4")
            new.launch().wait_until_alive()
            nodes.add(new)
            removed = nodes.ctl("member", "remove", lost.name)
            self.assertEqual(removed.status, 0, removed)
            nodes.wait_until_voters(3)
            new.wait_until_ready()
            self.assertEqual(nodes.check_equal()["k"].value, b"1")
            lost.close()

    # Goal:   a node whose log is gone, but not its identity, does not start.
    def test_node_without_its_log_does_not_start(self):
        with Cluster(3) as nodes:
            victim = self.random.choice(nodes.nodes)
            self.assertEqual(victim.stop(), 0)
            shutil.rmtree(victim.settings["data-dir"] + "/log")
            victim.launch()
            self.assertNotEqual(victim.wait_for_exit(), 0)
            self.assertIn("its log is gone", victim.log())
            nodes.wait_for_leader()


if __name__ == "__main__":
    cluster.main()
