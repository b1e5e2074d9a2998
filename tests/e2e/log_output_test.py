"""Whoever reads a node's log may stand still: the node does not."""

import fcntl
import os
import threading
import unittest

import cluster
from cluster import Cluster
from harness import Node, get, put, wait_for

class Pipe:
    """A small pipe as a node's standard output and error, that nobody reads before `read_on`."""

    def __init__(self):
        self.read_end, self.write_end = os.pipe()
        fcntl.fcntl(self.write_end, fcntl.F_SETPIPE_SZ, 4096)
        self.text = b""
        self._reader = None

    def started(self):
        """The node has it now: with the node, the last writer goes."""
        os.close(self.write_end)
        self.write_end = None

    def is_full(self):
        probe = os.open(f"/proc/self/fd/{self.read_end}", os.O_WRONLY | os.O_NONBLOCK)
        try:
            os.write(probe, b"\n")
            return False
        except BlockingIOError:
            return True
        finally:
            os.close(probe)

    def read_on(self):
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self):
        while chunk := os.read(self.read_end, 65536):
            self.text += chunk

    def close(self):
        if self._reader is not None:
            self._reader.join()
        for end in (self.read_end, self.write_end):
            if end is not None:
                os.close(end)


class LogOutputTest(unittest.TestCase):
    # Goal:   nobody who serves, decides or probes waits for the reader of the log.
    # Method: all nodes write into full pipes; one is killed, so that all have something to say.
    def test_full_pipes_stop_no_cluster(self):
        pipes = []

        def with_pipe(node):
            pipe = Pipe()
            pipes.append(pipe)
            self.addCleanup(pipe.close)
            node.output = pipe.write_end
            return pipe

        with Cluster(3, request_log="all") as nodes:
            for node in nodes.nodes:
                node.stop()
                pipe = with_pipe(node)
                node.launch()
                pipe.started()
            for node in nodes.nodes:
                node.wait_until_ready()
            leader = nodes.wait_for_leader()
            client = leader.admin_client()
            for node in nodes.nodes:
                for i in range(100):
                    put(node.admin_client(), f"key-{i}")
            for pipe in pipes:
                wait_for(pipe.is_full, "the pipe to be full")
            nodes.followers(leader)[0].kill()
            for i in range(500):
                put(client, f"key-{i % 100}", b"after")
            self.assertEqual(get(client, "key-99").value, b"after")
            # The reader stands still to the end, which comes all the same.
            self.assertEqual(leader.stop(), 0)

    # Goal: what was lost is counted, and told once the reader is back.
    def test_the_reader_hears_what_it_missed(self):
        pipe = Pipe()
        self.addCleanup(pipe.close)
        node = Node(request_log="all")
        node.output = pipe.write_end
        with node:
            pipe.started()
            with node.client() as client:
                self.fill(node, client)
                pipe.read_on()
                put(client, "after")
                wait_for(lambda: b"log lines were dropped" in pipe.text, "the count of dropped lines")
            self.assertEqual(node.stop(), 0)
        self.assertIn(b"stopped", pipe.text.splitlines()[-1])

    def fill(self, node, client):
        for _ in range(200):
            calls = [client.get.future(b"\x0a\xfa\x01" + b"k" * 250) for _ in range(500)]
            for call in calls:
                call.exception()
            if node.metrics().sum("mokv_log_dropped_total") > 0:
                return
        self.fail("nothing was dropped")


if __name__ == "__main__":
    cluster.main()
