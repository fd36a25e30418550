"""What tests of ``glassnf sample`` share: when two run files hold the same run."""

from __future__ import annotations

import numpy as np

from glassnf.io.runfile import RunFile

TIMES = {"wall_time", "pair_evaluations"}
"""Counters that depend on how a run is cut: each native call begins by evaluating energies or forces."""


def same_runs(a: RunFile, b: RunFile) -> None:
    """Check that two runs are the same, bit for bit, except for the time they took."""
    assert a.ensemble.identical_to(b.ensemble)
    assert a.records.keys() == b.records.keys()
    for name, values in a.records.items():
        np.testing.assert_array_equal(values, b.records[name])
    assert a.counters.keys() == b.counters.keys()
    for name in a.counters.keys() - TIMES:
        np.testing.assert_array_equal(a.counters[name], b.counters[name])
    assert a.state.keys() == b.state.keys()
    for name in a.state.keys() - TIMES - {"counts"}:
        np.testing.assert_array_equal(a.state[name], b.state[name])
