"""The control socket, the metrics address and status: the real Litestream's client talks to us, ours to it."""
import http.client
import json
import os
import re
import shutil
import socket
import stat
import urllib.error
import urllib.request

import pytest

import dbtool
import procs
import replicas


class Unix(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=30)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(30)
        self.sock.connect(self.path)


def ask(sock, method, target, body=None):
    """(status, JSON) of one request."""
    c = Unix(sock)
    c.request(method, target, body if body is None or isinstance(body, (str, bytes)) else json.dumps(body))
    r = c.getresponse()
    text = r.read()
    c.close()
    return r.status, json.loads(text)


def get(url):
    try:
        with urllib.request.urlopen(url, timeout=30) as r:
            return r.status, r.headers["Content-Type"], r.read().decode()
    except urllib.error.HTTPError as e:
        return e.code, e.headers["Content-Type"], e.read().decode()


class Served:
    """replicate with a control socket and metrics, one database, and one that is not configured."""

    def __init__(self, program, make_db, tmp_path, name="app"):
        self.db, self.other = make_db("%s.db" % name), make_db("%s-other.db" % name)
        self.rep = str(tmp_path / (name + "-rep"))
        self.sock = str(tmp_path / (name + ".sock"))
        self.conf = str(tmp_path / (name + ".yml"))
        replicas.config(self.conf, {self.db: {"path": self.rep, "sync-interval": "1s"}}, addr='"127.0.0.1:0"',
                        **{"shutdown-sync-timeout": "2s"},
                        socket={"enabled": True, "path": self.sock, "permissions": "0640"})
        self.program = program
        self.start()

    def start(self):
        self.p = self.program.start("replicate", "-config", self.conf)
        procs.wait_until(lambda: self.txid() >= 1, why=self.p.text)

    def txid(self):
        try:
            Unix(self.sock).connect()
        except OSError:
            return 0
        return ask(self.sock, "GET", "/txid?path=" + self.db)[1].get("txid", 0)

    def metrics_url(self):
        return "http://" + re.search(r"msg=metrics addr=(\S+)", self.p.text())[1]


@pytest.fixture
def served(holdfast, make_db, tmp_path):
    s = Served(holdfast, make_db, tmp_path)
    yield s
    if s.p.alive:
        assert s.p.stop() == 0
    assert not os.path.exists(s.sock)


def talk(program, sock, db, other, url):
    """What a client and a server say to each other, whoever they are: the words that must agree."""
    def run(*args):
        return program(args[0], "-socket", sock, *args[1:]).ok().out
    said = ["%s [replicating]" % db in run("list")]
    said.append(json.loads(run("info", "-json"))["database_count"])
    dbtool.commit(db)
    got = json.loads(run("sync", "-wait", "-json", db))
    said += [got["db_path"] == db, got["txid"] == got["replica_txid"], got["txid"] >= 2, sorted(got)]
    got = json.loads(run("stop", "-json", db))
    said += [got["status"], got["state"], got["db_path"] == db, sorted(got)]
    said.append("%s [stopped]" % db in run("list"))
    said.append(program("sync", "-socket", sock, db).code != 0)
    said += [json.loads(run("stop", "-json", db))["status"], json.loads(run("start", "-json", db))["status"],
             json.loads(run("start", "-json", db))["status"]]
    got = json.loads(run("register", "-json", "-replica", url, other))
    said += [got["status"], got["replica"] == url, sorted(got)]
    said.append(json.loads(run("register", "-json", "-replica", url, other))["status"])
    said.append(len(json.loads(run("list", "-json"))["databases"]))
    got = json.loads(run("unregister", "-json", other))
    said += [got["status"], sorted(got)]
    said.append(json.loads(run("unregister", "-json", other))["status"])
    said.append(len(json.loads(run("list", "-json"))["databases"]))
    said.append("info" in run("info").lower() or "pid" in run("info").lower())
    return said


def test_both_clients_and_both_servers_agree(served, holdfast, litestream, make_db, tmp_path):
    theirs = Served(litestream, make_db, tmp_path, "theirs")
    said = [talk(client, s.sock, s.db, s.other, "file://%s-%d" % (s.other, i))
            for s in (theirs, served) for i, client in enumerate((litestream, holdfast))]
    for other in said[1:]:
        assert other == said[0]
    assert theirs.p.stop() == 0


def test_status_shows_what_was_registered(served, holdfast):
    """It stands in no file: status left it out, whatever state it was in."""
    holdfast("register", "-socket", served.sock, "-replica", "file://%s-rep" % served.other, served.other).ok()
    rows = json.loads(holdfast("status", "--json", "-config", served.conf).ok().out)["databases"]
    assert [r["path"] for r in rows] == [served.db, served.other]
    assert rows[1]["live"][0]["state"], rows
    assert served.other in holdfast("status", "-config", served.conf).ok().out
    one = json.loads(holdfast("status", "--json", "-config", served.conf, served.db).ok().out)["databases"]
    assert [r["path"] for r in one] == [served.db]


@pytest.mark.parametrize("method,target,body,status,text", [
    ("POST", "/start", "x", 400, "invalid request body"),
    ("POST", "/start", "[]", 400, "invalid request body"),
    ("POST", "/start", {}, 400, "path required"),
    ("POST", "/sync", {"path": "/nope"}, 404, "database not found: /nope"),
    ("POST", "/stop", {"path": "/nope"}, 404, "database not found: /nope"),
    ("POST", "/start", {"path": "/nope"}, 404, "database not found: /nope"),
    ("POST", "/sync", {"path": "/nope", "timeout": -1}, 400, "invalid request body"),
    ("POST", "/sync", {"path": "/" + "a" * 5000}, 400, "invalid request body"),
    ("POST", "/sync", '{"path": "/a", "path": "/b"}', 400, "invalid request body"),
    ("POST", "/register", {"path": "/a.db"}, 400, "replica_url required"),
    ("POST", "/register", {"path": "/a.db", "replica_url": "zz://x"}, None, "zz"),
    ("GET", "/txid", None, 400, "path required"),
    ("GET", "/txid?path=/nope", None, 404, "database not found"),
    ("GET", "/sync", None, 405, "method not allowed"),
    ("POST", "/list", {}, 405, "method not allowed"),
    ("GET", "/nope", None, 404, "no such path"),
])
def test_bad_requests(shared, method, target, body, status, text):
    got, answer = ask(shared.sock, method, target, body)
    assert got == status or (status is None and 400 <= got < 600), answer
    assert text in answer["error"]


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """One server for requests that change nothing."""
    import conftest
    tmp = tmp_path_factory.mktemp("shared")
    group = procs.Group(str(tmp))

    def make(name):
        dbtool.create(str(tmp / name))
        return str(tmp / name)
    s = Served(procs.Program(conftest.find_holdfast(), group), make, tmp)
    yield s
    code = s.p.stop()
    assert code == 0 and not conftest.SANITIZER.search(s.p.text()), s.p.text()


def test_stopped_database_is_free_and_goes_on(served, holdfast, tmp_path):
    def row():
        return ask(served.sock, "GET", "/status")[1]["databases"][0]
    holdfast("stop", "-socket", served.sock, served.db).ok()
    assert row()["state"] == "stopped"
    # Nobody else holds it: it can be taken exclusively, replaced, written.
    c = dbtool.connect(served.db, timeout=0.1)
    c.execute("PRAGMA locking_mode=EXCLUSIVE")
    dbtool.write_one(c, __import__("random").Random(1), 200)
    c.close()
    top = dbtool.commit(served.db, 5)
    before = row()["txid"]
    assert ask(served.sock, "POST", "/sync", {"path": served.db, "wait": True})[0] == 409
    holdfast("start", "-socket", served.sock, served.db).ok()
    got = holdfast("sync", "-wait", "-json", "-socket", served.sock, served.db).ok().json()
    assert got["txid"] > int(before, 16)
    out = str(tmp_path / "out.db")
    holdfast("restore", "-o", out, "file://" + served.rep).ok()
    assert dbtool.last_seq(out) == top
    dbtool.assert_same(served.db, out)


def test_sync_beats_the_interval(served, holdfast, tmp_path):
    served.p.stop()
    text = open(served.conf).read().replace("sync-interval: 1s", "sync-interval: 1h")
    open(served.conf, "w").write(text)
    served.start()
    dbtool.commit(served.db)
    holdfast("sync", "-wait", "-socket", served.sock, served.db).ok()
    first = served.txid()
    dbtool.commit(served.db)
    # Without -wait it is begun, not waited for.
    holdfast("sync", "-socket", served.sock, served.db).ok()
    procs.wait_until(lambda: served.txid() > first, why=served.p.text)


def test_unregistered_stays_so_in_a_watched_directory(holdfast, make_db, tmp_path):
    db = make_db("many/a.db")
    conf, sock = str(tmp_path / "d.yml"), str(tmp_path / "d.sock")
    with open(conf, "w") as f:
        f.write("socket: {enabled: true, path: %s}\ndbs:\n  - {dir: %s, pattern: '*.db', watch: true, "
                "replica: {path: %s, sync-interval: 20ms}}\n" % (sock, tmp_path / "many", tmp_path / "rep"))
    p = holdfast.start("replicate", "-config", conf)
    procs.wait_until(lambda: os.path.exists(sock), why=p.text)

    def names():
        return [d["path"] for d in ask(sock, "GET", "/list")[1]["databases"]]
    procs.wait_until(lambda: names() == [db], why=p.text)
    holdfast("unregister", "-socket", sock, db).ok()
    dbtool.commit(db, 3)
    new = make_db("many/b.db")
    procs.wait_until(lambda: new in names(), why=p.text)  # events of both were seen by then
    assert names() == [new]
    # Registered by hand it comes back, with the replica it is given.
    holdfast("register", "-socket", sock, "-replica", "file://%s-again" % db, db).ok()
    holdfast("sync", "-wait", "-socket", sock, db).ok()
    out = str(tmp_path / "out.db")
    holdfast("restore", "-o", out, "file://%s-again" % db).ok()
    dbtool.assert_same(db, out)
    assert p.stop() == 0


def test_socket_out_of_the_configuration(served, holdfast, tmp_path):
    """Who names the configuration need not know where its socket is."""
    assert served.db in holdfast("list", "-config", served.conf).ok().out
    assert "pid:" in holdfast("info", env={"HOLDFAST_CONFIG": served.conf}).ok().out
    got = holdfast("sync", "-wait", "-json", "-config", served.conf, served.db).ok().json()
    assert got["replica_txid"] == got["txid"]
    off = tmp_path / "off.yml"
    off.write_text("dbs:\n  - {path: %s, replica: {type: file, path: %s}}\n" % (served.db, tmp_path / "r"))
    holdfast("info", "-config", str(off)).failed(2, "off.yml does not turn the control socket on", "-socket")
    holdfast("info", "-config", str(tmp_path / "none.yml")).failed(3, "none.yml")


def test_socket_file(served, holdfast):
    assert stat.S_IMODE(os.stat(served.sock).st_mode) == 0o640
    # A second process is refused and says why; one that was killed leaves a socket that is replaced.
    holdfast("replicate", "-config", served.conf).failed(4, "socket.path", "another program listens there")
    served.p.kill()
    assert os.path.exists(served.sock)
    holdfast("list", "-socket", served.sock).failed(3, "nobody listens on the control socket")
    served.start()


def samples(text):
    """{name: {labels: value}} of a page of metrics; fails when it is not well formed."""
    out, kinds = {}, {}
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            kinds[line.split()[2]] = line.split()[3]
        elif not line.startswith("#"):
            m = re.fullmatch(r'([a-z_0-9]+)(?:\{(.*)\})? (\S+)', line)
            assert m, line
            assert m[1] in kinds or not m[1].startswith(("litestream_", "holdfast_")), line
            out.setdefault(m[1], {})[m[2] or ""] = float(m[3])
    return out


def test_metrics(served, litestream, make_db, tmp_path):
    theirs = Served(litestream, make_db, tmp_path, "theirs2")
    theirs.p.stop()
    with open(theirs.conf) as f:
        text = f.read()
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    open(theirs.conf, "w").write(text.replace("127.0.0.1:0", "127.0.0.1:%d" % port))
    theirs.start()
    want = set(n for n in samples(get("http://127.0.0.1:%d/metrics" % port)[2]) if n.startswith("litestream_"))
    assert theirs.p.stop() == 0
    status, kind, text = get(served.metrics_url() + "/metrics")
    assert status == 200 and kind == "text/plain; version=0.0.4; charset=utf-8"
    got = samples(text)
    missing = {n for n in want if n not in got}
    assert missing <= {"litestream_compaction_verify_error_count"}, missing  # our merges verify as they go
    of_db = 'db="%s"' % served.db
    assert got["litestream_txid"][of_db] >= 1
    assert got["litestream_db_size"][of_db] == os.path.getsize(served.db)
    of_replica = '%s,replica="file://%s"' % (of_db, served.rep)
    assert got["holdfast_replication_lag_seconds"][of_replica] >= 0
    before = got["litestream_sync_count"][of_db]
    dbtool.commit(served.db)
    procs.wait_until(lambda: samples(get(served.metrics_url() + "/metrics")[2])["litestream_sync_count"][of_db] > before,
                     why=served.p.text)
    ops = samples(get(served.metrics_url() + "/metrics")[2])["litestream_replica_operation_total"]
    assert ops['replica_type="file",operation="PUT"'] >= 2
    # The steering half is not on the network.
    assert get(served.metrics_url() + "/list")[0] == 404
    assert get(served.metrics_url() + "/healthz")[2] == '{"ok":true}\n'


def test_lag_and_health_when_the_store_is_gone(served):
    of_replica = 'db="%s",replica="file://%s"' % (served.db, served.rep)

    def metric(name):
        return samples(get(served.metrics_url() + "/metrics")[2])[name][of_replica]
    os.rename(served.rep, served.rep + ".away")
    with open(served.rep, "w") as f:
        f.write("a file where the replica was")
    dbtool.commit(served.db)
    procs.wait_until(lambda: get(served.metrics_url() + "/healthz")[0] == 503, timeout=60, why=served.p.text)
    sick = json.loads(get(served.metrics_url() + "/healthz")[2])
    assert sick["ok"] is False and sick["path"] == served.db and sick["error"]
    procs.wait_until(lambda: metric("holdfast_replication_lag_seconds") > 1 and metric("holdfast_replica_up") == 0,
                     timeout=60, why=served.p.text)
    # A sync that waits ends in time and says what is the matter.
    status, answer = ask(served.sock, "POST", "/sync", {"path": served.db, "wait": True, "timeout": 1})
    assert status == 504 and "is not in its replica" in answer["error"]
    os.remove(served.rep)
    os.rename(served.rep + ".away", served.rep)
    procs.wait_until(lambda: get(served.metrics_url() + "/healthz")[0] == 200, timeout=90, why=served.p.text)
    procs.wait_until(lambda: metric("holdfast_replication_lag_seconds") == 0, timeout=60, why=served.p.text)


def test_status_with_live_data(served, holdfast):
    dbtool.commit(served.db)
    holdfast("sync", "-wait", "-socket", served.sock, served.db).ok()
    r = holdfast("status", "-config", served.conf).ok()
    head, line = r.out.splitlines()[:2]
    for column in ("lag", "last upload", "next snapshot", "errors", "last error"):
        assert column in head
    assert "0.00s" in line and "replicating" in line
    got = holdfast("status", "-config", served.conf, "--json").ok().json()["databases"][0]
    live = got["live"][0]
    assert live["txid"] == got["local_txid"] and live["lag_ms"] == 0 and live["uploads"] >= 1
    assert live["replica"] == "file://" + served.rep
    # A database without the configuration, by the socket it is told.
    holdfast("status", served.db, "-socket", served.sock, "--json").ok().json()["databases"][0]["live"]
    p = holdfast.start("status", "-config", served.conf, "--watch")
    procs.wait_until(lambda: p.text().count("database ") >= 2, why=p.text)
    assert p.stop() == 0
    served.p.stop()
    # Nobody there: local files only, and no complaint unless the socket was named.
    r = holdfast("status", "-config", served.conf).ok()
    assert "lag" not in r.out
    holdfast("status", "-config", served.conf, "-socket", served.sock).failed(3, "nobody listens")


def test_signal_during_a_waiting_sync(served):
    shutil.rmtree(served.rep)
    with open(served.rep, "w") as f:
        f.write("in the way")
    dbtool.commit(served.db)
    c = Unix(served.sock)
    c.request("POST", "/sync", json.dumps({"path": served.db, "wait": True, "timeout": 600}))
    served.p.signal(15)
    assert served.p.wait(60) != 0
    c.close()


def test_grafana_board_names_what_is_served(served):
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    with open(os.path.join(root, "packaging/grafana/holdfast.json")) as f:
        board = json.load(f)
    used = {m for p in board["panels"] for t in p["targets"]
            for m in re.findall(r"\b(?:litestream|holdfast|process)_[a-z_0-9]+", t["expr"])}
    have = samples(get(served.metrics_url() + "/metrics")[2])
    assert len(used) > 10 and used <= set(have), used - set(have)
    labels = {l for p in board["panels"] for t in p["targets"] for l in re.findall(r"\b(\w+)=~", t["expr"])}
    assert labels == {"instance", "db"}


def test_several_destinations(holdfast, make_db, tmp_path):
    """Each has a row of its own; one that is gone is told by name, and stop and start go round both."""
    db, sock, conf = make_db(), str(tmp_path / "two.sock"), str(tmp_path / "two.yml")
    near, far = str(tmp_path / "near"), str(tmp_path / "far")
    with open(conf, "w") as f:
        f.write("addr: 127.0.0.1:0\nsocket: {enabled: true, path: %s}\nshutdown-sync-timeout: 2s\ndbs:\n"
                "  - path: %s\n    replicas:\n      - {name: near, path: %s, sync-interval: 20ms}\n"
                "      - {name: far, path: %s, sync-interval: 20ms}\n" % (sock, db, near, far))
    p = holdfast.start("replicate", "-config", conf)
    procs.wait_until(lambda: os.path.exists(sock), why=p.text)
    holdfast("sync", "-wait", "-socket", sock, db).ok()

    def rows():
        return {os.path.basename(r["replica"]): r for r in ask(sock, "GET", "/status")[1]["databases"]}
    assert set(rows()) == {"near", "far"} and all(r["uploads"] >= 1 for r in rows().values())
    assert len(ask(sock, "GET", "/list")[1]["databases"]) == 1
    url = "http://" + re.search(r"msg=metrics addr=(\S+)", p.text())[1]
    got = samples(get(url + "/metrics")[2])
    assert len(got["holdfast_replication_lag_seconds"]) == 2 and len(got["litestream_txid"]) == 1
    # One goes away: the other goes on, and it is this one that is said to be behind.
    os.rename(far, far + ".away")
    with open(far, "w") as f:
        f.write("in the way")
    top = dbtool.commit(db, 3)
    procs.wait_until(lambda: rows()["far"]["error"] and rows()["far"]["lag_ms"] > 0, timeout=60, why=p.text)
    procs.wait_until(lambda: rows()["near"]["lag_ms"] == 0, timeout=60, why=p.text)
    assert not rows()["near"]["error"]
    assert json.loads(get(url + "/healthz")[2])["replica"].endswith("/far")
    r = holdfast("sync", "-wait", "-timeout", "1", "-socket", sock, db).failed(13, "is not in its replica")
    assert "/far" in r.err
    out = holdfast("status", "-config", conf).ok().out
    assert [l for l in out.splitlines() if "/far" in l and "Not a directory" in l or "/far" in l], out
    # stop lets go all the same and says what is missing; start goes on where both are.
    holdfast("stop", "-timeout", "1", "-socket", sock, db).failed(13, "is not in its replica")
    assert {r["state"] for r in rows().values()} == {"stopped"}
    os.remove(far)
    os.rename(far + ".away", far)
    top = dbtool.commit(db, 2)
    holdfast("start", "-socket", sock, db).ok()
    holdfast("sync", "-wait", "-socket", sock, "-timeout", "60", db).ok()
    for rep in near, far:
        out = str(tmp_path / ("out-" + os.path.basename(rep)))
        holdfast("restore", "-o", out, "file://" + rep).ok()
        assert dbtool.last_seq(out) == top
    assert p.stop() == 0
    r = holdfast("verify", "-config", conf, db, "-scratch", tmp_path, "-json").ok()
    assert [d["result"] for d in r.json()["databases"]] == ["same", "same"]
