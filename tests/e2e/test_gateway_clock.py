"""A wall clock that is set, back and forth, while the gateway runs (libfaketime): days of budgets, ends of overrides and
times in the journal follow it, whatever waits does not."""
import concurrent.futures
import datetime
import glob
import json
import os
import signal
import sqlite3
import time
import zoneinfo

import procs
import pytest
from gatewaykit import TEXT, Answer, Fake, Gateway

LIBRARY = "/usr/lib/*/faketime/libfaketime.so.1"
DAY = 86400


class Clock:
    def __init__(self, path):
        self.path = path
        self.set(0)

    def set(self, seconds):
        """So far from the true time."""
        new = self.path.with_suffix(".new")
        new.write_text("%+d\n" % seconds)
        new.rename(self.path)
        self.off = seconds

    def now(self):
        return time.time() + self.off


@pytest.fixture
def clock(tmp_path):
    found = glob.glob(LIBRARY)
    if not found:
        pytest.skip("skipped: needs libfaketime (apt-get install libfaketime)")
    c = Clock(tmp_path / "clock")
    c.env = {"LD_PRELOAD": found[0], "FAKETIME_TIMESTAMP_FILE": str(c.path), "FAKETIME_NO_CACHE": "1",
             "DONT_FAKE_MONOTONIC": "1", "ASAN_OPTIONS": "verify_asan_link_order=0"}
    return c


@pytest.fixture
def house(make):
    return make()


@pytest.fixture
def make(holdfast, running, tmp_path, clock):
    return lambda **keys: start(holdfast, running, tmp_path, clock, keys)


def start(holdfast, running, tmp_path, clock, keys):
    a, b = Fake(running), Fake(running)
    Jumping = type("Jumping", (Gateway,), {"env": clock.env})
    g = Jumping(holdfast, tmp_path, [{"name": "a", "url": a.url(), "parallel": 8}, {"name": "b", "url": b.url()}],
                [{"name": n, "to": ["a/" + n, "b/ok"]} for n in ("ok", "slow", "forever", "hang")],
                **{"journal": str(tmp_path / "usage.db"), "override-file": str(tmp_path / "override.json"),
                   "keys": [{"name": "kim", "key": "kim", "money-per-day": "0.002"}],
                   "prices": [{"model": "a/*", "input": 0, "output": 10}], **keys})
    g.a, g.db = a, str(tmp_path / "usage.db")
    g.wait_hosts(a="up", b="up")
    return g


def ask(g, model="ok", stream=False, tokens=5):
    return Answer(g.port, "openai", model, stream, headers={"Authorization": "Bearer kim"}, max_tokens=tokens)


def kim(g):
    return [k for k in g.status()["keys"] if k["name"] == "kim"][0]


def rows(g):
    c = sqlite3.connect("file:%s?mode=ro" % g.db, uri=True)
    try:
        return c.execute("SELECT at_ms / 1000, day FROM usage ORDER BY id").fetchall()
    finally:
        c.close()


def test_days_of_a_budget(house, clock):
    g = house
    today = int(clock.now() // DAY)
    for _ in range(3):
        ask(g).whole("a")
    assert kim(g)["cost_today"] == "0.00015"
    clock.set(DAY)
    assert kim(g)["cost_today"] == "0"  # the next day has money of its own
    ask(g).whole("a")
    assert ask(g, tokens=196).headers["x-holdfast-host"] == "b"  # and no more than that
    assert kim(g)["cost_in_all"] == "0.0002"
    # Back: no day comes twice, or its money would be spent twice.
    clock.set(-3 * DAY)
    assert kim(g)["cost_today"] == "0.00005"
    ask(g).whole("a")
    assert kim(g)["cost_today"] == "0.0001"
    procs.wait_until(lambda: len(rows(g)) == 6)
    days = [day - today for _, day in rows(g)]
    assert days in ([0, 0, 0, 1, 1, 1], [0, 0, 0, 2, 2, 2]), days  # the test may run over midnight
    assert abs(rows(g)[-1][0] - clock.now()) < 60  # at which time it was, as the clock said then
    clock.set(2 * DAY)
    assert kim(g)["cost_today"] == "0"
    assert "unsettled" not in g.p.text() and rows_held(g) == 0


def rows_held(g):
    c = sqlite3.connect("file:%s?mode=ro" % g.db, uri=True)
    try:
        return c.execute("SELECT count(*) FROM hold").fetchone()[0]
    finally:
        c.close()


def test_a_zone_by_name_has_days_of_23_hours(make, clock):
    if not os.path.exists("/usr/share/zoneinfo/Europe/Berlin"):
        pytest.skip("skipped: needs tzdata")
    g = make(**{"budget-zone": "Europe/Berlin"})
    here = zoneinfo.ZoneInfo("Europe/Berlin")
    for day in (datetime.datetime(2030, 3, 30, 12), datetime.datetime(2030, 3, 31, 12), datetime.datetime(2030, 10, 27, 12)):
        clock.set(int(day.replace(tzinfo=here).timestamp() - time.time()))
        ask(g).whole("a")
        midnight = (day + datetime.timedelta(days=1)).replace(hour=0, tzinfo=here).astimezone(datetime.timezone.utc)
        assert kim(g)["budgets"][0]["resets"] == midnight.strftime("%Y-%m-%dT%H:%M:%S.000Z")
        assert kim(g)["cost_today"] == "0.00005"
    with open(g.file) as f:
        conf = json.load(f)
    conf["gateway"]["budget-zone"] = "Europe/London"
    with open(g.file, "w") as f:
        json.dump(conf, f)
    g.p.signal(signal.SIGHUP)
    procs.wait_until(lambda: "Europe/London counts only after a restart" in g.p.text())


def test_what_waits_does_not_see_it(house, clock):
    g = house
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        calls = [pool.submit(ask, g, "slow", stream) for stream in (True, False)]
        long = pool.submit(ask, g, "hang")
        time.sleep(0.2)
        for off in (400 * DAY, -30 * DAY, 0, 7200):
            clock.set(off)
            time.sleep(0.15)
            ask(g).whole("a")
        for c in calls:
            c.result().whole("a")
        assert not long.done() and all(h["state"] == "up" for h in g.status()["hosts"])
        g.a.p.kill()
        assert long.result().whole("b").text == TEXT


def test_ends_of_overrides(house, clock):
    g = house
    g.cli("override", "set", "a", "--for", "2h", "--why", "fan", "--by", "kim").ok()
    g.wait_hosts(a="drained")
    ask(g).whole("b")
    clock.set(3600)
    time.sleep(0.3)
    ask(g).whole("b")
    clock.set(3 * 3600)
    g.wait_hosts(a="up")
    ask(g).whole("a")
    assert json.loads(g.get("/holdfast/override")[1])
