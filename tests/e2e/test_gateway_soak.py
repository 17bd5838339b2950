"""Load with random faults: nothing leaks, nothing is stuck, everything is counted once.

Two hosts that misbehave by chance, each now and then killed or stopped; clients of all dialects, some of
which leave; keys with a budget, without one, and with one that runs out; the configuration is read anew in
between. Two hours with ./dev test --long, seconds otherwise. The journal is compared with what every client
was told.
"""
import concurrent.futures
import http.client
import json
import os
import random
import re
import signal
import sqlite3
import threading
import time

import procs
import pytest
from gatewaykit import KINDS, PATHS, TEXT, Fake, Gateway, body_of

SOUND = ["ok", "bytes", "slow", "crlf", "cut-after-end", "finish-twice", "usage-none"]
FAULTS = ["500", "503", "429-ms", "reset", "error-first", "error-later", "cut-first", "cut-later", "no-end", "empty",
          "nonsense", "hang-middle", "404", "reset-later", "400", "utf8", "length-short"]
NAMES = SOUND * 3 + FAULTS
KEYS = ["kim", "kim", "kim", "bot", "bot", "poor"]  # with a budget, without one, with one that runs out
POOR = 20000  # millionths
PRICES = {"a": (1, 10), "b": (3, 20)}  # a token in and out, in millionths


def told_usage(front, stream, raw):
    """Tokens in and out as the client was told, or None."""
    lines = raw.decode().splitlines() if stream else [raw.decode()]
    events = [json.loads(x.removeprefix("data: ")) for x in lines if x.removeprefix("data: ").startswith("{")]
    if front == "ollama":
        return events[-1].get("prompt_eval_count", 0), events[-1].get("eval_count", 0)
    usage = {}
    for e in events:
        usage.update(e.get("message", {}).get("usage", {}) if front == "anthropic" else {})
        usage.update(e.get("usage") or {})
    names = ("prompt_tokens", "completion_tokens") if front == "openai" else ("input_tokens", "output_tokens")
    return tuple(usage.get(n, 0) for n in names)


class Client(threading.Thread):
    """Asks until told to stop; every answer is whole, or says aloud that it is not."""

    def __init__(self, g, seed, counts, stop, pause):
        super().__init__(daemon=True)
        self.g, self.random, self.counts, self.stop, self.wrong = g, random.Random(seed), counts, stop, []
        self.pause, self.told = pause, []

    def run(self):
        while not self.stop.wait(self.random.random() * self.pause):
            try:
                self.one()
            except Exception as e:  # noqa: BLE001 whatever it is, it belongs into the report
                self.wrong.append(repr(e)[:600])

    def one(self):
        front, stream, key = self.random.choice(KINDS), self.random.random() < .6, self.random.choice(KEYS)
        model, headers = "r-" + self.random.choice(NAMES), {"Authorization": "Bearer " + key}
        more = {"options": {"num_predict": 20}} if front == "ollama" else {"max_tokens": 20}
        if front == "openai" and stream:
            more["stream_options"] = {"include_usage": True}
        if self.random.random() < .08:
            self.leave(body_of(front, model, stream, **more), front, headers)
            return
        a = self.g.ask(front, model, stream, timeout=90, headers=headers, **more)
        kind = "whole" if a.status == 200 and a.is_done and not a.error else "cut" if a.status == 200 else "refused"
        if kind == "whole" and (a.is_cut or a.text not in (TEXT, "Hold\ufffd\ufffd")):
            self.wrong.append("not whole: %r" % vars(a))
        if kind == "cut" and not (a.error and (a.is_cut or not a.is_done)):
            self.wrong.append("a cut answer that does not say so: %r" % vars(a))
        if kind == "refused" and not a.error:
            self.wrong.append("no text: %r" % vars(a))
        self.counts[kind] += 1
        words = sum(w in a.text for w in ("Hold", " fast", ",", " friend", "."))
        usage = told_usage(front, stream, a.raw) if kind == "whole" else (0, words)
        self.told.append((a.headers["x-holdfast-request-id"], key, kind, *usage))

    def leave(self, body, front, headers):
        c = http.client.HTTPConnection("127.0.0.1", self.g.port, timeout=20)
        c.request("POST", PATHS[front], json.dumps(body), headers)
        time.sleep(self.random.random() * .2)
        c.close()
        self.counts["left"] += 1


def open_files(pid):
    return len(os.listdir("/proc/%d/fd" % pid))


def rss_mb(pid):
    with open("/proc/%d/status" % pid) as f:
        return [int(line.split()[1]) for line in f if line.startswith("VmRSS")][0] / 1024


def outcomes(g):
    return {k: int(v) for k, v in re.findall(r'holdfast_gateway_requests_total\{outcome="([^"]+)"\} (\d+)',
                                             g.get("/metrics")[1].decode())}


class Samples:
    """Memory, descriptors, threads and processor time of the gateway, a line a minute."""

    def __init__(self, g, path):
        self.g, self.path, self.start, self.rows = g, path, time.monotonic(), []
        self.take()

    def take(self):
        pid = self.g.p.pid
        with open("/proc/%d/stat" % pid) as f:
            stat = f.read().rpartition(")")[2].split()
        cpu = (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")
        self.rows.append((time.monotonic() - self.start, rss_mb(pid), open_files(pid), int(stat[17]), cpu))
        with open(self.path, "a") as f:
            f.write("%d s\t%.1f MB\t%d fds\t%d threads\t%.1f s cpu\n" % self.rows[-1])


def journal_adds_up(g, told, path):
    """What clients were told and what the journal says; the rules are those of docs/formats/usage-journal.md."""
    procs.wait_until(lambda: g.status()["journal"]["waiting"] == 0, why=lambda: json.dumps(g.status()["journal"]))
    c = sqlite3.connect("file:%s?mode=ro" % path, uri=True)
    c.execute("CREATE TEMP TABLE usage AS SELECT * FROM main.usage")  # with an index: two hours are 50,000 rows
    c.execute("CREATE INDEX temp.by_request ON usage (request)")
    c.execute("CREATE TEMP TABLE told (request PRIMARY KEY, key, kind, tokens_in, tokens_out)")
    c.executemany("INSERT INTO told VALUES (?, ?, ?, ?, ?)", told)  # an id comes once
    ask = lambda sql: c.execute(sql).fetchall()  # noqa: E731
    # A request has one last row, with the key it came with; who left may have one.
    assert ask("SELECT request, sum(is_last) n FROM usage GROUP BY 1 HAVING n <> 1") == []
    assert ask("SELECT * FROM told t WHERE NOT EXISTS (SELECT 1 FROM usage u WHERE u.request = t.request "
               "AND u.is_last AND u.key = t.key)") == []
    last = "FROM told t JOIN usage u ON u.request = t.request AND u.is_last "
    # Whole: what the host said is what the client was told, and the sums by key are the same.
    assert ask("SELECT * " + last + "WHERE (t.kind = 'whole') <> (u.outcome = 'ok')") == []
    assert ask("SELECT * " + last + "WHERE t.kind = 'whole' AND NOT u.is_estimated AND "
               "(u.tokens_in, u.tokens_out) <> (t.tokens_in, t.tokens_out)") == []
    sums = "SELECT t.key, sum(%s.tokens_in), sum(%s.tokens_out) " + last + \
        "WHERE t.kind = 'whole' AND NOT u.is_estimated GROUP BY 1"
    assert ask(sums % ("u", "u")) == ask(sums % ("t", "t"))
    # Cut, or whole without a word about usage: a try is there that is estimated, a token a piece that came at least.
    assert ask("SELECT t.* " + last + "WHERE (t.kind = 'cut' AND t.tokens_out > 0 OR t.kind = 'whole' AND "
               "u.is_estimated) AND NOT EXISTS (SELECT 1 FROM usage x WHERE x.request = t.request AND "
               "x.is_estimated AND x.tokens_in > 0 AND x.tokens_out >= t.tokens_out)") == []
    # Costs are the prices', sums are the rows', nothing is set aside, and no limit was passed.
    for host, price in PRICES.items():
        assert ask("SELECT * FROM usage WHERE host = '%s' AND micro <> tokens_in * %d + tokens_out * %d"
                   % (host, *price)) == []
    assert ask("SELECT * FROM usage WHERE host = '' AND tokens_in + tokens_out + micro <> 0") == []
    assert ask("SELECT key, sum(micro), sum(tokens_in + tokens_out) FROM usage GROUP BY 1") == \
        ask("SELECT key, sum(micro), sum(tokens) FROM spent GROUP BY 1")
    assert ask("SELECT * FROM hold") == []
    spent = dict(ask("SELECT key, sum(micro) FROM usage GROUP BY 1"))
    assert 0 < spent["poor"] <= POOR
    for account in g.status()["keys"]:
        assert float(account["cost_held"]) == 0 and account["active"] == 0, account
        assert account["name"] == "(all)" or round(float(account["cost_in_all"]) * 1e6) == spent[account["name"]]
    return ask("SELECT u.key, t.kind, u.outcome, count(*), sum(u.tokens_in), sum(u.tokens_out) " + last +
               "GROUP BY 1, 2, 3"), ask("SELECT count(*), sum(is_last), sum(is_estimated) FROM usage")


def torment(g, fakes, chance, until):
    """Kills or stops one host at a time, or has the configuration read anew."""
    while time.monotonic() < until:
        time.sleep(min(chance.uniform(1, 4), max(until - time.monotonic(), 0)))
        f = chance.choice(fakes)
        how = chance.choice(["kill", "stop", "reload", "nothing"])
        if how == "kill":
            f.p.kill()
            time.sleep(chance.uniform(.2, 2))
            f.start()
        elif how == "stop":
            f.p.signal(signal.SIGSTOP)
            time.sleep(chance.uniform(.2, 4))
            f.p.signal(signal.SIGCONT)
        elif how == "reload":
            g.p.signal(signal.SIGHUP)


@pytest.mark.timeout(8000)  # the long form
def test_soak(holdfast, running, tmp_path, is_long, seed):
    seconds = 7200 if is_long else 12
    chance = random.Random(seed)
    a, b = Fake(running), Fake(running)
    hosts = [{"name": "a", "url": a.url(), "parallel": 6, "memory": "64GB", "prewarm": ["ok"]},
             {"name": "b", "url": b.url(), "parallel": 6}]
    routes = [{"name": "r-" + n, "to": ["a/" + n, "b/" + chance.choice(SOUND + [n])]} for n in sorted(set(NAMES))]
    g = Gateway(holdfast, tmp_path, hosts, routes, **{
        "idle-timeout": "1s", "load-timeout": "5s", "probe-timeout": "1s", "pause-timeout": "5s",
        "queue-timeout": "10s", "early-commit": "2s", "journal": str(tmp_path / "usage.db"),
        "keys": [{"name": "kim", "key": "kim", "money-per-day": "1000"}, {"name": "bot", "key": "bot"},
                 {"name": "poor", "key": "poor", "money-in-all": "%.6f" % (POOR / 1e6)}],
        "prices": [{"model": h + "/*", "input": str(i), "output": str(o)} for h, (i, o) in PRICES.items()]})
    g.wait_hosts(a="up", b="up")
    counts, stop = {"whole": 0, "cut": 0, "refused": 0, "left": 0}, threading.Event()
    samples = Samples(g, tmp_path / "samples.tsv")
    # On a machine that others use, two hours must not take a whole core.
    clients = [Client(g, seed + n, counts, stop, 1.2 if is_long else 0) for n in range(10)]
    for c in clients:
        c.start()
    end = time.monotonic() + seconds
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        work = pool.submit(torment, g, [a, b], chance, end)
        while time.monotonic() < end:
            time.sleep(min(seconds / 4, 60))
            samples.take()
            assert g.p.alive, g.p.text()[-3000:]
        work.result(timeout=60)
    stop.set()
    for c in clients:
        c.join(timeout=100)
        assert not c.is_alive(), "a client got no answer: %s" % json.dumps(g.status(), indent=1)
    wrong = [w for c in clients for w in c.wrong]
    assert not wrong, "%d, e.g. %s" % (len(wrong), wrong[:3])
    # Nothing is stuck, nothing is held.
    procs.wait_until(lambda: g.status()["requests"] == 0 and g.status()["queued"] == g.status()["paused"] == 0,
                     why=lambda: json.dumps(g.status(), indent=1))
    assert all(h["active"] == 0 and all(s["active"] == 0 for s in h["slots"]) for h in g.status()["hosts"])
    assert g.status()["retries"] == 0
    # Everything is counted once; who left may have been gone before the gateway read the request.
    said, asked = sum(outcomes(g).values()), counts["whole"] + counts["cut"] + counts["refused"]
    assert asked <= said <= asked + counts["left"], (outcomes(g), counts)
    assert outcomes(g)["ok"] >= counts["whole"] > 20, (outcomes(g), counts)
    assert counts["cut"] > 0 and outcomes(g)["client-left"] > 0, counts
    assert open_files(g.p.pid) < 120
    warm = samples.rows[1][1]
    if is_long:  # the sanitizer's quarantine is full by then
        assert rss_mb(g.p.pid) < warm * 1.5 + 64, samples.rows
    print("soak:", counts, outcomes(g), "rss", warm, rss_mb(g.p.pid), samples.path)
    print("journal:", *journal_adds_up(g, [t for c in clients for t in c.told], tmp_path / "usage.db"), sep="\n")
    g.wait_hosts(a="up", b="up")
    for front in KINDS:
        g.ask(front, "r-ok", True, headers={"Authorization": "Bearer bot"}).whole()


