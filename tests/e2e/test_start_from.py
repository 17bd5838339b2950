"""Listings that begin at a name. Azurite ignores `startFrom`, so a layer in front of it does what the service's
documentation says: only names from the given one on, for requests of a version that knows the parameter. And the two
ways a service may not know it: it ignores it, or answers 400."""
import os
import shutil
import time
import urllib.parse
import xml.etree.ElementTree as ET

import pytest

import azure
import dbtool
import faultproxy
import procs
import replicas
from conftest import find_holdfast

KNOWS_FROM = "2026-02-06"
REFUSAL = (b'<?xml version="1.0" encoding="utf-8"?><Error><Code>InvalidQueryParameterValue</Code><Message>Value for one of '
           b"the query parameters specified in the request URI is invalid.</Message></Error>")


class StartFrom(faultproxy.FaultProxy):
    """How: honours, ignores, refuses. `seeks`: (startFrom, names sent, names there would have been)."""

    def __init__(self, port, how):
        self.how, self.seeks = how, []
        super().__init__(port)

    def forward(self, method, path, headers, body):
        query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(path).query))
        start = query.get("startFrom")
        if method != "GET" or query.get("comp") != "list" or start is None:
            return super().forward(method, path, headers, body)
        version = next(v for k, v in headers if k.lower() == "x-ms-version")
        if self.how == "refuses":
            self.seeks.append((start, 0, 0))
            return 400, "Bad", [("x-ms-error-code", "InvalidQueryParameterValue"), ("Content-Type", "application/xml")], REFUSAL
        status, reason, rh, data = super().forward(method, path, headers, body)
        if status != 200 or self.how == "ignores" or version < KNOWS_FROM:
            self.seeks.append((start, None, None))
            return status, reason, rh, data
        root = ET.fromstring(data.decode("utf-8-sig"))
        blobs = root.find("Blobs")
        found = list(blobs)
        for item in found:
            if item.findtext("Name") < start:
                blobs.remove(item)
        self.seeks.append((start, len(blobs), len(found)))
        return status, reason, rh, b'<?xml version="1.0" encoding="utf-8"?>' + ET.tostring(root)


FILES = 300   # in L0: files hold up to 256 TXIDs, so only behind that many is there something to pass over


@pytest.fixture(scope="module")
def history(tmp_path_factory):
    """A database and its replica on files, with many files in L0: quicker than in a container."""
    d = tmp_path_factory.mktemp("history")
    group = procs.Group(str(d))
    db, rep = str(d / "app.db"), str(d / "rep")
    dbtool.create(db, rows=100)
    p = procs.Program(find_holdfast(), group).start("replicate", "-sync-interval", "1ms", db, "file://" + rep)
    end = time.monotonic() + 90
    while replicas.top_txid(rep) < FILES:
        assert time.monotonic() < end, p.text()
        dbtool.commit(db)
    assert p.stop() == 0, p.text()
    return db, rep


@pytest.fixture
def long_replica(history, container, tmp_path):
    """A copy of it in a container of its own."""
    db, rep = str(tmp_path / "app.db"), history[1]
    shutil.copy(history[0], db)
    for _, _, path in replicas.files(rep):
        with open(path, "rb") as f:
            status = container.call("PUT", "app/" + os.path.relpath(path, rep), headers={"x-ms-blob-type": "BlockBlob"},
                                    body=f.read())[0]
        assert status == 201
    return db


@pytest.mark.parametrize("how", ["honours", "ignores", "refuses"])
def test_followed_and_compacted(how, azurite, container, holdfast, long_replica, tmp_path):
    """A follower asks for what comes behind its position, a compaction for what comes behind the level's newest file:
    both get to the same state whichever way the service answers."""
    proxy = StartFrom(azurite.port, how)
    db, copy = long_replica, str(tmp_path / "copy.db")
    c = replicas.config(str(tmp_path / "c.yml"), {db: azure.replica(container, "app", proxy.port)},
                        **replicas.SHORT_LEVELS, **{"l0-retention": "1h"})
    p = holdfast.start("replicate", "-config", c)
    f = holdfast.start("restore", "-f", "-follow-interval", "100ms", "-config", c, "-o", copy, db)

    def is_followed():
        try:
            return dbtool.digest(copy) == dbtool.digest(db)
        except Exception:  # not there yet, or being written
            return False
    for _ in range(5):
        dbtool.commit(db, 2)
        procs.wait_until(is_followed, timeout=40, every=0.1, why=lambda: f.text() + p.text())
    procs.wait_until(lambda: len(container.txids("app", 1)) >= 2, timeout=40, every=0.3, why=p.text)
    assert f.stop() == 0, f.text()
    assert p.stop() == 0, p.text()
    seeks = proxy.seeks
    proxy.close()
    assert seeks
    if how == "refuses":   # once a process: it is not asked again
        assert len(seeks) <= 2, seeks
    if how == "honours":   # and it spared something
        assert any(sent < there for _, sent, there in seeks), seeks
    levels = container.txids("app", 0), container.txids("app", 1)
    for txids in levels:   # nothing was passed over
        assert all(b[0] == a[1] + 1 for a, b in zip(txids, txids[1:])), txids
    out = str(tmp_path / "out.db")
    holdfast("restore", "-config", replicas.config(str(tmp_path / "direct.yml"), {db: azure.replica(container, "app")}),
             "-o", out, db).ok()
    dbtool.assert_same(db, out)
