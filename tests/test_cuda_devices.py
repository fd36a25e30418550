"""Names of devices, and the command line on imaginary GPUs (fake_cupy), against the CPU."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fake_cupy
import glassnf as gnf
from cases import assert_identical, small
from glassnf.io import RunFile

KA2D = gnf.systems.ka2d(43)

pytestmark = pytest.mark.usefixtures("cupy")


def test_devices_and_their_memory(cupy: Any) -> None:
    cuda = gnf.cuda
    assert cuda.is_available()
    assert cuda.why_not() == ""
    assert cuda.device_count() == 2
    assert cuda.require() is None
    assert [cuda.device_name(name) for name in ("cuda", "cuda:1", 1, 0)] == [f"Imaginary GPU {k}" for k in (0, 1, 1, 0)]
    with cupy.cuda.Device(1):
        assert cuda.device_name() == "Imaginary GPU 1"
    assert cuda.memory() == (2**32, 2**33)
    assert cuda.memory("cuda:1").free == 2**32
    assert cuda.memory(1).total == 2**33


@pytest.mark.parametrize("name", ["cuda:2", "cuda:7", "cuda:999999999"])
def test_devices_that_do_not_exist(name: str) -> None:
    message = f"^device: expected 'cpu', 'cuda' or one of the devices 'cuda:0' to 'cuda:1', got '{name}'"
    ensemble = small()
    for call in (
        lambda: ensemble.to(name),
        lambda: gnf.Ensemble.random(KA2D, 1, 1.0, 1, device=name),
        lambda: gnf.Ensemble.from_arrays(KA2D, ensemble.positions, temperature=1.0, seed=1, device=name),
        lambda: gnf.cuda.device_name(name),
        lambda: gnf.cuda.memory(name),
        lambda: gnf.cuda.memory(int(name[5:])),
    ):
        with pytest.raises(ValueError, match=message):
            call()


@pytest.mark.parametrize(
    "name", ["gpu", "cuda:", "cuda:-1", "cuda:01", "cuda:1.0", "cuda: 1", "CUDA", "cuda:0\n", "", 0, None, 1.0]
)
def test_names_that_are_no_device(name: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="^device: expected one of 'cpu', 'cuda', 'cuda:0'"):
        small().to(name)


def test_bad_devices_of_memory() -> None:
    with pytest.raises(ValueError, match="^device: expected 'cuda' or 'cuda:K', got 'cpu'"):
        gnf.cuda.memory("cpu")
    with pytest.raises(ValueError, match="^device: expected a non-negative integer"):
        gnf.cuda.device_name(-1)
    with pytest.raises(TypeError, match="^device: expected a non-negative integer"):
        gnf.cuda.device_name(1.0)  # type: ignore[arg-type]


def test_ensembles_need_cupy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)
    for call in (lambda: small().to("cuda:0"), lambda: gnf.Ensemble.random(KA2D, 1, 1.0, 1, device="cuda:1")):
        with pytest.raises(
            ImportError, match=r"^cupy is needed for arrays on the GPU: .*glassnf\[cupy\].*pip install cupy-cuda13x"
        ):
            call()


def run_command(*arguments: str) -> int:
    from glassnf.cli import run

    return run(list(arguments))


def test_sample_on_a_device(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    common = ["sample", "-T", "0.5", "--replicas", "4", "--sweeps", "200", "--equilibration", "60", "--quiet"]
    paths = [str(tmp_path / f"{name}.h5") for name in ("cpu", "gpu", "moved")]
    assert run_command(*common, "-o", paths[0]) == 0
    assert run_command(*common, "-o", paths[1], "--device", "cuda:1") == 0
    assert {name for name, _ in fake_cupy.state.calls} == {"monte_carlo"}
    runs = [RunFile.open(path) for path in paths[:2]]
    assert_identical(runs[0].ensemble, runs[1].ensemble)
    np.testing.assert_array_equal(runs[0].records["energy"], runs[1].records["energy"])
    assert [each.parameters["device"] for each in runs] == ["cpu", "cuda:1"]
    # Going on keeps to the device, or changes it when asked to.
    fake_cupy.state.calls.clear()
    assert run_command("sample", "--resume", "-o", paths[1], "--sweeps", "300", "--quiet") == 0
    assert {arguments["device"] for _, arguments in fake_cupy.state.calls} == {1}
    assert run_command("sample", "--resume", "-o", paths[0], "--sweeps", "300", "--device", "cuda:0", "--quiet") == 0
    assert_identical(RunFile.open(paths[0]).ensemble, RunFile.open(paths[1]).ensemble)
    assert RunFile.open(paths[0]).parameters["device"] == "cuda:0"
    assert run_command(*common, "-o", paths[2], "--device", "cuda:2") == 2
    assert run_command(*common, "-o", paths[2], "--device", "tpu") == 2
    assert not Path(paths[2]).exists()
    assert "got 'cuda:2'" in capsys.readouterr().err


@pytest.mark.usefixtures("undrawn")
def test_compare_on_a_device(tmp_path: Path) -> None:
    common = ["compare", "-T", "0.6", "--runs", "4", "--sweeps", "1280", "--reference-sweeps", "80"]
    common += ["--reference-replicas", "8", "--no-cache", "--quiet"]
    assert run_command(*common, "-o", str(tmp_path / "gpu"), "--device", "cuda") == 0
    assert {"monte_carlo", "molecular_dynamics", "exchange"} <= {name for name, _ in fake_cupy.state.calls}
    assert run_command(*common, "-o", str(tmp_path / "cpu")) == 0
    found = [json.loads((tmp_path / name / "compare.json").read_text(encoding="utf-8")) for name in ("gpu", "cpu")]
    assert [each["settings"]["device"] for each in found] == ["cuda", "cpu"]
    estimates = [[entry["estimates"] for entry in each["temperatures"][0]["algorithms"]] for each in found]
    assert estimates[0] == estimates[1]


def test_info_shows_the_devices(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command("info") == 0
    text = capsys.readouterr().out
    assert "available" in text
    assert "cuda:1" in text
    assert "Imaginary GPU 1, 4.0 of 8.0 GiB free" in text
