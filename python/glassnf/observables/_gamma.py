"""The gamma method: autocovariance, integrated autocorrelation time and error of a mean, by FFT.

References
----------
Sokal 1997, "Monte Carlo methods in statistical mechanics", in Functional Integration (Plenum), p. 131.
Wolff 2004, Comput. Phys. Commun. 156, 143.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from glassnf.observables._inputs import FloatArray

WINDOW = 5.0
"""Sokal's c: the sum over lags ends at the first lag W >= c tau(W)."""

FFT_ENTRIES = 1 << 21


@dataclass(frozen=True)
class Gamma:
    """What the gamma method finds: corrected variance of the records, tau with its error, and the window."""

    variance: float
    tau: float
    tau_error: float
    window: int
    closed: bool
    n: int

    @property
    def ess(self) -> float:
        return self.n / (2.0 * self.tau)

    @property
    def error(self) -> float:
        return math.sqrt(self.variance / self.ess)


def autocovariance(deviation: FloatArray) -> FloatArray:
    """Autocovariance of deviations from the mean, (records, R), pooled over the replicas (Wolff 2004, eq. 31), at all lags."""
    n, replicas = deviation.shape
    size = 1 << (2 * n - 1).bit_length()
    power = np.zeros(size // 2 + 1)
    step = max(1, FFT_ENTRIES // size)
    for start in range(0, replicas, step):
        transform = np.fft.rfft(deviation[:, start : start + step], size, axis=0)
        power += (transform.real**2 + transform.imag**2).sum(axis=1)
    return np.asarray(np.fft.irfft(power, size)[:n] / (replicas * np.arange(n, 0, -1.0)), dtype=np.float64)


def gamma_method(x: FloatArray, c: float = WINDOW) -> Gamma:
    """Gamma method with Sokal's window, for (records, R) about the common mean.

    The window is the smallest W >= c tau(W) (Sokal 1997, section 3). The bias of autocovariances about an estimated mean is
    corrected by Wolff 2004, eq. 49, and the error of tau is his eq. 42. Replicas are independent, so tau is at most n_records /
    2 (one sample per replica), which is also the answer where the window never closes or where the series is constant. As in
    Stan, tau is at least 1 / (2 log10 n): anticorrelated records do not count without bound.
    """
    n, replicas = x.shape
    total = n * replicas
    most, least = max(n / 2.0, 0.5), 0.5 / math.log10(max(total, 10))
    deviation = x - x.mean()
    scale = float(np.abs(deviation).max())
    if scale == 0.0 or x.max() == x.min():
        return Gamma(0.0, most, 0.0, n - 1, False, total)
    covariance = autocovariance(deviation / scale)
    variance = float(covariance[0])
    taus = 0.5 + np.cumsum(covariance[1:]) / variance
    lags = np.arange(1, n)
    closes = np.flatnonzero(lags >= c * taus)
    closed = closes.size > 0
    window = int(lags[closes[0]]) if closed else n - 1
    tau = float(taus[window - 1]) if closed else most
    tau = min(max(tau, least), most)
    spread = 2.0 * tau * variance
    corrected = variance + spread / total
    tau = min(max(spread * (1.0 + (2 * window + 1) / total) / (2.0 * corrected), least), most)
    tau_error = tau * math.sqrt(max(4.0 / total * (window + 0.5 - tau), 0.0))
    return Gamma(corrected * scale**2, tau, tau_error, window, closed, total)
