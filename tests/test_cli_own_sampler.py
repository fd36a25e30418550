"""``glassnf compare --sampler``: own samplers beside the algorithms, with failures that cost the others nothing."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from glassnf.cli import run
from glassnf.compare import algorithms

TINY = ["--sweeps", "640", "--reference-sweeps", "400", "--reference-replicas", "8", "--runs", "4", "--threads", "1"]
SAMPLERS = '''
import numpy as np
from glassnf.compare import Samples


class Walk:
    """Metropolis Monte Carlo of all particles at once."""

    label = "walk"
    training_cost = 3.0
    candidates = ({"size": 0.01}, {"size": 0.02})

    def __init__(self, problem, size=0.01):
        self.problem, self.size, self.random = problem, size, problem.rng()
        self.positions = problem.positions
        self.energy = problem.energy(self.positions)

    def run(self, budget):
        while self.problem.evaluations < budget:
            moved = self.positions + self.size * self.random.normal(size=self.positions.shape)
            energy = self.problem.energy(moved)
            accept = self.random.random(len(energy)) < np.exp(np.minimum(self.problem.beta * (self.energy - energy), 0.0))
            self.positions = np.where(accept[:, None, None], moved, self.positions)
            self.energy = np.where(accept, energy, self.energy)
            yield Samples(self.positions)


class Broken(Walk):
    label = "broken"
    name = "broken"

    def run(self, budget):
        if budget > 3_000:
            raise ArithmeticError("too far")
        yield from super().run(budget)


class Interrupted(Walk):
    name = "interrupted"

    def run(self, budget):
        if patience < 1:
            raise KeyboardInterrupt
        yield from super().run(budget)


patience = 0


class Hopeless(Walk):
    name = "hopeless"

    def __init__(self, problem, size=0.01):
        raise OSError("no disk")
'''


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return the current folder, with a file of samplers; path, modules and register are put back."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(algorithms, "_register", dict(algorithms._register))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(SAMPLERS)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name == "mine" or name.startswith("glassnf_sampler_mine"):
            del sys.modules[name]


def results(folder: Path) -> dict[str, Any]:
    data: dict[str, Any] = json.loads((folder / "report" / "compare.json").read_text())["temperatures"][0]
    return data


def test_beside_the_algorithms(folder: Path) -> None:
    """Failures, in the runs or in every trial of the settings, are told, and the others keep their results."""
    samplers = ["--sampler", "mine:Walk", "--sampler", "mine.py:Broken", "--sampler", "mine.py:Hopeless"]
    arguments = ["compare", "-T", "1.0", "--algorithms", "mc", *samplers, *TINY, "--no-cache", "--quiet", "-o", "report"]
    arguments[arguments.index("640")] = "4000"  # enough for trials of two settings
    assert run(arguments) == 0
    found = results(folder)
    names = {entry["name"]: entry for entry in found["algorithms"]}
    assert list(names) == ["mc", "Walk"]
    assert not names["mc"]["foreign"]
    walk = names["Walk"]
    assert walk["foreign"]
    assert walk["label"] == "walk"
    assert walk["training"]["wall_time"] == 3.0
    assert walk["cost"]["pair_evaluations"] == [sweeps * 903 for sweeps in walk["sweeps"]]
    reasons = {entry["name"]: entry["reason"] for entry in found["not_run"]}
    assert reasons["broken"] == "it has failed: sampler broken: run failed (ArithmeticError: too far)"
    assert (
        "none of its settings can be used: sampler hopeless: the constructor failed (OSError: no disk)" in reasons["hopeless"]
    )
    assert (folder / "report" / "report.html").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("sampler", "message"),
    [
        ("mine:Wolk", "sampler: expected a class, got 'mine:Wolk': there is no 'Wolk' in it; did you mean 'Walk'?"),
        ("nowhere:Walk", "there is no module 'nowhere'"),
        ("absent.py:Walk", "there is no file 'absent.py'"),
        ("walk", "sampler: expected package.module:Class, path/to/file.py:Class or the name of an entry point"),
    ],
)
def test_one_sentence_and_nothing_done(folder: Path, capsys: pytest.CaptureFixture[str], sampler: str, message: str) -> None:
    assert run(["compare", "-T", "1.0", "--sampler", sampler, *TINY, "--no-cache", "-o", "report"]) == 2
    told = capsys.readouterr()
    assert told.err.startswith("glassnf: error: sampler: expected ")
    assert message in told.err
    assert told.err.count("\n") == 1
    assert not (folder / "report").exists()


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("edited", [False, True])
def test_resuming_with_own_samplers(folder: Path, edited: bool) -> None:
    """What is done is kept, unless the sampler has been edited since."""
    samplers = ["--sampler", "mine:Walk", "--sampler", "mine:Interrupted"]
    arguments = ["compare", "-T", "1.0", "--algorithms", "mc", *samplers, *TINY, "--no-cache", "--quiet", "-o", "report"]
    assert run(arguments) == 130
    (kept,) = (json.loads(path.read_text().split("\n", 2)[2]) for path in (folder / "report" / "parts").glob("*Walk.json"))
    sys.modules["mine"].patience = 1  # type: ignore[attr-defined]
    if edited:
        (folder / "mine.py").write_text(SAMPLERS + "# edited")
    assert run([*arguments, "--resume"]) == 0
    walk = next(entry for entry in results(folder)["algorithms"] if entry["name"] == "Walk")
    same = walk["cost"]["wall_time"] == kept["result"]["costs"]["wall_time"]
    assert same != edited
