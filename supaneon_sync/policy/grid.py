"""How a table is cut into blocks by its key, so that two copies can be compared block by block.

A key of one integer is cut into ranges: what was appended or changed in one place lies together, and can
be found by the key's index. Any other key is cut by its hash: two servers may order it differently.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

_LEAST, _MOST = -(2**63), 2**63 - 1
_RECORD = 12
"""Bytes of a block in a list of blocks: its number (4), the digest of its rows (8)."""
FINE = 8
"""Rows in a block, about, where changes may be all over a table."""
COARSE = 1024
"""How many blocks, where changes are few."""
MOST = 2**19
"""How many blocks there are at most: what a server holds in memory while it adds them up."""
FEW = 128
"""Changed rows up to which coarse blocks are fine enough."""
SMALL = 2048
"""Rows up to which a table is one block: all its keys are exchanged."""
REWRITE = 0.3
"""Share of differing rows from which on a table is cheaper copied whole."""
_TELLING = 16
"""Rows in a block up to which the share of differing blocks tells that of differing rows."""


@dataclass(frozen=True)
class Grid:
    """Blocks 0 to ``count`` - 1. ``width``: keys in a block and ``base``, the first block's quotient, for
    ranges; ``width`` 0: blocks are taken from the key's hash, and ``count`` is a power of two."""

    count: int
    width: int = 0
    base: int = 0

    def range(self, block: int) -> tuple[int, int]:
        """Return the least and the greatest key of a block (SQL's division cuts towards nought)."""
        quotient = block + self.base
        low = quotient * self.width if quotient > 0 else (quotient - 1) * self.width + 1
        high = (quotient + 1) * self.width - 1 if quotient >= 0 else quotient * self.width
        return max(low, _LEAST), min(high, _MOST)

    def ranges(self, blocks: Iterable[int]) -> list[tuple[int, int]]:
        """Return the ranges of keys that these blocks cover, neighbours joined."""
        found: list[tuple[int, int]] = []
        for block in sorted(blocks):
            low, high = self.range(block)
            if found and found[-1][1] + 1 == low:
                found[-1] = (found[-1][0], high)
            else:
                found.append((low, high))
        return found

    def bitmap(self, blocks: Iterable[int]) -> bytes:
        """Return a bit for each block, set for these, as get_bit() of SQL counts them."""
        bits = bytearray((self.count + 7) // 8)
        for block in blocks:
            bits[block // 8] |= 1 << block % 8
        return bytes(bits)


def by_hash(count: int) -> Grid:
    """Return a grid of at least ``count`` blocks by hash, as far as it may have so many."""
    return Grid(min(1 << max(count - 1, 0).bit_length(), MOST))


def by_range(count: int, least: int, greatest: int) -> Grid:
    """Return a grid of about ``count`` ranges over the keys from ``least`` to ``greatest``."""
    width = -(-(greatest - least + 1) // max(min(count, MOST), 1))
    base = _quotient(least, width)
    return Grid(_quotient(greatest, width) - base + 1, width, base)


def _quotient(number: int, width: int) -> int:
    return number // width if number >= 0 else -(-number // width)


def blocks_wanted(rows: int, differing: int | None = None) -> int:
    """Return into how many blocks a table of so many rows is cut.

    ``differing`` is how many rows are known to differ (None: unknown).
    """
    if rows <= SMALL:
        return 1
    fine = min(rows // FINE, MOST)
    return min(fine, COARSE) if differing is not None and differing <= FEW else fine


def differing(ours: bytes, theirs: bytes) -> set[int]:
    """Return the blocks whose digests differ between two lists of blocks."""
    return {int.from_bytes(one[:4], "big") for one in _records(ours) ^ _records(theirs)}


def _records(listed: bytes) -> set[bytes]:
    return {listed[start : start + _RECORD] for start in range(0, len(listed), _RECORD)}


def share(grid: Grid, blocks: int, rows: int) -> float | None:
    """Return which share of the rows differs, by the share of blocks that do; None where that cannot tell."""
    each = max(1.0, rows / grid.count)
    part = min(1.0, blocks / grid.count)
    if each > _TELLING and part > 0.9:
        return None
    return float(1 - (1 - part) ** (1 / each)) if part < 1 else 1.0
