"""Real servers for tests, on loopback, on free ports, as ordinary child processes.

Used by the end-to-end fixtures and, for unit tests in C, by

    python3 servers.py KIND -- PROGRAM ARGS

which starts one server, tells the program about it in the environment, and ends as the program
does. Every server is stopped by process id, with what it has started.
"""
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request

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

    def pause(self):
        os.kill(self.p.pid, signal.SIGSTOP)

    def resume(self):
        os.kill(self.p.pid, signal.SIGCONT)

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


ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


class Moto(Server):
    """moto's S3, with its authentication on: it checks every signature. It takes one request at a time: with two
    threads in it both of two create-only puts may win, which is moto's fault alone."""

    program = os.path.join(ROOT, ".venv", "bin", "moto_server")
    one_by_one = os.path.join(ROOT, "tests", "rig", "moto_one_by_one.py")
    bucket = "holdfast-test"
    policy = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"}]}'
    setup = 4  # requests of prepare(): after so many moto begins to check

    def argv(self):
        return [os.path.join(os.path.dirname(self.program), "python"), self.one_by_one, "-H", "127.0.0.1", "-p",
                str(self.port)]

    def environment(self):
        return dict(os.environ, INITIAL_NO_AUTH_ACTION_COUNT=str(self.setup), MOTO_S3_CUSTOM_ENDPOINTS="")

    def start(self):
        super().start()
        self.prepare()
        return self

    def ask(self, service, method, path, form=None):
        """Before moto checks it only looks at which service is meant."""
        r = urllib.request.Request(self.endpoint + path, method=method,
                                   data=urllib.parse.urlencode(form).encode() if form else None)
        r.add_header("Authorization", "AWS4-HMAC-SHA256 Credential=setup/20200101/us-east-1/%s/aws4_request, "
                                      "SignedHeaders=host, Signature=0" % service)
        with urllib.request.urlopen(r, timeout=30) as answer:
            return answer.read().decode()

    def prepare(self):
        iam = {"Version": "2010-05-08", "UserName": "holdfast"}
        self.ask("iam", "POST", "/", dict(iam, Action="CreateUser"))
        self.ask("iam", "POST", "/", dict(iam, Action="PutUserPolicy", PolicyName="all",
                                          PolicyDocument=self.policy))
        text = self.ask("iam", "POST", "/", dict(iam, Action="CreateAccessKey"))
        self.key_id = re.search("<AccessKeyId>(.*?)<", text)[1]
        self.secret = re.search("<SecretAccessKey>(.*?)<", text)[1]
        self.ask("s3", "PUT", "/" + self.bucket)

    @property
    def endpoint(self):
        return "http://127.0.0.1:%d" % self.port

    @classmethod
    def is_there(cls):
        return os.access(cls.program, os.X_OK)

    def url(self, path):
        return "s3://%s%s?endpoint=%s&region=us-east-1" % (self.bucket, path, self.endpoint)

    def credentials(self):
        return {"AWS_ACCESS_KEY_ID": self.key_id, "AWS_SECRET_ACCESS_KEY": self.secret}

    def for_program(self):
        return dict(self.credentials(), HF_TEST_BUCKET=self.bucket, HF_TEST_ENDPOINT=self.endpoint)


class S3s(Server):
    """s3s-fs, objects as files behind an implementation of S3 of its own: it checks every signature and
    honours conditions (a name is looked for first and written then: two puts at once may both win)."""

    program = os.path.join(ROOT, ".cache", "s3s", "bin", "s3s-fs")
    bucket = "holdfast-test"
    key_id, secret = "S3S-KEY-OF-OURS", "s3s/secret+of=ours"

    def argv(self):
        os.makedirs(os.path.join(self.directory, "data", self.bucket), exist_ok=True)
        return [self.program, "--host", "127.0.0.1", "--port", str(self.port), "--access-key", self.key_id,
                "--secret-key", self.secret, os.path.join(self.directory, "data")]

    @property
    def endpoint(self):
        return "http://127.0.0.1:%d" % self.port

    @classmethod
    def is_there(cls):
        return os.access(cls.program, os.X_OK)

    url, credentials = Moto.url, Moto.credentials

    def for_program(self):
        return dict(Moto.for_program(self), HF_TEST_RACY="1")


class S3rver(Server):
    """An S3 that ignores If-None-Match: what must be refused."""

    program = os.path.join(ROOT, ".cache", "node", "node_modules", "s3rver", "bin", "s3rver.js")
    bucket = "holdfast-test"

    def argv(self):
        return ["node", self.program, "-d", self.directory, "-a", "127.0.0.1", "-p", str(self.port),
                "--silent", "--configure-bucket", self.bucket]

    @property
    def endpoint(self):
        return "http://127.0.0.1:%d" % self.port

    @classmethod
    def is_there(cls):
        return os.path.exists(cls.program) and shutil.which("node") is not None

    def for_program(self):
        return {"AWS_ACCESS_KEY_ID": "S3RVER", "AWS_SECRET_ACCESS_KEY": "S3RVER",
                "HF_TEST_BUCKET": self.bucket, "HF_TEST_ENDPOINT": self.endpoint, "HF_TEST_IGNORES": "1"}


KINDS = {"sshd": Sshd, "moto": Moto, "s3s": S3s, "s3rver": S3rver}


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
