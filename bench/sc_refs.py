"""Scenario refs: see README.md."""
import json
import os
import time

from adapters import Db
from common import MB, put_ref, copy_ref, mm
from measure import dist, write_spec


def sc_refs(ctx, ad=None):
    a = ctx.a
    R = json.loads(ctx.tool.run("syncref", ctx.dir, 300))
    f = os.path.join(ctx.dir, "ref.db")
    ctx.tool.run("gen", f, a.size_mb * MB, 1)
    R["copy_fsync_mb_per_s"] = mm([a.size_mb / copy_ref(f, f + ".cp") for _ in range(3)], 1)
    R["dir_put16k_per_s"] = round(put_ref(ctx.sub("put"), fsync=False))
    R["dir_put16k_fsync_per_s"] = round(put_ref(ctx.sub("put")))
    # the floor under a page-shipping replicator, for the fleet's write pattern at 100 tx/s, 1 s slices
    w = ctx.sub("wal")
    q = os.path.join(w, "w.db")
    ctx.tool.run("gen", q, 20 * MB, 1)
    write_spec(os.path.join(w, "spec"), [Db(q, "w", 1)])
    ctx.tool.run("write", os.path.join(w, "spec"), "--max-tx", 3000, "--seconds", 60, "--autockpt", 0, "--sync", 0, "--no-close")
    rs = [json.loads(ctx.tool.run("walref", q + "-wal", os.path.join(w, "out"), 30)) for _ in range(3)]
    R["wal_floor"] = rs[-1]
    tot = [r["cpu_read_s"] + r["cpu_checksum_s"] + r["cpu_lz4_dedup_s"] + r["cpu_write_s"] for r in rs]
    R["wal_floor_cpu_s_per_10k_tx"] = mm([t / r["commits"] * 1e4 for t, r in zip(tot, rs)])
    R["wal_floor_bytes_per_tx"] = round(rs[-1]["lz4_dedup_bytes"] / max(1, rs[-1]["commits"]))
    if ctx.az:
        b = ctx.az.blob
        b.create("refs")
        for k, sz in (("16k", 16384), ("4m", 4 << 20)):
            data = os.urandom(sz)
            c0, t, n, ls = ctx.az.cpu(), time.monotonic(), 0, []
            while time.monotonic() - t < 3 and n < 3000:
                u = time.monotonic()
                st, _ = b.put("refs", "r%s/%d" % (k, n), data)
                ls.append((time.monotonic() - u) * 1e3)
                if st != 201:
                    R["azurite_put_error"] = st
                    break
                n += 1
            el = time.monotonic() - t
            R["azurite_put%s_per_s" % k] = round(n / el, 1)
            R["azurite_put%s_ms" % k] = dist(ls, 2)
            R["azurite_put%s_server_cpu_ms" % k] = round(1e3 * (ctx.az.cpu() - c0) / max(n, 1), 2)
        t = time.monotonic()
        for i in range(min(n, 50)):
            b.get("refs", "r4m/%d" % i)
        R["azurite_get4m_mb_per_s"] = round(min(n, 50) * 4 / (time.monotonic() - t), 1)
    return R
