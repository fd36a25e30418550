"""Features of configurations in the continuity equation, by the native kernel."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .. import _core
from .._native import native_system, threads_of
from ..systems import System
from .message_field import species_pairs
from .splines import RadialBasis

__all__ = ["continuity_features", "feature_count"]

FloatArray = npt.NDArray[np.float64]


def feature_count(n_species: int, pair: RadialBasis, message: RadialBasis, layers: int) -> int:
    """Return the number of features of a configuration."""
    return len(species_pairs(n_species)) * (pair.size + (2 * message.size if layers else 0))


def continuity_features(
    system: System,
    positions: FloatArray,
    species: npt.NDArray[np.int32],
    forces: FloatArray,
    beta: float,
    pair: RadialBasis,
    message: RadialBasis,
    pair_below: FloatArray,
    message_below: FloatArray,
    threads: int | None = None,
) -> FloatArray:
    """Return S_k = div phi_k + beta phi_k . F of the radial functions of a layer, given the layers below.

    The features have mean zero over the Boltzmann distribution at `beta`, whatever the layers below: a test of every
    divergence.

    Parameters
    ----------
    system : System
    positions : (R, N, d) float64, sigma
        Wrapped.
    species : (R, N) int32
    forces : (R, N, d) float64, epsilon/sigma
    beta : float, 1/epsilon
    pair, message : RadialBasis
    pair_below : (L, P, pair.size) float64
        Pair functions of the L layers below; the features are those of layer L, of pair functions only if L = 0.
    message_below : (L - 1, 2, P, message.size) float64
        Messages of layers 1 ... L - 1; anything of size 0 below two layers.
    threads : int, optional

    Returns
    -------
    (R, K) float64
        Of pair functions (P, pair.size), then of messages E (P, message.size), then of messages C.
    """
    layers = int(pair_below.shape[0])
    count = feature_count(system.n_species, pair, message, layers)
    features = np.empty((positions.shape[0], count))
    betas = np.full(positions.shape[0], float(beta))
    arrays = [np.ascontiguousarray(a, dtype=np.float64) for a in (positions, forces, pair_below, message_below)]
    kinds = np.ascontiguousarray(species, dtype=np.int32)
    _core.flow_features(
        native_system(system),
        replicas=positions.shape[0],
        positions=arrays[0].ctypes.data,
        species=kinds.ctypes.data,
        forces=arrays[1].ctypes.data,
        beta=betas.ctypes.data,
        pair_inner=float(pair.inner),
        pair_outer=float(pair.outer),
        pair_intervals=pair.intervals,
        message_inner=float(message.inner),
        message_outer=float(message.outer),
        message_intervals=message.intervals,
        layers=layers,
        pair_coefficients=arrays[2].ctypes.data if layers else 0,
        message_coefficients=arrays[3].ctypes.data if layers > 1 else 0,
        features=features.ctypes.data,
        threads=threads_of(threads),
    )
    return features
