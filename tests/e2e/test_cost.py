"""cost: on the reference fleet by assumption, by what a replica holds, and by what a running process
has counted; and the model against the requests that were really made."""
import json
import math
import os
import re
import urllib.request

import pytest

import azure
import procs
import replicas

MONTH = 2629800.0
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FLEET = os.path.join(ROOT, "tests/fixtures/fleet/litestream.yml")
SUMS = ("writes", "reads", "lists", "sent_bytes", "kept_bytes")


def uploads(commits, sync):
    return 1 / (sync + math.exp(-commits * sync) / commits)


def prices():
    with open(os.path.join(ROOT, "packaging/prices.json")) as f:
        return {t["id"]: t for t in json.load(f)["tables"]}


def test_reference_fleet(holdfast, tmp_path):
    env = {"FLEET_DATA": str(tmp_path)}
    args = ["cost", "-config", FLEET, "--writes-per-second", "0.5", "--db-size", "20MB"]
    got = holdfast(*args, "--json", env=env).ok().json()
    dbs = got["databases"]
    assert got["schema"] == "holdfast.cost/1" and len(dbs) == 69
    assert got["provider"] == "azure" and {d["from"] for d in dbs} == {"assumed"}
    fast = [d for d in dbs if abs(d["uploads_per_second"] - uploads(0.5, 1)) < 1e-6]
    assert len(fast) > 10
    # One upload each, and the levels on top: 2880 + 288 + 24 files a day and a snapshot in four calls.
    assert fast[0]["writes"] == pytest.approx(MONTH * uploads(0.5, 1) + MONTH / 86400 * (2880 + 288 + 24 + 4), rel=0.01)
    for key in SUMS:
        assert got["total"][key] == pytest.approx(sum(d[key] for d in dbs), rel=1e-5)
    p, t = prices()["r2"], got["total"]
    gb = t["kept_bytes"] / 1e9
    want = (max(gb - 10, 0) * p["storage_gb"] + (t["writes"] - 1e6) / 1e6 * p["writes_million"]
            + max(t["reads"] - 1e7, 0) / 1e6 * p["reads_million"] + t["lists"] / 1e6 * p["lists_million"])
    assert t["dollars"]["r2"] == pytest.approx(want, rel=1e-3)
    assert set(t["dollars"]) == {"azure", "s3", "r2", "b2"}
    saved = [s["dollars"] for s in got["savings"]]
    assert saved == sorted(saved, reverse=True) and saved[0] > 0
    assert "sync-interval" in {s["key"] for s in got["savings"]}
    # The text says the same.
    text = holdfast(*args, env=env).ok().out
    assert "less what is free" in text and "$%d." % t["dollars"]["azure"] in text
    assert re.search(r"\$%d\.\d\d +%s: " % (saved[0], got["savings"][0]["key"]), text), text


def test_wrong_use(holdfast, tmp_path):
    db, c = str(tmp_path / "a.db"), str(tmp_path / "c.yml")
    replicas.config(c, {db: str(tmp_path / "rep")})
    holdfast("cost", "-config", c, "--writes-per-second", "many").failed(2, "'many' is not a number")
    holdfast("cost", "-config", c, "--db-size", "big").failed(2, "--db-size")
    holdfast("cost", "-config", c, "--provider", "azur").failed(2, "did you mean azure")
    holdfast("cost", "-config", c, "--prices", c).failed(2, "c.yml")
    holdfast("cost", "-config", c, "--socket", str(tmp_path / "none.sock")).failed(3, "none.sock")
    # What can't be known is said, and costs nothing.
    said = holdfast("cost", "-config", c).ok().err
    assert said.count("counted as idle") == 1 and "--writes-per-second" in said, said
    r = holdfast("cost", "-config", c, "--json").ok().json()
    assert r["databases"][0]["from"] == "unknown" and "empty" in r["databases"][0]["error"]
    assert r["total"]["writes"] == 0


def test_tiers_and_own_prices(holdfast, tmp_path):
    c, mine = str(tmp_path / "c.yml"), str(tmp_path / "mine.json")
    dbs = ["    - {path: %s/%d.db, tier: %s, replica: {path: %s/rep%d}}" % (tmp_path, i, t, tmp_path, i)
           for i, t in enumerate(["hot", "hot", "cold"])]
    with open(c, "w") as f:
        f.write("tiers:\n  hot: {sync-interval: 1s}\n  cold: {sync-interval: 60s}\ndbs:\n%s\n" % "\n".join(dbs))
    with open(mine, "w") as f:
        json.dump({"tables": [dict(prices()["s3"], id="mine", writes_million=1000)]}, f)
    r = holdfast("cost", "-config", c, "--writes-per-second", "3", "--prices", mine, "--json").ok().json()
    assert set(r["tiers"]) == {"hot", "cold"} and r["provider"] == "mine"
    assert r["tiers"]["hot"]["writes"] > 20 * r["tiers"]["cold"]["writes"]
    best = r["savings"][0]
    assert best["key"] in ("sync-interval", "tiers") and best["dollars"] > 0.7 * r["total"]["dollars"]["mine"]
    by_tier = {s["change"].split()[-1]: s["dollars"] for s in r["savings"] if s["key"] == "tiers"}
    assert by_tier["hot"] > by_tier["cold"] > 0


def test_measured(holdfast, make_db, writer, tmp_path):
    """Against Azurite: what a running process counts, what its replica tells afterwards, and the
    requests that the model says this takes against those that were made."""
    (tmp_path / "azurite").mkdir()
    server = azure.Azurite(tmp_path / "azurite")
    try:
        measured(holdfast, make_db, writer, tmp_path, azure.Container(server.port, "cost"))
    finally:
        server.kill()


def operations(port):
    text = urllib.request.urlopen("http://127.0.0.1:%d/metrics" % port, timeout=10).read().decode()
    found = re.findall(r'litestream_replica_operation_total\{replica_type="abs",operation="(\w+)"\} (\S+)', text)
    return {k: float(v) for k, v in found}


def measured(holdfast, make_db, writer, tmp_path, container):
    db, c, sock, port = make_db(rows=100), str(tmp_path / "c.yml"), str(tmp_path / "s.sock"), azure.free_port()
    replicas.config(c, {db: azure.replica(container, "app", **{"sync-interval": "500ms"})}, **{
        "addr": "127.0.0.1:%d" % port, "socket": {"enabled": True, "path": sock},
        "levels": [{"interval": "3s"}], "l0-retention": "10m", "snapshot": {"interval": "20m", "retention": "10m"}})
    p = holdfast.start("replicate", "-config", c)
    procs.wait_until(lambda: container.top("app") > 0, why=p.text)
    w = writer(db, rate=40, seconds=14)
    w.wait()
    r = holdfast("cost", "-config", c, "--json").ok().json()
    got = r["databases"][0]
    assert got["from"] == "running", r
    s = holdfast("info", "-socket", sock, "-json").ok().json()["uptime_seconds"]
    made = operations(port)
    told = {"PUT": got["writes"] / MONTH * s, "GET": got["reads"] / MONTH * s, "LIST": got["lists"] / MONTH * s}
    # Start-up, the first snapshot and whole intervals make it inexact over half a minute.
    for op, n in told.items():
        assert n / 2 - 15 < made.get(op, 0) < n * 2 + 30, (told, made)
    assert p.stop() == 0, p.text()
    later = holdfast("cost", "-config", c, "--json").ok().json()["databases"][0]
    assert later["from"] == "history"
    assert later["uploads_per_second"] == pytest.approx(got["uploads_per_second"], rel=0.8)
    assert later["snapshot_bytes"] > 1000
