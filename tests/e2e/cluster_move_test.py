"""Nodes that come back at other addresses: an address is a hint, a member is its name and its data
directory. And copies of a data directory, which are no members."""

import base64
import json
import pathlib
import shutil
import subprocess
import unittest

import cluster
import harness
from cluster import Cluster
from gossip import GossipCluster, get, put
from harness import Node, free_port, wait_for

# A node that was killed has to be found failed before its new address is believed.
MOVE_SECONDS_MAX = 90


def move(node):
    """Other ports, of which nobody is told but by gossip."""
    node.rpc_port, node.metrics_port = free_port(), free_port()
    use_ports(node, node.rpc_port, node.metrics_port, free_port())


def use_ports(node, rpc_port, metrics_port, serf_port):
    host = node.settings["bind-addr"].rpartition(":")[0]
    node.rpc_port, node.metrics_port = rpc_port, metrics_port
    node.settings["rpc-port"], node.settings["metrics-port"] = rpc_port, metrics_port
    node.settings["bind-addr"] = f"{host}:{serf_port}"
    if node._admin is not None:
        node._admin.channel.close()
        node._admin = None


def serf_port(node):
    return int(node.settings["bind-addr"].rpartition(":")[2])


class MoveTest(unittest.TestCase):
    def check_moved(self, nodes):
        """All nodes know where all are, and serve."""

        def known():
            for node in nodes.running:
                try:
                    with node.client() as client:
                        servers = client.get_servers(b"", timeout=5).servers
                except harness.grpc.RpcError:
                    return False
                addresses = {server.id: server.rpc_addr.rpartition(":")[2] for server in servers}
                if addresses != {n.name: str(n.rpc_port) for n in nodes.nodes}:
                    return False
            return True

        wait_for(known, "all nodes to know all new addresses", MOVE_SECONDS_MAX)
        nodes.wait_for_leader()
        for node in nodes.nodes:
            with node.client() as client:
                put(client, "key", node.name.encode())
                self.assertEqual(get(client, "key").value, node.name.encode())
        nodes.check_equal()

    def check_remembered(self, nodes, moved):
        """The others would find it there after a restart of their own."""
        for node in nodes.followers(moved):
            peers = pathlib.Path(node.settings["data-dir"]) / "serf-peers"
            wait_for(
                lambda: f":{serf_port(moved)}" in peers.read_text(),
                f"{node.name} to remember where {moved.name} is",
            )

    # Goal: each role alone, killed, and back elsewhere.
    def test_one_after_the_other(self):
        with GossipCluster(3) as nodes:
            leader = nodes.wait_for_leader()
            for node in [nodes.followers(leader)[0], leader]:
                node.kill()
                move(node)
                nodes.introduce(node)
                node.launch().wait_until_ready()
                self.check_moved(nodes)
                self.check_remembered(nodes, node)

    # Goal:   a cluster forms again although no address of its configuration is true any more.
    # Method: all are killed and come back with other ports; gossip is encrypted, and names are used.
    def test_all_at_once(self):
        settings = {"serf_encrypt_key": "MTIzNDU2Nzg5MDEyMzQ1Ng=="}
        with GossipCluster(3, **settings) as nodes:
            put(nodes.wait_for_leader().admin_client(), "kept", b"before")
            for node in nodes.nodes:
                node.kill()
            for node in nodes.nodes:
                move(node)
            for node in nodes.nodes:
                nodes.introduce(node)
                node.settings["advertise-addr"] = f"localhost:{serf_port(node)}"
                node.launch()
            for node in nodes.nodes:
                node.wait_until_ready(MOVE_SECONDS_MAX)
            self.check_moved(nodes)
            with nodes.nodes[0].client() as client:
                self.assertEqual(get(client, "kept").value, b"before")

    # Goal: who answers at a member's old address may be another member.
    def test_two_that_swap_their_ports(self):
        with GossipCluster(3) as nodes:
            leader = nodes.wait_for_leader()
            first, second = nodes.followers(leader)
            ports = [(n.rpc_port, n.metrics_port, serf_port(n)) for n in (first, second)]
            first.kill()
            second.kill()
            use_ports(first, *ports[1])
            use_ports(second, *ports[0])
            for node in (first, second):
                nodes.introduce(node)
                node.launch()
            for node in (first, second):
                node.wait_until_ready(MOVE_SECONDS_MAX)
            self.check_moved(nodes)


def keyring(key):
    """The text of a keyring file with this key alone."""
    return json.dumps([base64.b64encode(key.ljust(16, b"-")).decode()])


class NameTest(unittest.TestCase):
    # Goal:   a node whose name nobody knows yet starts, and joins once it is known, as pods do; with
    #         the gossip keys that are valid by then.
    # Method: /etc/hosts of the nodes is a file of the test's, in a mount namespace of their own.
    def test_a_name_that_resolves_late(self):
        hosts = harness.scratch_directory("hosts") / "hosts"
        hosts.write_text("127.0.0.1 localhost\n")
        prefix = ["unshare", "--mount", "sh", "-c",
                  f'mount --bind {hosts} /etc/hosts && exec "$@"', "sh"]
        if subprocess.run([*prefix, "true"], stderr=subprocess.DEVNULL).returncode != 0:
            self.skipTest("no mount namespaces here")
        with Cluster(1) as nodes:
            first = nodes.nodes[0]
            late = nodes.new_node("node-2")
            first.kill()
            for node in (first, late):
                node.prefix = prefix
            keys = {}
            for node, key in ((first, b"new"), (late, b"old")):
                keys[node] = harness.scratch_directory("keys") / "keyring.json"
                keys[node].write_text(keyring(key))
                node.settings["serf-keyring-file"] = str(keys[node])
            late.settings["start-join-addrs"] = [first.settings["bind-addr"]]
            late.settings["advertise-addr"] = f"{harness.OTHER_NAME}:{serf_port(late)}"
            first.launch().wait_until_ready()
            nodes.nodes.append(late)
            late.launch().wait_until_alive()
            wait_for(lambda: "does not resolve yet" in late.log(), "the node to say so")
            keys[late].write_text(keyring(b"new"))
            wait_for(lambda: late.metrics().sum("mokv_reloads_total", what="gossip keys", result="ok"),
                     "the new key")
            with open(hosts, "a") as file:
                file.write(f"127.0.0.1 {harness.OTHER_NAME}\n")
            late.wait_until_ready(MOVE_SECONDS_MAX)
            nodes.wait_until_voters(2)
            self.assertEqual(late.stop(), 0)

    def test_a_name_that_never_resolves_stops_no_node(self):
        node = Node(advertise_addr=f"{harness.OTHER_NAME}:{harness.free_port()}")
        with node:
            wait_for(lambda: "advertise-addr does not resolve yet" in node.log(), "it to say so")
            self.assertEqual(node.stop(), 0)


class CloneTest(unittest.TestCase):
    # Goal:   a second process of an identity gets no voice, and ends by itself.
    # Method: the leader's data directory is copied and started beside it.
    def test_a_copy_of_the_leaders_directory(self):
        with GossipCluster(3) as nodes:
            leader = nodes.wait_for_leader()
            put(leader.admin_client(), "key", b"value")
            clone = nodes.new_node(leader.name, bootstrap=leader is nodes.nodes[0])
            self.addCleanup(clone.close)
            nodes.introduce(clone)
            # Segments that are being prepared come and go; a log makes its own.
            shutil.copytree(leader.settings["data-dir"], clone.settings["data-dir"],
                            ignore=shutil.ignore_patterns("spare-*"))
            clone.launch()
            self.assertEqual(clone.wait_for_exit(60), 1)
            self.assertIn("another process of this node runs", clone.log())
            self.assertIs(nodes.wait_for_leader(), leader)
            put(leader.admin_client(), "key", b"after")
            nodes.check_equal()


if __name__ == "__main__":
    cluster.main()
