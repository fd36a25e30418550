"""``glassnf sample --flow``: the runs of the library, that go on bit for bit, and files of flows that do not fit."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import glassnf as gnf
from glassnf.cli import run
from glassnf.flows import MessageField, RadialBasis, RadialFlow, TemperatureBasis, load, save
from glassnf.io.runfile import RunFile
from runs import same_runs
from test_cli_algorithms import _stop_after

pytestmark = pytest.mark.filterwarnings("ignore::glassnf.samplers.PopulationCollapseWarning")  # populations are tiny here

COMMON = ["sample", "--seed", "3", "--quiet"]
RUNS = {
    "pt": [
        "--temperatures",
        "0.5:0.8:4",
        "--ladders",
        "2",
        "--equilibration",
        "80",
        "--sweeps",
        "60",
        "--sweeps-per-exchange",
        "4",
    ],
    "pa": ["-T", "0.6", "--population", "24", "--culling-fraction", "0.2", "--equilibration", "50", "--sweeps-per-step", "4"],
}


def weak_flow(strength: float = 0.004, n: int = 43, hot: float = 0.8, cold: float = 0.5, layers: int = 0) -> RadialFlow:
    """Return a field that nobody trained."""
    pair, message, beta = RadialBasis(0.6, 2.5, 12), RadialBasis(0.6, 2.0, 6), TemperatureBasis(1.0 / hot, 1.0 / cold, 2)
    rng = np.random.default_rng(1)
    of_pairs = rng.normal(0.0, strength, (layers + 1, 2, 6, pair.size))
    of_messages = rng.normal(0.0, strength, (layers, 2, 2, 6, message.size))
    return RadialFlow(gnf.systems.ka2d(n), MessageField(3, pair, message, beta, of_pairs, of_messages), hot, cold, 4)


@pytest.fixture(scope="module")
def flow_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("flow") / "weak.safetensors"
    save(path, weak_flow())
    return path


def arguments(name: str, flow: Path, output: Path) -> list[str]:
    return [*COMMON, "--algorithm", name, *RUNS[name], "--flow", str(flow), "-o", str(output)]


@pytest.fixture(scope="module")
def straight(flow_file: Path) -> dict[str, RunFile]:
    """Return the runs that nothing interrupted."""
    found = {}
    for name in RUNS:
        path = flow_file.parent / f"{name}.h5"
        assert run(arguments(name, flow_file, path)) == 0
        found[name] = RunFile.open(path)
    return found


@pytest.mark.parametrize("turns", [1, 3, 8, 20])
@pytest.mark.parametrize("name", RUNS)
def test_a_stopped_run_goes_on_bit_for_bit(
    name: str, turns: int, flow_file: Path, straight: dict[str, RunFile], tmp_path: Path
) -> None:
    path = tmp_path / "stopped.h5"
    with pytest.MonkeyPatch.context() as patch:
        _stop_after(patch, turns)
        assert run(arguments(name, flow_file, path)) == 130
    assert run(["sample", "--resume", "-o", str(path), "--quiet"]) == 0
    stopped = RunFile.open(path)
    stopped.state.pop("flow_time", None)
    straight[name].state.pop("flow_time", None)
    same_runs(straight[name], stopped)


def test_tempering_is_that_of_the_library(flow_file: Path, straight: dict[str, RunFile]) -> None:
    found, system = straight["pt"], gnf.systems.ka2d(43)
    pt = gnf.ParallelTempering(
        system, found.parameters["temperatures"], gnf.MonteCarlo(system), ladders=2, sweeps_per_exchange=4, flow=load(flow_file)
    )
    ensemble = pt.random(seed=3)
    pt.equilibrate(ensemble, 80)
    record = pt.run(ensemble, 60, record_every=10)
    assert found.ensemble.identical_to(ensemble)
    assert record.transport is not None
    assert record.transport.accepts.sum() > 0
    np.testing.assert_array_equal(found.counters["accepts"], record.accepts)
    np.testing.assert_array_equal(found.state["flow_steps"], record.state["flow_steps"])
    assert (record.transport.steps > 0).all()


def test_annealing_is_that_of_the_library_and_starts_where_the_flow_does(flow_file: Path, straight: dict[str, RunFile]) -> None:
    found, system = straight["pa"], gnf.systems.ka2d(43)
    assert found.parameters["start"] == 0.8
    pa = gnf.PopulationAnnealing(
        system, 0.8, 0.6, gnf.MonteCarlo(system), 4, 0.2, equilibration_sweeps=50, flow=load(flow_file)
    )
    result = pa.run(24, seed=3)
    assert found.ensemble.identical_to(result.ensemble)
    np.testing.assert_array_equal(found.records["log_z"], result.log_z)
    np.testing.assert_array_equal(found.state["row_flow_steps"], result.flow_steps)
    assert (result.flow_steps[1:] > 0).all()


def error_of(command: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert run(command) == 2
    text = capsys.readouterr().err
    assert text.startswith("glassnf: error: ")
    assert text.count("\n") == 1
    return text


def test_files_that_do_not_fit(flow_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other, garbage = tmp_path / "other.safetensors", tmp_path / "garbage"
    save(other, weak_flow(n=44))
    garbage.write_bytes(b"nothing of the kind")
    output = tmp_path / "run.h5"
    for file, message in (
        (tmp_path / "none", r"expected an existing file, got .*none"),
        (garbage, r"expected a safetensors file"),
        (other, r"expected a flow trained for .*n=43.*, got one for .*n=44"),
    ):
        for name in RUNS:
            assert re.search(message, error_of(arguments(name, file, output), capsys), re.IGNORECASE)
    wide = ["0.5:0.9:4" if word == "0.5:0.8:4" else word for word in arguments("pt", flow_file, output)]
    assert "flow: expected one for temperatures from 0.9 to 0.5, the ends of the ladder" in error_of(wide, capsys)
    assert "--flow: expected no such option with --algorithm swap, it belongs to --algorithm pt|pa|nf" in error_of(
        [*COMMON, "-T", "0.5", "--flow", str(flow_file), "-o", str(output)], capsys
    )
    assert not output.exists()


def test_a_run_goes_on_with_its_own_flow_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, output = tmp_path / "flow.safetensors", tmp_path / "run.h5"
    save(file, weak_flow())
    assert run([*arguments("pt", file, output), "--sweeps", "8"]) == 0
    resume = ["sample", "--resume", "--quiet", "--sweeps", "16", "-o", str(output)]
    save(file, weak_flow(0.003))
    assert "flow_is.hash: " in error_of(resume, capsys)
    save(file, weak_flow())
    assert run(resume) == 0
    plain = tmp_path / "plain.h5"
    assert run([*COMMON, "--algorithm", "pt", *RUNS["pt"], "-o", str(plain)]) == 0
    text = error_of(["sample", "--resume", "--flow", str(file), "-o", str(plain)], capsys)
    assert "flow: absent != " in text


def test_a_flow_that_is_worse_than_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "wild.safetensors"
    save(file, weak_flow(30.0))
    text = error_of(arguments("pa", file, tmp_path / "pa.h5"), capsys)
    assert "flow: expected weights that allow longer temperature steps than reweighting alone" in text
