"""Model liquids: the ones that come with glassnf, your own, and their files.

>>> from glassnf import systems
>>> systems.ka2d(n=43)
<System 'ka2d': n=43 (20:11:12), 2D, density=1.19206, lj_smooth>
"""

from __future__ import annotations

from .catalogue import by_name, ka, ka2d, names, register
from .files import load
from .potential import PairPotential
from .system import System, custom

__all__ = ["PairPotential", "System", "by_name", "custom", "ka", "ka2d", "load", "names", "register"]
