"""How often `glassnf certify` fails a correct program: p-values of many seeds, which must be uniform, and failed families.

    python bench/false_alarms.py -o bench/results/false_alarms.json

Every seed is a small certificate: the statistical checks of some cases, with a part of the samples of a quick one. p-values
of a correct program are uniform whatever the number of samples, or larger than uniform where counts are few or several p-values
are combined; what a certificate needs is that they are not smaller.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path

import numpy as np

from glassnf.certify.plan import Context
from glassnf.certify.run import all_cases, findings_of
from glassnf.certify.statistics import holm, uniform_p
from glassnf.compare.environment import cpu_model

LEFT_OUT = (
    "energies and forces", "instruction sets", "flow maps", "inherent structures", "ka2d", "conservation", "adaptation",
    "crystal", "pair correlation", "pressure", "random starts", "through cells", "28 + 2", "stop", "streams", "autoregressive",
)  # fmt: skip
LEVELS = (0.2, 0.05, 0.005)
TAILS = (1e-1, 1e-2, 1e-3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, help="JSON file to write")
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--first", type=int, default=1_000, help="the first seed")
    parser.add_argument("--share", type=float, default=0.1, help="of the samples of a quick certificate")
    parser.add_argument("--seconds", type=float, default=math.inf, help="stop after the first seed that ends later")
    arguments = parser.parse_args()
    cases = [case for case in all_cases() if case.quick and "cpu" in case.devices]
    cases = [case for case in cases if not any(word in case.name for word in LEFT_OUT)]
    names: list[str] = []
    rows, wrong, clock = [], 0, time.perf_counter()
    for seed in range(arguments.first, arguments.first + arguments.seeds):
        row = []
        for case in cases:
            context = Context(seed, f"{case.name}/cpu", threads=1, share=arguments.share)
            for finding in findings_of(case, context):
                if finding.p_value is None:
                    if not finding.within:
                        wrong += 1
                        print(seed, case.name, finding, flush=True)
                else:
                    row.append(finding.p_value)
                    if seed == arguments.first:
                        names.append(f"{case.name}: {finding.quantity}")
        rows.append(row)
        if time.perf_counter() - clock > arguments.seconds:
            break
    p = np.array(rows)
    one = {name: uniform_p(p[:, k], 5) for k, name in enumerate(names)}
    document = {
        "command": f"python bench/false_alarms.py --seeds {len(p)} --share {arguments.share}",
        "cpu": cpu_model(),
        "seconds": round(time.perf_counter() - clock, 1),
        "seeds": len(p),
        "checks": len(names),
        "share": arguments.share,
        "p_below": {str(t): float((p < t).mean()) for t in TAILS},
        "error_of_p_below": {str(t): math.sqrt(t * (1.0 - t) / p.size) for t in TAILS},
        "failed_families": {str(level): float(np.mean([holm(row, level).any() for row in p])) for level in LEVELS},
        "error_of_failed_families": {str(level): math.sqrt(level * (1.0 - level) / len(p)) for level in LEVELS},
        "histogram": np.histogram(p, np.linspace(0.0, 1.0, 21))[0].tolist(),
        "least_uniform": sorted(one.items(), key=lambda item: item[1])[:5],
        "failures_without_chance": wrong,
    }
    print(json.dumps(document, indent=1))
    if arguments.output is not None:
        arguments.output.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
