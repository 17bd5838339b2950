"""Directories of databases: what appears in them later, at any depth."""
import os

import pytest

import dbtool
import procs
import replicas


@pytest.fixture
def tree(tmp_path, holdfast):
    top, out = tmp_path / "top", tmp_path / "out"
    top.mkdir()
    conf = tmp_path / "dirs.yml"
    conf.write_text("dbs:\n  - dir: %s\n    pattern: '*.db'\n    recursive: true\n    watch: true\n"
                    "    replica: {path: %s, sync-interval: 50ms}\n" % (top, out))
    return str(top), str(out), str(conf)


def until_same(holdfast, tree, name, tmp_path, p):
    top, out, _ = tree
    want = dbtool.digest(os.path.join(top, name))
    copy = str(tmp_path / "copy.db")

    def same():
        replicas.remove_db(copy)
        r = holdfast("restore", "-o", copy, replicas.url(os.path.join(out, name)))
        return r.code == 0 and dbtool.digest(copy) == want
    procs.wait_until(same, every=0.1, why=lambda: name + "\n" + p.text())


def test_subdirectories_created_later(holdfast, tree, tmp_path):
    top, _, conf = tree
    os.makedirs(os.path.join(top, "old/empty"))
    dbtool.create(os.path.join(top, "old/first.db"), rows=20)
    p = holdfast.start("replicate", "-config", conf)
    until_same(holdfast, tree, "old/first.db", tmp_path, p)
    dbtool.create(os.path.join(top, "old/empty/second.db"), rows=20)  # empty when we started
    os.makedirs(os.path.join(top, "new/deep/er"))
    dbtool.create(os.path.join(top, "new/deep/er/third.db"), rows=20)
    aside = tmp_path / "aside"
    os.makedirs(aside / "sub")
    dbtool.create(str(aside / "sub/moved.db"), rows=20)
    os.rename(aside, os.path.join(top, "moved-in"))  # with all that is in it
    for name in ("old/empty/second.db", "new/deep/er/third.db", "moved-in/sub/moved.db"):
        until_same(holdfast, tree, name, tmp_path, p)
        dbtool.commit(os.path.join(top, name), 2)
        until_same(holdfast, tree, name, tmp_path, p)
    assert p.stop() == 0


def test_links_and_state_are_left_alone(holdfast, tree, tmp_path):
    top, out, conf = tree
    os.makedirs(os.path.join(top, "a"))
    p = holdfast.start("replicate", "-config", conf)
    procs.wait_until(lambda: "msg=replicating" in p.text(), why=p.text)
    os.symlink(top, os.path.join(top, "a/up"))  # would never end
    os.makedirs(os.path.join(top, ".x.db-holdfast"))
    dbtool.create(os.path.join(top, ".x.db-holdfast/state.db"), rows=1)
    for i in range(20):
        os.makedirs(os.path.join(top, "gone%d/below" % i))
        os.rmdir(os.path.join(top, "gone%d/below" % i))
        os.rmdir(os.path.join(top, "gone%d" % i))
    dbtool.create(os.path.join(top, "a/real.db"), rows=20)
    until_same(holdfast, tree, "a/real.db", tmp_path, p)
    assert os.listdir(out) == ["a"] and os.listdir(os.path.join(out, "a")) == ["real.db"]
    assert p.stop() == 0
