"""Packs on every kind of store: replicate, restore, follow many at once; and a newest pack that can't
be read, which must not look like a replica that ends before it."""
import os
import re
import time

import pytest

import azure
import dbtool
import procs
import replicas
import servers

N = 3
LEVELS = {"levels": [{"interval": "1s"}, {"interval": "1h"}], "l0-retention": "2s",
          "l0-retention-check-interval": "500ms"}
NO_LEVELS = {"levels": [{"interval": "1h"}]}


class Files:
    """Names are relative to the directory that the replicas lie in."""

    def __init__(self, root):
        self.root = str(root)

    def replica(self, name):
        return {"type": "file", "path": os.path.join(self.root, name)}

    def list(self, under):
        d = os.path.join(self.root, under)
        return sorted(os.listdir(d)) if os.path.isdir(d) else []

    def get(self, name):
        with open(os.path.join(self.root, name), "rb") as f:
            return f.read()

    def put(self, name, data):
        with open(os.path.join(self.root, name), "wb") as f:
            f.write(data)


class Sftp(Files):
    def __init__(self, root, sshd):
        super().__init__(root)
        self.sshd = sshd

    def replica(self, name):
        s = self.sshd
        return {"type": "sftp", "host": "127.0.0.1:%d" % s.port, "user": s.user, "key-path": s.key_path,
                "host-key": s.keys["ed25519"], "path": os.path.join(self.root, name)}


class Abs:
    def __init__(self, container):
        self.container = container

    def replica(self, name):
        return azure.replica(self.container, "fleet/" + name)

    def list(self, under):
        prefix = "fleet/%s/" % under
        return sorted(n[len(prefix):] for n in self.container.list(prefix))

    def get(self, name):
        return self.container.call("GET", "fleet/" + name)[2]

    def put(self, name, data):
        assert self.container.call("PUT", "fleet/" + name, headers={"x-ms-blob-type": "BlockBlob"},
                                   body=data)[0] == 201


class S3:
    def __init__(self, moto, path):
        import boto3
        self.moto, self.path = moto, path
        self.client = boto3.client("s3", endpoint_url=moto.endpoint, region_name="us-east-1",
                                   aws_access_key_id=moto.key_id, aws_secret_access_key=moto.secret)

    def replica(self, name):
        m = self.moto
        return {"type": "s3", "bucket": m.bucket, "path": "%s/%s" % (self.path, name), "endpoint": m.endpoint,
                "region": "us-east-1", "access-key-id": m.key_id, "secret-access-key": m.secret}

    def list(self, under):
        prefix = "%s/%s/" % (self.path, re.sub("ltx/(.)$", r"000\1", under))  # Litestream's names on S3
        found = self.client.list_objects_v2(Bucket=self.moto.bucket, Prefix=prefix).get("Contents", [])
        return sorted(o["Key"][len(prefix):] for o in found)


@pytest.fixture(scope="module")
def moto(tmp_path_factory):
    s = servers.Moto(tmp_path_factory.mktemp("moto")).start()
    yield s
    s.stop()


@pytest.fixture
def sshd(tmp_path):
    (tmp_path / "sshd").mkdir()
    s = servers.Sshd(tmp_path / "sshd", known=False).start()
    yield s
    s.stop()


@pytest.fixture
def place(request, tmp_path, monkeypatch):
    if request.param == "abs":
        return Abs(request.getfixturevalue("container"))
    if request.param == "s3":
        for name in [n for n in os.environ if n.startswith("AWS_")]:
            monkeypatch.delenv(name)
        return S3(request.getfixturevalue("moto"), tmp_path.name)
    if request.param == "sftp":
        return Sftp(tmp_path / "rep", request.getfixturevalue("sshd"))
    return Files(tmp_path / "rep")


def on(*kinds):
    return pytest.mark.parametrize("place", kinds, indirect=True)


class Fleet:
    def __init__(self, holdfast, make_db, place, tmp_path, how=None, **top):
        self.holdfast, self.place, self.tmp = holdfast, place, tmp_path
        (tmp_path / "live").mkdir()
        self.dbs = [make_db("live/d%d.db" % i, rows=5 + i) for i in range(N)]
        where = {db: dict(place.replica("d%d" % i), pack=True, **{"sync-interval": "100ms"}, **(how or {}))
                 for i, db in enumerate(self.dbs)}
        self.config = replicas.config(str(tmp_path / "pack.yml"), where, **top)
        self.p = None

    def start(self):
        self.p = self.holdfast.start("replicate", "-config", self.config, "-log-level", "debug")
        self.until_same()

    def stop(self):
        assert self.p.stop() == 0, self.p.text()

    def commit(self, *which):
        for i in which or range(N):
            dbtool.commit(self.dbs[i])

    def restore(self, i, *args):
        out = str(self.tmp / "copy.db")
        replicas.remove_db(out)
        return self.holdfast("restore", "-config", self.config, *args, "-o", out, self.dbs[i]), out

    def until_same(self):
        def same(i):
            r, out = self.restore(i)
            return r.code == 0 and dbtool.digest(out) == dbtool.digest(self.dbs[i])
        for i in range(N):
            procs.wait_until(lambda i=i: same(i), timeout=60, every=0.1, why=self.p.text)


@on("file", "abs", "s3", "sftp")
def test_fleet_is_followed(place, holdfast, make_db, tmp_path):
    """A standby of all of them follows packs, while L1 is made of them and old ones go, across a
    restart of the one that ships; and what is restored at the end is the source's, page by page."""
    f = Fleet(holdfast, make_db, place, tmp_path, **LEVELS)
    away = tmp_path / "away"
    f.start()
    s = holdfast.start("restore", "-all", "-f", "-config", f.config, "-follow-interval", "100ms",
                       "-map", "%s=%s" % (tmp_path / "live", away))

    def caught_up():
        try:
            return all(dbtool.digest(str(away / os.path.basename(db))) == dbtool.digest(db) for db in f.dbs)
        except Exception:  # not there yet
            return False
    for part in range(2):
        for _ in range(6):
            f.commit()
            time.sleep(0.1)
        procs.wait_until(caught_up, timeout=60, every=0.1, why=lambda: s.text() + f.p.text())
        assert place.list("packs")
        if part == 0:
            f.stop()
            f.start()

    def has_levels():
        f.commit()
        time.sleep(0.2)
        return all(place.list("d%d/ltx/1" % i) for i in range(N))
    procs.wait_until(has_levels, timeout=60, why=f.p.text)
    procs.wait_until(caught_up, timeout=60, every=0.1, why=lambda: s.text() + f.p.text())
    assert s.stop() == 0, s.text()
    f.stop()
    for i, db in enumerate(f.dbs):
        r, out = f.restore(i, "-integrity-check", "full")
        r.ok()
        replicas.assert_same_pages(db, out, tmp_path)
    assert "panic" not in f.p.text() and "another writer" not in f.p.text()


def newest_with(place, name):
    """The newest pack that holds changes of a replica."""
    return [p for p in place.list("packs") if any(e[0] == name for e in replicas.parse_pack(place.get("packs/" + p)))][-1]


@on("file", "abs")
def test_damaged_newest_pack(place, holdfast, make_db, tmp_path):
    """Restore used to give the state before it, with success. It fails as it does for a damaged file
    outside packs, names the pack and the way to what is whole; replicating makes it good."""
    f = Fleet(holdfast, make_db, place, tmp_path, **NO_LEVELS)
    f.start()
    f.commit()
    f.until_same()
    before = [dbtool.digest(db) for db in f.dbs]
    while True:  # into a pack that no other database has a later change in
        f.commit(0)
        f.until_same()
        if newest_with(place, "d0") != newest_with(place, "d1"):
            break
        before[0] = dbtool.digest(f.dbs[0])
    f.stop()
    pack = newest_with(place, "d0")
    data = bytearray(place.get("packs/" + pack))
    data[70] ^= 0xff
    place.put("packs/" + pack, bytes(data))
    for i in range(N):  # nobody can know whose changes it holds
        r, out = f.restore(i)
        r.failed(5, pack, "table is damaged", "-txid")
        assert not os.path.exists(out)
        txid = re.search("-txid ([0-9a-f]{16})", r.err)[1]
        r, out = f.restore(i, "-txid", txid)
        r.ok()
        assert dbtool.digest(out) == before[i]
    holdfast("restore", "-all", "-config", f.config, "-map",
             "%s=%s" % (tmp_path / "live", tmp_path / "away")).failed(5, pack)
    f.p = holdfast.start("replicate", "-config", f.config, "-log-level", "debug")
    f.commit()
    f.until_same()
    f.stop()


@on("file", "abs")
def test_encrypted(place, holdfast, make_db, tmp_path, monkeypatch):
    """Packs are sealed as one object: nothing is readable without the key, all is with it, at any TXID;
    another key and no key say so; L1 is made of them; and one moved byte in a pack does not open."""
    key = tmp_path / "key"
    key.write_text("11" * 32)
    key.chmod(0o600)
    f = Fleet(holdfast, make_db, place, tmp_path, how={"encryption": {"key-file": str(key)}}, **LEVELS)
    f.start()
    for _ in range(4):
        f.commit()
        f.until_same()
    procs.wait_until(lambda: f.commit() or all(place.list("d%d/ltx/1" % i) for i in range(N)), timeout=60, every=0.3,
                     why=f.p.text)
    f.until_same()
    f.stop()
    packs = place.list("packs")
    assert packs and all(place.get("packs/" + p).startswith(b"HFSEALED") for p in packs)
    assert not any(b"HFPACK01" in place.get("packs/" + p) for p in packs)
    f.start()  # reads what is there
    f.commit()
    f.until_same()
    f.stop()
    key.write_text("22" * 32)
    r, _ = f.restore(0)
    r.failed(12, "not with ours")
    key.write_text("11" * 32)
    last = place.list("packs")[-1]
    data = bytearray(place.get("packs/" + last))
    data[60] ^= 1
    place.put("packs/" + last, bytes(data))
    r, _ = f.restore(0)
    r.failed(5, last, "-txid")
