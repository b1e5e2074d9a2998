"""Operators change a cluster through any of its nodes: what is right is done, what is wrong is refused
with a message that says why, and mokvctl's exit status tells which of the two."""

import json
import os
import unittest

import cluster
import harness
from cluster import Cluster, mokvctl, no_election, random_for
from harness import wait_for

DONE, REFUSED, USAGE, UNREACHABLE = 0, 1, 2, 3


class MemberTestCase(unittest.TestCase):
    def assert_ctl(self, status, text, nodes, *arguments, **more):
        """Exit status, and a text that is in what it printed."""
        answer = mokvctl(nodes, *arguments, **more)
        through = ", ".join(node.name for node in nodes)
        self.assertEqual(answer.status, status, f"through {through}: {answer}")
        self.assertIn(text, answer.out + answer.error, f"through {through}: {answer}")
        return answer

    def launch_single(self, name, **settings):
        node = cluster.Member(name, **settings)
        self.addCleanup(node.close)
        return node.launch().wait_until_alive()


class AnyNodeTest(MemberTestCase):
    """One cluster for all; each test leaves it as it was."""

    @classmethod
    def setUpClass(cls):
        cls.nodes = Cluster(3)
        cls.addClassCleanup(cls.nodes.close)
        cls.nodes.start()

    def through_each(self):
        """Each node in turn, leader and followers, as a list to be asked."""
        self.nodes.wait_for_leader()
        return [[node] for node in self.nodes.nodes]

    def test_all_see_the_same_servers(self):
        self.nodes.wait_until_equal()
        leader = self.nodes.wait_for_leader()
        expected = [(node.name, node.address, node is leader, False) for node in self.nodes.nodes]
        for node in self.nodes.nodes:
            with node.client("nobody-client") as client:  # Needs the certificate only.
                servers = client.get_servers(b"", timeout=harness.CALL_SECONDS_MAX).servers
            found = [(s.id, s.rpc_addr, s.is_leader, s.is_learner) for s in servers]
            self.assertEqual(sorted(found), sorted(expected), node.name)

    def rows_by_name(self, through, *arguments):
        lines = self.assert_ctl(DONE, "", through, "-o", "json", *arguments).out.splitlines()
        return {row["name"]: row for row in map(json.loads, lines)}

    def test_lists(self):
        for through in self.through_each():
            members = self.rows_by_name(through, "member", "list")
            self.assertEqual(sorted(members), ["node-1", "node-2", "node-3"])
            self.assertEqual(sorted(row["role"] for row in members.values()),
                             ["leader", "voter", "voter"])
            states = self.rows_by_name(through, "status")
            self.assertEqual(sorted(states), sorted(members))
            self.assertEqual(sorted(row["role"] for row in states.values()),
                             ["follower", "follower", "leader"])
            self.assertEqual({row["health"] for row in states.values()}, {"serving"})

    def test_unknown_names(self):
        for through in self.through_each():
            self.assert_ctl(REFUSED, "no member is called nobody", through,
                            "member", "remove", "nobody")
            self.assert_ctl(REFUSED, "no member is called nobody", through,
                            "leader", "transfer", "nobody")

    def test_wrong_name_at_the_address(self):
        stranger = self.launch_single("stranger", bootstrap=False)
        for through in self.through_each():
            self.assert_ctl(REFUSED, "is called stranger, not node-4", through,
                            "member", "add", "node-4", stranger.address)
            # Who is there is a member, under another name.
            self.assert_ctl(REFUSED, "is called node-2, not node-4", through,
                            "member", "add", "node-4", self.nodes.nodes[1].address)
        self.assertEqual(stranger.status().role, "none")

    def test_nobody_at_the_address(self):
        address = f"127.0.0.1:{harness.free_port()}"
        for through in self.through_each():
            answer = self.assert_ctl(REFUSED, address, through, "member", "add", "node-4", address)
            self.assertIn("Connection refused", answer.error)

    def test_no_node_at_the_address(self):
        # An HTTP server, of a node at that.
        address = f"127.0.0.1:{self.nodes.nodes[0].metrics_port}"
        leader = self.nodes.wait_for_leader()
        for through in ([leader], self.nodes.followers(leader)):
            self.assert_ctl(REFUSED, address, through, "member", "add", "node-4", address)

    def test_no_address(self):
        for through in self.through_each():
            self.assert_ctl(REFUSED, "nowhere", through, "member", "add", "node-4", "nowhere")

    def test_node_of_another_cluster(self):
        other = self.launch_single("node-4", bootstrap=True).wait_until_ready()
        for through in self.through_each():
            self.assert_ctl(REFUSED, "belongs to another cluster", through,
                            "member", "add", "node-4", other.address)
        with other.client() as client:
            harness.put(client, "k")

    def test_adding_a_member_again_is_done_already(self):
        for through in self.through_each():
            for node in self.nodes.nodes:
                self.assert_ctl(DONE, "", through, "member", "add", node.name, node.address)
        self.nodes.wait_until_voters(3)

    def test_transfer(self):
        for through in self.through_each():
            for target in self.nodes.nodes:
                self.assert_ctl(DONE, "", through, "leader", "transfer", target.name)
                self.assertIs(self.nodes.wait_for_leader(), target)
            self.assert_ctl(DONE, "", through, "leader", "transfer")

    def test_needs_permission(self):
        for through in self.through_each():
            for arguments in (["member", "list"], ["member", "remove", "node-1"],
                              ["member", "add", "node-4", "127.0.0.1:1"], ["leader", "transfer"]):
                self.assert_ctl(REFUSED, "nobody not permitted to admin", through, *arguments,
                                certificate="nobody-client")

    def test_usage(self):
        nodes = self.nodes.nodes
        for arguments in (["member"], ["member", "add", "node-4"], ["member", "remove"], ["leader"],
                          ["member", "remove", "node-1", "node-2"]):
            self.assert_ctl(USAGE, "", nodes, *arguments)


class ChangeTest(MemberTestCase):
    def setUp(self):
        self.random = random_for(self.id())

    # Goal:   the last voter cannot be removed, nor hand leadership to anybody.
    def test_last_voter(self):
        with Cluster(1) as nodes:
            text = "no voter would be left"
            self.assert_ctl(REFUSED, text, nodes.nodes, "member", "remove", "node-1")
            self.assert_ctl(REFUSED, "", nodes.nodes, "leader", "transfer")
            with nodes.nodes[0].client() as client:
                harness.put(client, "k")

    def test_nobody_reachable(self):
        node = cluster.Member("node-1")
        for arguments in (["member", "list"], ["member", "remove", "node-1"], ["status"]):
            self.assert_ctl(UNREACHABLE, node.address, [node], *arguments)

    # Goal:   without a quorum a change is not done, and says so in time.
    def test_no_quorum(self):
        with Cluster(3) as nodes:
            last = self.random.choice(nodes.nodes)
            for node in nodes.nodes:
                if node is not last:
                    node.kill()
            wait_for(lambda: not last.is_ready(), "the quorum to be missed")
            for arguments in (["member", "remove", "node-1"], ["leader", "transfer"]):
                text = "nothing was changed"
                self.assert_ctl(UNREACHABLE, text, [last], *arguments, timeout="3s")

    # Goal:   a learner catches up from a long log, while it grows, and becomes a voter.
    def test_learner_catches_up_from_a_long_log(self):
        with Cluster(1) as nodes:
            with nodes.nodes[0].client() as client:
                value = os.urandom(100_000)
                for first in range(0, 400, 40):
                    calls = [
                        client.set.future(harness.kv_pb2.SetRequest(key=f"k-{i}", value=value),
                                          timeout=harness.CALL_SECONDS_MAX)
                        for i in range(first, first + 40)
                    ]
                    for call in calls:
                        call.result()
                new = nodes.new_node("node-2")
                new.launch().wait_until_alive()
                nodes.add(new)
                for i in range(100):
                    harness.put(client, f"late-{i}", value)
                nodes.wait_until_voters(2)
            self.assertEqual(len(nodes.check_equal()), 500)

    # Goal:   a leader that is removed hands over; nobody else is disturbed by it, then or later.
    @no_election
    def test_removed_leader(self):
        with Cluster(3) as nodes:
            removed = nodes.wait_for_leader()
            through = self.random.choice(nodes.nodes)
            self.assert_ctl(DONE, "", [through], "member", "remove", removed.name)
            others = [node for node in nodes.nodes if node is not removed]
            leader = nodes.wait_for_leader(among=others)
            term = leader.status().term
            wait_for(lambda: not removed.is_ready(), "the removed node to know it")
            removed.kill()
            removed.launch().wait_until_alive()
            with others[0].client() as client, removed.client() as stranger:
                harness.put(client, "k")
                with self.assertRaises(harness.grpc.RpcError):
                    stranger.get(harness.kv_pb2.GetRequest(key="k"), timeout=1)
            self.assertFalse(removed.is_ready())
            self.assertEqual(leader.status().term, term)
            self.assertEqual(leader.status().role, "leader")
            nodes.check_equal(others)

    # Goal:   a member that is down can be removed, and what is left is enough.
    def test_removed_while_down(self):
        with Cluster(3) as nodes:
            removed, *others = self.random.sample(nodes.nodes, 3)
            removed.kill()
            nodes.wait_for_leader()
            self.assert_ctl(DONE, "", others, "member", "remove", removed.name)
            nodes.wait_until_voters(2)
            removed.launch().wait_until_alive()
            with others[0].client() as client:
                harness.put(client, "k")
            self.assertFalse(removed.is_ready())
            # It is the same disk, and may come back.
            nodes.add(removed)
            removed.wait_until_ready()
            nodes.wait_until_voters(3)
            nodes.check_equal()


if __name__ == "__main__":
    cluster.main()
