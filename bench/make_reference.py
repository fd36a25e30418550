"""Make the reference values that are shipped with the package: <U>/N and C_v of one system, by long swap Monte Carlo.

At each temperature, from high to low:

- A pilot run measures the autocorrelation time of the energy, and the errors that its length gives. From these follow the
  lengths of the runs: a relaxation of 100 autocorrelation times, and a production that brings the errors of all seeds together
  to the targets.
- Each seed is a run of independent replicas. Odd seeds start hot, in equilibrium at T = 1 or twice the temperature, and so
  approach from above; even seeds start cold, slowly cooled to half the temperature, where their energy is below the one
  sought, and approach from below. If relaxation or production were too short, the two kinds would disagree.
- Seeds are compared with each other (chi^2), hot with cold, the first halves of all productions with the second ones.

Each run is kept in a file of its own as soon as it is done; the same command goes on where it was interrupted.

    python bench/make_reference.py --parts build/reference -o python/glassnf/data/reference_ka2d_43.json
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import math
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

import common
import glassnf as gnf
from glassnf.compare.environment import cpu_model
from glassnf.compare.reference import REFERENCE_FORMAT, combined_moments, specific_heat_of_moments
from glassnf.compare.starts import derived_seed
from glassnf.io.files import atomic_write
from glassnf.observables import autocorrelation_time, split_rhat

TEMPERATURES = (1.0, 0.8, 0.6, 0.5, 0.45, 0.4, 0.35, 0.3, 0.25, 0.2)
SWAP_PROBABILITY = 0.2
RECORD_EVERY = 10
START_SWEEPS = 2_000
RELAXATION_TIMES = 100
"""Sweeps of relaxation over the autocorrelation time of the energy."""
BLOCK = 100
"""Lengths are multiples of this."""
