"""A normalizing flow from nothing: train it, see how good it is, and sample with it, alone and in parallel tempering.

The flow carries configurations from a higher to a lower temperature. Used alone it gives weighted samples; inside parallel
tempering and population annealing it makes temperature steps easier. Each way is exact.

python examples/flow.py [--quick]
"""

from __future__ import annotations

import argparse

import glassnf as gnf

HOT, COLD = 0.5, 0.4


def main() -> None:
    """Train, and compare averages at the colder temperature."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tiny run that only shows that everything works")
    quick = parser.parse_args().quick
    system = gnf.systems.ka2d(n=43)
    small = {"samples": 4096, "replicas": 128, "equilibration_sweeps": 300, "spacing": 10, "layers": 0} if quick else {}
    flow = gnf.flows.train(system, hot=HOT, cold=COLD, seed=2, **small)
    report = flow.report
    assert report is not None
    for node in report.nodes:
        print(f"T = {node.temperature:.3f}: the field explains {node.explained:.1%} of var(U), at most {node.ceiling:.1%}")
    print(f"ESS from T = {HOT} to {COLD}: {report.measured_ess:.3f}, without the flow {report.plain_ess:.3f}")

    sampler = gnf.FlowSampler(system, flow, replicas=64, equilibration_sweeps=300 if quick else 4_000)
    print(sampler.run(samples=1_024 if quick else 4_000, seed=77))

    swap = gnf.MonteCarlo(system, swap_probability=0.2)
    for assisted in (None, flow):
        tempering = gnf.ParallelTempering(system, [HOT, COLD], explorer=swap, ladders=8, sweeps_per_exchange=20, flow=assisted)
        ensemble = tempering.random(seed=3)
        tempering.equilibrate(ensemble, sweeps=100 if quick else 4_000, adapt_ladder=False)
        record = tempering.run(ensemble, sweeps=200 if quick else 4_000, record_every=20)
        name = "plain" if assisted is None else "with the flow"
        energy = record.energy_at(COLD).mean() / system.n
        print(f"parallel tempering, {name}: acceptance {record.acceptance[0]:.2f}, <U>/N at {COLD} {energy:.3f}")


if __name__ == "__main__":
    main()
