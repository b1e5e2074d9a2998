"""Changes without a restart: access rules, certificates and revocation lists, as people and Kubernetes
replace files, while clients are served."""

import os
import pathlib
import shutil
import signal
import socket
import ssl
import threading
import unittest

import grpc

import cluster
import harness
import pki
from cases import KvTestCase
from cluster import Cluster, no_election
from harness import CALL_SECONDS_MAX, get, kv_pb2, put, wait_for

DENIED = grpc.StatusCode.PERMISSION_DENIED

ROOT_RULES = "".join(f"p, root, *, {action}, allow\n" for action in ("consume", "produce", "admin"))
ALICE_READS = "p, alice, *, consume, allow\n"


def replace(path, text):
    """As an editor or a tool does: another file in its place, at once."""
    path = pathlib.Path(path)
    new = path.with_suffix(".new")
    new.write_text(text)
    new.rename(path)


class Load:
    """Clients that read and write all the time, each with a connection of its own."""

    def __init__(self, node, name="root-client", threads=2):
        self.node, self.name = node, name
        self.done, self.failures = 0, []
        self._end = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(i,)) for i in range(threads)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        self.wait_for_more()
        return self

    def __exit__(self, *unused):
        self._end.set()
        for thread in self._threads:
            thread.join()

    def _run(self, number):
        with self.node.client(self.name) as client:
            while not self._end.is_set():
                try:
                    put(client, f"load/{number}")
                    get(client, f"load/{number}")
                    self.done += 1
                except grpc.RpcError as error:
                    self.failures.append(error)
                    return

    def wait_for_more(self):
        before = self.done
        wait_for(lambda: self.done > before + 20 or self.failures, "the load to go on")


class ReloadTestCase(KvTestCase):
    def setUp(self):
        self.certs = harness.make_certificates()
        pki.issue(self.certs, "alice", ["alice"])
        self.policy = harness.scratch_directory("policy") / "policy.csv"
        self.policy.write_text(ROOT_RULES + ALICE_READS)

    def start(self, **settings):
        node = harness.Node(certs=self.certs, acl_policy_file=str(self.policy), **settings)
        self.addCleanup(node.kill)
        return node.start()

    def client(self, node, name):
        client = node.client(name)
        self.addCleanup(client.channel.close)
        return client

    def reloads(self, node, what="access rules", result="ok"):
        return node.metrics().sum("mokv_reloads_total", what=what, result=result)

    def wait_for_reload(self, node, before, **more):
        wait_for(lambda: self.reloads(node, **more) > before, f"a reload: {more}")

    def change(self, node, how, **more):
        before = self.reloads(node, **more)
        how()
        self.wait_for_reload(node, before, **more)


class RulesTest(ReloadTestCase):
    def test_rights_come_and_go(self):
        node = self.start()
        alice = self.client(node, "alice")
        put(self.client(node, "root-client"), "k")
        self.assertEqual(get(alice, "k").value, b"v")
        self.change(node, lambda: replace(self.policy, ROOT_RULES))
        self.assertEqual(self.assert_fails(DENIED, lambda: get(alice, "k")),
                         "alice not permitted to consume to k")
        self.change(node, lambda: replace(self.policy, ROOT_RULES + ALICE_READS))
        self.assertEqual(get(alice, "k").value, b"v")

    # Goal:   every way in which files are replaced is seen.
    def test_ways_to_replace_a_file(self):
        mounted = harness.scratch_directory("mounted")
        # Kubernetes: the file is a link through `..data`, which is exchanged for one to another
        # directory.
        for version, text in (("1", ROOT_RULES), ("2", ROOT_RULES + ALICE_READS)):
            (mounted / version).mkdir()
            (mounted / version / "policy.csv").write_text(text)
        (mounted / "..data").symlink_to("1")
        self.policy = mounted / "policy.csv"
        self.policy.symlink_to("..data/policy.csv")
        node = self.start()
        alice = self.client(node, "alice")
        put(self.client(node, "root-client"), "k")
        self.assert_fails(DENIED, lambda: get(alice, "k"))

        def exchange():
            (mounted / "..data-new").symlink_to("2")
            (mounted / "..data-new").rename(mounted / "..data")

        self.change(node, exchange)
        self.assertEqual(get(alice, "k").value, b"v")
        # In its place, as by `cp`.
        self.change(node, lambda: (mounted / "2" / "policy.csv").write_text(ROOT_RULES))
        self.assert_fails(DENIED, lambda: get(alice, "k"))
        # Gone for a moment, as by `rm` and then an editor.
        self.policy.unlink()
        self.change(node, lambda: self.policy.write_text(ROOT_RULES + ALICE_READS))
        self.assertEqual(get(alice, "k").value, b"v")

    # Goal: half a policy, or none, changes nothing, and somebody hears of it.
    def test_broken_rules_change_nothing(self):
        node = self.start()
        alice, root = self.client(node, "alice"), self.client(node, "root-client")
        put(root, "k")
        self.change(node, lambda: replace(self.policy, ROOT_RULES + "p, alice\n"), result="failed")
        self.assertEqual(get(alice, "k").value, b"v")
        put(root, "k")
        metrics = node.metrics()
        self.assertEqual(metrics.sum("mokv_reload_failing", what="access rules"), 1)
        (error,) = [line for line in node.log().splitlines() if " E " in line]
        self.assertIn("the old ones stay in force", error)
        self.assertIn(f"{self.policy}:4", error)
        health = node.http("/readyz?verbose")
        self.assertEqual(health[0], 200)
        self.assertIn("access rules were changed, but cannot be used", health[1])
        self.change(node, lambda: replace(self.policy, ROOT_RULES))
        self.assertEqual(node.metrics().sum("mokv_reload_failing", what="access rules"), 0)
        self.assertNotIn("access rules", node.http("/readyz?verbose")[1])
        self.assert_fails(DENIED, lambda: get(alice, "k"))

    def test_sighup_reads_all_at_once(self):
        node = self.start()
        before = {what: self.reloads(node, what=what) for what in ("access rules", "certificates")}
        node.process.send_signal(signal.SIGHUP)
        for what, count in before.items():
            self.wait_for_reload(node, count, what=what)

    # Goal:   SIGHUP is also how the audit log is rotated: it takes nothing from anybody.
    # Method: rules that answer item by item, of which other ones would end the List.
    def test_sighup_ends_no_list(self):
        model = self.policy.with_name("model.conf")
        model.write_text(pathlib.Path(self.certs.path("model.conf")).read_text()
                         .replace("keyMatch(", "regexMatch("))
        self.policy.write_text("p, root, .*, produce, allow\np, alice, k.*, consume, allow\n")
        node = self.start(acl_model_file=str(model))
        root, alice = self.client(node, "root-client"), self.client(node, "alice")
        for i in range(64):
            put(root, f"k{i:02}", b"x" * (256 << 10))
        stream = alice.list(kv_pb2.ListRequest(), timeout=CALL_SECONDS_MAX)
        self.assertEqual(next(stream).key, "k00")
        self.change(node, lambda: node.process.send_signal(signal.SIGHUP))
        self.assertEqual(len(list(stream)), 63)

    # Goal: a pipe in the place of a file holds up neither other files nor the stop; nor do many SIGHUPs.
    def test_a_pipe_in_place_of_a_file(self):
        node = self.start()
        self.policy.unlink()
        os.mkfifo(self.policy)
        wait_for(lambda: self.reloads(node, result="failed") > 0, "the failure")
        self.assertIn("is not a regular file", node.log())
        before = self.reloads(node, what="certificates")
        for _ in range(100):
            node.process.send_signal(signal.SIGHUP)
        self.wait_for_reload(node, before, what="certificates")
        self.assertEqual(node.stop(), 0)

    # Goal:   a List that is under way ends when its subject loses what is still to come.
    # Method: a client that does not read on holds the stream up, with more than the windows take.
    def test_open_list_ends(self):
        node = self.start()
        root, alice = self.client(node, "root-client"), self.client(node, "alice")
        for i in range(64):
            put(root, f"k{i:02}", b"x" * (256 << 10))
        stream = alice.list(kv_pb2.ListRequest(), timeout=CALL_SECONDS_MAX)
        self.assertEqual(next(stream).key, "k00")
        self.change(node, lambda: replace(self.policy, ROOT_RULES))
        details = self.assert_fails(DENIED, lambda: [None for _ in stream])
        self.assertIn("alice not permitted to consume", details)

    def test_no_request_fails_while_rules_change(self):
        node = self.start()
        with Load(node) as load:
            for i in range(5):
                more = "".join(f"p, user-{j}, *, consume, allow\n" for j in range(100 * i))
                self.change(node, lambda more=more: replace(self.policy, ROOT_RULES + more))
                load.wait_for_more()
        self.assertEqual(load.failures, [])


class CertificatesTest(ReloadTestCase):
    def presented(self, node):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(self.certs.path("ca.pem"))
        context.load_cert_chain(self.certs.path("root-client.pem"),
                                self.certs.path("root-client-key.pem"))
        context.set_alpn_protocols(["h2"])
        with socket.create_connection(("127.0.0.1", node.rpc_port), timeout=20) as raw:
            with context.wrap_socket(raw, server_hostname="127.0.0.1") as secure:
                return secure.getpeercert()["serialNumber"]

    # Goal:   a new server certificate is presented, and nobody who is connected notices.
    # Method: key and certificate are two files, replaced one after the other.
    def test_server_certificate(self):
        node = self.start()
        before = self.presented(node)
        other = harness.make_certificates(ca_of=self.certs)

        def exchange():
            for name in ("server-key.pem", "server.pem"):
                pathlib.Path(other.path(name)).rename(self.certs.path(name))

        with Load(node) as load:
            self.change(node, exchange, what="certificates")
            load.wait_for_more()
        self.assertEqual(load.failures, [])
        self.assertNotEqual(self.presented(node), before)

    # Goal: a key without its certificate is nothing that a node may use, nor a reason to stop.
    def test_broken_certificate_changes_nothing(self):
        node = self.start()
        before = self.presented(node)
        self.change(node, lambda: replace(self.certs.path("server.pem"), "not a certificate\n"),
                    what="certificates", result="failed")
        self.assertEqual(self.presented(node), before)

    def test_revoked_while_connected(self):
        crl = pathlib.Path(self.certs.path("crl.pem"))
        crl.write_text(pki.revocation_list(self.certs, []))
        node = self.start(server_tls_crl_file=str(crl))
        alice = self.client(node, "alice")
        put(self.client(node, "root-client"), "k")
        self.assertEqual(get(alice, "k").value, b"v")
        with Load(node) as load:
            self.change(node, lambda: replace(crl, pki.revocation_list(self.certs, ["alice"])),
                        what="certificates")
            wait_for(lambda: node.metrics().sum("mokv_rpc_connections_distrusted_total") == 1,
                     "her connection to end")
            self.assert_fails(grpc.StatusCode.UNAVAILABLE, lambda: get(alice, "k"))
            load.wait_for_more()
        self.assertEqual(load.failures, [])

    # Goal: clients of a new authority get in beside those of the old one, and then instead of them.
    def test_authority_is_replaced(self):
        others = harness.make_certificates()
        old = self.certs.read("ca.pem").decode()
        bundle = pathlib.Path(self.certs.path("clients-ca.pem"))
        bundle.write_text(old)
        node = self.start(server_tls_ca_file=str(bundle))

        def new_client():
            credentials = grpc.ssl_channel_credentials(
                old.encode(), others.read("root-client-key.pem"), others.read("root-client.pem"))
            client = harness.Client(grpc.secure_channel(
                node.address, credentials, [("grpc.use_local_subchannel_pool", 1)]))
            self.addCleanup(client.channel.close)
            return client

        self.assert_fails(grpc.StatusCode.UNAVAILABLE, lambda: put(new_client(), "k"))
        self.change(node, lambda: replace(bundle, old + others.read("ca.pem").decode()),
                    what="certificates")
        put(new_client(), "k")
        put(self.client(node, "root-client"), "k")


class PeersTest(unittest.TestCase):
    # Goal:   the CA of a cluster is replaced while it serves, without an election.
    # Method: as docs/security.md says: trust both, then present what the new one signed, then trust
    #         that one only. Both are of one name, and have a revocation list in the same file.
    @no_election
    def test_authority_of_the_nodes_is_replaced(self):
        old, new = harness.make_certificates(), harness.make_certificates()
        both = old.read("ca.pem").decode() + new.read("ca.pem").decode()
        lists = pki.revocation_list(old, []) + pki.revocation_list(new, [])
        nodes = Cluster(3)
        self.addCleanup(nodes.close)
        for node in nodes.nodes:
            node.certs = harness.Certificates(
                shutil.copytree(old.directory, node.directory / "certs"))
            for key, value in node.settings.items():
                if isinstance(value, str) and value.endswith(".pem"):
                    node.settings[key] = node.certs.path(pathlib.Path(value).name)
            node.settings["server-tls-crl-file"] = node.certs.path("crl.pem")
            pathlib.Path(node.certs.path("crl.pem")).write_text(lists)
        nodes.start()
        leader = nodes.wait_for_leader()
        term = leader.status().term

        def step(change):
            for node in nodes.nodes:
                before = node.metrics().sum("mokv_reloads_total", what="certificates", result="ok")
                change(node.certs)
                wait_for(lambda: node.metrics().sum("mokv_reloads_total", what="certificates",
                                                    result="ok") > before, "the reload")

        def present(certs):
            for name in ("server", "peer"):
                for suffix in ("-key.pem", ".pem"):
                    replace(certs.path(name + suffix), new.read(name + suffix).decode())

        with Load(leader) as load:
            step(lambda certs: replace(certs.path("ca.pem"), both))
            step(present)
            load.wait_for_more()
        self.assertEqual(load.failures, [])
        step(lambda certs: replace(certs.path("ca.pem"), new.read("ca.pem").decode()))
        for node in nodes.nodes:
            with harness.Client(grpc.secure_channel(
                    node.address, new.credentials("root-client"),
                    [("grpc.use_local_subchannel_pool", 1)])) as client:
                put(client, "through " + node.name)
        self.assertEqual(leader.metrics().sum("mokv_raft_term"), term)
        # Who has a certificate of the old one is not believed any more.
        distrusted = sum(node.metrics().sum("mokv_rpc_connections_distrusted_total")
                         for node in nodes.nodes)
        self.assertGreater(distrusted, 0)


if __name__ == "__main__":
    cluster.main()
