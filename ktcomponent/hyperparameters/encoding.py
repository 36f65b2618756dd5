"""The one place that knows how a hyperparameter's domain maps to the unit interval and back.

Notation
    u   a position in [0, 1]
    v   a legal value of the hyperparameter
    n   number of legal values of a discrete domain
    i   index of a legal value, 0 <= i < n

A discrete domain (categories, integers, anything with a `step`) splits [0, 1) into n cells and puts a value
in the middle of its cell. A continuous domain is a grid that is finer than anybody tunes (twelve digits of the
range, or of the value on a log scale) and coarser than the rounding of floating point numbers. So for every
value that comes out of here, `decode(encode(v)) == v` exactly, and for a user's own value if it has no more
digits than that. Nothing leaves the declared bounds.

Scales (as KerasTuner documents them), lo and hi the bounds:
    linear       v = lo + u (hi - lo)
    log          v = lo (hi / lo)^u
    reverse_log  v = hi + lo - lo (hi / lo)^(1 - u)
"""

from __future__ import annotations

import math
import sys

SAMPLINGS = ("linear", "log", "reverse_log")
GRID = 1e-12
"""Distance of two values of a continuous domain, relative to its range (log: to the value)."""
WIDE_GRID = 1e-10
"""The same on a log scale whose ends have a ratio larger than any float."""
ROUNDING = 1e-14
"""The same relative to the bounds: what floating point can tell apart, with some room."""


def index_to_unit(i: int, n: int) -> float:
    """The middle of cell `i` of `n`."""
    return (i + 0.5) / n


def unit_to_index(u: float, n: int) -> int:
    """The cell of `n` in which `u` lies; `u` outside [0, 1) is taken to the nearest cell."""
    return min(max(math.floor(u * n), 0), n - 1)


def unit_to_range(u: float, lo: float, hi: float, sampling: str) -> float:
    """The value at position `u` of the range from `lo` to `hi`, on the grid and never outside the range."""
    if u <= 0 or lo == hi:
        return lo
    if u >= 1:
        return hi
    if sampling == "linear":
        v = lo + u * (hi - lo) if math.isfinite(hi - lo) else (1.0 - u) * lo + u * hi
    elif sampling == "log":
        v = _grown(lo, hi, u)
    else:
        v = hi + lo - _grown(lo, hi, 1.0 - u)
    if sampling == "log":  # a position in the widest ranges has fewer digits of the value
        spacing = (GRID if math.isfinite(hi / lo) else WIDE_GRID) * v
    else:
        width = hi - lo if math.isfinite(hi - lo) else sys.float_info.max
        spacing = max(GRID * width, ROUNDING * max(abs(lo), abs(hi)))
    if spacing > 0.0:  # else the range is too narrow for a grid of floating point numbers
        digits = -math.floor(math.log10(spacing))
        v = round(v, digits)
        # An end that is not on the grid itself: what is closer to it than half of the grid can't be told from it on the way back.
        half = 0.5 * 10.0**-digits
        if v - lo < half:
            return lo
        if hi - v < half:
            return hi
    return min(max(v, lo), hi)


def range_to_unit(v: float, lo: float, hi: float, sampling: str) -> float:
    """The position of `v` in the range from `lo` to `hi`; 0.5 where the range is one point."""
    if hi == lo:
        return 0.5
    if v <= lo or v >= hi:
        return 0.0 if v <= lo else 1.0
    if sampling == "linear":
        u = (v - lo) / (hi - lo) if math.isfinite(hi - lo) else (v / 2 - lo / 2) / (hi / 2 - lo / 2)
    elif sampling == "log":
        u = _log_ratio(v, lo) / _log_ratio(hi, lo)
    else:
        u = 1.0 - _log_ratio(hi + lo - v, lo) / _log_ratio(hi, lo)
    return min(max(u, 0.0), 1.0)


def _grown(lo: float, hi: float, u: float) -> float:
    """lo (hi / lo)^u, also where the ratio is larger than any float."""
    if math.isfinite(hi / lo):
        return lo * math.pow(hi / lo, u)
    return math.exp(math.log(lo) + u * (math.log(hi) - math.log(lo)))


def _multiplied(lo: float, step: float, i: int) -> float:
    """lo step^i, also where the power is larger than any float."""
    try:
        return lo * math.pow(step, i)
    except OverflowError:
        return math.exp(math.log(lo) + i * math.log(step))


def _log_ratio(v: float, lo: float) -> float:
    """log(v / lo), also where the ratio is larger than any float."""
    return math.log(v / lo) if math.isfinite(v / lo) else math.log(v) - math.log(lo)


def count_steps(lo: float, hi: float, step: float, sampling: str) -> int:
    """How many values a range with a `step` has; its ends are included where the step reaches them."""
    if sampling == "linear":
        return int((hi - lo) / step + 1e-8) + 1
    return int(_log_ratio(hi, lo) / math.log(step) + 1e-8) + 1


def step_value(i: int, lo: float, hi: float, step: float, sampling: str) -> float:
    """The i-th value of a range with a `step`: added (linear) or multiplied (log, reverse_log)."""
    if sampling == "linear":
        v = lo + i * step
    elif sampling == "log":
        v = _multiplied(lo, step, i)
    else:
        v = hi + lo - _multiplied(lo, step, i)
    return min(max(v, lo), hi)


def nearest_step(v: float, lo: float, hi: float, step: float, sampling: str) -> int:
    """The index of the value of the stepped range that is nearest to `v` (on its scale)."""
    if sampling == "linear":
        i = (v - lo) / step
    elif sampling == "log":
        i = _log_ratio(v, lo) / math.log(step)
    else:
        i = _log_ratio(hi + lo - v, lo) / math.log(step)
    return min(max(round(i), 0), count_steps(lo, hi, step, sampling) - 1)
