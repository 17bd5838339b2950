"""Encrypted replicas, on files and on Azurite: every command reads them, nobody without the key does,
and what was swapped, cut or slipped in is refused by name."""
import glob
import os
import shutil
import stat
import time

import pytest

import azure
import dbtool
import procs
import replicas
import sealed

MAGIC = b"HFSEALED"


@pytest.fixture
def container(azurite, monkeypatch):
    monkeypatch.setenv("LITESTREAM_AZURE_ACCOUNT_KEY", azure.KEY)
    return azure.Container(azurite.port, "enc" + hex(time.time_ns())[-8:])


@pytest.fixture
def keygen(holdfast, tmp_path):
    """name -> (file, key id)"""
    def make(name="one.key"):
        path = str(tmp_path / name)
        r = holdfast("keygen", path, "--json").ok()
        assert "key" not in r.json(), "the key of a file is shown"
        return path, r.json()["keys"][0]
    return make


def enc(keys, **how):
    return dict({"key-file": keys}, **how)


def file_conf(tmp_path, db, encryption, name="enc.yml", **top):
    rep = {"type": "file", "path": str(tmp_path / "rep"), "sync-interval": "30ms", "encryption": encryption}
    return replicas.config(str(tmp_path / name), {db: rep}, **dict(replicas.SHORT_LEVELS, **{"shutdown-sync-timeout": "1s"}, **top))


def ltx_files(tmp_path):
    return [p for p in glob.glob(str(tmp_path / "rep/ltx/*/*.ltx")) if os.path.exists(p)]


def test_keygen(holdfast, keygen, tmp_path):
    path, key_id = keygen()
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    with open(path) as f:
        text = f.read()
    key = text.splitlines()[1]
    assert text.startswith("# key id " + key_id) and len(key) == 44
    holdfast("keygen", path).failed(4, "name another file")
    assert open(path).read() == text
    assert holdfast("keygen", "--show", path).ok().out == key_id + "  writes\n"
    other = holdfast("keygen").ok().out.splitlines()
    assert len(other) == 2 and other[1] != key


def test_all_commands_on_files(holdfast, litestream, make_db, writer, keygen, tmp_path):
    """replicate with compaction, restore by configuration and URL, ltx, verify, follow, resume."""
    db, (key, key_id) = make_db(rows=400, body=900), keygen()
    c = file_conf(tmp_path, db, enc(key), **{"l0-retention": "1s"})
    env = {"HOLDFAST_ENCRYPTION_KEY_FILE": key}
    url = replicas.url(tmp_path / "rep")
    p = holdfast.start("replicate", "-config", c)
    procs.wait_until(lambda: replicas.files(tmp_path / "rep", 9) or replicas.files(tmp_path / "rep"), why=p.text)
    copy = str(tmp_path / "standby.db")
    f = holdfast.start("restore", "-f", "-follow-interval", "100ms", "-o", copy, url, env=env)
    w = writer(db, rate=60, seconds=3)
    w.wait()

    def caught_up():
        try:
            return dbtool.digest(copy) == dbtool.digest(db)
        except Exception:  # not there yet
            return False
    procs.wait_until(caught_up, timeout=40, every=0.1, why=lambda: f.text() + p.text())
    procs.wait_until(lambda: replicas.files(tmp_path / "rep", 1), timeout=40, why=p.text)
    assert f.stop() == 0, f.text()
    assert p.stop() == 0, p.text()
    found = ltx_files(tmp_path)
    assert found and all(open(x, "rb").read(8) == MAGIC for x in found)
    for where in (["-config", c, db], [url]):
        out = str(tmp_path / "out.db")
        holdfast("restore", "-o", out, *where, env=env).ok()
        replicas.assert_same_pages(db, out, tmp_path)
        replicas.remove_db(out)
    listed = holdfast("ltx", "--json", url, env=env).ok()
    assert "size" in listed.out
    assert holdfast("verify", "-config", c, db, "-scratch", tmp_path).ok()
    # Started again, it goes on where it was.
    top = replicas.top_txid(tmp_path / "rep")
    dbtool.commit(db, 2)
    p = holdfast.start("replicate", "-config", c)
    procs.wait_until(lambda: replicas.top_txid(tmp_path / "rep") > top, why=p.text)
    assert p.stop() == 0, p.text()
    # Marked for people, and unreadable for Litestream.
    assert "encrypted" in holdfast("status", "-config", c).ok().out
    assert holdfast("status", "-config", c, "--json").ok().json()["databases"][0]["encrypted"] is True
    assert "file(encrypted)" in holdfast("databases", "-config", c).ok().out
    assert "can't be read by Litestream" in holdfast("config", "check", c).ok().out
    assert litestream("restore", "-o", str(tmp_path / "theirs.db"), url).code != 0
    secret = open(key).read().splitlines()[1]
    assert secret not in p.text() + f.text() + listed.out + listed.err


def test_who_cannot_read(holdfast, make_db, keygen, tmp_path):
    db, (key, key_id), (other, other_id) = make_db(), keygen(), keygen("two.key")
    c = file_conf(tmp_path, db, enc(key))
    holdfast("replicate", "-once", "-config", c).ok()
    out, url = str(tmp_path / "out.db"), replicas.url(tmp_path / "rep")
    holdfast("restore", "-o", out, url).failed(12, "encrypted with key " + key_id, "no key is given")
    holdfast("restore", "-o", out, url, env={"HOLDFAST_ENCRYPTION_KEY_FILE": other}).failed(
        12, "encrypted with key " + key_id, "not with ours: " + other_id)
    holdfast("restore", "-o", out, url, env={"HOLDFAST_ENCRYPTION_KEY_FILE": str(tmp_path / "none")}).failed(
        3, "none")
    holdfast("restore", "-o", out, url, env={"HOLDFAST_ENCRYPTION_KEY": "not a key"}).failed(2, "is no key")
    assert not os.path.exists(out)
    # Nor does anybody write there with another key or in the clear.
    before = sorted(ltx_files(tmp_path))
    dbtool.commit(db)
    plain = replicas.config(str(tmp_path / "plain.yml"), {db: str(tmp_path / "rep")}, **{"shutdown-sync-timeout": "1s"})
    for conf in (plain, file_conf(tmp_path, db, enc(other), "other.yml")):
        replicas.remove_state(db)
        r = holdfast("replicate", "-once", "-config", conf)
        assert r.code != 0 and key_id in r.err + r.out
        assert sorted(ltx_files(tmp_path)) == before
    text = open(key).read()
    holdfast("restore", "-o", out, url, env={"HOLDFAST_ENCRYPTION_KEY": text}).ok()
    replicas.remove_db(out)
    holdfast("restore", "-o", out, url, env={"HOLDFAST_ENCRYPTION_KEY_COMMAND": "cat '%s'" % key}).ok()


def test_changed_objects_are_refused(holdfast, make_db, keygen, tmp_path):
    db, (key, _) = make_db(rows=300, body=2000), keygen()
    c = file_conf(tmp_path, db, enc(key), **{"l0-retention": "1h"})
    holdfast("replicate", "-once", "-config", c).ok()
    for _ in range(2):
        dbtool.commit(db)
        holdfast("replicate", "-once", "-config", c).ok()
    out = str(tmp_path / "out.db")
    keep = str(tmp_path / "keep")
    shutil.copytree(tmp_path / "rep", keep)
    (a, b), big = [f[2] for f in replicas.files(tmp_path / "rep")][-2:], max(ltx_files(tmp_path), key=os.path.getsize)
    assert os.path.getsize(big) > 100000
    name = os.path.basename

    def flip(path, at):
        with open(path, "r+b") as f:
            f.seek(at, os.SEEK_END if at < 0 else os.SEEK_SET)
            byte = f.read(1)[0]
            f.seek(-1, os.SEEK_CUR)
            f.write(bytes([byte ^ 1]))

    def swap():
        os.rename(a, a + "x")
        os.rename(b, a)
        os.rename(a + "x", b)

    def append():
        with open(big, "ab") as f:
            f.write(b"x")
    for why, change, path in (
            ("swapped", swap, ""), ("flipped", lambda: flip(big, 50000), big), ("flipped at its end", lambda: flip(big, -3), big),
            ("cut", lambda: os.truncate(big, os.path.getsize(big) - 1), big),
            ("cut at a chunk", lambda: os.truncate(big, 48 + 16401 * 2), big), ("extended", append, big),
            ("plain", lambda: shutil.copy(key, big), big)):
        change()
        r = holdfast("restore", "-config", c, "-o", out, db)
        assert r.code in (5, 12), (why, r.code, r.err)
        assert name(path) in r.err and ("decrypt" in r.err or "not encrypted" in r.err), (why, r.err)
        assert not os.path.exists(out)
        shutil.rmtree(tmp_path / "rep")
        shutil.copytree(keep, tmp_path / "rep")
    holdfast("restore", "-config", c, "-o", out, db).ok()


def test_turned_on_later_and_keys_changed(holdfast, make_db, keygen, tmp_path):
    """Plain history, then a first key, then a second: each step reads what came before."""
    db, (first, first_id), (second, second_id) = make_db(), keygen(), keygen("two.key")
    plain = replicas.config(str(tmp_path / "plain.yml"), {db: str(tmp_path / "rep")}, **{"l0-retention": "1h"})
    holdfast("replicate", "-once", "-config", plain).ok()
    dbtool.commit(db)
    strict = file_conf(tmp_path, db, enc(first), "strict.yml")
    r = holdfast("replicate", "-once", "-config", strict)
    said = r.err + r.out
    assert r.code != 0 and "not encrypted" in said and "allow-plain" in said
    assert said.count("msg=rebase") <= 1, said  # not again with every retry
    assert said.count("file://") == 2, said  # in the log and at the end, and once in each
    steps = (enc(first, **{"allow-plain": True}), enc([second, first], **{"allow-plain": True}))
    for i, step in enumerate(steps):
        c = file_conf(tmp_path, db, step, "step%d.yml" % i, **{"l0-retention": "1h"})
        dbtool.commit(db)
        holdfast("replicate", "-once", "-config", c).ok()
        out = str(tmp_path / ("out%d.db" % i))
        holdfast("restore", "-config", c, "-o", out, db).ok()
        dbtool.assert_same(db, out)
    ids = [open(f[2], "rb").read(24) for f in replicas.files(tmp_path / "rep")]
    assert [i[:8] == MAGIC for i in ids] == [False, True, True], ids
    assert [i[16:24].hex() for i in ids[1:]] == [first_id, second_id]
    holdfast("restore", "-config", str(tmp_path / "step0.yml"), "-o", str(tmp_path / "x.db"), db).failed(
        12, "encrypted with key " + second_id)


@pytest.mark.parametrize("is_bound", [False, True])
def test_the_documented_form(holdfast, litestream, make_db, keygen, tmp_path, is_bound):
    """Decrypted by a reader of its own, the replica is one that Litestream restores."""
    db, (key, key_id) = make_db(rows=500, body=3000), keygen()
    c = file_conf(tmp_path, db, enc(key, **{"bind-path": is_bound}), **{"l0-retention": "1h"})
    for _ in range(3):
        dbtool.commit(db, 3)
        holdfast("replicate", "-once", "-config", c).ok()
    plain = str(tmp_path / "plain")
    assert sealed.key_id(sealed.key_of(key)).hex() == key_id
    path = str(tmp_path / "rep") if is_bound else ""
    assert sealed.decrypt_tree(str(tmp_path / "rep"), plain, sealed.key_of(key), path) >= 3
    out = str(tmp_path / "theirs.db")
    litestream("restore", "-o", out, replicas.url(plain)).ok()
    replicas.assert_same_pages(db, out, tmp_path)


def test_the_spool_is_not_of_the_replica(holdfast, make_db, keygen, tmp_path):
    """Two replicas, one of them away, the key in the environment under the name that URLs take: what
    waits beside the database is as it always was, and both get it in the end."""
    db, (key, _) = make_db(), keygen()
    env = {"HOLDFAST_ENCRYPTION_KEY": open(key).read()}
    away = tmp_path / "away"
    away.write_text("a file where a directory should be")
    c = replicas.config(str(tmp_path / "two.yml"), {db: [
        {"type": "file", "path": str(p), "name": p.name, "sync-interval": "50ms",
         "encryption": {"key-env": "HOLDFAST_ENCRYPTION_KEY"}} for p in (tmp_path / "rep", away / "rep")]},
        **{"shutdown-sync-timeout": "5s"})
    p = holdfast.start("replicate", "-config", c, env=env)
    procs.wait_until(lambda: replicas.files(tmp_path / "rep"), why=p.text)
    spool = os.path.join(os.path.dirname(db), "." + os.path.basename(db) + "-holdfast", "spool")

    seen = set()

    def look():
        for f in glob.glob(spool + "/ltx/*/*.ltx"):
            try:
                seen.add(open(f, "rb").read(4))
            except FileNotFoundError:  # folded with others meanwhile
                pass
        return seen
    dbtool.commit(db)
    procs.wait_until(look, why=p.text)
    assert seen == {b"LTX1"}
    away.unlink()
    procs.wait_until(lambda: replicas.top_txid(away / "rep") >= replicas.top_txid(tmp_path / "rep") > 0,
                     timeout=60, why=p.text)
    assert p.stop() == 0, p.text()
    out = str(tmp_path / "out.db")
    holdfast("restore", "-o", out, replicas.url(away / "rep"), env=env).ok()
    dbtool.assert_same(db, out)


def test_azure_with_two_replicas(container, holdfast, make_db, writer, keygen, tmp_path):
    """Azure encrypted, a directory in the clear, one database: the key id is in the metadata, and a
    restore from either gives the same."""
    db, (key, key_id) = make_db(rows=300, body=900), keygen()
    c = replicas.config(str(tmp_path / "az.yml"), {db: [
        azure.replica(container, "fleet/app", encryption=enc(key, **{"bind-path": True}), name="far"),
        {"type": "file", "path": str(tmp_path / "rep"), "name": "near", "sync-interval": "50ms"}]},
        **replicas.SHORT_LEVELS)
    p = holdfast.start("replicate", "-config", c)
    writer(db, rate=60, seconds=2).wait()
    procs.wait_until(lambda: container.txids("fleet/app", 1), timeout=40, why=p.text)
    assert p.stop() == 0, p.text()
    blobs = container.list("fleet/app/ltx/")
    assert blobs and all(m["holdfastkey"] == key_id and m["litestreamtimestamp"] for _, m in blobs.values())
    assert all(container.call("GET", b)[2][:8] == MAGIC for b in list(blobs)[:5])
    for name in ("far", "near"):
        out = str(tmp_path / (name + ".db"))
        holdfast("restore", "-config", c, "-replica", name, "-o", out, db).ok()
        dbtool.assert_same(db, out)
    out = str(tmp_path / "url.db")
    url = azure.url(container, "fleet/app")
    holdfast("restore", "-o", out, url, env={"HOLDFAST_ENCRYPTION_KEY_FILE": key}).ok()
    dbtool.assert_same(db, out)
    holdfast("restore", "-o", str(tmp_path / "no.db"), url).failed(12, "no key is given")
    # Bound to its path: elsewhere in the container it does not open.
    for b in blobs:
        body, meta = container.call("GET", b)[2], blobs[b][1]
        moved = b.replace("fleet/app", "fleet/other")
        headers = {"x-ms-blob-type": "BlockBlob", "x-ms-meta-litestreamtimestamp": meta["litestreamtimestamp"]}
        assert container.call("PUT", moved, headers=headers, body=body)[0] == 201
    holdfast("restore", "-o", str(tmp_path / "no.db"), azure.url(container, "fleet/other"),
             env={"HOLDFAST_ENCRYPTION_KEY_FILE": key}).failed(5, "does not decrypt")
