"""Clusters that grow by themselves: nodes that know nothing but each other's gossip addresses."""

import harness
from cluster import Cluster, CATCH_UP_SECONDS_MAX
from harness import wait_for


class GossipCluster(Cluster):
    """`size` nodes, each of which is told where two others gossip."""

    def __init__(self, size, **settings):
        super().__init__(size, **settings)
        for node in self.nodes:
            self.introduce(node)

    def introduce(self, node):
        others = [other for other in self.nodes if other is not node][:2]
        node.settings["start-join-addrs"] = [other.settings["bind-addr"] for other in others]
        return node

    def start(self):
        # The one that begins the cluster starts last: the others wait for it.
        for node in reversed(self.nodes):
            node.launch()
        for node in self.nodes:
            node.wait_until_alive()
        self.nodes[0].wait_until_ready()
        self.wait_until_voters(len(self.nodes))
        return self

    def join(self, node):
        """Starts another one and waits for nothing."""
        self.introduce(node)
        self.nodes.append(node)
        return node.launch().wait_until_alive()

    def members(self, through=None):
        """Rows of `mokvctl member list`, by name."""
        answer = self.ctl("member", "list", nodes=[through] if through else None)
        if answer.status != 0:
            raise AssertionError(str(answer))
        rows = [line.split() for line in answer.out.splitlines()[1:]]
        return {row[0]: {"address": row[1], "role": row[2], "gossip": row[3]} for row in rows}

    def voters(self, through=None):
        members = self.members(through)
        return sorted(name for name, row in members.items() if row["role"] in ("voter", "leader"))

    def wait_for_voters(self, names, seconds=CATCH_UP_SECONDS_MAX):
        wanted = sorted(names)

        def look():
            try:
                return self.voters() == wanted
            except AssertionError:
                return False  # In the middle of a change of leaders.

        wait_for(look, f"the voters to be {wanted}", seconds)

    def wait_for_gossip(self, name, state, through, seconds=60):
        def look():
            row = self.members(through).get(name)
            return row is not None and row["gossip"] == state

        wait_for(look, f"{name} to be {state}", seconds)

    def wait_for_refusal(self, name, reason, among):
        """Whichever of these nodes leads logs why `name` was not added. Returns a leader."""

        def logged():
            lines = [line for node in among for line in node.log().splitlines()]
            return any("was not added" in line and name in line and reason in line for line in lines)

        wait_for(logged, f"the refusal of {name}: {reason}", CATCH_UP_SECONDS_MAX)
        return self.wait_for_leader(among=among)


def metric(node, name, **labels):
    return node.metrics().sum(name, **labels) or 0


put, get = harness.put, harness.get
