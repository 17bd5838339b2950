"""Processes of a test: run, started, waited for, stopped by pid."""
import json
import os
import signal
import subprocess
import time


class Result:
    """What a command that ran to its end left behind."""

    def __init__(self, argv, code, out, err):
        self.argv, self.code, self.out, self.err = argv, code, out, err

    def json(self):
        return json.loads(self.out)

    def ok(self):
        assert self.code == 0, "%s\nexit %d\n%s%s" % (" ".join(self.argv), self.code, self.out, self.err)
        return self

    def failed(self, code, *words):
        """It ended with this code and said all of these words, on one line, to stderr."""
        what = "%s\nexit %d\n%s%s" % (" ".join(self.argv), self.code, self.out, self.err)
        assert self.code == code, what
        for w in words:
            assert w in self.err, "%r is not in: %s" % (w, what)
        return self


class Running:
    """A background process; its stdout and stderr go to one file."""

    def __init__(self, argv, log, env, cwd):
        self.argv, self.log = argv, log
        self.file = open(log, "ab")
        self.p = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=self.file, stderr=self.file,
                                  env=env, cwd=cwd)
        self.pid = self.p.pid

    @property
    def alive(self):
        return self.p.poll() is None

    def text(self):
        with open(self.log, errors="replace") as f:
            return f.read()

    def signal(self, sig):
        if self.alive:
            os.kill(self.pid, sig)

    def wait(self, timeout=30):
        code = self.p.wait(timeout)
        self.file.close()
        return code

    def stop(self, timeout=30):
        """SIGTERM, and the exit code; SIGKILL and a failed test when that takes too long."""
        self.signal(signal.SIGTERM)
        try:
            return self.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError("did not stop in %d s:\n%s" % (timeout, self.text()[-2000:])) from None

    def kill(self):
        self.signal(signal.SIGKILL)
        return self.wait()


class Group:
    """Everything one test started."""

    def __init__(self, directory):
        self.directory = directory
        self.all = []
        self.finished = []

    def start(self, argv, env=None, cwd=None):
        log = os.path.join(self.directory, "proc%d.log" % len(self.all))
        r = Running([str(a) for a in argv], log, dict(os.environ, **(env or {})), cwd)
        self.all.append(r)
        return r

    def run(self, argv, env=None, cwd=None, timeout=60):
        argv = [str(a) for a in argv]
        r = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                           errors="replace", env=dict(os.environ, **(env or {})), cwd=cwd, timeout=timeout)
        self.finished.append((argv[0], r.stdout + r.stderr))
        return Result(argv, r.returncode, r.stdout, r.stderr)

    def stop_all(self):
        for r in self.all:
            if r.alive:
                r.kill()

    def outputs(self):
        return self.finished + [(r.argv[0], r.text()) for r in self.all]


class Program:
    """A binary: call it to run it to its end, start() it to leave it running."""

    def __init__(self, path, group):
        self.path, self.group = path, group

    def __call__(self, *args, **how):
        return self.group.run([self.path, *args], **how)

    def start(self, *args, **how):
        return self.group.start([self.path, *args], **how)


def wait_until(condition, timeout=20, every=0.02, why=""):
    """Until condition() is true; its value. Fails with why() or why when time is up."""
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError("not within %g s: %s" % (timeout, why() if callable(why) else why))
        time.sleep(every)
