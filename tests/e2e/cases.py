"""What the test cases share: nodes for a class or a test, and calls that must fail."""

import unittest

import grpc

import harness


class KvTestCase(unittest.TestCase):
    def assert_fails(self, code, call):
        """Returns the status message."""
        with self.assertRaises(grpc.RpcError) as caught:
            call()
        self.assertEqual(caught.exception.code(), code, caught.exception.details())
        return caught.exception.details()


class SharedNodeTestCase(KvTestCase):
    """One node for all tests of a class; each test uses keys of its own."""

    settings = {}

    @classmethod
    def setUpClass(cls):
        cls.node = harness.Node(**cls.settings).start()
        cls.addClassCleanup(cls.node.kill)
        cls.client = cls.node.client()
        cls.addClassCleanup(cls.client.channel.close)

    def setUp(self):
        self.prefix = self.id().rsplit(".", 1)[1] + "/"

    def key(self, name="k"):
        return self.prefix + name
