"""How long does the liquid remember? Self-intermediate scattering function and relaxation time, local against swap Monte Carlo.

Records are taken at logarithmically spaced times, because relaxation covers decades. Swap Monte Carlo is followed in sweeps
too, but its sweeps are not physical dynamics: the point is that it forgets sooner.

python examples/relaxation.py [--quick] [-o relaxation.png]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

import glassnf as gnf
from glassnf import observables

TEMPERATURE = 0.4
WAVE_NUMBER = 6.8  # near the first peak of the structure factor, 1/sigma


def correlation(system: gnf.systems.System, start: gnf.Ensemble, swaps: float, sweeps: int) -> observables.TimeCorrelation:
    """Follow equilibrated replicas by one algorithm and return F_s(k, t), t in sweeps."""
    ensemble = start.copy()
    mc = gnf.MonteCarlo(system, swap_probability=swaps)
    record = mc.run(ensemble, sweeps=sweeps, record_at=gnf.log_schedule(sweeps, 40), record_positions=True)
    assert record.positions is not None
    return observables.self_intermediate_scattering(
        record.positions, record.sweeps - record.sweeps[0], system.box, WAVE_NUMBER, origins=1, width=1.0
    )


def main() -> None:
    """Equilibrate by swap Monte Carlo, then watch both algorithms decorrelate from the same configurations."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tiny run that only shows that everything works")
    parser.add_argument("-o", "--output", type=Path, help="a figure to write, .png, .svg or .pdf")
    options = parser.parse_args()
    replicas, sweeps = (8, 400) if options.quick else (32, 100_000)

    system = gnf.systems.ka2d(n=43)
    start = gnf.Ensemble.random(system, replicas=replicas, temperature=TEMPERATURE, seed=5)
    gnf.MonteCarlo(system, swap_probability=0.2).equilibrate(start, sweeps=min(sweeps, 20_000))
    curves = {"local MC": correlation(system, start, 0.0, sweeps), "swap MC": correlation(system, start, 0.2, sweeps)}
    for label, curve in curves.items():
        time = observables.relaxation_time(curve)
        found = f"{time} sweeps" if np.isfinite(time.value) else f"longer than {curve.time[-1]:.0f} sweeps"
        print(f"{label:<10} relaxation time {found}")

    if options.output is not None:
        import matplotlib as mpl

        mpl.use("Agg")
        from matplotlib import pyplot as plt

        figure, axes = plt.subplots(figsize=(5, 3.5), layout="constrained")
        for label, curve in curves.items():
            axes.errorbar(curve.time[1:], curve.value[1:], curve.error[1:], marker=".", label=label)
        axes.set(xscale="log", xlabel="time / sweeps", ylabel=f"$F_s(k = {WAVE_NUMBER}/\\sigma, t)$")
        axes.legend(frameon=False)
        figure.savefig(options.output, dpi=150)
        plt.close(figure)


if __name__ == "__main__":
    main()
