"""Does the alarm ring? Each case of the self-test, and what the drill made of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from supaneon_sync.policy.drill import Area, Verdict


@dataclass(frozen=True)
class Case:
    """One damage: what is done, the verdict it must lead to, and the area that must find it."""

    title: str
    wanted: Verdict
    area: str


@dataclass(frozen=True)
class Tried:
    """A case that was tried. ``what`` is the object that was damaged, '' where the copy has none to damage;
    ``got`` is None then too."""

    case: Case
    what: str
    got: Verdict | None = None
    areas: tuple[Area, ...] = ()

    @property
    def possible(self) -> bool:
        """Say whether there was anything to damage."""
        return self.got is not None

    @property
    def caught(self) -> bool:
        """Say whether the drill came to the right verdict, and in the right place."""
        return self.got is self.case.wanted and bool(self.told)

    @property
    def told(self) -> str:
        """What the drill said about it, in the area that had to."""
        texts = [
            finding.text for area in self.areas for finding in area.findings if area.name == self.case.area
        ]
        return texts[0] if texts else ""

    @property
    def result(self) -> str:
        """The result in a word."""
        if not self.possible:
            return "nothing to damage"
        return "caught" if self.caught else "MISSED"


def rings(tried: Sequence[Tried], control: Verdict) -> bool:
    """Say whether every possible case was caught, and the untouched control passes."""
    possible = [one for one in tried if one.possible]
    return bool(possible) and control.passed and all(one.caught for one in possible)


def summary(tried: Sequence[Tried], control: Verdict) -> str:
    """Return the last line of the self-test."""
    possible = [one for one in tried if one.possible]
    caught = sum(one.caught for one in possible)
    return f"caught {caught} of {len(possible)}, control {'passes' if control.passed else 'FAILS'}"
