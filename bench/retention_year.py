"""Draw a simulated year of hourly backups under one retention policy, as an SVG.

`python bench/retention_year.py docs/retention-year.svg` writes the picture. Chance is seeded, so the
same code draws the same picture. The year: one run in thirty fails, the last backup of each day is
drilled, one drill in thirty fails; nine nights of failing drills in May, six days without any
backup in September.
"""

from __future__ import annotations

import dataclasses
import math
import random
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from supaneon_sync.policy import names
from supaneon_sync.policy.retention import Backup, Drill, Policy, plan

HOUR = timedelta(hours=1)
START = datetime(2025, 1, 1, tzinfo=UTC)
HOURS = 365 * 24
ZONE = ZoneInfo("Europe/Berlin")
POLICY = Policy(keep_hourly=24, keep_daily=14, keep_weekly=8, keep_monthly=12, zone=ZONE)
BAD_DRILLS = (datetime(2025, 5, 12, tzinfo=UTC), datetime(2025, 5, 21, tzinfo=UTC))
OUTAGE = (datetime(2025, 9, 8, tzinfo=UTC), datetime(2025, 9, 14, tzinfo=UTC))


@dataclass
class Life:
    """One backup's life in hours of the year, and what its drill said in the end."""

    born: int
    gone: int
    drill: Drill | None = None


@dataclass
class Year:
    """What the simulation saw, hour by hour."""

    lives: dict[str, Life] = field(default_factory=dict)
    counts: list[tuple[int, int, int]] = field(default_factory=list)
    ages: list[tuple[int, int]] = field(default_factory=list)
    frozen: list[bool] = field(default_factory=list)
    removed: int = 0
    missed: int = 0


def simulate(chance: random.Random) -> Year:
    year = Year()
    backups: list[Backup] = []
    for hour in range(HOURS):
        now = START + hour * HOUR
        if OUTAGE[0] <= now < OUTAGE[1] or chance.random() < 1 / 30:
            year.missed += 1
        else:
            backups.append(Backup(names.backup(now), now))
            year.lives[backups[-1].name] = Life(hour, HOURS)
        if now.astimezone(ZONE).hour == 23 and not OUTAGE[0] <= now < OUTAGE[1]:
            failed = BAD_DRILLS[0] <= now < BAD_DRILLS[1] or chance.random() < 1 / 30
            verdict = Drill.FAILED if failed else Drill.PASSED
            backups[-1] = dataclasses.replace(backups[-1], drill=verdict, drilled_at=now)
            year.lives[backups[-1].name].drill = verdict
        result = plan(backups, POLICY, now)
        for backup in result.remove:
            year.lives[backup.name].gone = hour
            year.removed += 1
        backups = sorted(result.keep, key=lambda backup: backup.moment)
        watch(year, backups, hour, bool(result.frozen))
    return year


def watch(year: Year, backups: list[Backup], hour: int, frozen: bool) -> None:
    passed = sum(backup.passed for backup in backups)
    failed = sum(backup.failed for backup in backups)
    year.counts.append((passed, len(backups) - passed - failed, failed))
    ages = [hour - year.lives[backup.name].born for backup in backups[::-1]]
    year.ages.append((ages[0], ages[min(23, len(ages) - 1)]))
    year.frozen.append(frozen)


# The picture -----------------------------------------------------------------------------------

WIDTH, HEIGHT = 1200, 800
LEFT, RIGHT = 92, 28
TOP, MIDDLE, BOTTOM = 156, 572, 748
COUNT_TOP = 624
PROVEN, UNPROVEN, FAILED = "#0d9488", "#64748b", "#dc2626"
INK, SOFT, GRID, FREEZE, GAP = "#0f172a", "#64748b", "#e2e8f0", "#fde68a", "#e2e8f0"
FONT = "font-family=\"Inter, 'Segoe UI', 'DejaVu Sans', Helvetica, Arial, sans-serif\""
DESCRIPTION = (
    "Each line is a backup: it rises as it ages and ends where it is removed. Hourly copies live a day, "
    "daily ones two weeks, weekly ones two months, monthly ones a year."
)
AGES = (
    (1, "1 hour"),
    (6, "6 hours"),
    (24, "1 day"),
    (72, "3 days"),
    (168, "1 week"),
    (336, "2 weeks"),
    (730, "1 month"),
    (2190, "3 months"),
    (8760, "1 year"),
)


def x(hour: float) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * hour / HOURS


def y(age: float) -> float:
    """Old at the top, on a logarithmic scale from one hour to one year."""
    return MIDDLE - (MIDDLE - TOP) * math.log(max(age, 1)) / math.log(HOURS)


def count_y(count: float, most: int) -> float:
    return BOTTOM - (BOTTOM - COUNT_TOP) * count / most


def text(
    at: tuple[float, float],
    words: str,
    size: int = 13,
    fill: str = SOFT,
    *,
    anchor: str = "start",
    bold: bool = False,
) -> str:
    weight = ' font-weight="600"' if bold else ""
    return (
        f'<text x="{at[0]:.1f}" y="{at[1]:.1f}" font-size="{size}" fill="{fill}"'
        f' text-anchor="{anchor}"{weight}>{words}</text>'
    )


def line_of(life: Life, begin: float) -> str:
    """The path of one backup: its age grows from ``begin`` hours until it is removed."""
    age, points = begin, []
    end = life.gone - life.born
    while age < end:
        points.append((life.born + age, age))
        age *= 1.22
    points.append((life.born + end, end))
    return "M" + "L".join(f"{x(hour):.1f} {y(years):.1f}" for hour, years in points)


def lines(year: Year, drill: Drill | None, colour: str, opacity: float) -> str:
    chosen = [life for life in year.lives.values() if life.drill is drill and life.gone - life.born > 40]
    ends = [life for life in chosen if life.gone < HOURS]
    dots = "".join(f'<circle cx="{x(e.gone):.1f}" cy="{y(e.gone - e.born):.1f}" r="1.9"/>' for e in ends)
    begin = 1.0 if drill is Drill.FAILED else 24.0
    path = "".join(line_of(life, begin) for life in chosen)
    return (
        f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="1.15" stroke-opacity="{opacity}"'
        f' stroke-linejoin="round"/><g fill="{colour}" fill-opacity="{opacity}">{dots}</g>'
    )


def band(year: Year) -> str:
    """The last day's hourly copies, too many for lines: from the newest to the 24th newest."""
    hours = range(0, HOURS, 8)
    upper = [(x(hour), y(year.ages[hour][1])) for hour in hours]
    lower = [(x(hour), y(year.ages[hour][0])) for hour in reversed(hours)]
    outline = " ".join(f"{a:.1f},{b:.1f}" for a, b in [*upper, *lower])
    return f'<polygon points="{outline}" fill="{UNPROVEN}" fill-opacity="0.22"/>'


def stretches(flags: Iterable[bool]) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for hour, flag in enumerate(flags):
        if flag and found and found[-1][1] == hour:
            found[-1] = (found[-1][0], hour + 1)
        elif flag:
            found.append((hour, hour + 1))
    return found


def shade(begin: int, end: int, colour: str, opacity: float) -> str:
    return (
        f'<rect x="{x(begin):.1f}" y="{TOP}" width="{x(end) - x(begin):.1f}" height="{BOTTOM - TOP}"'
        f' fill="{colour}" fill-opacity="{opacity}"/>'
    )


def frame(most: int) -> list[str]:
    parts = []
    for age, label in AGES:
        parts.append(f'<path d="M{LEFT} {y(age):.1f}H{WIDTH - RIGHT}" stroke="{GRID}"/>')
        parts.append(text((LEFT - 10, y(age) + 4), label, 12, anchor="end"))
    for month in range(1, 13):
        begin = (datetime(2025, month, 1, tzinfo=UTC) - START) // HOUR
        parts.append(
            f'<path d="M{x(begin):.1f} {TOP}V{MIDDLE}M{x(begin):.1f} {COUNT_TOP}V{BOTTOM}" stroke="{GRID}"/>'
        )
        name = datetime(2025, month, 1, tzinfo=UTC).strftime("%b")
        parts.append(text((x(begin + 365), BOTTOM + 20), name, 12, anchor="middle"))
    for count in range(0, most + 1, 20):
        parts.append(f'<path d="M{LEFT} {count_y(count, most):.1f}H{WIDTH - RIGHT}" stroke="{GRID}"/>')
        parts.append(text((LEFT - 10, count_y(count, most) + 4), str(count), 12, anchor="end"))
    return parts


def areas(year: Year, most: int) -> list[str]:
    """How many branches stand, at the end of each day, stacked: proven, unproven, failed."""
    hours = [*range(0, HOURS, 24), HOURS - 1]
    parts, base = [], [0] * len(hours)
    for which, colour, opacity in ((0, PROVEN, 0.75), (1, UNPROVEN, 0.4), (2, FAILED, 0.9)):
        top = [base[i] + year.counts[hour][which] for i, hour in enumerate(hours)]
        there = [f"{x(h):.1f},{count_y(top[i], most):.1f}" for i, h in enumerate(hours)]
        back = [f"{x(h):.1f},{count_y(base[i], most):.1f}" for i, h in enumerate(hours)]
        outline = " ".join([*there, *reversed(back)])
        parts.append(f'<polygon points="{outline}" fill="{colour}" fill-opacity="{opacity}"/>')
        base = top
    return parts


def legend() -> list[str]:
    parts, at = [], float(LEFT)
    for label, colour, width in (
        ("passed its drill", PROVEN, 138),
        ("not drilled", UNPROVEN, 112),
        ("failed its drill", FAILED, 130),
    ):
        parts.append(f'<path d="M{at:.0f} 98h20" stroke="{colour}" stroke-width="3" stroke-linecap="round"/>')
        parts.append(text((at + 28, 102), label, 13, INK))
        at += width + 14
    parts.append(f'<circle cx="{at + 6:.0f}" cy="98" r="3" fill="{SOFT}"/>')
    parts.append(text((at + 18, 102), "removed", 13, INK))
    parts.append(f'<rect x="{at + 94:.0f}" y="91" width="20" height="14" rx="3" fill="{FREEZE}"/>')
    parts.append(text((at + 122, 102), "frozen: nothing proven may go", 13, INK))
    return parts


def note(hour: float, height: float, rows: tuple[str, ...]) -> list[str]:
    widest = max(len(row) for row in rows) * 6.5 + 20
    left = x(hour)
    box = (
        f'<rect x="{left:.1f}" y="{height:.1f}" width="{widest:.0f}" height="{18 * len(rows) + 11}" rx="6"'
        f' fill="#ffffff" fill-opacity="0.93" stroke="#cbd5e1"/>'
    )
    return [box, *(text((left + 10, height + 20 + 18 * i), row, 12, INK) for i, row in enumerate(rows))]


def picture(year: Year) -> str:
    most = 20 * math.ceil(max(sum(counts) for counts in year.counts) / 20)
    made = len(year.lives)
    outage = tuple((moment - START) // HOUR for moment in OUTAGE)
    bad = (BAD_DRILLS[0] - START) // HOUR
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" {FONT} role="img">',
            "<title>A year of hourly backups under one retention policy</title>",
            f"<desc>{DESCRIPTION}</desc>",
            f'<rect width="{WIDTH}" height="{HEIGHT}" rx="10" fill="#ffffff"/>',
            text((LEFT, 42), "A year of hourly backups, and what one policy keeps of it", 23, INK, bold=True),
            text(
                (LEFT, 68),
                f"keep-hourly 24 · keep-daily 14 · keep-weekly 8 · keep-monthly 12 · {made:,} backups made, "
                f"{year.removed:,} removed, never more than {max(sum(c) for c in year.counts)} at a time",
                14,
            ),
            *legend(),
            *(shade(*stretch, FREEZE, 0.5) for stretch in stretches(year.frozen)),
            shade(outage[0], outage[1], GAP, 0.75),
            *frame(most),
            band(year),
            lines(year, None, UNPROVEN, 0.45),
            lines(year, Drill.PASSED, PROVEN, 0.6),
            lines(year, Drill.FAILED, FAILED, 0.9),
            text(
                (LEFT, TOP - 14),
                "Age of each backup: it rises to the right and ends where it is removed",
                13,
                INK,
            ),
            text((x(170), y(3.1)), "the last 24 hourly copies", 13, INK),
            text((x(170), y(3.1) + 19), "(too many to draw one by one)", 12),
            text((LEFT, COUNT_TOP - 12), "Branches that stand", 13, INK),
            *areas(year, most),
            *note(
                bad - 1050,
                y(7.5),
                (
                    "Nine nights of failing drills: every",
                    "proven backup stays; failed ones go",
                    "after three days, but for the newest.",
                ),
            ),
            *note(
                outage[0] + 190,
                y(7.5),
                (
                    "Six days without a backup:",
                    "nothing erodes, as periods without",
                    "a backup do not count.",
                ),
            ),
            "</svg>",
            "",
        ]
    )


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit(f"usage: {sys.argv[0]} PICTURE.svg")
    year = simulate(random.Random(20250101))
    Path(sys.argv[1]).write_text(picture(year), encoding="utf-8")
    print(f"{len(year.lives)} made, {year.removed} removed, {year.missed} missed")


if __name__ == "__main__":
    main()
