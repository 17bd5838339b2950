"""What a power cut may leave of a directory, from a record of what was done to it (powercut.c).

A disk here is as bad as POSIX allows: the content of a file is what was there when its last fsync
began; every later write, or part of one in sectors, may be there or not, in any combination. A name is
made, moved or removed for certain only once its directory was fsynced. In a replica's directories and
ours any of the later changes may be missing; in the database's own they are lost from the end, as
file systems with a journal do it: SQLite itself needs no less.
"""
import os
import struct
import subprocess

HEAD = struct.Struct("<cQQII")
SECTOR = 512
SOURCE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "powercut.c")


class Recorder:
    """env() makes a process recorded; a program built with AddressSanitizer wants its library first."""

    def __init__(self, root, work):
        self.root, self.log = str(root), os.path.join(str(work), "powercut.log")
        self.library = os.path.join(str(work), "powercut.so")
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", self.library, SOURCE, "-ldl", "-lpthread"],
                       check=True)
        self.start = Disk.of_directory(self.root)

    def env(self, binary=None):
        preload = [self.library]
        if binary:
            linked = subprocess.run(["ldd", binary], capture_output=True, text=True).stdout
            preload = [w for w in linked.split() if w.startswith("/") and "libasan" in w] + preload
        return {"LD_PRELOAD": " ".join(preload), "POWERCUT_ROOT": self.root, "POWERCUT_LOG": self.log}

    def rebooted(self, binary):
        """Not recorded, but started after another boot."""
        boot = self.log + ".boot"
        with open(boot, "w") as f:
            f.write("00000000-0000-4000-8000-000000000000\n")
        return {"LD_PRELOAD": self.env(binary)["LD_PRELOAD"], "POWERCUT_BOOT": boot}

    def events(self):
        """[(kind, inode, number, bytes, bytes)] in the order they happened."""
        with open(self.log, "rb") as f:
            b = f.read()
        out, at = [], 0
        while at + HEAD.size <= len(b):
            kind, ino, n, a_len, b_len = HEAD.unpack_from(b, at)
            at += HEAD.size
            out.append((kind.decode(), ino, n, b[at:at + a_len], b[at + a_len:at + a_len + b_len]))
            at += a_len + b_len
        return out


class File:
    def __init__(self, ino, content=b"", is_dir=False):
        self.ino, self.durable, self.is_dir = ino, bytearray(content), is_dir
        self.pending = []    # ("W", offset, data) or ("T", size, None), in order
        self.syncing = {}    # thread: how many of them an fsync that began there covers


def apply(content, op):
    kind, at, data = op
    if kind == "T":
        if at < len(content):
            del content[at:]
        else:
            content.extend(bytes(at - len(content)))
        return
    if at > len(content):
        content.extend(bytes(at - len(content)))
    content[at:at + len(data)] = data


def torn(op, rng):
    """A write of which only some sectors arrived, as writes of their own."""
    kind, at, data = op
    if kind != "W" or len(data) <= SECTOR or rng.random() < 0.6:
        return [op]
    return [("W", at + i, data[i:i + SECTOR]) for i in range(0, len(data), SECTOR) if rng.random() < 0.5]


class Change:
    """Of a name: made, moved, linked, removed."""

    def __init__(self, kind, f, a, b):
        self.kind, self.file, self.a, self.b = kind, f, a, b
        self.directory = os.path.dirname(b or a)

    def make(self, names):
        if self.kind in "UR":
            names.pop(self.a, None)
        if self.kind != "U":
            names[self.b or self.a] = self.file


class Disk:
    """names is {path: File} that holds for certain; changes are those that may be lost."""

    def __init__(self, root):
        self.root, self.names, self.changes = root, {}, []
        self.live = {}    # by inode; those are used again
        self.add(root, True)

    def add(self, path, is_dir):
        ino = os.lstat(path).st_ino
        content = b"" if is_dir else open(path, "rb").read()
        self.names[path] = self.live[ino] = File(ino, content, is_dir)

    @classmethod
    def of_directory(cls, root):
        d = cls(root)
        for top, dirs, names in os.walk(root):
            for n in dirs + names:
                d.add(os.path.join(top, n), n in dirs)
        return d

    def path_of(self, f):
        now = dict(self.names)
        for c in self.changes:
            c.make(now)
        return next((p for p, other in now.items() if other is f), None)

    def happened(self, event):
        kind, ino, n, a, b = event
        if kind in "CM":
            self.live[ino] = File(ino, is_dir=kind == "M")
        f = self.live.setdefault(ino, File(ino))
        if kind in "CMURL":
            self.changes.append(Change(kind, f, a.decode(), b.decode()))
        elif kind in "WT":
            f.pending.append((kind, n, a))
        elif kind == "S":
            f.syncing[n] = (len(f.pending), list(self.changes))
        elif kind == "E":
            self.synced(f, *f.syncing.pop(n))

    def synced(self, f, writes, changes):
        for op in f.pending[:writes]:
            apply(f.durable, op)
        del f.pending[:writes]
        f.syncing = {t: (max(0, w - writes), c) for t, (w, c) in f.syncing.items()}
        if not f.is_dir:
            return
        here = self.path_of(f)
        for c in changes:
            if c in self.changes and c.directory == here:
                c.make(self.names)
                self.changes.remove(c)

    # ---- a cut ----

    def surviving_names(self, rng, ordered):
        share = rng.choice((0.0, 0.0, 0.5, 1.0))
        names, lost = dict(self.names), set()
        for c in self.changes:
            if c.directory not in lost and rng.random() < share:
                c.make(names)
            elif ordered(c.directory):
                lost.add(c.directory)
        return names

    @staticmethod
    def surviving_content(f, rng, share):
        content = bytearray(f.durable)
        for op in f.pending:
            if rng.random() < share:
                for part in torn(op, rng):
                    apply(content, part)
        return content

    def leave(self, target, rng, ordered):
        """Makes the directory target: what may be there after a cut at this moment. ordered(directory):
        changes of names there are lost from the end only."""
        names = self.surviving_names(rng, ordered)
        share = rng.choice((0.0, 0.5, 0.9, 1.0))
        made = set()
        for path in sorted(names):
            f = names[path]
            if path != self.root and os.path.dirname(path) not in made:
                continue    # its directory is not there
            out = target + path[len(self.root):]
            if f.is_dir:
                os.mkdir(out)
                made.add(path)
            elif not path.endswith("-shm"):    # does not outlive its processes
                with open(out, "wb") as o:
                    o.write(self.surviving_content(f, rng, share))
