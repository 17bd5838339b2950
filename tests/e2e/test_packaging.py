"""The units of packaging/systemd start what there is, with flags that exist."""
import glob
import os
import re
import shutil
import subprocess

import pytest

UNITS = os.path.join(os.path.dirname(__file__), "..", "..", "packaging", "systemd")
SERVICES = sorted(glob.glob(os.path.join(UNITS, "*.service")))


@pytest.mark.parametrize("unit", SERVICES, ids=[os.path.basename(u) for u in SERVICES])
def test_what_a_unit_starts_is_understood(holdfast, tmp_path, unit):
    with open(unit) as f:
        argv = re.search(r"^ExecStart=/usr/local/bin/holdfast (.*)$", f.read(), re.M).group(1).split()
    missing = str(tmp_path / "not-there.yml")
    argv[argv.index("/etc/holdfast.yml")] = missing
    r = holdfast(*argv)
    # The arguments are good: what is wrong is the file.
    assert r.code not in (0, 2) and missing in r.err, (r.code, r.err)


def test_units_are_well_formed(tmp_path):
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not here")
    for unit in SERVICES + glob.glob(os.path.join(UNITS, "*.timer")):
        shutil.copy(unit, tmp_path)
    units = sorted(str(p) for p in tmp_path.iterdir())
    r = subprocess.run(["systemd-analyze", "verify", *units], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                       env=dict(os.environ, SYSTEMD_UNIT_PATH=str(tmp_path) + ":"))
    wrong = [line for line in r.stdout.splitlines() if "holdfast" in line and "not executable" not in line]
    assert not wrong, wrong
