"""``glassnf sample`` with every algorithm: what the files hold, runs that go on bit for bit, and options that do not belong."""

from __future__ import annotations

import functools
import io
import json
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

import glassnf as gnf
from glassnf.cli import run
from glassnf.cli._console import _bars as bars_of
from glassnf.cli._runners import Runner
from glassnf.cli._runners.base import shown
from glassnf.cli._runners.parallel_tempering import pieces
from glassnf.io.runfile import RunFile
from runs import same_runs

Straight = Callable[[str], RunFile]

COMMON = ["sample", "--seed", "3", "--quiet"]
LADDER = ["--temperatures", "0.4:0.8:4", "--ladders", "2"]
ANNEAL = ["-T", "0.6", "--start", "1", "--population", "24", "--culling-fraction", "0.2"]
RUNS = {
    "md": ["-T", "0.5", "--replicas", "3", "--equilibration", "50", "--steps", "210", "--record-every", "10"],
    "md nve": [
        "-T",
        "0.5",
        "--replicas",
        "2",
        "--equilibration",
        "40",
        "--steps",
        "100",
        "--record-every",
        "10",
        "--thermostat",
        "nve",
    ],
    "md hybrid": ["-T", "0.5", "--replicas", "2", "--equilibration", "20", "--steps", "90", "--swap-every", "15"],
    "pt": [*LADDER, "--equilibration", "60", "--sweeps", "150", "--record-every", "7", "--sweeps-per-exchange", "4"],
    "pt mc": [*LADDER, "--equilibration", "40", "--sweeps", "60", "--explorer", "mc", "--fixed-ladder"],
    "pt md": [*LADDER, "--equilibration", "40", "--sweeps", "90", "--explorer", "md", "--sweeps-per-exchange", "20"],
    "pa": [*ANNEAL, "--equilibration", "50", "--sweeps-per-step", "4"],
    "pa mc": [*ANNEAL, "--equilibration", "30", "--sweeps-per-step", "3", "--explorer", "mc", "--block", "7"],
    "pa md": [*ANNEAL, "--equilibration", "30", "--sweeps-per-step", "8", "--explorer", "md"],
}


def _arguments(name: str, path: Path) -> list[str]:
    return [*COMMON, "--algorithm", name.split()[0], *RUNS[name], "-o", str(path)]


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], RunFile]:
    """Return a function that gives the run of a name, which nothing interrupted."""
    folder = tmp_path_factory.mktemp("straight")

    @functools.cache
    def find(name: str) -> RunFile:
        path = folder / f"{name.replace(' ', '-')}.h5"
        assert run(_arguments(name, path)) == 0
        return RunFile.open(path)

    return find


def _stop_after(monkeypatch: pytest.MonkeyPatch, turns: int) -> None:
    """Make turns as short as possible, and send SIGINT at the end of one of them."""
    monkeypatch.setattr("glassnf.cli._chain._CHUNK_SECONDS", 0.0)
    monkeypatch.setattr("glassnf.samplers.population_annealing._PIECE_SECONDS", 1e-9)
    advance, calls = Runner.advance, 0

    def counted(self: Runner, turn: Any) -> None:
        nonlocal calls
        advance(self, turn)
        calls += 1
        if calls == turns:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Runner, "advance", counted)


@pytest.mark.parametrize("turns", [1, 2, 4, 9, 23])
@pytest.mark.parametrize("name", RUNS)
def test_a_stopped_run_goes_on_bit_for_bit(
    name: str, turns: int, straight: Straight, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "stopped.h5"
    with pytest.MonkeyPatch.context() as patch:
        _stop_after(patch, turns)
        assert run(_arguments(name, path)) == 130
    assert "resume with: glassnf sample --resume -o" in capsys.readouterr().err
    assert run(["sample", "--resume", "-o", str(path), "--quiet", "--threads", "1"]) == 0
    same_runs(straight(name), RunFile.open(path))


def test_pieces_of_the_equilibration_of_tempering() -> None:
    assert pieces(0, 400) == []
    assert pieces(532, 400) == [532]
    assert pieces(2500, 400) == [468, 937, 1875]
    for equilibration in range(534, 100_000, 997):
        ends = pieces(equilibration, 400)
        assert ends[-1] == 3 * equilibration // 4
        lengths = np.diff([0, *ends])
        assert lengths.min() >= 400
        assert lengths.max() <= 3200


def test_checkpoints_within_the_equilibration_of_tempering(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = [*COMMON, *LADDER, "--algorithm", "pt", "--equilibration", "1800", "--sweeps", "40", "-o"]
    assert run([*arguments, str(tmp_path / "straight.h5")]) == 0
    path = tmp_path / "stopped.h5"
    steps = []
    with pytest.MonkeyPatch.context() as patch:
        _stop_after(patch, 1)
        assert run([*arguments, str(path)]) == 130
        steps.append(RunFile.open(path).ensemble.step)
    for turns in (1, 2):
        with pytest.MonkeyPatch.context() as patch:
            _stop_after(patch, turns)
            assert run(["sample", "--resume", "-o", str(path), "--quiet"]) == 130
            steps.append(RunFile.open(path).ensemble.step)
    assert steps[:2] == [675, 1350]
    assert 1350 < steps[2] < 1800  # in the part that adapts nothing
    assert run(["sample", "--resume", "-o", str(path), "--quiet"]) == 0
    same_runs(RunFile.open(tmp_path / "straight.h5"), RunFile.open(path))


def test_a_population_stopped_early_names_its_sweeps(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        _stop_after(patch, 1)
        assert run(_arguments("pa", tmp_path / "a.h5")) == 130
    assert re.search(r"stopped after \d+ of 50 sweeps of equilibration; resume", capsys.readouterr().err)


def test_molecular_dynamics_is_that_of_the_library(straight: Straight) -> None:
    found, system = straight("md"), gnf.systems.ka2d(43)
    ensemble = gnf.Ensemble.random(system, replicas=3, temperature=0.5, seed=3)
    sampler = gnf.MolecularDynamics(system, timestep=0.005, thermostat="langevin", friction=1.0)
    sampler.equilibrate(ensemble, 50)
    record = sampler.run(ensemble, 210, record_every=10)
    assert found.ensemble.identical_to(ensemble)
    np.testing.assert_array_equal(found.records["step"], record.steps)
    np.testing.assert_array_equal(found.records["energy"], record.energy)
    np.testing.assert_array_equal(found.records["kinetic_energy"], record.kinetic_energy)


def test_parallel_tempering_is_that_of_the_library(straight: Straight) -> None:
    found, system = straight("pt"), gnf.systems.ka2d(43)
    sampler = gnf.ParallelTempering(system, np.geomspace(0.4, 0.8, 4), gnf.MonteCarlo(system), ladders=2, sweeps_per_exchange=4)
    sampler.temperatures[[0, -1]] = 0.4, 0.8
    ensemble = sampler.random(seed=3)
    sampler.equilibrate(ensemble, 60)
    record = sampler.run(ensemble, 150, record_every=7)
    assert found.ensemble.identical_to(ensemble)
    np.testing.assert_array_equal(found.state["temperatures"], sampler.temperatures)
    np.testing.assert_array_equal(found.records["energy"], record.energy)
    np.testing.assert_array_equal(found.records["replica"], record.replica)
    np.testing.assert_array_equal(found.counters["accepts"], record.accepts)


def test_population_annealing_is_that_of_the_library(straight: Straight) -> None:
    found, system = straight("pa"), gnf.systems.ka2d(43)
    sampler = gnf.PopulationAnnealing(
        system, 1.0, 0.6, gnf.MonteCarlo(system), sweeps_per_step=4, culling_fraction=0.2, equilibration_sweeps=50
    )
    with pytest.warns(gnf.samplers.PopulationCollapseWarning):
        result = sampler.run(24, seed=3)
    assert found.ensemble.identical_to(result.ensemble)
    np.testing.assert_array_equal(found.records["energy"], result.energy)
    np.testing.assert_array_equal(found.records["log_z"], result.log_z)
    np.testing.assert_array_equal(found.records["families"], result.families)
    np.testing.assert_allclose(found.records["temperature"], result.temperatures, rtol=1e-14)


def test_a_finished_run_can_be_made_longer(straight: Straight, tmp_path: Path) -> None:
    for name, key, short, full in (("md", "--steps", "77", "210"), ("pt", "--sweeps", "33", "150")):
        path = tmp_path / f"{name}.h5"
        assert run([*_arguments(name, path), key, short]) == 0
        assert run(["sample", "--resume", "-o", str(path), key, full, "--quiet"]) == 0
        same_runs(straight(name), RunFile.open(path))


def _json(name: str, path: Path, capsys: pytest.CaptureFixture[str], *more: str) -> dict[str, Any]:
    assert run([*_arguments(name, path), "--json", *more]) == 0
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert result["complete"] is True
    return result


def test_results_of_molecular_dynamics(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = _json("md", tmp_path / "a.h5", capsys)
    kinetic = RunFile.open(tmp_path / "a.h5").records["kinetic_energy"]
    assert result["kinetic_temperature"]["value"] == pytest.approx(kinetic.mean() / 43)
    assert result["specific_heat"]["value"] > 0.0
    assert result["energy_drift"] is None
    conserved = _json("md nve", tmp_path / "b.h5", capsys)
    assert abs(conserved["energy_drift"]) < 0.01
    assert conserved["specific_heat"] is None
    hybrid = _json("md hybrid", tmp_path / "c.h5", capsys)
    assert 0.0 <= hybrid["swap_acceptance"] < 1.0


def test_results_of_parallel_tempering(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = _json("pt", tmp_path / "a.h5", capsys)
    rows = result["temperatures"]
    assert [row["temperature"] for row in rows] == sorted(row["temperature"] for row in rows)
    assert rows[0]["temperature"] == 0.4
    assert rows[-1]["temperature"] == 0.8
    assert rows[-1]["acceptance_to_next"] is None
    rejections = [1.0 - row["acceptance_to_next"] for row in rows[:-1]]
    assert result["barrier"] == pytest.approx(sum(rejections))
    assert sum(result["round_trips_by_ladder"]) == result["round_trips"]
    assert rows[0]["mean_energy"]["value"] < rows[-1]["mean_energy"]["value"]
    assert result["seconds"] == pytest.approx(RunFile.open(tmp_path / "a.h5").counters["wall_time"])
    fixed = _json("pt mc", tmp_path / "b.h5", capsys)
    assert [row["temperature"] for row in fixed["temperatures"]] == fixed["parameters"]["temperatures"]


def test_ladders_without_exchange_are_not_called_equilibrated(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A cold and a very hot temperature never exchange; the ladders may agree all the same."""
    arguments = [*COMMON, "--algorithm", "pt", "--temperatures", "1,200", "--ladders", "8", "--equilibration", "200"]
    assert run([*arguments, "--sweeps", "1500", "-o", str(tmp_path / "a.h5"), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["poor_exchanges"] == [[1.0, 200.0]]
    assert result["r_hat"] < 1.05
    assert result["equilibrated"] is False
    assert not any(row["equilibrated"] for row in result["temperatures"])


def test_a_few_exchanges_that_are_refused_are_no_reason_for_advice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    few = ["--algorithm", "pt", "--temperatures", "1,200", "--ladders", "1", "--equilibration", "0", "--sweeps", "40"]
    assert run([*(word for word in COMMON if word != "--quiet"), *few, "-o", str(tmp_path / "b.h5")]) == 0
    shown = " ".join(re.sub("[^\\w\\s.,:]", " ", capsys.readouterr().out).split())
    assert "NO EXCHANGE" not in shown  # two attempts say nothing
    assert "fewer than 100 exchanges" in shown
    assert "1 ladder of 2 temperatures x 40 sweeps" in shown


def test_a_ladder_is_made_from_the_temperature(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [*COMMON, "--algorithm", "pt", "-T", "0.3", "--ladders", "1", "--sweeps", "400", "--equilibration", "0"]
    assert run([*arguments, "-o", str(tmp_path / "a.h5"), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    temperatures = result["parameters"]["temperatures"]
    assert temperatures[0] == 0.3
    assert temperatures[-1] == 1.0
    acceptance = np.array([row["acceptance_to_next"] for row in result["temperatures"][:-1]])
    assert 0.3 < acceptance.mean() < 0.7  # 180 attempts: 5 sigma about one half


def test_results_of_population_annealing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = _json("pa", tmp_path / "a.h5", capsys)
    steps = result["steps"]
    assert steps[0]["temperature"] == 1.0
    assert steps[-1]["temperature"] == result["temperature"] == pytest.approx(0.6)
    assert steps[0]["log_z"]["value"] == 0.0
    assert result["families"] == steps[-1]["families"] <= 24
    assert result["collapsed"] is True  # 24 replicas are few
    assert result["pair_evaluations"] > 0


def test_tables(straight: Straight, capsys: pytest.CaptureFixture[str]) -> None:
    wanted = {
        "md": ("md (langevin): 3 replicas x 210 steps of 0.005", "kinetic temperature", "R-hat"),
        "md nve": ("drift of the total energy",),
        "pt": ("2 ladders of 4 temperatures x 150 sweeps", "acceptance to next", "round trips", "communication barrier"),
        "pa": ("24 replicas", "log Z", "rho_t", "FEW FAMILIES"),
    }
    for name, texts in wanted.items():
        assert run(["sample", "--resume", "-o", str(straight(name).path)]) == 0
        out = capsys.readouterr().out
        for text in texts:
            assert text in out


def test_numbers_and_units() -> None:
    assert shown(None, "epsilon") == "too few records"
    assert shown({"value": -2.36512, "error": 0.0012}, "epsilon") == "-2.3651(12) epsilon"
    for unknown in (None, 0.0, float("nan")):
        assert shown({"value": -2.36512, "error": unknown}) == "-2.3651"


def test_a_population_is_not_copied_at_every_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copies = turns = 0
    copy, advance = gnf.Ensemble.copy, Runner.advance

    def counted(self: Runner, turn: Any) -> None:
        nonlocal copies, turns
        before = copies
        advance(self, turn)
        assert copies == before
        turns += 1

    def counting(self: gnf.Ensemble) -> gnf.Ensemble:
        nonlocal copies
        copies += 1
        return copy(self)

    monkeypatch.setattr(Runner, "advance", counted)
    monkeypatch.setattr(gnf.Ensemble, "copy", counting)
    assert run(_arguments("pa md", tmp_path / "a.h5")) == 0
    assert turns > 0


@pytest.mark.parametrize("width", [60, 70, 80, 100])
def test_tables_of_annealing_are_whole(
    width: int, straight: Straight, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    console = Console(width=width)
    monkeypatch.setattr("glassnf.cli._console.standard_output", lambda: console)
    assert run(["sample", "--resume", "-o", str(straight("pa").path)]) == 0
    out = capsys.readouterr().out
    assert "…" not in out.split("At the target")[0]
    assert ("ESS" in out) == (width >= 80)
    assert "log Z" in out


@pytest.mark.parametrize("width", [60, 80, 120])
def test_bars_are_seen(width: int) -> None:
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    progress = bars_of(console)
    progress.add_task("equilibration", total=100, completed=100, note="T 1.000, <U>/N -2.345, 1000 families, rho_t 12")
    console.print(progress.get_renderable())
    line = console.file.getvalue()
    assert line.count("━") >= 8
    assert "100%" in line
    assert ("rho_t" in line) == (width >= 72)


def test_dynamics_that_blows_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "run.h5"
    for name in ("md", "pt md"):
        arguments = [*_arguments(name, path), "--overwrite", "--timestep", "0.2"]
        assert run(arguments) == 3
        message = capsys.readouterr().err
        assert message.count("\n") == 1
        assert "step" in message
        assert "replica" in message
        assert f"{path} holds the last good state" in message
        good = RunFile.open(path)
        assert np.isfinite(good.ensemble.energy).all()
        assert good.n_records == 0
    assert run([*arguments, "--json"]) == 3
    assert json.loads(capsys.readouterr().out)["error"]["exit_code"] == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--algorithm md --sweeps 10", "--sweeps: expected no such option with --algorithm md, it belongs to"),
        ("--algorithm md --sweeps 10", "use --steps"),
        (
            "--algorithm swap --timestep 0.01",
            "--timestep: expected no such option with --algorithm swap, it belongs to --algorithm md",
        ),
        (
            "--algorithm md --friction 2 --thermostat rescaling",
            "--friction: expected no such option with --thermostat rescaling",
        ),
        ("--algorithm pt --replicas 3", "use --ladders"),
        ("--algorithm pt --friction 1", "--algorithm pt --explorer swap, it belongs to --algorithm md and --explorer md"),
        ("--algorithm pt --explorer md --swap-probability 0.1", "--swap-probability: expected no such option"),
        ("--algorithm pt --explorer md --thermostat nve", "--thermostat: expected langevin or rescaling in parallel tempering"),
        (
            "--algorithm pt --temperatures 0.3,0.4",
            "--temperature: expected the lowest of --temperatures, 0.3, or no such option",
        ),
        ("--algorithm pt --temperatures 0.5", "--temperatures: expected at least two temperatures, got 1"),
        ("--algorithm pt --temperatures 0.5,0.5", "--temperatures: expected distinct temperatures, got 0.5 twice"),
        ("--algorithm pt --temperatures 1:0.5:4", "expected LOW below HIGH in LOW:HIGH:COUNT"),
        ("--algorithm pt --temperatures 0.5:1", "expected a list of temperatures or LOW:HIGH:COUNT, got '0.5:1'"),
        ("--algorithm pa --start 0.2", "--start: expected a temperature above the target -T, 0.5, got 0.2"),
        ("--algorithm pa --culling-fraction 1", "--culling-fraction: expected a number between 0 and 1, got 1"),
        ("--algorithm pa --record-every 3", "--record-every: expected no such option with --algorithm pa --explorer swap"),
        (
            "--algorithm pt --temperatures 0.5,0.500000001",
            "temperatures: expected distinct temperatures, got 0.5 more than once",
        ),
        ("--algorithm pt --temperatures 0.5,1e-320", "--temperatures: expected a number from 1e-70 to 1e+70, got 1e-320"),
        ("--algorithm pa --population 1", "--population: expected an integer of at least 2, got 1"),
    ],
)
def test_options_that_do_not_belong(arguments: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["sample", "-T", "0.5", *arguments.split(), "-o", str(tmp_path / "x.h5")]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert message in error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("algorithm", ["pt", "pa"])
def test_temperatures_whose_double_is_infinite(algorithm: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["sample", "-T", "1e308", "--algorithm", algorithm, "-o", str(tmp_path / "x.h5")]) == 2
    assert "--temperature: expected a number from 1e-70 to 1e+70, got 1e+308" in capsys.readouterr().err


def test_a_refused_run_leaves_an_old_file(straight: Straight, capsys: pytest.CaptureFixture[str]) -> None:
    path = straight("pt").path
    before = path.read_bytes()
    for arguments in (
        ["--algorithm", "pt", "--temperatures", "0.5,0.500000001"],
        ["-T", "0.5", "--algorithm", "pa", "--equilibration", "18446744073709551615"],
    ):
        assert run(["sample", *arguments, "--overwrite", "-o", str(path)]) == 2
        assert path.read_bytes() == before
    assert capsys.readouterr().err.count("\n") == 2


def test_one_species_has_no_swap_moves(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pair = gnf.systems.PairPotential("lj_smooth", [[1.0]], [[1.0]], 1.5)
    one = gnf.systems.custom("one", potential=pair, species=np.zeros(20, dtype=np.int32), density=0.5, dimension=2)
    one.to_toml(tmp_path / "one.toml")
    common = ["sample", "--system", str(tmp_path / "one.toml"), "-T", "0.7", "--equilibration", "20", "--quiet"]
    shortest = {
        "mc": ["--sweeps", "20", "--replicas", "2"],
        "pt": ["--sweeps", "20", "--ladders", "1"],
        "pa": ["--population", "8"],
    }
    for algorithm, arguments in shortest.items():
        path = tmp_path / f"{algorithm}.h5"
        own = ["--algorithm", algorithm] if algorithm != "mc" else []
        assert run([*common, *own, *arguments, "-o", str(path)]) == 0
        parameters = RunFile.open(path).parameters
        assert (parameters["algorithm"], parameters.get("explorer", "mc")) == (algorithm, "mc")
        assert run(["sample", "--resume", "--quiet", "-o", str(path)]) == 0
    capsys.readouterr()
    for asked, key in ((["--algorithm", "swap"], "algorithm"), (["--algorithm", "pa", "--explorer", "swap"], "explorer")):
        assert run([*common, *asked, "-o", str(tmp_path / "x.h5")]) == 2
        assert f"--{key}: expected no swap moves for one, which has one species, got swap; use mc" in capsys.readouterr().err


def test_resuming_with_other_options_is_refused(straight: Straight, capsys: pytest.CaptureFixture[str]) -> None:
    for name, arguments, message in (
        ("md", ["--timestep", "0.001"], "timestep: 0.005 != 0.001"),
        ("md", ["--sweeps", "500"], "--sweeps: expected no such option with --algorithm md"),
        ("pt", ["--temperatures", "0.4,0.8"], "temperatures: "),
        ("pt", ["--explorer", "mc"], "explorer: 'swap' != 'mc'"),
        ("pa", ["--population", "25"], "population: 24 != 25"),
        ("pa", ["--algorithm", "md"], "algorithm: 'pa' != 'md'"),
    ):
        assert run(["sample", "--resume", "-o", str(straight(name).path), *arguments]) == 2
        assert message in capsys.readouterr().err


def test_options_from_a_file(tmp_path: Path) -> None:
    config = tmp_path / "run.toml"
    config.write_text(
        'algorithm = "pt"\ntemperatures = [0.5, 0.7, 1.0]\nladders = 1\nfixed-ladder = true\nsweeps = 20\nequilibration = 20\n',
        encoding="utf-8",
    )
    path = tmp_path / "run.h5"
    assert run(["sample", "--config", str(config), "-o", str(path), "--quiet"]) == 0
    parameters = RunFile.open(path).parameters
    assert parameters["temperatures"] == [0.5, 0.7, 1.0]
    assert parameters["fixed_ladder"] is True
    assert parameters["temperature"] == 0.5
