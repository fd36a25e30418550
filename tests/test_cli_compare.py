"""``glassnf compare`` from the command line to its files, at a budget too small for results but not for their form."""

from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import glassnf as gnf
from glassnf import compare as comparing
from glassnf.cli import run
from glassnf.compare import Settings, algorithm_names, compare, get_algorithm, register_algorithm
from glassnf.compare.planning import budgets_for
from glassnf.compare.reference import ReferenceOptions, cached_reference, make_reference

pytestmark = pytest.mark.usefixtures("undrawn")

TINY = ["--sweeps", "640", "--reference-sweeps", "400", "--reference-replicas", "8", "--runs", "4", "--seed", "5"]
TINY += ["--tuning", "0"]
# Pair evaluations too: each native call begins by evaluating all energies, and how many calls there are depends on the speed.
ONE_SPECIES = gnf.systems.custom(
    "one",
    potential=gnf.systems.PairPotential("lj_smooth", [[1.0]], [[1.0]], 1.5),
    species=np.zeros(20, dtype=np.int32),
    density=0.5,
    dimension=2,
)
ALGORITHMS = ["md", "mc", "swap", "pt", "pa", "nf"]
TIMINGS = {"wall_time", "pair_evaluations", "seconds", "created", "command", "speed_ups", "ranking", "flow_time"}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a comparison at two temperatures."""
    folder = tmp_path_factory.mktemp("comparison") / "report"
    assert run(["compare", "-T", "0.5,0.7", *TINY, "--no-cache", "--quiet", "-o", str(folder)]) == 0
    return folder


def _load(folder: Path) -> dict[str, Any]:
    def refuse(name: str) -> None:
        raise AssertionError(f"{name} in JSON")

    data: dict[str, Any] = json.loads((folder / "compare.json").read_text(encoding="utf-8"), parse_constant=refuse)
    return data


def _without_timings(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_timings(entry) for key, entry in value.items() if key not in TIMINGS}
    return [_without_timings(entry) for entry in value] if isinstance(value, list) else value


def test_the_files(finished: Path) -> None:
    figures = [f"{name}.{kind}" for name in ("compare", "diagnostics", "equilibrium", "speed_up") for kind in ("png", "svg")]
    others = ["compare.csv", "compare.json", "report.html", "speed_ups.csv"]
    assert sorted(path.name for path in finished.iterdir()) == sorted([*figures, *others])
    assert (finished / "compare.png").read_bytes().startswith(b"\x89PNG")
    assert b"<svg" in (finished / "compare.svg").read_bytes()


def test_the_json(finished: Path) -> None:
    data = _load(finished)
    assert data["format"] == "glassnf-compare"
    assert data["command"][0] == "glassnf"
    assert data["versions"]["glassnf"] == gnf.__version__
    assert data["hardware"]["cpu"]
    assert data["settings"]["seed"] == 5
    assert data["settings"]["profile"] == "default"
    assert data["settings"]["tuning_share"] == 0.0
    assert data["system"]["hash"] == gnf.systems.ka2d(43).hash
    assert [entry["temperature"] for entry in data["temperatures"]] == [0.7, 0.5]
    assert [entry["name"] for entry in data["temperatures"][0]["not_run"]] == ["nf"]
    assert "does not hold 0.7" in data["temperatures"][0]["not_run"][0]["reason"]
    assert data["temperatures"][1]["not_run"] == []
    for entry, names in zip(data["temperatures"], (ALGORITHMS[:-1], ALGORITHMS), strict=True):
        assert [algorithm["name"] for algorithm in entry["algorithms"]] == names
        assert sorted(rank["name"] for rank in entry["ranking"]) == sorted(names)
        assert entry["reference"]["mean_energy_error"] > 0.0
        assert {speed_up["algorithm"] for speed_up in entry["speed_ups"]} == set(names[1:])
        assert {speed_up["baseline"] for speed_up in entry["speed_ups"]} == {"md"}
        assert len(entry["speed_ups"]) == 8 * len(names[1:])
        assert len({algorithm["colour"] for algorithm in entry["algorithms"]}) == len(names)
        assert len({algorithm["marker"] for algorithm in entry["algorithms"]}) == len(names)
        for algorithm in entry["algorithms"]:
            _check_algorithm(algorithm, entry["reference"])
        for speed_up in entry["speed_ups"]:
            assert (speed_up["amortised"] is not None) == (speed_up["algorithm"] == "nf")


def _check_algorithm(algorithm: dict[str, Any], reference: dict[str, Any]) -> None:
    assert algorithm["sweeps"] == [160, 320, 640]
    for kind in ("wall_time", "pair_evaluations"):  # the anneals of the smallest budgets are all of the least possible length
        assert (np.diff(algorithm["cost"][kind]) > 0.0).all() or algorithm["name"] == "pa"
        assert min(algorithm["cost"][kind]) > 0.0
    for name in ("mean_energy", "specific_heat"):
        runs = np.array(algorithm["estimates"][name]["runs"])
        assert runs.shape == (3, 4)
        errors = algorithm["errors"][name]
        expected = np.sqrt(np.mean((runs - reference[name]) ** 2, axis=1))
        np.testing.assert_allclose(errors["rms"], expected, rtol=1e-12)
        assert (np.array(errors["low"]) <= errors["rms"]).all()
        assert (np.array(errors["high"]) >= errors["rms"]).all()
    words = {True: "equilibrated: ", False: "not equilibrated: ", None: "cannot tell: "}[algorithm["verdict"]["equilibrated"]]
    assert algorithm["verdict"]["sentence"].startswith(words)
    assert {"reference energy", "reference specific heat", "resolution"} <= {
        one["name"] for one in algorithm["verdict"]["checks"]
    }
    assert algorithm["relaxation"]["sweeps"][0] == (160 if algorithm["name"] in ("pa", "nf") else 0)
    assert 600 < algorithm["relaxation"]["sweeps"][-1] <= 640  # whole sweeps of all replicas of a ladder
    assert algorithm["relaxation"]["wall_time"][-1] == pytest.approx(algorithm["cost"]["wall_time"][-1], rel=0.1)
    _check_settings(algorithm)


def _check_settings(algorithm: dict[str, Any]) -> None:
    name, settings, sentence = algorithm["name"], algorithm["settings"], algorithm["verdict"]["sentence"]
    if name in ("mc", "swap"):
        assert settings["acceptance"]["displacement"] > 0.0
        assert (settings["acceptance"]["swap"] is None) == (name == "mc")
    elif name == "md":
        assert settings["thermostat"] == "langevin"
        assert 0.3 < settings["kinetic_temperature"] < 1.2
    elif name == "pt":
        temperatures = algorithm["diagnostics"]["temperatures"]
        assert settings["sweeps_of_each_replica"] == 640 // len(temperatures)
        assert len(algorithm["diagnostics"]["round_trips"]) == 4
        assert len(algorithm["diagnostics"]["acceptance"]) == len(temperatures) - 1
        assert "round trips a run" in sentence
    elif name == "nf":
        assert len(algorithm["diagnostics"]["ess"]) == 4
        assert algorithm["training"]["wall_time"] > 0.0
    else:
        assert settings["population"] == 16
        assert 1.0 <= settings["families"] <= 16.0
        assert "rho_t" in sentence


def test_the_estimates_are_those_of_the_library(finished: Path) -> None:
    entry = _load(finished)["temperatures"][0]["algorithms"][2]
    system = gnf.systems.ka2d(43)
    ensemble = gnf.Ensemble.random(system, replicas=4, temperature=1.4, seed=entry["seed"])
    gnf.MonteCarlo(system, swap_probability=0.2).equilibrate(ensemble, sweeps=400)
    ensemble.beta[:] = 1.0 / 0.7
    sampler = gnf.MonteCarlo(system, swap_probability=0.2)
    sampler.equilibrate(ensemble, sweeps=80)
    record = sampler.run(ensemble, sweeps=560, record_every=10)
    late = record.energy[record.sweeps > 400 + 320] / system.n
    np.testing.assert_allclose(entry["estimates"]["mean_energy"]["runs"][-1], late.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(entry["estimates"]["specific_heat"]["runs"][-1], late.var(axis=0) * 43 / 0.7**2, rtol=1e-9)


def test_the_csv(finished: Path) -> None:
    rows = list(csv.DictReader(io.StringIO((finished / "compare.csv").read_text(encoding="utf-8"))))
    assert len(rows) == (5 + 6) * 3
    first = _load(finished)["temperatures"][0]["algorithms"][0]
    assert float(rows[0]["mean_energy_rms_error"]) == first["errors"]["mean_energy"]["rms"][0]
    assert rows[0]["algorithm"] == "md"
    assert rows[-1]["verdict_at_last_budget"] in ("equilibrated", "not equilibrated", "cannot tell")


def test_the_same_seed_gives_the_same_numbers(finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [
        "compare",
        "-T",
        "0.7",
        "-T",
        "0.5",
        *TINY,
        "--threads",
        "1",
        "--no-cache",
        "--json",
        "-o",
        str(tmp_path / "again"),
    ]
    assert run(arguments) == 0
    again = json.loads(capsys.readouterr().out)
    assert again == _load(tmp_path / "again")
    first, second = _without_timings(_load(finished)), _without_timings(again)
    assert first["settings"].pop("threads") is None
    assert second["settings"].pop("threads") == 1
    assert first == second


def test_a_reference_from_a_file(finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["compare", "-T", "0.7", "--sweeps", "160", "--runs", "4", "--reference", str(finished / "compare.json")]
    assert run([*arguments, "-o", str(tmp_path / "a"), "--algorithms", "swap"]) == 0
    text = capsys.readouterr().out
    assert "reference" in text
    assert "swap MC" in text
    entry = _load(tmp_path / "a")["temperatures"][0]
    assert entry["reference"]["mean_energy"] == _load(finished)["temperatures"][0]["reference"]["mean_energy"]
    assert entry["reference"]["source"].endswith("compare.json")
    assert entry["speed_ups"] == []
    assert run(["compare", "-T", "0.6", *arguments[3:], "-o", str(tmp_path / "b")]) == 2
    assert "expected one for this system at T = 0.6" in capsys.readouterr().err
    assert run([*arguments, "-n", "44", "-o", str(tmp_path / "b")]) == 2
    assert "got another system" in capsys.readouterr().err


def test_old_results_are_not_replaced_unless_asked(finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (finished / "compare.json").read_bytes()
    assert run(["compare", "-T", "0.5", *TINY, "-o", str(finished)]) == 2
    assert "use --overwrite" in capsys.readouterr().err
    assert (finished / "compare.json").read_bytes() == before
    (tmp_path / "file").write_text("", encoding="utf-8")
    assert run(["compare", "-T", "0.5", *TINY, "-o", str(tmp_path / "file")]) == 2
    assert "expected a folder, got the file" in capsys.readouterr().err


def test_quick_replaces_the_results_of_quick_only(finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (finished / "compare.json").read_bytes()
    quick = ["compare", "--quick", "-T", "0.7", *TINY, "--algorithms", "mc", "--quiet", "--no-cache", "-o"]
    assert run([*quick, str(finished)]) == 2
    assert "use --overwrite" in capsys.readouterr().err
    assert (finished / "compare.json").read_bytes() == before
    assert run([*quick, str(tmp_path)]) == 0
    assert run([*quick, str(tmp_path)]) == 0
    assert _load(tmp_path)["settings"]["profile"] == "quick"


def test_options_that_do_not_go_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["compare", "--quick", "--full", "-o", str(tmp_path)]) == 2
    assert "--full: expected not to be given with --quick" in capsys.readouterr().err
    assert run(["compare", "--system", "ka", "-n", "1000", "-o", str(tmp_path)]) == 2
    assert "--temperatures (-T): expected one or several positive numbers for this system, got none" in capsys.readouterr().err
    assert run(["compare", "--budget", "5x", "-o", str(tmp_path)]) == 2
    assert "--budget: expected" in capsys.readouterr().err


def test_table_and_verdicts_in_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # Local MC after 640 sweeps at T = 0.25 lies some 0.3 epsilon above equilibrium, 10 times the spread of 8 runs.
    arguments = ["compare", "-T", "0.25", *TINY, "--reference-sweeps", "4000", "--runs", "8", "--no-cache"]
    assert run([*arguments, "-o", str(tmp_path / "cold")]) == 0
    text = capsys.readouterr().out
    assert "local MC: not equilibrated: <U>/N is " in text
    assert "above the reference" in text
    assert "MD: not equilibrated: <U>/N is " in text
    assert "round trips a run" in text
    assert "times cheaper than MD at equal error" in text
    assert "Note: T = 0.25: the reference fails its own checks" in text
    assert "compare.json" in text


def test_references_are_cached(tmp_path: Path) -> None:
    system = gnf.systems.ka2d(43)
    options = ReferenceOptions(replicas=8, sweeps=80, seed=1, start_temperature=1.0, start_sweeps=20)
    made, kept = cached_reference(system, 0.8, options), cached_reference(system, 0.8, options)
    assert made.source == "swap MC"
    assert kept.source.startswith("cache")
    assert made.mean_energy == kept.mean_energy == make_reference(system, 0.8, options).mean_energy
    assert cached_reference(system, 0.9, options).source == "swap MC"
    with pytest.raises(ValueError, match=r"^sweeps: expected a multiple of 20 of at least 80, got 90"):
        make_reference(system, 0.8, ReferenceOptions(8, 90, 1, 1.0, 20))


class _Frozen:
    """An algorithm that never moves, to show that a new one needs nothing but the protocol."""

    def __init__(self, system: Any, temperature: float, options: Any) -> None:
        self.n = system.n
        self.cost_so_far = 0.0

    def prepare(self, ensemble: Any) -> None:
        self.energy = ensemble.energy / self.n

    def advance(self, budget: int, progress: Any = None) -> Any:
        self.cost_so_far = 1e-6 * budget
        return comparing.Estimate(self.energy, np.zeros_like(self.energy))

    def cost(self) -> Any:
        return comparing.Cost(self.cost_so_far, 43.0 * self.cost_so_far)

    def trace(self) -> None:
        return None

    def report(self) -> dict[str, Any]:
        return {"accepted": math.nan}


def test_an_algorithm_of_your_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from glassnf.compare import algorithms
    from glassnf.compare.report import comparison_to_dict, write_files

    monkeypatch.setattr(algorithms, "_register", dict(algorithms._register))
    spec = comparing.AlgorithmSpec("frozen", "frozen", "#009E73", "^", _Frozen)
    register_algorithm(spec)
    register_algorithm(spec)
    assert algorithm_names() == (*ALGORITHMS, "frozen")
    assert get_algorithm("frozen") is spec
    with pytest.raises(ValueError, match=r"^name: expected a name that is not taken, got 'mc'"):
        register_algorithm(comparing.AlgorithmSpec("mc", "frozen", "#009E73", "^", _Frozen))
    events = []
    settings = Settings(
        gnf.systems.ka2d(43), (0.6,), ("swap", "frozen"), runs=4, sweeps=160, reference_sweeps=80, reference_replicas=8,
        seconds=None, cache=False,
    )  # fmt: skip
    comparison = compare(settings, events.append)
    assert {event.stage for event in events} == {"reference", "swap", "frozen"}
    assert not comparison.results[0].algorithms[1].verdict.equilibrated
    data = comparison_to_dict(comparison)
    assert data["temperatures"][0]["algorithms"][1]["settings"] == {"accepted": None}
    relaxation = data["temperatures"][0]["algorithms"][1]["relaxation"]
    assert relaxation["sweeps"] == [40, 80, 160]
    assert relaxation["mean"] == data["temperatures"][0]["algorithms"][1]["estimates"]["mean_energy"]["mean"]
    assert all(path.stat().st_size > 0 for path in write_files(data, tmp_path / "own"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"temperatures": ()}, "temperatures: expected at least one, got none"),
        ({"algorithms": ()}, "algorithms: expected at least one of md, mc, swap, pt, pa, nf, got none"),
        ({"runs": 3}, "runs: expected an integer of at least 4, got 3"),
        ({"sweeps": 100}, "sweeps: expected a multiple of 20 of at least 160, got 100"),
        ({"start_sweeps": 30}, "start_sweeps: expected a multiple of 20 of at least 0, got 30"),
        ({"sweeps": {"mc": 640}}, "sweeps: expected a budget for each of md, mc, swap, pt, pa, nf, got mc"),
        ({"sweeps": {"mc": 100}, "algorithms": ("mc",)}, r"sweeps\['mc'\]: expected a multiple of 20 of at least 160, got 100"),
        ({"sweeps": 160, "temperatures": (0.02,)}, r"sweeps: expected at least 480 for pt, .* got 160"),
        (
            {"sweeps": {"pt": 320, "mc": 160}, "algorithms": ("mc", "pt"), "temperatures": (0.02,)},
            r"sweeps\['pt'\]: expected at",
        ),
        ({"temperatures": (0.5, 1e308)}, "temperatures: expected numbers whose double is finite, got 1e"),
        ({"temperatures": (0.5, 1e-320)}, "temperatures: expected numbers with a finite inverse, got"),
        (
            {"system": ONE_SPECIES, "algorithms": ("mc", "swap")},
            "algorithms: expected no swap moves for one, which has one species",
        ),
        ({"seconds": None}, "seconds: expected a time"),
        ({"seconds": -1.0}, "seconds: expected a positive finite number"),
    ],
)
def test_bad_settings(change: dict[str, Any], message: str) -> None:
    arguments: dict[str, Any] = {"system": gnf.systems.ka2d(43), "temperatures": (0.5,), **change}
    with pytest.raises(ValueError, match=message):
        Settings(**arguments)


def test_a_budget_for_each_algorithm(tmp_path: Path) -> None:
    arguments = ["compare", "-T", "0.7", *TINY, "--no-cache", "--quiet", "--algorithms", "mc,md", "-o", str(tmp_path)]
    assert run([*arguments, "--sweeps", "md=320,mc=160"]) == 0
    data = _load(tmp_path)
    assert data["settings"]["sweeps"] == {"md": 320, "mc": 160}
    assert [algorithm["sweeps"] for algorithm in data["temperatures"][0]["algorithms"]] == [[40, 80, 160], [80, 160, 320]]


def test_the_smallest_budget_of_tempering() -> None:
    settings = Settings(
        gnf.systems.ka2d(43), (0.02,), ("mc", "pt"), runs=4, sweeps=640, reference_sweeps=80, reference_replicas=8,
        seconds=None, cache=False,
    )  # fmt: skip
    least = settings.least_budget("pt")
    assert least == 120  # four sweeps of each of 28 replicas, to a multiple of 40
    assert budgets_for(settings, "pt", 0.0, 0.0)[0] == 160
    tempered = compare(settings).results[0].algorithms[1]
    assert tempered.sweeps.tolist() == [160, 320, 640]
    assert np.isfinite(tempered.estimates["specific_heat"]).all()


def test_one_species_has_no_swap_moves(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ONE_SPECIES.to_toml(tmp_path / "one.toml")
    arguments = ["compare", "--system", str(tmp_path / "one.toml"), "-T", "0.7", *TINY, "--no-cache", "-o", str(tmp_path)]
    assert run([*arguments, "--quiet"]) == 0
    data = _load(tmp_path)
    assert data["settings"]["algorithms"] == ["md", "mc", "pt", "pa"]
    assert data["temperatures"][0]["reference"]["source"] == "local MC"
    assert run([*arguments, "--overwrite", "--algorithms", "mc,swap"]) == 2
    assert "algorithms: expected no swap moves for one, which has one species" in capsys.readouterr().err


def test_names_of_the_package() -> None:
    assert "compare" in dir(comparing)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = comparing.nothing
