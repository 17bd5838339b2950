"""Another machine: a network namespace behind a veth pair, whose power can be cut. Needs root on Linux."""
import os
import shutil
import subprocess


def ip(*args):
    return subprocess.run(["ip", *args], capture_output=True, text=True)


class Machine:
    """Its power is cut by a route: from then on nothing it would send leaves it, so no packet is acknowledged and
    nothing is reset, while names and neighbours are still known to the other side. That is the most silent way
    to be gone."""

    def __init__(self):
        self.name = "hf%d" % os.getpid()
        net = "10.%d.%d." % (200 + os.getpid() // 250 % 50, os.getpid() % 250)
        self.address, self.second, self.here = net + "2", net + "3", net + "1"
        self.run = ["ip", "netns", "exec", self.name]
        self.is_made = False

    def make(self):
        """What is missing, or None."""
        if os.geteuid() != 0 or not shutil.which("ip"):
            return "needs root and iproute2"
        inside = ["-n", self.name]
        for step in (["netns", "add", self.name],
                     ["link", "add", self.name + "a", "type", "veth", "peer", "name", self.name + "b"],
                     ["link", "set", self.name + "b", "netns", self.name],
                     ["addr", "add", self.here + "/24", "dev", self.name + "a"],
                     ["link", "set", self.name + "a", "up"],
                     [*inside, "addr", "add", self.address + "/24", "dev", self.name + "b"],
                     [*inside, "addr", "add", self.second + "/24", "dev", self.name + "b"],
                     [*inside, "link", "set", self.name + "b", "up"],
                     [*inside, "link", "set", "lo", "up"]):
            done = ip(*step)
            self.is_made = self.is_made or (done.returncode == 0 and step[0] == "netns")
            if done.returncode != 0:
                return "needs network namespaces: ip %s: %s" % (" ".join(step), done.stderr.strip())
        return None

    def cut(self):
        done = ip("-n", self.name, "route", "add", "blackhole", self.here + "/32")
        assert done.returncode == 0, done.stderr

    def back(self):
        done = ip("-n", self.name, "route", "del", "blackhole", self.here + "/32")
        assert done.returncode == 0, done.stderr

    def close(self):
        if self.is_made:
            ip("link", "del", self.name + "a")
            ip("netns", "del", self.name)
