"""Nodes that find each other: growing, coming back, going in each of the ways there are, and those
that must not get in."""

import os
import unittest

import cluster
import gossip
import harness
from gossip import GossipCluster, get, put
from harness import wait_for

# Long enough for a node that is merely slow, short enough for a test.
AWAY_SECONDS = 3
# A dead node is suspected for some seconds before it counts as failed.
FAILED_SECONDS_MAX = 90


class GrowTest(unittest.TestCase):
    def test_three_nodes_in_any_order_of_start(self):
        with GossipCluster(3) as nodes:
            nodes.wait_for_leader()
            with nodes.nodes[2].client() as client:
                put(client, "k", b"v")
            with nodes.nodes[1].client() as client:
                self.assertEqual(get(client, "k").value, b"v")
            for row in nodes.members().values():
                self.assertEqual(row["gossip"], "alive", row)
            self.assertEqual(gossip.metric(nodes.nodes[0], "mokv_serf_members", state="alive"), 3)

    def test_five_nodes_and_the_leader_killed_in_the_middle_of_a_join(self):
        with GossipCluster(4) as nodes:
            leader = nodes.wait_for_leader()
            nodes.join(nodes.new_node("node-5"))
            leader.kill()
            nodes.wait_for_leader()
            nodes.wait_for_voters([f"node-{i}" for i in range(1, 6)])
            leader.launch().wait_until_ready()
            nodes.check_equal()

    def test_gossip_can_be_encrypted(self):
        key = "MTIzNDU2Nzg5MDEyMzQ1Ng=="
        with GossipCluster(2, serf_encrypt_key=key) as nodes:
            plain = nodes.new_node("node-3", serf_encrypt_key=None)
            nodes.join(plain)

            def refused():
                return gossip.metric(nodes.nodes[0], "mokv_serf_dropped_total", reason="wrong_key")

            wait_for(refused, "plain packets to be refused", 30)
            self.assertNotIn("node-3", nodes.members(nodes.nodes[0]))
            plain.kill()
            plain.settings["serf-encrypt-key"] = key
            plain.launch()
            nodes.wait_for_voters(["node-1", "node-2", "node-3"])


class ComeBackTest(unittest.TestCase):
    def test_a_rolling_restart_never_changes_the_voters(self):
        with GossipCluster(3) as nodes:
            everybody = ["node-1", "node-2", "node-3"]
            for node in list(nodes.nodes):
                other = next(n for n in nodes.running if n is not node)
                self.assertEqual(node.stop(), 0)
                self.assertEqual(nodes.voters(other), everybody)
                nodes.wait_for_gossip(node.name, "left", other)
                node.launch().wait_until_ready()
                nodes.wait_for_gossip(node.name, "alive", other)
                self.assertEqual(nodes.voters(other), everybody)
            nodes.check_equal()

    def test_a_node_comes_back_at_another_address(self):
        with GossipCluster(3) as nodes:
            node = nodes.nodes[2]
            node.kill()
            node.close()
            node.rpc_port = node.settings["rpc-port"] = harness.free_port()
            node.launch()
            other = nodes.nodes[0]
            wait_for(
                lambda: nodes.members(other)["node-3"]["address"] == node.address,
                "its new address to be known",
            )
            node.wait_until_ready()
            nodes.check_equal()

    def test_a_wiped_node_counts_for_nothing_until_the_old_one_is_removed(self):
        with GossipCluster(3) as nodes:
            node = nodes.nodes[2]
            node.kill()
            os.rename(node.directory / "data", node.directory / "lost")
            node.launch().wait_until_alive()
            leader = nodes.wait_for_refusal("node-3", "remove the old one", nodes.nodes[:2])
            self.assertFalse(node.is_ready())
            answer = nodes.ctl("member", "remove", "node-3", nodes=[leader])
            self.assertEqual(answer.status, 0, answer)
            nodes.wait_for_voters(["node-1", "node-2", "node-3"])
            node.wait_until_ready()


class GoTest(unittest.TestCase):
    def test_removed_by_an_operator_and_not_added_again_by_itself(self):
        with GossipCluster(4) as nodes:
            node = nodes.nodes[3]
            leader = nodes.wait_for_leader()
            through = nodes.nodes[1]
            self.assertEqual(nodes.ctl("member", "remove", "node-4", nodes=[through]).status, 0)
            nodes.wait_for_voters(["node-1", "node-2", "node-3"])
            node.kill()
            node.launch().wait_until_alive()
            leader = nodes.wait_for_refusal("node-4", "removed for good", nodes.nodes[:3])
            self.assertEqual(nodes.voters(leader), ["node-1", "node-2", "node-3"])
            answer = nodes.ctl("member", "add", "node-4", node.address, nodes=[leader])
            self.assertEqual(answer.status, 0, answer)
            nodes.wait_for_voters(["node-1", "node-2", "node-3", "node-4"])

    def test_leave_on_stop(self):
        with GossipCluster(4, leave_on_stop=True) as nodes:
            leader = nodes.wait_for_leader()
            self.assertEqual(leader.stop(), 0)
            stay = [node.name for node in nodes.nodes if node is not leader]
            nodes.wait_for_voters(stay)

    def test_left_and_did_not_come_back(self):
        with GossipCluster(4, left_node_timeout=f"{AWAY_SECONDS}s") as nodes:
            node = nodes.nodes[3]
            self.assertEqual(node.stop(), 0)
            nodes.wait_for_voters(["node-1", "node-2", "node-3"])
            # Nobody decided that, so it may come back by itself.
            node.launch()
            nodes.wait_for_voters(["node-1", "node-2", "node-3", "node-4"])

    def test_failed_and_did_not_come_back(self):
        with GossipCluster(4, dead_node_timeout=f"{AWAY_SECONDS}s") as nodes:
            nodes.nodes[3].kill()
            nodes.wait_for_voters(["node-1", "node-2", "node-3"], FAILED_SECONDS_MAX)


class StrangerTest(unittest.TestCase):
    def test_a_node_of_another_cluster_gossips_and_counts_for_nothing(self):
        with GossipCluster(3) as nodes:
            stranger = nodes.new_node("stranger", bootstrap=True)
            stranger.launch().wait_until_ready()
            cluster_id = stranger.status().cluster_id
            stranger.kill()
            # Not begun in this life: it keeps serving its own cluster.
            nodes.join(stranger).wait_until_ready()
            leader = nodes.wait_for_refusal("stranger", "another cluster", nodes.nodes[:3])
            self.assertEqual(nodes.voters(leader), ["node-1", "node-2", "node-3"])
            self.assertEqual(stranger.status().cluster_id, cluster_id)

    def test_a_node_that_begins_a_cluster_beside_another_fences_itself(self):
        with GossipCluster(3) as nodes:
            mistake = nodes.new_node("node-4", bootstrap=True)
            nodes.join(mistake)
            wait_for(lambda: "this node is fenced" in mistake.log(), "it to fence itself")
            wait_for(lambda: not mistake.is_ready(), "it to stop serving")
            with mistake.client() as client:
                with self.assertRaises(harness.grpc.RpcError) as caught:
                    put(client, "k")
            self.assertIn("fenced", caught.exception.details())
            self.assertEqual(nodes.voters(nodes.nodes[0]), ["node-1", "node-2", "node-3"])

    def test_a_name_in_use_stays_with_its_owner(self):
        with GossipCluster(3) as nodes:
            twin = nodes.new_node("node-3")
            nodes.join(twin)
            nodes.nodes.remove(twin)
            self.addCleanup(twin.close)
            wait_for(lambda: "name belongs to another" in twin.log(), "the twin to hear of it", 60)
            owner = nodes.nodes[2]
            leader = nodes.wait_for_leader()
            self.assertEqual(nodes.members(leader)["node-3"]["address"], owner.address)
            self.assertEqual(nodes.voters(leader), ["node-1", "node-2", "node-3"])
            self.assertTrue(owner.is_ready())
            self.assertFalse(twin.is_ready())

    def test_a_certificate_of_another_authority_does_not_get_in(self):
        with GossipCluster(3) as nodes:
            foreign = nodes.new_node("node-4", certs=harness.make_certificates())
            nodes.join(foreign)
            leader = nodes.wait_for_refusal("node-4", "", nodes.nodes[:3])
            nodes.wait_for_gossip("node-4", "alive", leader)
            self.assertEqual(nodes.voters(leader), ["node-1", "node-2", "node-3"])


if __name__ == "__main__":
    cluster.main()
