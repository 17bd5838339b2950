"""Real servers for tests, on loopback, on free ports, as ordinary child processes.

Used by the end-to-end fixtures and, for unit tests in C, by

    python3 servers.py KIND -- PROGRAM ARGS

which starts one server, tells the program about it in the environment, and ends as the program
does. Every server is stopped by process id, with what it has started.
"""
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

SKIPPED = 77  # what meson takes for "this machine can't run it"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def children(pid):
    """Process ids below pid, deepest last."""
    out = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    by_parent = {}
    for line in out.splitlines():
        child, parent = map(int, line.split())
        by_parent.setdefault(parent, []).append(child)
    found, todo = [], [pid]
    while todo:
        kids = by_parent.get(todo.pop(), [])
        found += kids
        todo += kids
    return found


class Server:
    """One child process and a directory of its own."""

    def __init__(self, directory):
        self.directory = str(directory)
        self.port = free_port()
        self.p = None
        self.log = os.path.join(self.directory, "server.log")

    def argv(self):
        raise NotImplementedError

    def environment(self):
        return dict(os.environ)

    def start(self):
        with open(self.log, "ab") as log:
            self.p = subprocess.Popen(self.argv(), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                      env=self.environment(), cwd=self.directory)
        end = time.monotonic() + 60
        while not self.is_ready():
            if self.p.poll() is not None or time.monotonic() > end:
                raise RuntimeError("%s does not start:\n%s" % (self.argv()[0], self.text()))
            time.sleep(0.02)
        return self

    def is_ready(self):
        with socket.socket() as s:
            s.settimeout(5)
            return s.connect_ex(("127.0.0.1", self.port)) == 0

    def text(self):
        with open(self.log, errors="replace") as f:
            return f.read()

    def stop(self):
        """At once, with every connection it serves."""
        if self.p is None or self.p.poll() is not None:
            return
        for pid in children(self.p.pid) + [self.p.pid]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.p.wait()

    def drop_connections(self):
        """Ends what serves connections; the server itself goes on."""
        for pid in children(self.p.pid):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass


class Sshd(Server):
    """OpenSSH with keys of its own; the caller's account, with a key in a home of its own.

    home/.ssh holds id_ed25519 and known_hosts, so that with HOME=home nothing else is needed.
    """

    def __init__(self, directory, known=True):
        super().__init__(directory)
        self.program = shutil.which("sshd", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
        self.user = subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()
        self.home = os.path.join(self.directory, "home")
        os.makedirs(os.path.join(self.home, ".ssh"), mode=0o700)
        self.keys = {}
        for kind in ("ed25519", "ecdsa"):
            self.keys[kind] = self.keygen("host_" + kind, kind)
        self.key_path = os.path.join(self.home, ".ssh", "id_ed25519")
        self.authorize(self.keygen(self.key_path, "ed25519"))
        self.known_hosts = os.path.join(self.home, ".ssh", "known_hosts")
        if known:
            with open(self.known_hosts, "w") as f:
                f.write("[127.0.0.1]:%d %s\n" % (self.port, self.keys["ed25519"]))
        self.config()

    def keygen(self, name, kind):
        """The public key, as in authorized_keys."""
        path = os.path.join(self.directory, name)
        subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-C", "", "-f", path], check=True)
        with open(path + ".pub") as f:
            return " ".join(f.read().split()[:2])

    def authorize(self, key):
        with open(os.path.join(self.directory, "authorized_keys"), "a") as f:
            f.write(key + "\n")

    def config(self, **more):
        lines = {"Port": self.port, "ListenAddress": "127.0.0.1", "PidFile": "none", "UsePAM": "no",
                 "StrictModes": "no", "PasswordAuthentication": "no", "PermitRootLogin": "yes",
                 "KbdInteractiveAuthentication": "no", "Subsystem": "sftp internal-sftp",
                 "AuthorizedKeysFile": os.path.join(self.directory, "authorized_keys"),
                 "MaxStartups": 100}
        lines.update(more)
        with open(os.path.join(self.directory, "sshd_config"), "w") as f:
            for kind in self.keys:
                f.write("HostKey %s\n" % os.path.join(self.directory, "host_" + kind))
            f.writelines("%s %s\n" % kv for kv in lines.items())

    def argv(self):
        if os.getuid() == 0:
            os.makedirs("/run/sshd", mode=0o755, exist_ok=True)  # privilege separation wants it
        return [self.program, "-D", "-e", "-f", os.path.join(self.directory, "sshd_config")]

    def url(self, path):
        return "sftp://%s@127.0.0.1:%d%s" % (self.user, self.port, path)

    @staticmethod
    def is_there():
        path = os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin"
        return shutil.which("sshd", path=path) is not None and shutil.which("ssh-keygen") is not None

    def for_program(self):
        data = os.path.join(self.directory, "data")
        os.makedirs(data)
        return {"HOME": self.home, "HF_TEST_URL": self.url(data), "HF_TEST_DATA": data,
                "HF_TEST_HOST_KEY": self.keys["ed25519"], "HF_TEST_PID": str(self.p.pid),
                "SSH_AUTH_SOCK": ""}


KINDS = {"sshd": Sshd}


def main(argv):
    if len(argv) < 3 or argv[1] != "--" or argv[0] not in KINDS:
        sys.exit("usage: servers.py %s -- PROGRAM [ARGS]" % "|".join(KINDS))
    kind = KINDS[argv[0]]
    if not kind.is_there():
        print("skipped: no %s on this machine (./dev setup)" % argv[0])
        return SKIPPED
    directory = tempfile.mkdtemp(prefix="holdfast-rig-")
    server = kind(directory)
    try:
        server.start()
        code = subprocess.run(argv[2:], env=dict(os.environ, **server.for_program())).returncode
        if code != 0:
            print("---- the server's log\n" + server.text()[-4000:])
        return code
    finally:
        server.stop()
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
