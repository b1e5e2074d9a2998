"""A leader that stands still (SIGSTOP) and wakes up without knowing that it has been replaced: it
must not answer a linearizable read from what it has, and must not lose or invent a write.

Environment: MOKV_ROUNDS (default 4), MOKV_SEED.
"""

import concurrent.futures
import os
import threading
import unittest

import grpc

import cluster
import history
from cluster import Cluster, random_for
from history import Caller, History, Load
from harness import CALL_SECONDS_MAX

ROUNDS = int(os.environ.get("MOKV_ROUNDS", "4"))
SENT_TO_THE_SLEEPER = 12


class PauseTest(unittest.TestCase):
    def setUp(self):
        self.random = random_for(self.id())

    def test_long_sleep(self):
        self.check_long_sleep(read_lease=False)

    def test_long_sleep_with_read_lease(self):
        self.check_long_sleep(read_lease=True)

    # Goal:   what waits in the sockets of a sleeping leader is not answered with what it knew then.
    # Method: reads and writes are sent to it while it sleeps and another leader overwrites the key;
    #         they are all before it at once when it wakes up.
    def check_long_sleep(self, **settings):
        with Cluster(3, **settings) as nodes:
            calls = History()
            for round_number in range(ROUNDS):
                self.sleep_once(nodes, calls, f"key-{round_number}")
            nodes.check_equal()
            history.read_all(calls, nodes.nodes[0].admin_client())
            calls.judge()

    def sleep_once(self, nodes, calls, key):
        sleeper = nodes.wait_for_leader()
        clients = [sleeper.client() for _ in range(SENT_TO_THE_SLEEPER)]
        for client in clients:  # They are connected before it sleeps.
            Caller(calls, f"{key}/before").set(client, key)
        sleeper.pause()
        pool = concurrent.futures.ThreadPoolExecutor(SENT_TO_THE_SLEEPER)
        sent = [
            pool.submit(self.call_sleeper, calls, f"{key}/{i}", client, key)
            for i, client in enumerate(clients)
        ]
        other = nodes.wait_for_leader(other_than=sleeper)
        for node in nodes.followers(other) + [other]:
            with node.client() as client:
                written = Caller(calls, f"{key}/{node.name}").set(
                    client, key, timeout=CALL_SECONDS_MAX
                )
                self.assertIs(written, True)
        sleeper.cont()
        for answered in sent:
            answered.result()
        pool.shutdown()
        for client in clients:
            client.channel.close()
        sleeper.wait_until_ready()

    def call_sleeper(self, calls, name, client, key):
        caller = Caller(calls, name)
        try:
            # Mostly reads: each of them could be the wrong one.
            if self.random.random() < 0.25:
                caller.set(client, key, timeout=CALL_SECONDS_MAX)
            else:
                caller.get(client, key, timeout=CALL_SECONDS_MAX)
        except grpc.RpcError as error:
            self.assertEqual(error.code(), grpc.StatusCode.UNAVAILABLE, error.details())

    def test_short_sleeps_under_load(self):
        self.check_sleeps_under_load(read_lease=False)

    def test_short_sleeps_under_load_with_read_lease(self):
        self.check_sleeps_under_load(read_lease=True)

    # Goal:   sleeps around the election timeout and the lease, of leaders and followers.
    def check_sleeps_under_load(self, **settings):
        with Cluster(3, **settings) as nodes:
            with Load(nodes.nodes, self.random, callers=10) as load:
                load.wait_for_done(100)
                for round_number in range(ROUNDS * 2):
                    sleeper = nodes.wait_for_leader()
                    if round_number % 4 == 3:
                        sleeper = self.random.choice(nodes.followers(sleeper))
                    load.turn_page()
                    load.wait_for_done(30)
                    sleeper.pause()
                    threading.Event().wait(self.random.uniform(0.1, 1.5))  # How long it sleeps.
                    sleeper.cont()
                    load.wait_for_done(100)
            history.read_all(load.history, nodes.nodes[0].admin_client())
            load.history.judge()
            nodes.check_equal()


if __name__ == "__main__":
    cluster.main()
