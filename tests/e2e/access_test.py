"""Who gets in, and as whom: clients with certificates of every kind, and nodes' own."""

import contextlib
import socket
import ssl
import unittest

import grpc

import cluster
import harness
import pki
from cases import KvTestCase, SharedNodeTestCase
from api import cluster_pb2
from cluster import Cluster
from harness import get, kv_pb2, list_items, put, wait_for

UNAVAILABLE = grpc.StatusCode.UNAVAILABLE
DENIED = grpc.StatusCode.PERMISSION_DENIED


def tls_context(certs, name):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(certs.path("ca.pem"))
    context.set_alpn_protocols(["h2"])
    context.load_cert_chain(certs.path(f"{name}.pem"), certs.path(f"{name}-key.pem"))
    return context


class CertificatesTest(SharedNodeTestCase):
    """Stock clients whose certificates the CA of the node has signed, and that are still not believed."""

    @classmethod
    def setUpClass(cls):
        cls.certs = harness.make_certificates()
        cls.settings = {"certs": cls.certs, "server_tls_crl_file": cls.certs.path("crl.pem")}
        pki.issue(cls.certs, "alice", ["alice"])
        pki.issue(cls.certs, "revoked", ["root"])
        with open(cls.certs.path("crl.pem"), "w", encoding="ascii") as file:
            file.write(pki.revocation_list(cls.certs, ["revoked"]))
        super().setUpClass()

    def assert_refused(self, name):
        failed = "mokv_rpc_connections_refused_total"
        before = self.node.metrics().sum(failed, reason="tls_handshake")
        with self.node.client(name) as client:
            self.assert_fails(UNAVAILABLE, lambda: get(client, "k"))
        wait_for(lambda: self.node.metrics().sum(failed, reason="tls_handshake") > before,
                 "the refusal to be counted")

    def assert_served(self, name, subject):
        """Who it is, the node says when it denies something."""
        with self.node.client(name) as client:
            details = self.assert_fails(DENIED, lambda: get(client, "k"))
        self.assertEqual(details, f"{subject} not permitted to consume to k")

    def test_ordinary_client(self):
        self.assert_served("alice", "alice")

    def test_expired(self):
        pki.issue(self.certs, "expired", ["root"], begins=-7200, ends=-3600)
        self.assert_refused("expired")

    def test_not_yet_valid(self):
        pki.issue(self.certs, "early", ["root"], begins=3600, ends=7200)
        self.assert_refused("early")

    def test_revoked(self):
        self.assert_refused("revoked")

    def test_odd_names(self):
        for names in ([], [""], ["", "root"], ["root", "alice"], ["alice", "root"],
                      [b"root\0"], [b"root\0.elsewhere"], ["root\n"], [b"r" * (64 << 10)]):
            with self.subTest(str(names)[:40]):
                pki.issue(self.certs, "odd", names)
                self.assert_refused("odd")

    def test_names_that_look_odd_and_are_not(self):
        for name in ("Jörg Müller", "a, b", "spiffe://example/sa/default", "root ", "*", "r" * 256):
            with self.subTest(name[:40]):
                pki.issue(self.certs, "odd", [name])
                self.assert_served("odd", name)

    # Goal:  a name is itself: no role or wildcard of a policy is meant by a client that is called so.
    def test_a_client_that_is_called_as_a_wildcard(self):
        pki.issue(self.certs, "star", ["*"])
        put(self.client, "k")
        self.assert_served("star", "*")

    # Goal: no method is forgotten: whoever has no rights gets an answer of those only that are for all.
    def test_every_method_asks(self):
        for_all = {"/api.KV/GetServers"}
        asked = 0
        with self.node.client("alice") as alice:
            for service in [*kv_pb2.DESCRIPTOR.services_by_name.values(),
                            *cluster_pb2.DESCRIPTOR.services_by_name.values()]:
                for method in service.methods:
                    path = f"/{service.full_name}/{method.name}"
                    if path in for_all:
                        continue
                    call = alice.channel.unary_stream(path, bytes, bytes)
                    with self.subTest(path):
                        self.assert_fails(
                            DENIED, lambda: list(call(b"", timeout=harness.CALL_SECONDS_MAX)))
                    asked += 1
        self.assertGreaterEqual(asked, 11)


class PeersTest(unittest.TestCase):
    # Goal:   whoever has a client's certificate opens no connection as a node.
    # Method: a real member, with that certificate for the connections that it makes, and once more with
    #         that of a node. (Those that others make to it find the certificate of its host.)
    def test_node_with_a_clients_certificate(self):
        certs = harness.make_certificates()
        pki.issue(certs, "alice", ["alice"])
        with Cluster(2, certs=certs) as nodes:
            leader = nodes.wait_for_leader()
            (member,) = nodes.followers(leader)

            def restart(certificate):
                member.kill()
                # The ends of both connections.
                wait_for(lambda: self.connections(leader) == 0, "the member to be missed")
                before = self.refusals(leader)
                member.settings.update({"peer-tls-cert-file": certs.path(f"{certificate}.pem"),
                                        "peer-tls-key-file": certs.path(f"{certificate}-key.pem"),
                                        # Otherwise those that are called as itself.
                                        "peer-allowed-names": ["mokv-peer"]})
                member.launch().wait_until_alive()
                return before

            for certificate, subject in (("alice", "alice"), ("root-client", "root")):
                with self.subTest(certificate):
                    before = restart(certificate)
                    wait_for(lambda: self.refusals(leader) > before, "the refusal")
                    # Such lines are a second apart at least.
                    told = f"the certificate of {subject} may not speak for a node"
                    wait_for(lambda: told in leader.log(), "the log to tell")
                    wait_for(lambda: self.connections(leader) == 1, "the leader's own connection")
            before = restart("peer")
            wait_for(lambda: self.connections(leader) == 2, "the member's own connection")
            self.assertEqual(self.refusals(leader), before)

    @staticmethod
    def connections(node):
        return node.metrics().sum("mokv_peer_connections")

    @staticmethod
    def refusals(node):
        """Of certificates; there is no such series before the first one."""
        return node.metrics().sum("mokv_peer_connections_refused_total", reason="certificate") or 0


class ResumptionTest(KvTestCase):
    # Goal:   who is revoked does not come back by a session of an earlier connection.
    # Method: a TLS 1.2 and a TLS 1.3 client offer the session of a connection that was served.
    def test_revoked_client_cannot_resume(self):
        certs = harness.make_certificates()
        pki.issue(certs, "alice", ["alice"])
        with open(certs.path("crl.pem"), "w", encoding="ascii") as file:
            file.write(pki.revocation_list(certs, []))
        with harness.Node(certs=certs, server_tls_crl_file=certs.path("crl.pem")) as node:
            for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
                context = tls_context(certs, "alice")
                context.minimum_version = context.maximum_version = version
                with self.connect(node, context) as secure:
                    self.speak(secure)
                    session = secure.session
                    self.say_goodbye(secure)
                with self.connect(node, context, session) as secure:
                    self.speak(secure)
                    self.assertEqual(secure.session_reused, version == ssl.TLSVersion.TLSv1_3)
            with open(certs.path("crl.pem"), "w", encoding="ascii") as file:
                file.write(pki.revocation_list(certs, ["alice"]))
            wait_for(lambda: node.metrics().sum("mokv_reloads_total", what="certificates",
                                                result="ok") > 0, "the list to be read")
            with self.assertRaises((ssl.SSLError, ConnectionError)):
                with self.connect(node, context, session) as secure:
                    self.speak(secure)

    @staticmethod
    def connect(node, context, session=None):
        raw = socket.create_connection(("127.0.0.1", node.rpc_port), timeout=20)
        return context.wrap_socket(raw, server_hostname="127.0.0.1", session=session)

    @staticmethod
    def say_goodbye(secure):
        """OpenSSL does not resume the session of a connection that ended without a word."""
        with contextlib.suppress(OSError):
            secure.unwrap()

    @staticmethod
    def speak(secure):
        secure.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0")
        if secure.recv(1024) == b"":
            raise ConnectionError("closed")


class FirstVersionTest(KvTestCase):
    """The pair of files that mokv's first version came with."""

    MODEL = """[request_definition]
r = sub, obj, act

[policy_definition]
p = sub, obj, act

[policy_effect]
e = some(where (p.eft == allow))

[matchers]
m = r.sub == p.sub && r.obj == p.obj && r.act == p.act
"""
    POLICY = "p, root, *, produce\np, root, *, consume\n"

    def test_works_unchanged(self):
        directory = harness.scratch_directory("first-version")
        model, policy = directory / "model.conf", directory / "policy.csv"
        model.write_text(self.MODEL)
        policy.write_text(self.POLICY)
        with harness.Node(acl_model_file=str(model), acl_policy_file=str(policy),
                          acl_object="any") as node:
            with node.client() as root, node.client("nobody-client") as nobody:
                put(root, "k")
                self.assertEqual(get(root, "k").value, b"v")
                self.assertEqual([item.key for item in list_items(root)], ["k"])
                self.assertEqual(
                    self.assert_fails(DENIED, lambda: put(nobody, "k")),
                    "nobody not permitted to produce to *")
                self.assert_fails(DENIED, lambda: list_items(nobody))
                # Nobody is an administrator there.
                status = root.unary("/api.Cluster/Status", kv_pb2.GetResponse)
                self.assert_fails(DENIED, lambda: status(b"", timeout=harness.CALL_SECONDS_MAX))


if __name__ == "__main__":
    cluster.main()
