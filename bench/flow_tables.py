"""Fields with random radial functions, for benchmarks of the flows: the values do not matter for the time."""

from __future__ import annotations

from typing import Any

import numpy as np

import glassnf as gnf
from glassnf.flows.splines import RadialBasis
from glassnf.flows.tables import RadialTables

SMALL = 43  # particles of ka2d, in a box whose half is the range of the pair field


def random_tables(rng: np.random.Generator, basis: RadialBasis, *shape: int, n_species: int = 3) -> Any:
    """Return tables (*shape, S, S, rows, 4) of functions of about 1, symmetric in the species."""
    weights = rng.normal(size=(*shape, n_species, n_species, basis.size))
    return basis.table(weights + np.swapaxes(weights, -2, -3))


def tables_of(system: gnf.systems.System, layers: int, stages: int) -> RadialTables:
    """Return a field of ka2d: pairs to 0.49 of the smallest box on 32 intervals, else to 2.5 on 25, messages to 2.0."""
    rng = np.random.default_rng(layers)
    if not layers:
        small = system.n == SMALL
        basis = RadialBasis(0.5, 0.49 * float(system.box.min()) if small else 2.5, 32 if small else 25)
        return RadialTables(basis.inner, basis.outer, random_tables(rng, basis, stages, 1))
    pair, message = RadialBasis(0.5, 2.5, 25), RadialBasis(0.5, 2.0, 10)
    functions, messages = random_tables(rng, pair, stages, layers + 1), 0.2 * random_tables(rng, message, stages, layers, 2)
    return RadialTables(pair.inner, pair.outer, functions, message.inner, message.outer, messages)


def name_of(layers: int) -> str:
    """Return what such a field is called."""
    return f"{layers} layer{'s' if layers > 1 else ''} of messages" if layers else "pair field"
