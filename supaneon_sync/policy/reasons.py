"""The reasons for which a backup stays: one small function a rule or promise, see `policy.retention`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, tzinfo
from enum import StrEnum

from supaneon_sync.policy.backups import Backup, Hold, Policy
from supaneon_sync.policy.periods import PERIODS, in_words, period


class Kind(StrEnum):
    """What sort of reason it is: this decides what may give way in a full project."""

    HOLD = "hold"
    RULE = "rule"
    FLOOR = "floor"
    PROVEN = "proven"
    FROZEN = "frozen"
    EVIDENCE = "evidence"
    YOUNG = "young"


Reason = tuple[Backup, Kind, str]
Kept = dict[str, list[tuple[Kind, str]]]


def all_reasons(ordered: Sequence[Backup], policy: Policy, now: datetime) -> Kept:
    """Return every reason to keep each backup, by name; ``ordered`` is newest first."""
    present = [backup for backup in ordered if backup.moment <= now]
    kept: Kept = {backup.name: [] for backup in ordered}
    for backup, kind, reason in (
        *_holds(ordered, now),
        *_rules(present, policy),
        *_floor(present, policy.minimum),
        *_proven(present, policy),
        *_evidence(present, policy, now),
    ):
        kept[backup.name].append((kind, reason))
    return kept


def _holds(ordered: Iterable[Backup], now: datetime) -> Iterator[Reason]:
    for backup in ordered:
        if backup.moment > now:
            yield backup, Kind.HOLD, "dated in the future: neither counted nor removed"
        if not backup.complete:
            yield backup, Kind.HOLD, "not complete: takes no place, look at it"
        for hold in Hold:
            if hold in backup.holds:
                yield backup, Kind.HOLD, hold.value


def _rules(present: Sequence[Backup], policy: Policy) -> Iterator[Reason]:
    healthy = [backup for backup in present if backup.healthy]
    for backup in healthy[: policy.keep_last]:
        yield (
            backup,
            Kind.RULE,
            f"one of the last {policy.keep_last}" if policy.keep_last > 1 else "the last one",
        )
    for word in PERIODS:
        for backup, reason in _newest_of_each(healthy, word, getattr(policy, f"keep_{word}"), policy.zone):
            yield backup, Kind.RULE, reason
    for backup in healthy:
        if policy.keep_within and healthy[0].moment - backup.moment < policy.keep_within:
            yield backup, Kind.RULE, f"within {in_words(policy.keep_within)} of the newest"


def _newest_of_each(
    healthy: Sequence[Backup], word: str, count: int, zone: tzinfo
) -> Iterator[tuple[Backup, str]]:
    seen: set[str] = set()
    for backup in healthy:
        name = period(word, backup.moment, zone)
        if len(seen) == count:
            return
        if name not in seen:
            seen.add(name)
            yield backup, f"newest {word} of {name}"
        elif backup is healthy[-1]:
            yield backup, f"oldest {word}"


def _floor(present: Sequence[Backup], minimum: int) -> Iterator[Reason]:
    healthy = [backup for backup in present if backup.healthy]
    failed = [backup for backup in present if backup.failed]
    for backup in (*healthy, *failed)[:minimum]:
        yield backup, Kind.FLOOR, f"floor of {minimum}"


def _proven(present: Sequence[Backup], policy: Policy) -> Iterator[Reason]:
    passed = [backup for backup in present if backup.passed]
    for backup in passed[:1]:
        yield backup, Kind.PROVEN, "newest that passed a drill"
    if not policy.freeze or freeze_cause(present) is None:
        return
    for backup in (one for one in passed if not one.anomaly):
        yield backup, Kind.FROZEN, "passed a drill, and none has passed since the freeze"
    strange = [backup for backup in _since_proof(present) if backup.complete and backup.anomaly]
    for first in strange[-1:]:
        yield first, Kind.EVIDENCE, "evidence of an anomaly"
        before = [backup for backup in present if backup.healthy and backup.moment < first.moment]
        for backup in before[:1]:
            yield backup, Kind.PROVEN, "newest before the anomaly"


def freeze_cause(present: Sequence[Backup]) -> Backup | None:
    """Return the newest failed or abnormal backup that no newer, normal, passed one has answered."""
    suspects = [b for b in _since_proof(present) if b.failed or (b.complete and b.anomaly)]
    return suspects[0] if suspects else None


def _since_proof(present: Sequence[Backup]) -> Sequence[Backup]:
    """Return what is newer than the newest backup that passed and is no anomaly itself."""
    proofs = [index for index, backup in enumerate(present) if backup.passed and not backup.anomaly]
    return present[: proofs[0]] if proofs else present


def _evidence(present: Sequence[Backup], policy: Policy, now: datetime) -> Iterator[Reason]:
    failed = [backup for backup in present if backup.failed]
    for backup in failed[:1]:
        yield backup, Kind.EVIDENCE, "newest evidence of a failed drill"
    for backup in failed:
        if now - _failed_at(backup) < policy.keep_failed:
            yield (
                backup,
                Kind.YOUNG,
                f"failed its drill less than {in_words(policy.keep_failed)} ago",
            )


def _failed_at(backup: Backup) -> datetime:
    return max(backup.moment, backup.drilled_at or backup.moment)


def give_way(ordered: Sequence[Backup], kept: Kept, minimum: int, room: int) -> dict[str, str]:
    """Return which backups give way where only ``room`` branches can stay, by name, with the reason."""
    kinds = {name: {kind for kind, _ in reasons} for name, reasons in kept.items()}
    excess = sum(backup.branches for backup in ordered if kinds[backup.name]) - room
    young = [b for b in reversed(ordered) if kinds[b.name] == {Kind.YOUNG}]
    healthy = [b for b in ordered if b.healthy and kinds[b.name] - {Kind.HOLD}]
    frozen = any(Kind.FROZEN in kinds[b.name] and not kinds[b.name] & _RULES for b in healthy)
    unproven = [b for b in reversed(healthy[1:]) if b.drill is None or b.anomaly]
    unproven = [b for b in unproven if kinds[b.name] <= _RULES]
    spare = unproven[: max(0, len(healthy) - minimum)] if frozen else []
    gone: dict[str, str] = {}
    for backups, why in ((young, "not the newest evidence"), (spare, "proven ones are frozen")):
        for backup in backups:
            if excess > 0:
                gone[backup.name] = f"gives way in a full project: {why}"
                excess -= backup.branches
    return gone


_RULES = frozenset({Kind.RULE, Kind.FLOOR})
