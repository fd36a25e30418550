"""Escorted exchanges of species: maps that move the neighbours of two exchanged particles, with inverse and Jacobian.

Particle i of the lower species and particle j of the higher one exchange their species. A chain of maps L around i makes
room for its new size; the inverse of the same chain, around j, does the opposite there:

    x' = L_j^-1 (L_i (x)).

In the state after the exchange j has the lower species, so that the same rule carries x' back to x: the move is an
involution, and a trial is accepted with min(1, exp(-beta (U' - U) + log |det dx'/dx|)).

Maps of a chain leave all distances between the species labels alone: they depend on the species of the neighbours, which do
not change, and on nothing of the other centre, which they neither move nor look at.

* `Radial`: a neighbour at distance r of the centre goes to distance F(r) on its ray. F is a monotone rational quadratic
  spline (Durkan, Bekasov, Murray, Papamakarios, Neural spline flows, NeurIPS 2019), the identity outside [inner, outer],
  whose inverse is the root of a quadratic equation; log |det| is the sum over neighbours of log F' + (d - 1) log(F / r).
* `Centre`: the centre itself moves by the sum over its neighbours of g(r) times the vector from the neighbour. The
  Jacobian is that of a d x d matrix; the inverse is found by Newton's method to the last bits.
"""

from __future__ import annotations

from typing import Any

import torch

STEEPEST = 0.02  # smallest share of the range that an interval of a spline keeps, in units of its own share
SLOWEST = 0.05  # smallest slope of a spline at a knot
NEWTON_STEPS = 12  # at most; four are the rule


def minimum_image(delta: Any, box: Any) -> Any:
    return delta - box * torch.round(delta / box)


def spline_knots(heights: Any, slopes: Any, inner: float, outer: float) -> tuple[Any, Any]:
    """Return the values (C, K + 1) and slopes (C, K + 1) of a spline at its uniform knots; zeros give the identity.

    Parameters
    ----------
    heights : (C, K), slopes : (C, K - 1)
        Without bounds.
    """
    count = heights.shape[-1]
    share = (1.0 - STEEPEST) * torch.softmax(heights, dim=-1) + STEEPEST / count
    inside = inner + (outer - inner) * torch.cumsum(share, dim=-1)[:, :-1]
    first, last = torch.full_like(inside[:, :1], inner), torch.full_like(inside[:, :1], outer)
    one = torch.ones_like(first)
    return torch.cat([first, inside, last], -1), torch.cat([one, SLOWEST + (1.0 - SLOWEST) * torch.exp(slopes), one], -1)


def spline(r: Any, channel: Any, knots: tuple[Any, Any], inner: float, outer: float, *, inverse: bool) -> tuple[Any, Any]:
    """Return F(r) and log F'(r), or F^-1(r) and the logarithm of its slope, of the spline of each channel."""
    values, slopes = knots
    count = values.shape[-1] - 1
    width = (outer - inner) / count
    inside = (r > inner) & (r < outer)
    q = torch.where(inside, r, 0.5 * (inner + outer))
    if inverse:
        k = (q[..., None] >= values[channel][..., 1:-1]).sum(-1)
    else:
        k = torch.floor((q - inner) / width).long().clamp(0, count - 1)
    low, high = values[channel, k], values[channel, k + 1]
    left, right = slopes[channel, k], slopes[channel, k + 1]
    mean, start = (high - low) / width, inner + width * k.to(r.dtype)
    bend = right + left - 2.0 * mean
    if inverse:
        above = q - low
        a = (high - low) * (mean - left) + above * bend
        b = (high - low) * left - above * bend
        c = -mean * above
        t = 2.0 * c / (-b - torch.sqrt((b * b - 4.0 * a * c).clamp(min=0.0)))
        result = start + t * width
    else:
        t = (q - start) / width
    below = mean + bend * t * (1.0 - t)
    slope = mean**2 * (right * t * t + 2.0 * mean * t * (1.0 - t) + left * (1.0 - t) ** 2) / below**2
    if not inverse:
        result = low + (high - low) * (mean * t * t + left * t * (1.0 - t)) / below
    log_slope = -torch.log(slope) if inverse else torch.log(slope)
    return torch.where(inside, result, r), torch.where(inside, log_slope, 0.0)


def free_particles(positions: Any, first: Any, second: Any) -> Any:
    """Return True for all particles but the two centres, (R, N)."""
    free = torch.ones(positions.shape[:2], dtype=torch.bool)
    rows = torch.arange(len(positions))
    free[rows, first] = False
    free[rows, second] = False
    return free


class Radial(torch.nn.Module):
    """Neighbours move along their rays; one spline for each species of the neighbour."""

    def __init__(self, species: int, inner: float, outer: float, intervals: int = 16) -> None:
        super().__init__()
        self.inner, self.outer = inner, outer
        self.heights = torch.nn.Parameter(torch.zeros(species, intervals, dtype=torch.float64))
        self.slopes = torch.nn.Parameter(torch.zeros(species, intervals - 1, dtype=torch.float64))

    def forward(self, x: Any, species: Any, centre: Any, other: Any, box: Any, *, inverse: bool) -> tuple[Any, Any]:
        free = free_particles(x, centre, other)
        ray = minimum_image(x - x[torch.arange(len(x)), centre][:, None], box)
        r = torch.where(free, torch.sqrt((ray * ray).sum(-1) + (~free).double()), 2.0 * self.outer)
        knots = spline_knots(self.heights, self.slopes, self.inner, self.outer)
        moved, log_slope = spline(r, species, knots, self.inner, self.outer, inverse=inverse)
        stretch = moved / r
        log_jacobian = (log_slope + (x.shape[-1] - 1) * torch.log(stretch)).sum(-1)
        return x + ray * (stretch - 1.0)[..., None], log_jacobian


class Centre(torch.nn.Module):
    """The centre moves by a sum over its neighbours, all of which stay."""

    def __init__(self, species: int, outer: float, functions: int = 16) -> None:
        super().__init__()
        self.outer = outer
        self.places = torch.linspace(0.3, 1.0, functions + 1, dtype=torch.float64)[:-1] * outer
        self.width = 1.2 * float(self.places[1] - self.places[0])
        self.weights = torch.nn.Parameter(torch.zeros(species, functions, dtype=torch.float64))

    def image(self, centre: Any, x: Any, species: Any, free: Any, box: Any) -> tuple[Any, Any]:
        """Return the new place of a centre, (R, d), and the derivative with respect to the old one, (R, d, d)."""
        ray = minimum_image(centre[:, None] - x, box)
        r = torch.sqrt((ray * ray).sum(-1) + (~free).double())
        z = (r[..., None] - self.places) / self.width
        terms = torch.exp(-0.5 * z * z) * self.weights[species]
        rest = (1.0 - (r / self.outer) ** 2).clamp(min=0.0)
        g = terms.sum(-1) * rest**3 * free
        slope = ((-z / self.width * terms).sum(-1) * rest**3 - terms.sum(-1) * 6.0 * r / self.outer**2 * rest**2) * free
        unit = torch.eye(x.shape[-1], dtype=x.dtype)
        jacobian = unit * (1.0 + g.sum(-1))[:, None, None] + torch.einsum("rk,rka,rkb->rab", slope / r, ray, ray)
        return centre + (g[..., None] * ray).sum(1), jacobian

    def forward(self, x: Any, species: Any, centre: Any, other: Any, box: Any, *, inverse: bool) -> tuple[Any, Any]:
        free, rows = free_particles(x, centre, other), torch.arange(len(x))
        place = x[rows, centre]
        if inverse:
            found = place.detach().clone()
            with torch.no_grad():
                for _ in range(NEWTON_STEPS):
                    image, jacobian = self.image(found, x, species, free, box)
                    step = torch.linalg.solve(jacobian, image - place)
                    found = found - step
                    if step.abs().max() < 1e-9:  # the next one, below, is quadratically smaller
                        break
            image, jacobian = self.image(found, x, species, free, box)
            result = found - torch.linalg.solve(jacobian.detach(), image - place)  # carries the derivatives
            log_jacobian = -torch.linalg.slogdet(self.image(result, x, species, free, box)[1])[1]
        else:
            result, jacobian = self.image(place, x, species, free, box)
            log_jacobian = torch.linalg.slogdet(jacobian)[1]
        moved = x.clone()
        moved[rows, centre] = result
        return moved, log_jacobian


class Escort(torch.nn.Module):
    """The whole move for one pair of species."""

    def __init__(self, maps: list[torch.nn.Module]) -> None:
        super().__init__()
        self.maps = torch.nn.ModuleList(maps)

    def forward(self, x: Any, species: Any, low: Any, high: Any, box: Any) -> tuple[Any, Any, Any]:
        """Exchange the species of `low` (R,), which has the lower one, and `high` (R,).

        Returns
        -------
        positions (R, N, d), species (R, N), log |det dx'/dx| (R,)
        """
        total = torch.zeros(len(x), dtype=x.dtype)
        for step in self.maps:
            x, log_jacobian = step(x, species, low, high, box, inverse=False)
            total = total + log_jacobian
        for step in reversed(self.maps):
            x, log_jacobian = step(x, species, high, low, box, inverse=True)
            total = total + log_jacobian
        rows, exchanged = torch.arange(len(x)), species.clone()
        exchanged[rows, low], exchanged[rows, high] = species[rows, high], species[rows, low]
        return x, exchanged, total


def chain(species: int, inner: float, outer: float, rounds: int, centres: bool = True) -> Escort:
    """Return `rounds` times a radial map and, if asked for, a move of the centre; all are the identity at first."""
    maps: list[torch.nn.Module] = []
    for _ in range(rounds):
        maps.append(Radial(species, inner, outer))
        if centres:
            maps.append(Centre(species, outer))
    return Escort(maps)


def pick(species: Any, low: int, high: int, generator: Any) -> tuple[Any, Any]:
    """Return one particle of either species, uniformly, for each configuration."""
    first, second = ((species == kind).double() for kind in (low, high))
    return torch.multinomial(first, 1, generator=generator)[:, 0], torch.multinomial(second, 1, generator=generator)[:, 0]


def returns(escort: Escort, before: Any, after: Any, species: Any, low: Any, high: Any, box: Any) -> Any:
    """Return True where the move leads back to where it came from, (R,).

    A trial that does not is rejected: Newton's method has then found another root, and the trial has no partner.
    """
    back = escort(after, species, high, low, box)[0]
    return minimum_image(back - before, box).abs().amax((1, 2)) < 1e-9
