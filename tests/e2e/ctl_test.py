"""mokvctl as people meet it: at a terminal, in a pipe, with wrong words and wrong certificates."""

import json
import os
import pty
import select
import signal
import socket
import subprocess
import threading
import unittest

import cluster
import harness
from harness import MOKV, MOKVCTL, Node, clean_environment, kv_pb2, put, wait_for


def run(node, *arguments, terminal=False, cert="root-client", key=None, certs=None, endpoints=None):
    """Exit status, standard output and standard error; output as on a terminal, or raw."""
    certs = certs or node.certs
    command = [MOKVCTL, "--endpoints", endpoints or node.address, "--timeout", "20s"]
    command += ["--cacert", node.certs.path("ca.pem"), "--cert", certs.path(f"{cert}.pem")]
    command += ["--key", certs.path(f"{key or cert}-key.pem"), *arguments]
    environment = clean_environment(node.directory)
    if not terminal:
        done = subprocess.run(command, env=environment, capture_output=True, timeout=60)
        return done.returncode, done.stdout, done.stderr.decode()
    ours, theirs = pty.openpty()
    process = subprocess.Popen(command, env=environment, stdout=theirs, stderr=subprocess.PIPE)
    os.close(theirs)
    shown = b""
    try:
        while chunk := os.read(ours, 65536):
            shown += chunk
    except OSError:
        pass  # The other end has gone.
    os.close(ours)
    error = process.stderr.read().decode()
    process.stderr.close()
    return process.wait(60), shown.replace(b"\r\n", b"\n"), error


class CtlTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.node = Node().start()
        cls.addClassCleanup(cls.node.kill)

    def test_an_unknown_command_is_named(self):
        for words in (["frobnicate"], ["member", "frobnicate"], ["frobnicate", "--timeout", "5s"]):
            status, _, error = run(self.node, *words)
            self.assertEqual(status, 2, words)
            self.assertIn("no command 'frobnicate'", error)
        status, _, error = run(self.node, "--timeut", "5s", "set", "k")
        self.assertEqual(status, 2)
        self.assertIn("no option '--timeut'", error)
        status, _, error = run(self.node, "member")
        self.assertEqual(status, 2)
        self.assertNotIn("no command", error)

    def test_the_last_of_repeated_options_wins(self):
        with self.node.client() as client:
            put(client, "repeated", b"value")
        status, out, error = run(self.node, "--timeout", "1ms", "--timeout", "20s", "get", "repeated")
        self.assertEqual((status, out), (0, b"value"), error)

    def test_the_help_is_for_people(self):
        _, out, _ = run(self.node, "--help")
        self.assertNotIn(b"->", out)
        self.assertNotIn(b"[UNIT]", out)
        self.assertIn(b"text|json", out)
        self.assertIn(b"DURATION", out)

    # Goal: what is shown on a terminal can be told apart, and does nothing to it.
    def test_list_and_get_escape_for_terminals_alone(self):
        with self.node.client() as client:
            put(client, "l/a\tb", b"1\n2\x1b[2J\\\xff")
            put(client, "l/ö", "ü\u009b".encode())
        raw = b"l/a\tb\t1\n2\x1b[2J\\\xff\n" + "l/ö\tü\u009b\n".encode()
        self.assertEqual(run(self.node, "list", "l/")[1], raw)
        shown = b"l/a\\tb\t1\\n2\\x1b[2J\\\\\\xff\n" + "l/ö\tü\\xc2\\x9b\n".encode()
        self.assertEqual(run(self.node, "list", "l/", terminal=True)[1], shown)
        separated = b"l/a\tb\x001\n2\x1b[2J\\\xff\x00" + "l/ö\x00ü\u009b\x00".encode()
        self.assertEqual(run(self.node, "list", "-0", "l/")[1], separated)
        self.assertEqual(run(self.node, "get", "l/a\tb")[1], b"1\n2\x1b[2J\\\xff")
        self.assertEqual(run(self.node, "get", "l/a\tb", terminal=True)[1],
                         b"1\n2\\x1b[2J\\\\\\xff\n")

    def test_a_key_of_another_certificate_is_named(self):
        status, _, error = run(self.node, "get", "k", key="nobody-client")
        self.assertEqual(status, 2)
        self.assertIn("nobody-client-key.pem does not belong to certificate", error)

    # Goal: to scripts status 1 says that the rules deny it, and nothing else.
    def test_only_a_denial_looks_like_one(self):
        question = ("acl", "check", "root", "k", "consume")
        self.assertEqual(run(self.node, *question)[0], 0)
        status, out, error = run(self.node, "acl", "check", "nobody", "k", "consume")
        self.assertEqual((status, out.startswith(b"denied: ")), (1, True), error)
        status, out, error = run(self.node, *question, cert="nobody-client")
        self.assertEqual((status, out), (2, b""))
        self.assertEqual(error, "mokvctl: nobody not permitted to admin to cluster\n")
        status, out, _ = run(self.node, *question, endpoints=f"127.0.0.1:{harness.free_port()}")
        self.assertEqual((status, out), (3, b""))
        for words in ((b"r\xff", "k", "consume"), ("root", b"\xff", "consume")):
            status, out, error = run(self.node, "acl", "check", *words)
            self.assertEqual((status, out, error.count("\n")), (2, b"", 1), error)
            self.assertIn("is not UTF-8", error)

    # Goal: a write that was refused with the handshake is certainly not done.
    def test_a_refused_certificate_leaves_no_doubt(self):
        strangers = harness.make_certificates()
        status, _, error = run(self.node, "set", "k", "v", certs=strangers)
        self.assertEqual(status, 3)
        self.assertNotIn("outcome unknown", error)
        self.assertNotEqual(error, "")


    # Goal:   a write whose answer was damaged on its way may have been done, and is not sent again.
    # Method: one bit of the server's first record behind the handshake is turned over.
    def test_a_damaged_answer_leaves_the_outcome_unknown(self):
        with self.node.client() as client:
            put(client, "damaged", b"before")
        with DamagingProxy(self.node.rpc_port) as proxy:
            status, _, error = run(self.node, "delete", "damaged",
                                   endpoints=f"{proxy.address},{self.node.address}")
        self.assertEqual(status, 3, error)
        self.assertIn("outcome unknown", error)


class DamagingProxy:
    """Turns over one bit of what a server sends once its client has sent twice: behind TLS's
    handshake."""

    def __init__(self, port):
        self._port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(harness.CALL_SECONDS_MAX)
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *unused):
        self._listener.close()
        self._thread.join()

    def _serve(self):
        try:
            self._pass_on()
        except OSError:
            pass  # Both ends hang up on what they cannot read.

    def _pass_on(self):
        client, _ = self._listener.accept()
        with client, socket.create_connection(("127.0.0.1", self._port)) as server:
            sent = 0
            while True:
                for ready in select.select([client, server], [], [])[0]:
                    chunk = ready.recv(1 << 16)
                    if not chunk:
                        return
                    if ready is client:
                        sent += 1
                        server.sendall(chunk)
                        continue
                    if sent >= 2:
                        chunk = chunk[:-1] + bytes([chunk[-1] ^ 1])
                    client.sendall(chunk)


class ConditionTest(unittest.TestCase):
    # Goal: what is not well stands where people look: status, readiness, and the log, there once.
    def test_a_node_at_its_memory_limit(self):
        with Node(max_memory_bytes="1MiB") as node, node.client() as client:
            with self.assertRaises(harness.grpc.RpcError) as refused:
                for i in range(100):
                    put(client, f"key-{i}", b"v" * 100_000)
            self.assertEqual(refused.exception.code(), harness.grpc.StatusCode.RESOURCE_EXHAUSTED)
            self.assertIn(b"serving; memory limit", run(node, "status")[1])
            self.assertIn(b'"conditions":["memory limit"]', run(node, "status", "-o", "json")[1])
            code, body = node.http("/readyz?verbose")
            self.assertEqual(code, 200)
            self.assertIn("[!]memory: ", body)
            self.assertIn("[+]space ok", body)
            wait_for(lambda: "memory limit" in node.log(), "the log to tell")

    def test_a_node_that_nobody_has_added(self):
        node = Node(bootstrap=False)
        with node.launch():
            wait_for(lambda: "waits to be added" in node.log(), "the log to tell")
            self.assertIn(b"not serving; waits to be added", run(node, "status")[1])


class AgreementTest(unittest.TestCase):
    # Goal: operators see at one glance that all nodes have the same state, and where that was seen.
    def test_nodes_that_have_the_same_state(self):
        interval = 1024  # Of src/replica/comparison.h.
        with cluster.Cluster(3) as nodes:
            self.assertNotIn("state: ", nodes.ctl("status").out)  # None has told yet.
            with nodes.wait_for_leader().client() as client:
                requests = [kv_pb2.SetRequest(key=f"k{i}", value=b"v") for i in range(interval)]
                for call in [client.set.future(r, timeout=harness.CALL_SECONDS_MAX) for r in requests]:
                    call.result()

            def rows():
                return [json.loads(line) for line in nodes.ctl("status", "-o", "json").out.splitlines()]

            # What a node has found, and its digests, become visible one after the other.
            wait_for(lambda: all(row["compared_index"] == row["digest_index"] == interval
                                 for row in rows()), "the nodes to compare their states")
            told = rows()
            self.assertEqual({row["agrees_at"] for row in told}, {interval})
            self.assertEqual({row["digest_index"] for row in told}, {interval})
            self.assertEqual([row["agrees"] for row in told], [True] * 3)
            (digest,) = {row["digest"] for row in told}
            self.assertRegex(digest, "^[0-9a-f]{32}$")
            self.assertIn(f"state: the same on 3 nodes at entry {interval}, digest {digest}\n",
                          nodes.ctl("status").out)


class StreamsTest(unittest.TestCase):
    # Goal:   files and sockets never get the numbers of standard streams.
    # Method: the node is started without any, and what has these numbers is looked at.
    def test_a_node_without_standard_streams(self):
        node = Node()
        node.write_config()
        command = [MOKV, "--config-file", str(node.config_file)]
        # Python opens what it is not given; a shell hands on what is closed.
        node.process = subprocess.Popen(
            ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *command],
            env=clean_environment(node.directory),
        )
        harness._processes.append(node.process)
        with node:
            wait_for(node._is_ready, "the node to be ready")
            for stream in (0, 1, 2):
                self.assertEqual(os.readlink(f"/proc/{node.process.pid}/fd/{stream}"), "/dev/null")
            self.assertEqual(node.stop(), 0)

    def test_a_closed_terminal_ends_no_node(self):
        with Node() as node:
            node.process.send_signal(signal.SIGHUP)
            with node.client() as client:
                put(client, "k")
            self.assertEqual(node.stop(), 0)
            self.assertIn("stopped", node.log())


if __name__ == "__main__":
    cluster.main()
