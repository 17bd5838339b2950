"""config check: what of a litestream.yml means something else here, told once however large the file is."""
import os

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FLEET = os.path.join(ROOT, "tests/fixtures/fleet/litestream.yml")
ENV = {"FLEET_DATA": "/srv/fleet"}


def test_fleet(holdfast):
    r = holdfast("config", "check", FLEET, env=ENV).ok()
    assert "69 databases, 0 directories, 69 replicas" in r.out
    notes = r.out.split("not quite as with Litestream:\n")[1].splitlines()
    assert any("retention (and in 68 more places): it counts, as in 0.3" in n for n in notes)
    assert r.err.count("warning:") == 1 and "retention-check-interval: has no effect: what is too old" in r.err
    # The other spelling is the same, and nothing is started.
    v = holdfast("replicate", "-config", FLEET, "-config-validate", env=ENV).ok()
    assert (v.out, v.err) == (r.out, r.err)
    kinds = [w["kind"] for w in holdfast("config", "check", FLEET, "--json", env=ENV).ok().json()["warnings"]]
    assert sorted(set(kinds)) == ["differs", "no-effect"]


def test_unknown_key_fails_both(holdfast, tmp_path):
    conf = tmp_path / "x.yml"
    conf.write_text("dbs:\n  - {path: /a, replica: {path: /b, sync-intervall: 1s}}\n")
    for args in (["config", "check", conf], ["replicate", "-config", conf, "-config-validate"]):
        holdfast(*args).failed(2, "sync-intervall", "did you mean sync-interval?", "1 unknown key")


def test_explain_tells_the_difference(holdfast):
    assert "Unlike Litestream: it counts, as in 0.3" in holdfast("config", "explain", "dbs[].replica.retention").ok().out
    assert "Has no effect: a log is never truncated by force" in holdfast("config", "explain", "truncate-page-n").ok().out


def test_files_of_secrets(holdfast, tmp_path):
    """What others may read is named once, with its mode and what to do; nothing is refused."""
    key, ssh = tmp_path / "enc.key", tmp_path / "id_ed25519"
    key.write_text("00" * 32 + "\n")
    ssh.write_text("x")
    key.chmod(0o640)
    ssh.chmod(0o600)
    dbs = "".join("  - {path: /d%d, replica: {url: 'sftp://u@h/r%d', key-path: %s, host-key: ssh-ed25519 AAAA, "
                  "encryption: {key-file: %s}}}\n" % (i, i, ssh, key) for i in range(2))
    conf = tmp_path / "x.yml"
    conf.write_text("dbs:\n" + dbs)
    r = holdfast("config", "check", conf).ok()
    assert r.err.count("warning:") == 1
    assert "(and in 1 more place)" in r.err
    assert "%s has mode 0640: others than its owner can read the secret in it (chmod 600 %s)" % (key, key) in r.err
    key.chmod(0o600)
    ssh.chmod(0o644)
    r = holdfast("config", "check", conf, "--json").ok()
    assert [w["kind"] for w in r.json()["warnings"] if w["kind"] != "differs"] == ["exposed"]
    ssh.chmod(0o600)
    assert "warning:" not in holdfast("config", "check", conf).ok().err
