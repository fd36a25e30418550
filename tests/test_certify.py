"""``glassnf certify``: certificates, what they hold, when they fail, and p-values that are what they say."""

from __future__ import annotations

import errno
import json
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import glassnf as gnf
from glassnf.certify import statistics
from glassnf.certify.certificate import digest_of
from glassnf.certify.plan import Case, Context, Finding, close, counted, measured, replicated
from glassnf.certify.run import all_cases, findings_of
from glassnf.cli import run

CHEAP = ("lattice of 2 + 2", "a free particle", "instruction sets")


@pytest.fixture(scope="module")
def certificate() -> gnf.certify.Certificate:
    return gnf.certify.certify(quick=True, only=CHEAP, threads=1)


# ------------------------------------------------------------------------------------------------------------------ statistics


def test_tails_are_those_of_scipy() -> None:
    stats = pytest.importorskip("scipy.stats")
    for degrees in (1, 2, 7, 100, 20_000):
        for p in (1e-8, 1e-3, 0.3, 0.9):
            assert statistics.chi_square_tail(stats.chi2.isf(p, degrees), degrees) == pytest.approx(p, rel=1e-9)
            assert statistics.student_p(stats.t.isf(p / 2, degrees), degrees) == pytest.approx(p, rel=1e-8)
            assert statistics.normal_p(stats.norm.isf(p / 2)) == pytest.approx(p, rel=1e-9)
    assert statistics.normal_p(np.nan) == statistics.student_p(np.inf, 3) == 0.0


def test_holm_rejects_as_it_must() -> None:
    assert not statistics.holm(np.array([0.02, 0.5, 0.9]), 0.05).any()  # 0.02 > 0.05 / 3
    np.testing.assert_array_equal(statistics.holm(np.array([0.024, 0.9, 0.01, 0.06]), 0.05), [False, False, True, False])
    np.testing.assert_array_equal(statistics.holm(np.array([0.016, 0.9, 0.01, 0.03]), 0.05), [True, False, True, False])
    assert statistics.holm(np.array([0.001, 0.002]), 0.05).all()
    rng = np.random.default_rng(1)  # 4000 families of 20 true hypotheses: 5 %, within 4 sigma
    rate = np.mean([statistics.holm(rng.random(20), 0.05).any() for _ in range(4_000)])
    assert abs(rate - 0.05) < 4.0 * (0.05 * 0.95 / 4_000) ** 0.5


def test_slope_between_temperatures_of_gaussian_energies() -> None:
    rng, width = np.random.default_rng(2), 2.0
    deviations = []
    for _ in range(100):
        hot, cold = (rng.normal(-b * width**2, width, 500) for b in (1.0, 1.3))
        slope, error = statistics.slope_between_temperatures(hot, cold)
        deviations.append((slope + 0.3) / error)
    assert abs(np.mean(deviations)) < 0.4  # 4 sigma
    assert 0.7 < np.std(deviations) < 1.35


def test_findings_see_what_is_wrong() -> None:
    rng = np.random.default_rng(3)
    values = rng.normal(1.0, 2.0, 400)
    assert replicated("", values, 1.0).p_value > 0.01
    assert replicated("", values, 1.6).p_value < 1e-5
    assert replicated("", values, rng.normal(1.0, 1.0, 50)).p_value > 0.01
    assert replicated("", np.ones(5), 1.0).p_value == 1.0
    assert replicated("", np.ones(5), 1.1).p_value == 0.0
    assert measured("", 1.0, 0.1, 1.05).p_value > 0.1
    assert measured("", np.nan, 0.1, 1.0).p_value == 0.0
    assert measured("", 1.0, 0.0, 1.1).p_value == 0.0
    assert counted("", np.array([100, 110, 90]), np.ones(3)).p_value > 0.1
    assert counted("", np.array([100, 200, 90]), np.ones(3)).p_value < 1e-9
    assert close("", 1.0, 1.1, 0.2).within
    assert not close("", np.nan, 1.0, 0.2).within


# ---------------------------------------------------------------------------------------------------------------- certificates


def test_a_certificate_passes_and_holds_what_it_must(certificate: gnf.certify.Certificate, tmp_path: Path) -> None:
    assert certificate.passed
    assert certificate.failures == []
    assert certificate.problems() == []
    data = certificate.data
    assert data["family"]["statistical_checks"] == sum(
        check["p_value"] is not None and check["outcome"] == "passed" for check in certificate.checks
    )
    assert data["environment"]["versions"]["glassnf"] == gnf.__version__
    assert data["settings"]["seed"] == 1
    left = [check for check in certificate.checks if check["outcome"] == "not run"]
    assert {check["reason"] for check in left if check["device"] == "cpu"} <= {"not chosen", "not part of a quick certificate"}
    assert all(check["p_value"] is None and check["reason"] for check in left)
    if not gnf.cuda.is_available():
        assert all(check["outcome"] == "not run" for check in certificate.checks if check["device"] == "cuda")
    certificate.save(tmp_path / "certificate.json")
    again = gnf.certify.load(tmp_path / "certificate.json")
    assert again.data == certificate.data
    assert again.problems() == []


def test_numbers_depend_on_the_seed_alone(certificate: gnf.certify.Certificate) -> None:
    def numbers(one: gnf.certify.Certificate) -> list[Any]:
        return [(c["name"], c["p_value"], c["observed"]) for c in one.checks if c["outcome"] != "not run"]

    some = ("a free particle",)
    first, second = (gnf.certify.certify(quick=True, only=some, threads=t) for t in (1, 2))
    assert numbers(first) == numbers(second)
    assert set(numbers(first)) <= set(numbers(certificate))  # alone and among others
    other = gnf.certify.certify(quick=True, only=some, seed=2)
    assert not {n for n in numbers(other) if n[1] is not None} & set(numbers(first))


def test_an_altered_certificate_is_found(certificate: gnf.certify.Certificate) -> None:
    data = json.loads(json.dumps(certificate.data))
    place = next(k for k, check in enumerate(data["checks"]) if check["p_value"] is not None)
    data["checks"][place]["p_value"] = 1e-9
    altered = gnf.certify.Certificate(data)
    assert [problem.split(":")[0] for problem in altered.problems()] == ["digest", "checks", "family", "passed"]
    data["digest"] = digest_of(data)  # no signature: whoever can do this can make another verdict too
    assert [problem.split(":")[0] for problem in altered.problems()] == ["checks", "family", "passed"]


def _first(data: dict[str, Any], *, chance: bool) -> dict[str, Any]:
    found: dict[str, Any] = next(
        check for check in data["checks"] if check["outcome"] == "passed" and (check["p_value"] is not None) is chance
    )
    return found


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data["family"].update(statistical_checks=10_000), "family: expected statistical_checks"),
        (lambda data: data["family"].update(false_alarm_rate=1e-9), "family: expected false_alarm_rate 0.005"),
        (lambda data: data["family"].update(smallest_p_value=0.4), "family: expected smallest_p_value"),
        (lambda data: data["family"].pop("not_run"), "family: expected not_run"),
        (lambda data: _first(data, chance=True).update(outcome="not run"), "checks: expected a reason and no numbers"),
        (
            lambda data: _first(data, chance=False).update(outcome="not run", reason="x"),
            "checks: expected a reason and no numbers",
        ),
        (lambda data: _first(data, chance=True).update(reason="x"), "checks: expected no reason"),
        (lambda data: data["checks"].append(_first(data, chance=True)), "checks: expected each one once, got 2 times"),
    ],
)
def test_an_altered_certificate_with_a_new_digest(
    change: Any, message: str, certificate: gnf.certify.Certificate, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = json.loads(json.dumps(certificate.data))
    change(data)
    data["digest"] = digest_of(data)
    assert gnf.certify.Certificate(data).problems()[0].startswith(message)
    gnf.certify.Certificate(data).save(tmp_path / "altered.json")
    assert run(["certify", "--verify", str(tmp_path / "altered.json")]) == 1
    assert f"altered.json: {message}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("{", "not JSON"),
        ("[1]", "expected a certificate of glassnf"),
        ('{"format": "glassnf certificate", "format_version": 2}', "version 1, got 2"),
        ('{"format": "glassnf certificate", "format_version": 1}', "expected the key"),
        ('{"format": NaN}', "not JSON"),
    ],
)
def test_other_files_are_refused(change: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "other.json"
    file.write_text(change, encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        gnf.certify.load(file)


def test_contents_that_are_not_as_they_must_be(certificate: gnf.certify.Certificate, tmp_path: Path) -> None:
    changes: list[tuple[str, Any]] = [("checks", {}), ("passed", 1), ("settings", []), ("checks", ["a"]), ("family", None)]
    changes += [("checks", [{"name": "a"}]), ("checks", [{**certificate.checks[0], "reason": 3}])]
    for key, value in changes:
        file = tmp_path / "broken.json"
        file.write_text(json.dumps({**certificate.data, key: value}), encoding="utf-8")
        with pytest.raises(ValueError, match="contents are not as they must be"):
            gnf.certify.load(file)


def test_a_case_that_raises_fails() -> None:
    def broken(ctx: Context) -> Any:
        yield close("one", 1.0, 1.0, 0.0)
        raise RuntimeError("no\nway")

    found = findings_of(Case("a", "b", broken), Context(1))
    assert [finding.quantity for finding in found] == ["one", "RuntimeError: no way"]
    assert found[1].observed is None
    assert found[1].limit == 0.0


def test_what_is_not_a_number_never_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    from glassnf.certify import kernels
    from glassnf.certify.pairs import TwoParticles

    assert statistics.combine(np.array([0.5, np.nan])) == 0.0
    np.testing.assert_array_equal(statistics.holm(np.array([0.5, np.nan]), 0.01), [False, True])
    two = TwoParticles()
    with pytest.raises(ValueError, match="finite"):
        two.count(np.full((3, 2, 2), np.nan), np.array([1.0, 2.0]))

    def without_energies(*arguments: Any, **options: Any) -> Any:
        u, f = gnf.energy_and_forces(*arguments, **options)
        u[:1] = np.nan
        return u, f

    monkeypatch.setattr(kernels, "energy_and_forces", without_energies)
    case = next(case for case in kernels.CASES if case.system == "harmonic")
    outcomes = {finding.quantity: finding.within for finding in findings_of(case, Context(1))}
    assert outcomes == {
        "energies, largest relative error": False,
        "forces, largest relative error": True,
        "virials, largest relative error": True,
    }


def test_a_case_that_compares_nothing_fails() -> None:
    (found,) = findings_of(Case("a", "b", lambda ctx: ()), Context(1))
    assert found.quantity == "nothing was compared"
    assert not found.within


def test_cases_have_names_of_their_own_and_every_sampler_is_there() -> None:
    cases = all_cases()
    assert len({case.name for case in cases}) == len(cases) > 90
    samplers = {case.sampler for case in cases}
    assert samplers >= {
        "local Monte Carlo", "swap Monte Carlo", "checkerboard Monte Carlo", "Langevin dynamics", "velocity rescaling",
        "molecular dynamics, NVE", "dynamics with swaps", "parallel tempering", "population annealing", "flow sampler",
        "flow Metropolis", "flow-assisted tempering", "flow-assisted annealing", "inherent structures", "observables",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"quick": 1}, TypeError, "quick"),
        ({"device": "gpu"}, ValueError, "device"),
        ({"seed": -1}, ValueError, "seed"),
        ({"level": 1.0}, ValueError, "level"),
        ({"only": "nothing of the kind"}, ValueError, "only"),
        ({"only": 3}, TypeError, "only"),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"^{message}: expected"):
        gnf.certify.certify(**arguments)


# ----------------------------------------------------------------------------------------------------------- the command line


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "certificate.json"
    command = ["certify", "--quick", "--only", "instruction sets,a free particle", "-o", str(file)]
    assert run(command) == 0
    text = capsys.readouterr().out
    assert "Passed: " in text
    assert "instruction sets" in text
    assert run(command) == 2
    assert "use --overwrite" in capsys.readouterr().err
    assert run(["certify", "--verify", str(file), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["passed"] is True
    file.write_text(file.read_text(encoding="utf-8").replace('"quick": true', '"quick": false'), encoding="utf-8")
    assert run(["certify", "--verify", str(file)]) == 1
    assert "digest: expected" in capsys.readouterr().err


def test_a_failure_is_exit_code_1(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from glassnf.certify import run as runner

    def wrong(ctx: Context) -> Any:
        yield Finding("of chance", 1e-9, 1.0, 2.0, 0.1)
        yield close("without chance", 1.0, 2.0, 0.5)

    monkeypatch.setattr(runner, "all_cases", lambda: (Case("sampler", "system", wrong),))
    assert run(["certify", "--quick"]) == 1
    text = capsys.readouterr().out
    assert "FAILED" in text
    assert "sampler: system: of chance" in text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--only", "nonsense"], "only: expected words"),
        (["--false-alarm-rate", "0"], "--false-alarm-rate: expected"),
        (["--seed", "x"], "--seed: expected"),
        (["--verify", "c.json", "--only", "swap"], "--verify: expected no other options than --quiet and --json, got --quick"),
        (["--only", "molecular dynamics,NVE,blubb"], "such as 'energies and forces', "),
        (["-o", "/nowhere/at/all.json"], "path: expected"),
        (["--device", "gpu"], "device: expected"),
    ],
)
def test_bad_options_are_one_sentence(options: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["certify", "--quick", *options]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_a_certificate_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["certify", "--verify", "/nowhere/at/all.json"]) == 2
    assert "path: expected an existing file, got '/nowhere/at/all.json'" in capsys.readouterr().err


@pytest.mark.parametrize("options", [[], ["--json"], ["--quiet"]])
def test_a_certificate_that_cannot_be_written_is_shown(
    options: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    file = tmp_path / "certificate.json"
    monkeypatch.setattr(gnf.certify.Certificate, "save", full)
    assert run(["certify", "--quick", "--only", "instruction sets", "-o", str(file), *options]) == 5
    said = capsys.readouterr()
    assert said.err == f"glassnf: error: {file}: No space left on device\n"
    if "--json" in options:
        assert json.loads(said.out)["passed"] is True
    else:
        assert ("Passed: " in said.out) is ("--quiet" not in options)
        assert "Wrote" not in said.out


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_stopped_by_a_signal(
    number: int, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from glassnf.certify import run as runner

    def stopped(ctx: Context) -> Any:
        signal.raise_signal(number)
        yield close("one", 1.0, 1.0, 0.0)

    monkeypatch.setattr(runner, "all_cases", lambda: (Case("sampler", "system", stopped),))
    assert run(["certify", "--json"]) == code
    said = capsys.readouterr()
    message = "stopped; there is no certificate"
    assert json.loads(said.out) == {"error": {"message": message, "exit_code": code}}
    assert said.err == f"glassnf: error: {message}\n"


@pytest.mark.slow
def test_all_of_a_quick_certificate_passes() -> None:
    certificate = gnf.certify.certify(quick=True)
    assert certificate.passed, certificate.failures
