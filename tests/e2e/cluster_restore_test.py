"""Nodes that were put back to an older copy of their data directory, as a restored disk image is."""

import pathlib
import shutil
import unittest

import cluster
import harness
from cluster import Cluster, random_for
from harness import wait_for

LOST = "a node lacks entries that it had acknowledged"
HEALED = "a node has again what it had acknowledged"


def lines_about(node, text, lacking):
    lines = [line for line in node.log().splitlines() if text in line]
    return [line for line in lines if lacking.name in line]


class RestoreTest(unittest.TestCase):
    def setUp(self):
        self.random = random_for(self.id())

    def copy(self, node):
        """Of its data directory, as it is when the node has stopped. It is started again."""
        self.assertEqual(node.stop(), 0, node.log())
        directory = pathlib.Path(node.settings["data-dir"])
        copy = directory.with_name(directory.name + "-copy")
        shutil.copytree(directory, copy)
        node.launch().wait_until_ready()
        return copy

    def put_back(self, node, copy):
        """Kills the node; it is to be launched."""
        node.kill()
        shutil.rmtree(node.settings["data-dir"])
        shutil.copytree(copy, node.settings["data-dir"])

    def write(self, node, prefix, count):
        with node.client() as client:
            for i in range(count):
                harness.put(client, f"{prefix}-{i}", str(i).encode())

    # Goal:   both the follower and its leader say at once what is wrong; the follower is sent all of
    #         it again, and serves.
    # Method: 500 writes after the copy, so that there is something to lack; no leader changes.
    def test_follower(self):
        with Cluster(3) as nodes:
            self.write(nodes.nodes[0], "before", 50)
            leader = nodes.wait_for_leader()
            victim = self.random.choice(nodes.followers(leader))
            copy = self.copy(victim)
            self.write(leader, "after", 500)
            nodes.wait_until_equal()
            self.assertIs(nodes.wait_for_leader(), leader)
            self.put_back(victim, copy)
            victim.launch()
            for node in (leader, victim):
                wait_for(lambda: lines_about(node, HEALED, victim), f"{node.name} to tell the end")
                errors = lines_about(node, LOST, victim)
                self.assertEqual(len(errors), 1, node.log())
                self.assertIn(" E ", errors[0])
            victim.wait_until_ready()
            contents = nodes.check_equal()
            self.assertEqual(contents["after-499"].value, b"499")
            own = victim.metrics()
            self.assertIn("mokv_raft_acknowledged_entries_lost", own.names())
            self.assertEqual(own.sum("mokv_raft_acknowledged_entries_lost"), 0)
            of_leader = leader.metrics()
            name = "mokv_raft_peer_acknowledged_entries_lost"
            self.assertEqual(of_leader.sum(name, peer=victim.name), 0)
            # Its vote and its acknowledgement are good again.
            other = next(n for n in nodes.followers(leader) if n is not victim)
            other.kill()
            self.write(leader, "healed", 10)

    # Goal:   two of three are put back while the third leads: it has everything, says so of both,
    #         and fills both.
    def test_both_followers(self):
        with Cluster(3) as nodes:
            leader = nodes.wait_for_leader()
            victims = nodes.followers(leader)
            copies = [self.copy(victim) for victim in victims]
            self.write(leader, "after", 100)
            nodes.wait_until_equal()
            # One after the other, so that the leader keeps its quorum.
            for victim, copy in zip(victims, copies):
                self.put_back(victim, copy)
                victim.launch().wait_until_ready()
                wait_for(lambda: lines_about(leader, HEALED, victim), "the leader to tell the end")
                self.assertEqual(len(lines_about(leader, LOST, victim)), 1, leader.log())
            self.assertEqual(nodes.check_equal()["after-99"].value, b"99")


if __name__ == "__main__":
    cluster.main()
