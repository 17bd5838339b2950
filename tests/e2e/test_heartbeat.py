"""heartbeat-url against a real HTTP server: one goes out when every database is in its replica, none
while one is not, and a server that is away is a line in the log and nothing else."""
import http.server
import threading
import time

import pytest

import dbtool
import procs
import replicas


class Monitor:
    def __init__(self):
        self.seen, self.status = [], 200
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                outer.seen.append(self.path)
                self.send_response(outer.status)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"ok")

            def log_message(self, *args):
                pass
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = "http://127.0.0.1:%d/ping/SECRET-TOKEN" % self.server.server_address[1]

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def monitor():
    m = Monitor()
    yield m
    m.close()


def start(holdfast, tmp_path, dbs, url):
    c = replicas.config(str(tmp_path / "hb.yml"), {db: db + "-rep" for db in dbs},
                        **{"heartbeat-url": url, "heartbeat-interval": "1m", "shutdown-sync-timeout": "1s"})
    assert "heartbeat" not in holdfast("config", "check", c).ok().err
    return holdfast.start("replicate", "-config", c)


def test_one_when_all_are_synced(holdfast, make_db, monitor, tmp_path):
    p = start(holdfast, tmp_path, [make_db("a.db"), make_db("b.db")], monitor.url)
    procs.wait_until(lambda: monitor.seen, timeout=60, why=p.text)
    time.sleep(1)
    assert monitor.seen == ["/ping/SECRET-TOKEN"], "more than one in an interval"
    assert p.stop() == 0, p.text()
    assert "SECRET-TOKEN" not in p.text()


def test_none_while_one_is_missing(holdfast, make_db, monitor, tmp_path):
    """A database that is not there yet; the heartbeat comes once it is."""
    late = str(tmp_path / "late.db")
    p = start(holdfast, tmp_path, [make_db("a.db"), late], monitor.url)
    procs.wait_until(lambda: "heartbeat withheld" in p.text(), timeout=60, why=p.text)
    assert "late.db" in p.text().split("heartbeat withheld")[1] and not monitor.seen
    dbtool.create(late)
    procs.wait_until(lambda: monitor.seen, timeout=60, why=p.text)
    assert p.stop() == 0, p.text()


def test_a_server_that_is_away(holdfast, make_db, monitor, tmp_path):
    """Replication goes on; once it answers well the heartbeat arrives, and each way is one line."""
    db = make_db("a.db")
    monitor.status = 503
    p = start(holdfast, tmp_path, [db], monitor.url)
    procs.wait_until(lambda: "heartbeat failed" in p.text(), timeout=60, why=p.text)
    assert "status 503" in p.text() and "SECRET-TOKEN" not in p.text()
    top = replicas.top_txid(db + "-rep")
    dbtool.commit(db)
    procs.wait_until(lambda: replicas.top_txid(db + "-rep") > top, why=p.text)
    monitor.status = 200
    procs.wait_until(lambda: "heartbeat arrives again" in p.text(), timeout=60, why=p.text)
    assert p.text().count("heartbeat failed") == 1
    assert p.stop() == 0, p.text()
