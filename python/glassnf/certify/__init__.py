"""Certification: every sampler against exact answers of small systems, and all of them against each other.

>>> import glassnf as gnf
>>> certificate = gnf.certify.certify(quick=True, only="random numbers")
>>> certificate.passed
True

`docs/certification.md` says what is checked, how often a correct program fails, and which deliberate errors were caught.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._lazy import lazy_names

if TYPE_CHECKING:
    from .certificate import Certificate, load
    from .run import FALSE_ALARM, certify

__all__ = ["FALSE_ALARM", "Certificate", "certify", "load"]

_MODULES = {"FALSE_ALARM": "run", "Certificate": "certificate", "certify": "run", "load": "certificate"}

__getattr__, __dir__ = lazy_names(__name__, _MODULES, __all__)
