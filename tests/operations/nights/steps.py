"""The steps of a story: blocks of SQL with a title, written in files beside this one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_HERE = Path(__file__).parent
_NUMBER = re.compile(r"(?<!:):n\b")


@dataclass(frozen=True)
class Step:
    """One transaction's worth of SQL. ``since`` is the first major that knows what it needs."""

    title: str
    text: str
    since: int = 0

    def sql(self, number: int) -> str:
        """Return the statements with the number that chance drew."""
        return _NUMBER.sub(str(number), self.text)


def read(name: str) -> tuple[Step, ...]:
    """Return the steps of a file. Raise ValueError when two have one title."""
    blocks = re.split(r"^--- ", (_HERE / name).read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    steps = []
    for block in blocks:
        heading, _, text = block.partition("\n")
        title, _, since = heading.partition(" @")
        steps.append(Step(title.strip(), text.strip(), int(since or 0)))
    if len({step.title for step in steps}) < len(steps):
        raise ValueError(f"{name} has two steps of one title")
    return tuple(steps)


TOWN = (_HERE / "town.sql").read_text(encoding="utf-8")
ROWS = read("rows.sql")
SCHEMA = read("schema.sql")
MIRROR = read("mirror.sql")
