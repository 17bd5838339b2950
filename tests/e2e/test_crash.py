"""kill -9 at random points (crash.py has the rules)."""
import os

import pytest

import crash
import dbtool
import mixer
from conftest import find_holdfast, find_litestream


@pytest.mark.timeout(4 * 3600)
def test_killed_at_random(rounds, seed):
    failed, done = crash.run(find_holdfast(), seed, rounds(200, 4000), jobs=2,
                             litestream=find_litestream(), seconds=rounds(80, 0))
    print("%d rounds, seed %d" % (done, seed))
    assert not failed, "\n\n".join(failed)
    assert done >= 40


def test_mixer_sees_a_lost_change(tmp_path, rng):
    """The harness' own oracle: a copy with one row of another state is noticed."""
    db = str(tmp_path / "app.db")
    mixer.create(db, rng)
    mixer.Mixer(db, str(tmp_path / "log"), 7).run(0.3)
    assert mixer.check(db) >= mixer.acked(str(tmp_path / "log")) > 1
    c = dbtool.connect(db)
    c.execute("INSERT OR REPLACE INTO t0 VALUES(1000, 1, x'00')")
    c.close()
    with pytest.raises(AssertionError):
        mixer.check(db)
    assert os.path.exists(db)
