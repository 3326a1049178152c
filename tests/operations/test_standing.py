"""Which branches count as backups: a name alone never does."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from supaneon_sync.neon_client import Branch
from supaneon_sync.operations.standing import impostors, standing
from supaneon_sync.policy import marks
from supaneon_sync.policy.backups import Drill
from supaneon_sync.policy.marks import Mark

MOMENT = datetime(2026, 1, 31, 2, tzinfo=UTC)
NAME = "backup-20260131T020000Z"
OURS = Mark(marks.BACKUP, "1", "d" * 64, MOMENT)


def branch(name: str, mark: Mark | None, **fields: object) -> Branch:
    given: dict[str, object] = {
        "id": f"br-{name}",
        "project_id": "p",
        "name": name,
        "parent_id": "br-mirror",
        "parent_lsn": None,
        "current_state": "ready",
        "pending_state": None,
        "default": False,
        "protected": False,
        "created_at": MOMENT,
        "updated_at": None,
        "expires_at": None,
        "logical_size": None,
        "written_data_bytes": None,
        "annotations": mark.pairs() if mark else {},
    }
    return Branch(**{**given, **fields})  # type: ignore[arg-type]


def test_a_backup_of_ours_counts() -> None:
    (one,) = standing([branch(NAME, OURS)])
    assert (one.name, one.backup.moment, one.backup.healthy) == (NAME, MOMENT, True)
    assert impostors([branch(NAME, OURS)]) == ()


@pytest.mark.parametrize(
    ("stranger", "why"),
    [
        (branch(NAME, None), "not made by this tool"),
        (branch(NAME, Mark(marks.DRILL, "1", "d" * 64, MOMENT)), "not made by this tool"),
        (branch(NAME, Mark(marks.BACKUP, "1", "", MOMENT)), "not made by this tool"),
        (branch("backup-20260131T030000Z", OURS), "somebody renamed it"),
        (branch(NAME, Mark(marks.BACKUP, "1", "d" * 64)), "somebody renamed it"),
    ],
)
def test_a_name_alone_does_not_count_and_is_told(stranger: Branch, why: str) -> None:
    assert standing([stranger]) == ()
    ((name, told),) = impostors([stranger])
    assert name == stranger.name
    assert why in told


def test_a_kept_drill_of_ours_tells_of_a_failure() -> None:
    backup = branch(NAME, OURS)
    drill = branch(
        "debug-restore-20260131T020000Z-20260131T050000Z", Mark(marks.DRILL, "1"), parent_id=backup.id
    )
    (one,) = standing([backup, drill])
    assert one.backup.drill is Drill.FAILED
    assert not one.backup.healthy


def test_a_drill_that_is_not_ours_or_not_its_child_or_still_at_work_condemns_nothing() -> None:
    backup = branch(NAME, OURS)
    name = "debug-restore-20260131T020000Z-20260131T050000Z"
    others = [
        branch(name, None, parent_id=backup.id, id="a"),
        branch(name, Mark(marks.DRILL, "1"), parent_id="br-mirror", id="b"),
        branch(name, Mark(marks.DRILL, "1"), parent_id=backup.id, expires_at=MOMENT, id="c"),
    ]
    found = [one for one in standing([backup, *others]) if one.name == NAME]
    assert found[0].backup.healthy
