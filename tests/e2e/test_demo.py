"""The demo keeps its promises, notices when one is broken, and leaves nothing behind."""
import glob
import json
import os
import pty
import re
import signal
import sqlite3
import subprocess
import sys
import time

import pytest

import procs
from conftest import SANITIZER

QUICK = ["--seconds", "2", "--sync-interval", "100ms"]
PROMISES = {"rto", "rpo", "wal", "prefix", "same", "integrity", "point_in_time"}


def processes_of(directory):
    """Of this test: the directory is on their command line."""
    found = []
    for p in glob.glob("/proc/[0-9]*/cmdline"):
        try:
            with open(p, "rb") as f:
                line = f.read().replace(b"\0", b" ").decode(errors="replace")
            with open(os.path.dirname(p) + "/stat") as f:
                state = f.read().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if str(directory) in line and state != "Z":
            found.append("%s %s" % (p.split("/")[2], line))
    return found


def assert_gone(directory):
    procs.wait_until(lambda: not processes_of(directory), 5, why=lambda: processes_of(directory))
    assert not glob.glob("%s/holdfast-demo-*" % directory)


def test_json(holdfast, tmp_path):
    began = time.monotonic()
    r = holdfast("demo", "--json", "--dir", tmp_path, *QUICK).ok()
    j = r.json()
    assert j["schema"] == "holdfast.demo/1" and j["ok"] is True and j["broken"] == []
    assert {p["name"] for p in j["promises"]} == PROMISES
    assert all(p["kept"] for p in j["promises"])
    assert j["commits_acknowledged"] > 100
    assert j["commits_lost"] == max(0, j["commits_acknowledged"] - j["commits_on_standby"])
    assert 0 <= j["rpo_ms"] <= 1100 and 0 < j["rto_ms"] <= 5000
    assert 0 < j["wal_peak_bytes"] <= 32 << 20
    assert 0 < j["point_in_time"]["commits"] <= j["commits_on_standby"]
    assert j["duration_ms"] <= (time.monotonic() - began) * 1000
    assert r.err == ""
    assert_gone(tmp_path)


def test_plain_text_and_keep(holdfast, tmp_path):
    """The kept folder shows what the words say."""
    odd = tmp_path / "it's a folder"
    odd.mkdir()
    r = holdfast("demo", "--keep", "--dir", odd, *QUICK).ok()
    assert "\033" not in r.out and "\r" not in r.out
    assert all(len(l) <= 80 or str(odd) in l for l in r.out.splitlines()), r.out
    assert "All 7 promises kept" in r.out and "BROKEN" not in r.out
    assert len(re.findall(r"^ +\d+\.\d s .* MB|KB$", r.out, re.M)) >= 2
    acked = re.search(r"All ([\d,]+) acknowledged|([\d,]+) commits were acknowledged", r.out)
    acked = int((acked[1] or acked[2]).replace(",", ""))
    (root,) = glob.glob("%s/holdfast-demo-*" % odd)
    c = sqlite3.connect(root + "/standby/app.db")
    n, top, low = c.execute("SELECT count(*), max(seq), min(seq) FROM orders").fetchone()
    assert (n, low) == (top, 1) and 0 < top <= acked + 2
    c.close()
    assert os.path.getsize(root + "/acknowledged") == acked * 16
    assert not os.path.exists(root + "/primary")
    for log in glob.glob(root + "/*.log"):
        with open(log, errors="replace") as f:
            assert not SANITIZER.search(f.read()), log
    procs.wait_until(lambda: not processes_of(tmp_path), 5, why=lambda: processes_of(tmp_path))


@pytest.mark.parametrize("how, broken", [
    ("stall", {"rpo"}),             # the follower stands still: more is lost than promised
    ("gap", {"prefix", "same"}),    # a commit in the middle is missing
    ("edit", {"same"}),             # a row is not what it was
])
def test_broken_promise(holdfast, tmp_path, how, broken):
    r = holdfast("demo", "--json", "--dir", tmp_path, "--seconds", "3", "--sync-interval", "50ms",
                 "--break", how)
    r.failed(70, "broken: ", *broken)
    assert r.json()["ok"] is False
    assert broken <= set(r.json()["broken"]) <= broken | {"rto"}
    assert_gone(tmp_path)


def test_broken_promise_in_words(holdfast, tmp_path):
    r = holdfast("demo", "--dir", tmp_path, "--seconds", "1", "--sync-interval", "50ms", "--break", "gap")
    r.failed(70, "prefix", "is missing")
    assert "BROKEN" in r.out and "All" not in r.out.splitlines()[-1]


@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("when", ["writer.log", "replicate.log", "follow.log"])
def test_stopped_by_a_signal(holdfast, tmp_path, sig, when):
    p = holdfast.start("demo", "--dir", tmp_path, "--seconds", "60")
    procs.wait_until(lambda: glob.glob("%s/holdfast-demo-*/%s" % (tmp_path, when)), why=p.text)
    p.signal(sig)
    assert p.wait(10) == 14
    assert "stopped" in p.text()
    assert_gone(tmp_path)


@pytest.mark.skipif(sys.platform != "linux", reason="children die with their parent on Linux only")
def test_killed(holdfast, tmp_path):
    p = holdfast.start("demo", "--dir", tmp_path, "--seconds", "60")
    procs.wait_until(lambda: "standby behind" in p.text(), why=p.text)
    there = processes_of(tmp_path)
    assert len(there) >= 4, "\n".join(there)
    p.kill()
    procs.wait_until(lambda: not processes_of(tmp_path), 5, why=lambda: processes_of(tmp_path))


def test_a_child_that_dies_is_named(holdfast, tmp_path):
    p = holdfast.start("demo", "--dir", tmp_path, "--seconds", "60")
    procs.wait_until(lambda: "standby behind" in p.text(), why=p.text)
    (follower,) = [int(l.split()[0]) for l in processes_of(tmp_path) if " restore -f " in l]
    os.kill(follower, signal.SIGKILL)
    assert p.wait(10) == 70
    assert "follow ended by itself (killed by signal 9" in p.text()
    assert_gone(tmp_path)


@pytest.mark.parametrize("no_color", [False, True])
def test_on_a_terminal(holdfast, tmp_path, no_color):
    """One line that is drawn anew; colours unless NO_COLOR."""
    parent, child = pty.openpty()
    env = dict(os.environ, TERM="xterm", NO_COLOR="1" if no_color else "")
    p = subprocess.Popen([holdfast.path, "demo", "--dir", str(tmp_path), *QUICK], stdout=child,
                         stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, env=env)
    os.close(child)
    out = b""
    while True:
        try:
            part = os.read(parent, 65536)
        except OSError:     # the other end is closed
            break
        if not part:
            break
        out += part
    assert p.wait(30) == 0, p.stderr.read()
    p.stderr.close()
    os.close(parent)
    text = out.decode()
    assert text.count("\r    ") > 10
    assert ("\033[32m" in text) is not no_color
    assert all(len(re.sub(r"\033\[\d*[mK]", "", part)) <= 80 for l in text.split("\n")
               for part in l.split("\r") if str(tmp_path) not in part)


def test_bad_flags(holdfast, tmp_path):
    holdfast("demo", "--dir", tmp_path / "nope").failed(3, "nope")
    (tmp_path / "file").write_text("x")
    holdfast("demo", "--dir", tmp_path / "file").failed(2, "not a directory")
    holdfast("demo", "--seconds", "0").failed(2, "seconds")
    holdfast("demo", "--rate", "lots").failed(2, "rate")
    assert "--break" not in holdfast("help", "demo").ok().out


def test_json_is_all_of_stdout(holdfast, tmp_path):
    r = holdfast("demo", "--json", "--dir", tmp_path, "--seconds", "1", "--rate", "20",
                 "--sync-interval", "20ms").ok()
    assert json.loads(r.out)["settings"] == {"seconds": 1, "rate": 20, "sync_interval_ms": 20}
