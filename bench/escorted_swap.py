"""Escorted exchanges of species of ka2d, N = 43: can neighbours that make room raise the acceptance of swap Monte Carlo?

For each pair of species, at one temperature:

- the acceptance of plain exchanges, counted by `MonteCarlo` and estimated as the mean of min(1, exp(-W));
- the ceiling: inherent structures before and after an exchange, min(1, exp(-beta dU_IS)), and the same with the harmonic
  free energy of the basins (half the change of log det of the Hessian). No map that stays in its basin does better;
- radial maps fitted to the displacements of neighbours from one inherent structure to the other, by least squares;
- maps trained for acceptance itself (`escort.py`): radial alone, and radial with moves of the centres.

W = beta (U' - U) - log |det dx'/dx| is the work of a trial. Maps are trained on three quarters of the replicas and measured on
the others. The trained move, started from equilibrium, must leave <U> where it is; the same move without its Jacobian shows
whether an error of the Jacobian would be seen in this way (`tests/test_escorted_swap.py` has sharper tests).

    python bench/escorted_swap.py -o bench/results/escorted_swap.json
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

import common
import glassnf as gnf
from escort import Escort, Radial, chain, minimum_image, pick, returns
from glassnf import torch_ops

BATCH = 256
INNER = 0.55
TEMPERINGS = np.geomspace(1.0, 60.0, 24)


@dataclass
class Samples:
    """Equilibrium configurations: those of the first replicas train, the rest measure."""

    system: Any
    beta: float
    positions: Any
    species: Any
    energy: Any
    training: int
    box: Any
    replicas: int


def equilibrium(options: Any) -> tuple[Samples, Any]:
    """Return samples of swap Monte Carlo and the record of the run."""
    system = gnf.systems.ka2d(options.n)
    ensemble = gnf.Ensemble.random(system, options.replicas, temperature=options.temperature, seed=options.seed)
    mc = gnf.MonteCarlo(system)
    mc.equilibrate(ensemble, options.equilibration)
    record = mc.run(ensemble, 100 * options.records, record_every=100, record_positions=True)
    count = options.records
    positions = (record.positions[-count:] % system.box).swapaxes(0, 1).reshape(-1, system.n, system.dimension)
    species = record.species[-count:].swapaxes(0, 1).reshape(-1, system.n)
    x, kinds = torch.tensor(positions), torch.tensor(species).long()
    training = (options.replicas * 3 // 4) * count
    energy = torch_ops.energy(system, x, kinds.int())
    box = torch.tensor(np.array(system.box))
    return Samples(system, 1.0 / options.temperature, x, kinds, energy, training, box, options.replicas), record


# ---- the ceiling ----------------------------------------------------------------------------------------------------------


def log_determinants(system: Any, positions: Any, species: Any) -> Any:
    """Return the sum of log eigenvalues of the Hessian of U without the d translations, (R,); NaN off a minimum."""
    step, d, n = 1e-4, system.dimension, system.n
    result = np.empty(len(positions))
    for index, (x, kinds) in enumerate(zip(positions, species, strict=True)):
        delta = x[:, None] - x[None]
        delta -= system.box * np.rint(delta / system.box)
        r = np.sqrt((delta**2).sum(-1)) + np.eye(n)
        a, b = np.broadcast_arrays(kinds[:, None], kinds[None])
        force = system.potential.force(r, a, b)
        stiffness = (system.potential.force(r - step, a, b) - system.potential.force(r + step, a, b)) / (2.0 * step)
        unit = delta / r[..., None]
        along = unit[..., :, None] * unit[..., None, :]
        blocks = stiffness[..., None, None] * along - (force / r)[..., None, None] * (np.eye(d) - along)
        diagonal = np.arange(n)
        blocks[diagonal, diagonal] = 0.0
        hessian = -blocks
        hessian[diagonal, diagonal] = blocks.sum(1)
        values = np.linalg.eigvalsh(hessian.transpose(0, 2, 1, 3).reshape(n * d, n * d))[d:]
        result[index] = np.log(values).sum() if values[0] > 1e-6 else math.nan
    return result


def minima(samples: Samples, positions: Any, species: Any) -> tuple[Any, Any]:
    """Return inherent structures and their energies."""
    ensemble = gnf.Ensemble.from_arrays(
        samples.system,
        np.ascontiguousarray(positions % samples.system.box),
        species=np.ascontiguousarray(species, dtype=np.int32),
        temperature=1.0 / samples.beta,
        seed=1,
    )
    found = gnf.inherent_structures(ensemble)
    return found.ensemble.positions, found.energy


def quenches(samples: Samples, low: int, high: int, count: int, generator: Any) -> dict[str, Any]:
    """Exchange one pair in each of `count` inherent structures, minimise again, and return both minima."""
    index = torch.linspace(0, samples.training - 1, count).long()
    x, energy = minima(samples, samples.positions[index].numpy(), samples.species[index].numpy())
    kinds = samples.species[index]
    first, second = pick(kinds, low, high, generator)
    rows, exchanged = torch.arange(count), kinds.clone()
    exchanged[rows, first], exchanged[rows, second] = high, low
    after, energy_after = minima(samples, x, exchanged.numpy())
    change = energy_after - energy
    entropy = log_determinants(samples.system, after, exchanged.numpy()) - log_determinants(samples.system, x, kinds.numpy())
    free_energy = samples.beta * change + 0.5 * entropy
    known = np.isfinite(free_energy)
    accepted, harmonic = np.minimum(1.0, np.exp(-samples.beta * change)), np.minimum(1.0, np.exp(-free_energy[known]))
    return {
        "before": torch.tensor(x),
        "after": torch.tensor(after),
        "species": kinds,
        "low": first,
        "high": second,
        "ceiling": {
            "energy": measured(accepted),
            "harmonic_free_energy": measured(harmonic),
            "median_energy_change": float(np.median(change)),
            "quenches": count,
        },
    }


def measured(values: Any) -> dict[str, float]:
    """Return mean and standard error of independent values."""
    array = np.asarray(values)
    return {"value": float(array.mean()), "error": float(array.std(ddof=1) / math.sqrt(array.size))}


# ---- the fits -------------------------------------------------------------------------------------------------------------


def rays(x: Any, centre: Any, other: Any, box: Any) -> tuple[Any, Any]:
    """Return unit vectors (R, N, d) from the centre to the others, and distances; zero vectors to the two centres."""
    rows = torch.arange(len(x))
    ray = minimum_image(x - x[rows, centre][:, None], box)
    r = torch.sqrt((ray * ray).sum(-1))
    hidden = torch.zeros(x.shape[:2], dtype=torch.bool)
    hidden[rows, centre] = True
    hidden[rows, other] = True
    return torch.where(hidden[..., None], 0.0, ray / r.clamp(min=1e-9)[..., None]), r


def hats(r: Any, species: Any, kinds: int, inner: float, outer: float, intervals: int) -> Any:
    """Return linear hat functions at the inner knots of a uniform grid, one set for each species, (R, N, kinds * (K - 1))."""
    place = (r - inner) / (outer - inner) * intervals
    values = (1.0 - (place[..., None] - torch.arange(1, intervals)).abs()).clamp(min=0.0)
    own = torch.nn.functional.one_hot(species, kinds).double()
    return (own[..., None] * values[..., None, :]).flatten(-2)


def fit_response(data: dict[str, Any], radial: Radial, box: Any, ridge: float = 1e-3) -> None:
    """Set a radial map to the least-squares response of neighbours to the exchange.

    Displacements u_k from one minimum to the other are fitted by f(r_ki) e_ki - f(r_kj) e_kj, the first with distances
    before, the second with those after, where the inverse map is at home. Neighbours that moved by more than 0.3 sigma
    rearranged and are left out.
    """
    kinds, intervals = radial.heights.shape
    moved = minimum_image(data["after"] - data["before"], box)
    first, r_first = rays(data["before"], data["low"], data["high"], box)
    second, r_second = rays(data["after"], data["high"], data["low"], box)
    grid = (kinds, radial.inner, radial.outer, intervals)
    one, two = hats(r_first, data["species"], *grid), hats(r_second, data["species"], *grid)
    design = one[..., None, :] * first[..., :, None] - two[..., None, :] * second[..., :, None]
    used = ((moved * moved).sum(-1).sqrt() < 0.3) & (design.abs().amax((-1, -2)) > 0.0)
    a, y = design[used].flatten(0, 1), moved[used].flatten()
    normal = a.T @ a + ridge * len(y) / a.shape[1] * torch.eye(a.shape[1], dtype=a.dtype)
    response = torch.linalg.solve(normal, a.T @ y).reshape(kinds, intervals - 1)
    width = (radial.outer - radial.inner) / intervals
    whole = torch.nn.functional.pad(response, (1, 1))
    steps = (1.0 + torch.diff(whole) / width).clamp(min=0.1)
    with torch.no_grad():
        radial.heights.copy_(torch.log(steps))
        slopes = torch.sqrt(steps[:, 1:] * steps[:, :-1])
        radial.slopes.copy_(torch.log((slopes - 0.05).clamp(min=0.01) / 0.95))


def works(samples: Samples, escort: Escort, index: Any, low: int, high: int, generator: Any) -> Any:
    """Return the work of one trial of each configuration, (R,)."""
    x, kinds = samples.positions[index], samples.species[index]
    first, second = pick(kinds, low, high, generator)
    after, exchanged, log_jacobian = escort(x, kinds, first, second, samples.box)
    energy = torch_ops.energy(samples.system, after, exchanged.int())
    return samples.beta * (energy - samples.energy[index]) - log_jacobian


def acceptance_loss(work: Any) -> Any:
    """Return minus the log of the mean of accept^(1/tau), with the smallest tau >= 1 that gives a tenth of the trials a say."""
    size = torch.nn.functional.softplus(work)
    with torch.no_grad():
        for tau in TEMPERINGS:
            share = torch.softmax(-size / tau, 0)
            if 1.0 / (share * share).sum() >= 0.1 * len(work):
                break
    return -torch.logsumexp(-size / tau, 0)


def train(samples: Samples, escort: Escort, low: int, high: int, iterations: int, generator: Any) -> float:
    """Maximise the acceptance by Adam; return the seconds that it took."""
    start, rate = time.perf_counter(), 0.02
    optimiser = torch.optim.Adam(escort.parameters(), lr=rate)
    for step in range(iterations):
        index = torch.randint(0, samples.training, (BATCH,), generator=generator)
        optimiser.param_groups[0]["lr"] = rate * min(1.0, (step + 1) / 20, 2.0 * (iterations - step) / iterations)
        loss = acceptance_loss(works(samples, escort, index, low, high, generator))
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(escort.parameters(), 1.0)
        optimiser.step()
    return time.perf_counter() - start


def acceptance(samples: Samples, escort: Escort, low: int, high: int, repeats: int, generator: Any) -> dict[str, Any]:
    """Measure works and acceptance on the replicas that did not train; errors are over these replicas."""
    index = torch.arange(samples.training, len(samples.positions))
    with torch.no_grad():
        parts = [works(samples, escort, part, low, high, generator) for _ in range(repeats) for part in index.split(BATCH)]
    work = torch.cat(parts).reshape(repeats, -1)
    replicas = samples.replicas - samples.replicas * 3 // 4
    accepted = torch.exp(-work.clamp(min=0.0)).reshape(repeats, replicas, -1).mean((0, 2))
    return {
        "acceptance": measured(accepted.numpy()),
        "work_quantiles": dict(
            zip(("10", "50", "90"), np.quantile(work.numpy(), (0.1, 0.5, 0.9)).tolist(), strict=True),
        ),
        "trials": work.numel(),
    }


# ---- exactness ------------------------------------------------------------------------------------------------------------


def invariance(
    samples: Samples, escort: Escort, low: int, high: int, trials: int, jacobian: bool, generator: Any
) -> dict[str, Any]:
    """Start from equilibrium, make `trials` trials, and compare the energies: their mean must not move.

    The error is that of the mean change over replicas. A trial that does not lead back to where it came from is rejected.
    """
    index = torch.arange(samples.training, len(samples.positions))
    x, kinds, energy = samples.positions[index].clone(), samples.species[index].clone(), samples.energy[index].clone()
    accepted, astray, furthest = 0, 0, 0.0
    with torch.no_grad():
        for _ in range(trials):
            first, second = pick(kinds, low, high, generator)
            after, exchanged, log_jacobian = escort(x, kinds, first, second, samples.box)
            new = torch_ops.energy(samples.system, after, exchanged.int())
            gain = samples.beta * (energy - new) + (log_jacobian if jacobian else 0.0)
            wanted = torch.rand(len(x), generator=generator, dtype=x.dtype).log() < gain
            back = returns(escort, x, after, kinds, first, second, samples.box)
            astray += int((wanted & ~back).sum())
            take = wanted & back
            accepted += int(take.sum())
            x, kinds = torch.where(take[:, None, None], after, x), torch.where(take[:, None], exchanged, kinds)
            energy = torch.where(take, new, energy)
    replicas = samples.replicas - samples.replicas * 3 // 4
    change = (energy - samples.energy[index]).reshape(replicas, -1).mean(1).numpy()
    furthest = float((energy - torch_ops.energy(samples.system, x, kinds.int())).abs().max())
    common.require(furthest < 1e-9, "energies kept by the move differ from energies computed anew")
    return {
        "energy_change": measured(change),
        "acceptance": accepted / (trials * len(x)),
        "astray": astray,
        "trials_per_configuration": trials,
        "configurations": len(x),
    }


# ---- the experiment -------------------------------------------------------------------------------------------------------


def cost(samples: Samples, options: Any) -> dict[str, float]:
    """Return the seconds of a plain trial of swap Monte Carlo and of an energy from scratch, native kernels, one thread."""
    system = samples.system
    ensemble = gnf.Ensemble.random(system, 64, temperature=1.0 / samples.beta, seed=2)
    mc = gnf.MonteCarlo(system, swap_probability=1.0, threads=1)
    mc.run(ensemble, 50)
    seconds = []
    for _ in range(options.repetitions):
        start = time.perf_counter()
        mc.run(ensemble, 500)
        seconds.append((time.perf_counter() - start) / (500 * 64 * system.n))
    x, kinds = samples.positions.numpy(), samples.species.int().numpy()
    passes = []
    for _ in range(options.repetitions):
        start = time.perf_counter()
        gnf.energy(system, x, kinds, threads=1)
        passes.append((time.perf_counter() - start) / len(x))
    return {"plain_trial_s": common.median_of(seconds), "energy_from_scratch_s": common.median_of(passes)}


def one_pair(samples: Samples, record: Any, low: int, high: int, options: Any) -> dict[str, Any]:
    """Measure everything for one pair of species."""
    generator = torch.Generator().manual_seed(options.seed)
    kinds, outer = samples.system.n_species, 0.49 * float(samples.box.min())
    attempts, accepts = record.swap_attempts[:, low, high].sum(), record.swap_accepts[:, low, high].sum()
    data = quenches(samples, low, high, options.quenches, generator)
    result: dict[str, Any] = {
        "plain_counted": float(accepts / attempts),
        "ceiling": data["ceiling"],
        "plain": acceptance(samples, chain(kinds, INNER, outer, 0), low, high, options.repeats, generator),
    }
    fitted = chain(kinds, INNER, outer, 1, centres=False)
    fit_response(data, fitted.maps[0], samples.box)
    result["fitted_to_quenches"] = acceptance(samples, fitted, low, high, options.repeats, generator)
    for name, rounds, centres in (("radial", 1, False), ("radial_and_centre", options.rounds, True)):
        escort = chain(kinds, INNER, outer, rounds, centres)
        seconds = train(samples, escort, low, high, options.iterations, generator)
        result[name] = {**acceptance(samples, escort, low, high, options.repeats, generator), "training_s": seconds}
    result["invariance"] = {
        name: invariance(samples, escort, low, high, options.trials, jacobian, generator)
        for name, jacobian in (("exact", True), ("without_jacobian", False))
    }
    return result


def main() -> None:
    parser = common.arguments(__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("-n", type=int, default=43)
    parser.add_argument("--temperature", type=float, default=0.3)
    parser.add_argument("--replicas", type=int, default=128)
    parser.add_argument("--equilibration", type=int, default=20_000, help="sweeps of swap Monte Carlo")
    parser.add_argument("--records", type=int, default=40, help="configurations of each replica, 100 sweeps apart")
    parser.add_argument("--quenches", type=int, default=640)
    parser.add_argument("--iterations", type=int, default=300, help="steps of Adam for each map")
    parser.add_argument("--rounds", type=int, default=2, help="radial maps and moves of the centre in turn")
    parser.add_argument("--repeats", type=int, default=4, help="trials of each configuration, to measure acceptance")
    parser.add_argument("--trials", type=int, default=20, help="trials of each configuration, to see that <U> stays")
    parser.add_argument("--seed", type=int, default=5)
    options = parser.parse_args()
    core = common.pin(options.cpu)
    torch.set_num_threads(1)
    samples, record = equilibrium(options)
    names, counts = samples.system.species_names, samples.system.composition
    pairs = [(a, b) for a in range(len(names)) for b in range(a + 1, len(names)) if counts[a] and counts[b]]
    found = {f"{names[a]}-{names[b]}": one_pair(samples, record, a, b, options) for a, b in pairs}
    weights = np.array([counts[a] * counts[b] for a, b in pairs], dtype=float)
    weights /= weights.sum()
    overall = {
        name: float(sum(w * case[name]["acceptance"]["value"] for w, case in zip(weights, found.values(), strict=True)))
        for name in ("plain", "fitted_to_quenches", "radial", "radial_and_centre")
    }
    ceilings = [case["ceiling"]["harmonic_free_energy"]["value"] for case in found.values()]
    overall["ceiling"] = float(weights @ np.array(ceilings))
    settings = {name: value for name, value in vars(options).items() if name not in ("output", "cpu")}
    results = {
        "settings": settings,
        "energy_per_particle": float(record.energy.mean()) / samples.system.n,
        "pairs": found,
        "every_unlike_pair_equally_often": overall,
        "cost": cost(samples, options),
    }
    common.report("escorted_swap", core, options.output, results)


if __name__ == "__main__":
    main()
