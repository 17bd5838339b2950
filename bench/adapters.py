"""Adapters: how the benchmark starts one replicator.

An adapter is written "name=binary", e.g. litestream03=/opt/litestream.  `none`
(no binary) is the writer alone.  To add a tool, subclass Adapter and list it in
ADAPTERS.
"""
import os
import subprocess


def seconds(duration):
    """"1s", "0.02s", "20ms", "24h" -> seconds"""
    for unit, k in (("ms", 1e-3), ("s", 1), ("m", 60), ("h", 3600)):
        if duration.endswith(unit):
            return float(duration[:-len(unit)]) * k
    raise ValueError(duration)


class Db:
    """One primary database and where its replica goes."""

    def __init__(self, path, name, idx, sync="1s", retention="24h"):
        self.path, self.name, self.idx = path, name, idx
        self.sync, self.retention = sync, retention


class Adapter:
    name = "?"
    follow = False          # has a native follow (warm standby) mode
    snapshot_parts = ()     # an object whose name holds one of these is a snapshot
    replica_list = True     # replicas: [..] (True) or replica: {..} (False)
    follow_interval = "1s"  # --follow-interval

    def __init__(self, binary):
        self.binary = binary

    def env(self):
        return dict(os.environ)

    def version(self):
        try:
            o = subprocess.run([self.binary, "version"], capture_output=True, text=True, timeout=10)
            return (o.stdout or o.stderr).strip().splitlines()[0][:80]
        except Exception as e:
            return "unknown (%s)" % e

    def config(self, path, dbs, replica, paths=None):
        """Write a litestream.yml-style config for dbs; paths overrides local paths."""
        out = ["dbs:"]
        for d in dbs:
            out.append("  - path: %s" % ((paths or {}).get(d.name, d.path)))
            out += ["    %s: %s" % kv for kv in self.db_extra(d).items()]
            ent = dict(replica.entry(d.name))
            ent["sync-interval"] = d.sync
            ent.update(self.replica_extra(d))
            kv = ["%s: %s" % (k, v) for k, v in ent.items()]
            if self.replica_list:
                out.append("    replicas:")
                out += [("      - " if i == 0 else "        ") + x for i, x in enumerate(kv)]
            else:
                out.append("    replica:")
                out += ["      " + x for x in kv]
        with open(path, "w") as f:
            f.write("\n".join(out) + "\n")

    def replica_extra(self, d):
        return {}

    def db_extra(self, d):
        return {}

    def replicate_cmd(self, cfg):
        raise NotImplementedError

    def restore_cmd(self, cfg, db_path, out):
        raise NotImplementedError

    def follow_cmd(self, cfg, db_path, out):
        return None

    def is_snapshot(self, rel):
        return any(p in rel for p in self.snapshot_parts)


class NoReplicator(Adapter):
    name = "none"

    def version(self):
        return "-"


class Litestream03(Adapter):
    name = "litestream03"
    snapshot_parts = ("/snapshots/",)

    def replica_extra(self, d):
        return {"retention": d.retention, "retention-check-interval": "1h"}

    def replicate_cmd(self, cfg):
        return [self.binary, "replicate", "-config", cfg]

    def restore_cmd(self, cfg, db_path, out):
        return [self.binary, "restore", "-config", cfg, "-o", out, db_path]


class Litestream05(Adapter):
    """0.5.x: one `replica:`, LTX files under ltx/<level>/, retention is global
    (snapshot: retention), follow mode is `restore -f` (0.5.8 and later)."""
    name = "litestream05"
    follow = True
    replica_list = False
    snapshot_parts = ("/ltx/9/",)

    def db_extra(self, d):
        """It looks at a database every monitor-interval (1 s): a shorter sync-interval alone changes
        nothing, so it gets both."""
        return {"monitor-interval": d.sync} if seconds(d.sync) < 1 else {}

    def replicate_cmd(self, cfg):
        return [self.binary, "replicate", "-config", cfg]

    def restore_cmd(self, cfg, db_path, out):
        return [self.binary, "restore", "-config", cfg, "-o", out, db_path]

    def follow_cmd(self, cfg, db_path, out):
        return [self.binary, "restore", "-config", cfg, "-f", "-follow-interval",
                self.follow_interval, "-o", out, db_path]


class Holdfast(Adapter):
    """Our own. Reads the same litestream.yml; `restore -f` follows one database a process."""
    name = "holdfast"
    follow = True
    follow_all = False
    snapshot_parts = ("/ltx/9/",)

    def replica_extra(self, d):
        return {"retention": d.retention}

    def replicate_cmd(self, cfg):
        return [self.binary, "replicate", "-config", cfg]

    def restore_cmd(self, cfg, db_path, out):
        return [self.binary, "restore", "-config", cfg, "-o", out, db_path]

    def follow_cmd(self, cfg, db_path, out):
        return [self.binary, "restore", "-config", cfg, "-f", "-follow-interval",
                self.follow_interval, "-o", out, db_path]


class HoldfastPack(Holdfast):
    """With `pack: true`: one object an interval for all databases; the harness looks into it."""
    name = "holdfast-pack"

    def replica_extra(self, d):
        return dict(super().replica_extra(d), pack="true")


ADAPTERS = {c.name: c for c in (NoReplicator, Litestream03, Litestream05, Holdfast, HoldfastPack)}


def make(spec):
    name, _, binary = spec.partition("=")
    if name not in ADAPTERS:
        raise SystemExit("unknown adapter %r; known: %s" % (name, ", ".join(ADAPTERS)))
    if name != "none":
        binary = binary or os.environ.get(name.upper().replace("-", "_") + "_BIN", "")
        if not binary or not os.access(binary, os.X_OK):
            raise SystemExit("adapter %s: no executable at %r (use %s=PATH or %s_BIN)" % (name, binary, name, name.upper()))
        binary = os.path.abspath(binary)
    return ADAPTERS[name](binary)
