"""The content of a compare.json that no run has made: made-up runs of seven algorithms, judged and compared by the real code.

The runs are normal deviates around a reference, with an error that falls with the square root of the cost and a bias that
decays with a relaxation time; the times are such that at low temperatures some algorithms fall out of equilibrium.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from glassnf.compare.algorithms import Diagnosis
from glassnf.compare.analysis import ErrorCurve, amortised_speed_up, break_even_runs, error_curve, speed_up
from glassnf.compare.environment import environment
from glassnf.compare.jsonable import jsonable
from glassnf.compare.ranking import rank
from glassnf.compare.report import FORMAT, FORMAT_VERSION, UNITS
from glassnf.compare.verdict import judge

RUNS = 16
BUDGETS = np.array([200, 400, 800, 1600, 3200, 6400])
TRAINING = {"wall_time": 92.5, "pair_evaluations": None, "source": "flow_ka2d_43.safetensors, fitted to 40,000 samples"}
TARGETS = {"mean_energy": 0.02, "specific_heat": 0.2}

# name: label, colour, marker, cost of a sweep (s), relaxation time at T = 0.4 (s), its growth from T = 0.4 to 0.3, noise
KINDS: dict[str, tuple[str, str, str, float, float, float, float]] = {
    "md": ("MD", "#CC79A7", "D", 2.0e-6, 0.020, 60.0, 0.0030),
    "mc": ("local MC", "#D55E00", "o", 2.7e-6, 0.010, 60.0, 0.0024),
    "swap": ("swap MC", "#0072B2", "s", 3.1e-6, 0.0003, 1.5, 0.0004),
    "pt": ("PT", "#009E73", "^", 2.7e-6, 0.0030, 8.0, 0.0012),
    "pa": ("PA", "#E69F00", "v", 3.0e-6, 0.0040, 8.0, 0.0015),
    "nf": ("NF", "#56B4E9", "P", 6.0e-6, 0.0030, 6.0, 0.0011),
    "hmc": ("HMC (torch)", "#000000", "X", 8.0e-6, 0.012, 60.0, 0.0035),
}


def comparison_data(
    temperatures: tuple[float, ...] = (0.4,), names: tuple[str, ...] = tuple(KINDS), *, not_run: bool = True
) -> dict[str, Any]:
    """Return the content of a compare.json, format 4, with `names` of the algorithms; the first is the baseline.

    Parameters
    ----------
    temperatures
        In epsilon / k_B.
    names
        Which of `KINDS`.
    not_run
        Whether the user's own sampler, where there is one, has no result at the last of several temperatures.
    """
    entries = []
    for temperature in temperatures:
        absent = ("hmc",) if not_run and len(temperatures) > 1 and temperature == temperatures[-1] else ()
        entries.append(_entry(temperature, tuple(name for name in names if name not in absent), absent))
    data = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "created": "2026-11-26T05:00:00+00:00",
        "command": ["glassnf", "compare", "-T", ",".join(f"{temperature:g}" for temperature in temperatures), "-o", "report"],
        "seconds": 312.4,
        **environment(),
        "system": {"hash": "0123456789abcdef" * 4, "n": 43, "name": "ka2d", "dimension": 2},
        "units": UNITS,
        "settings": {
            "temperatures": temperatures,
            "algorithms": names,
            "runs": RUNS,
            "seed": 1,
            "threads": None,
            "device": "cpu",
            "profile": "quick" if len(temperatures) == 1 else "default",
            "tuning_share": 0.2,
            "flow": {"hot": 0.6, "cold": 0.2, "training": TRAINING} if "nf" in names else None,
            "start_temperature": 1.0,
            "confidence": 0.95,
            "resamples": 2000,
            "r_hat_limit": 1.05,
            "sigma_limit": 4.0,
        },
        "notes": ["T = 0.4: NF stops at 3200 sweeps, because it is slower than it first was."] if "nf" in names else [],
        "reference_curve": _reference_curve(),
        "temperatures": entries,
    }
    converted: dict[str, Any] = jsonable(data)
    return converted


def _energy(temperature: float) -> float:
    return -2.70 + 0.9 * temperature**1.6


def _heat(temperature: float) -> float:
    return 1.05 + 0.25 * math.exp(-(((temperature - 0.28) / 0.15) ** 2))


def _reference_curve() -> list[dict[str, float]]:
    return [
        {
            "temperature": temperature,
            "mean_energy": _energy(temperature),
            "mean_energy_error": 2e-4,
            "specific_heat": _heat(temperature),
            "specific_heat_error": 0.005,
        }
        for temperature in (1.0, 0.8, 0.6, 0.5, 0.45, 0.4, 0.35, 0.3, 0.25, 0.2)
    ]


def _entry(temperature: float, names: tuple[str, ...], absent: tuple[str, ...]) -> dict[str, Any]:
    reference = {
        "system_hash": "0123456789abcdef" * 4,
        "temperature": temperature,
        "mean_energy": _energy(temperature),
        "mean_energy_error": 3e-4,
        "specific_heat": _heat(temperature),
        "specific_heat_error": 0.006,
        "r_hat": 1.004,
        "drift_sigmas": -0.7,
        "replicas": 64,
        "sweeps": 51_200,
        "seed": 77,
        "wall_time": 61.0,
        "source": "swap MC",
        "sound": True,
    }
    algorithms, curves = [], {}
    for name in names:
        algorithm, curves[name] = _algorithm(name, temperature, reference)
        algorithms.append(algorithm)
    return {
        "temperature": temperature,
        "reference": reference,
        "algorithms": algorithms,
        "speed_ups": _speed_ups(names, curves),
        "ranking": rank({name: curves[name]["mean_energy", "wall_time"] for name in names}),
        "not_run": [{"name": name, "reason": "the sampler raised an error: box < 0 & so on"} for name in absent],
    }


def _algorithm(
    name: str, temperature: float, reference: dict[str, Any]
) -> tuple[dict[str, Any], dict[tuple[str, str], ErrorCurve]]:
    label, colour, marker, per_sweep, tau, growth, noise = KINDS[name]
    generator = np.random.default_rng([sum(map(ord, name)), round(1000 * temperature)])
    relaxation = tau * growth ** ((0.4 - temperature) / 0.1)
    sweeps = BUDGETS * max(1, round(1e-5 / per_sweep)) * 4
    cost = {"wall_time": sweeps * per_sweep, "pair_evaluations": sweeps * (43.0 * 42.0 if name != "md" else 22.0 * 43.0)}
    bias = np.exp(-cost["wall_time"] / relaxation)[:, None]
    spread = (noise * np.sqrt(1.0 + relaxation / 0.003) / np.sqrt(cost["wall_time"] / 0.1))[:, None]
    energy = reference["mean_energy"] + 0.25 * bias + spread * generator.standard_normal((1, RUNS))
    heat = reference["specific_heat"] * (1.0 - 0.3 * bias) + 12.0 * spread * generator.standard_normal((1, RUNS))
    estimates = {"mean_energy": energy, "specific_heat": heat}
    curves = {}
    for observable, values in estimates.items():
        for kind, spent in cost.items():
            curves[observable, kind] = error_curve(
                spent, values, reference[observable], reference[f"{observable}_error"],
                seed=sum(map(ord, name)), reference_seed=sum(map(ord, observable)), resamples=100,
            )  # fmt: skip
    verdict = judge(
        energy[-1],
        (float(heat[-1].mean()), float(heat[-1].std(ddof=1)) / math.sqrt(RUNS)),
        tuple((reference[key], reference[f"{key}_error"]) for key in estimates),  # type: ignore[arg-type]
        None,
        _diagnosis(name),
    )
    algorithm = {
        "name": name,
        "label": label,
        "colour": colour,
        "marker": marker,
        "foreign": name == "hmc",
        "seed": 1000 + sum(map(ord, name)),
        "settings": {"acceptance": {"displacement": 0.41}, "move_size": 0.08, "records": sweeps[-1] // 10},
        "sweeps": sweeps,
        "cost": cost,
        "estimates": {key: {"mean": values.mean(axis=1), "runs": values} for key, values in estimates.items()},
        "errors": {
            key: dict(zip(("rms", "low", "high"), curves[key, "wall_time"].of_budgets, strict=True)) for key in estimates
        },
        "verdict": verdict,
        "relaxation": _relaxation(reference["mean_energy"], relaxation, cost["wall_time"][-1]),
        "tuning": _tuning(name, generator),
        "training": TRAINING if name == "nf" else None,
        "diagnostics": _diagnostics(name, temperature, generator),
    }
    return algorithm, curves


def _diagnosis(name: str) -> Diagnosis:
    return {
        "pt": Diagnosis(remarks=("25.2 round trips a run",)),
        "pa": Diagnosis(remarks=("rho_t 15.8 of 22 replicas, 2.38 families a run",)),
        "nf": Diagnosis(remarks=("ESS 211 of 512 samples a run",)),
    }.get(name, Diagnosis())


def _relaxation(reference: float, time: float, last: float) -> dict[str, Any]:
    wall_time = np.concatenate([[0.0], np.geomspace(last / 1000.0, last, 24)])
    mean = reference + 0.6 * np.exp(-np.sqrt(wall_time / time)) + 0.25 * np.exp(-last / time)
    return {"sweeps": np.arange(25), "wall_time": wall_time, "mean": mean, "error": np.full(25, 0.004)}


def _speed_ups(names: tuple[str, ...], curves: dict[str, dict[tuple[str, str], ErrorCurve]]) -> list[dict[str, Any]]:
    found = []
    for name in names[1:]:
        for observable, asked in TARGETS.items():
            for target in (asked, None):
                for cost in ("wall_time", "pair_evaluations"):
                    ours, theirs = curves[name][observable, cost], curves[names[0]][observable, cost]
                    spent = TRAINING[cost] if name == "nf" else None
                    found.append(
                        {
                            "algorithm": name,
                            "baseline": names[0],
                            "observable": observable,
                            "cost": cost,
                            "target_error": float(theirs.error[-1]) if target is None else target,
                            "at_end_of_baseline": target is None,
                            **jsonable(speed_up(theirs, ours, target)),
                            "amortised": spent and amortised_speed_up(theirs, ours, target, spent, RUNS),
                            "break_even_runs": spent and break_even_runs(theirs, ours, target, spent),
                        }
                    )
    return found


def _tuning(name: str, generator: np.random.Generator) -> dict[str, Any] | None:
    choices: dict[str, list[dict[str, Any]]] = {
        "md": [{"timestep": 0.005, "friction": friction} for friction in (0.1, 1.0)],
        "mc": [{"target_acceptance": value} for value in (0.2, 0.4)],
        "swap": [{"swap_probability": value, "target_acceptance": 0.4} for value in (0.1, 0.2, 0.4)],
        "pt": [{"exchange_rate": rate, "sweeps_per_exchange": 5} for rate in (0.2, 0.4)],
        "pa": [{"culling_fraction": value, "width": 0.15} for value in (0.05, 0.1)],
        "nf": [{"base_temperature": value, "spacing": 200} for value in (0.6, 0.5)],
    }
    if name not in choices:
        return None
    trials = []
    for stage, settings in [(0, one) for one in choices[name]] + [(1, one) for one in choices[name][:-1]]:
        score = float(generator.uniform(1e-6, 1e-4))
        trials.append(
            {
                "round": stage,
                "settings": settings,
                "sweeps": 1600 * (stage + 1),
                "wall_time": 0.01 * (stage + 1),
                "pair_evaluations": 3.0e6 * (stage + 1),
                "mean_energy_error": float(generator.uniform(0.01, 0.1)),
                "specific_heat_error": None if stage == 0 and name == "md" else float(generator.uniform(0.1, 0.6)),
                "score": score,
                "kept": stage == 0 and settings is not choices[name][-1],
            }
        )
    return {"settings": choices[name][0], "rate": 3.1e5, "seconds": 4.2, "trials": trials}


def _diagnostics(name: str, temperature: float, generator: np.random.Generator) -> dict[str, Any] | None:
    if name == "pt":
        ladder = np.geomspace(temperature, 1.0, 10)
        flow = np.linspace(0.02, 0.98, 10) ** 1.3
        acceptance = 0.4 + 0.05 * generator.standard_normal(9)
        return {"temperatures": ladder, "acceptance": acceptance, "round_trips": generator.integers(10, 40, RUNS), "flow": flow}
    if name == "pa":
        steps = np.geomspace(1.0, temperature, 15)
        return {
            "temperatures": steps,
            "rho_t": np.geomspace(1.0, 16.0, 15),
            "families": np.geomspace(22.0, 2.4, 15),
            "ess": np.full(15, 19.0),
            "population": 22,
        }
    if name == "nf":
        log_weights = generator.normal(-0.6, 1.1, 4096)
        counts, edges = np.histogram(log_weights, bins=40)
        return {
            "log_weight_edges": edges,
            "log_weight_counts": counts,
            "ess": generator.normal(0.35, 0.03, RUNS),
            "pareto_k": generator.normal(0.3, 0.1, RUNS),
            "samples": 512,
        }
    return None
