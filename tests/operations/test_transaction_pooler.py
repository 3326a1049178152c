"""A transaction pooler whose port does not tell: nothing is read through it, and nothing changed for it."""

from __future__ import annotations

from supaneon_sync.policy.names import MIRROR
from tests.comparing import branch_contents, primary_contents
from tests.sandbox_fixtures import MakeSandbox
from tests.tool import command, finished, perform
from tests.transaction_pooler import transaction_pooler


def test_a_backup_through_a_transaction_pooler_ends_before_anything_is_changed(
    make_sandbox: MakeSandbox,
) -> None:
    sandbox = make_sandbox(primary="sample", rows_scale=0.1)
    server = sandbox.primary_server
    assert server is not None
    backup = perform(sandbox, "backup").outputs["branch-name"]
    before = (sandbox.names(), primary_contents(sandbox), branch_contents(sandbox, MIRROR))
    assert before[0] == {"main", MIRROR, backup}
    with transaction_pooler(server) as port:
        url = sandbox.primary_url.replace(f":{server.port}/", f":{port}/").replace("=require", "=disable")
        given = {"SUPABASE_DATABASE_URL": url, "SUPABASE_CA_FILE": ""}
        code, said = finished(command(sandbox, "backup", "--insecure-loopback", **given))
    assert code == 3, said
    assert "forgets settings between transactions, as a transaction pooler does" in said
    assert "What to do now: Use the direct connection or the session pooler (port 5432)." in said
    assert sandbox.primary_password not in said
    assert (sandbox.names(), primary_contents(sandbox), branch_contents(sandbox, MIRROR)) == before
    assert perform(sandbox, "resolve").outputs["branch-name"] == backup
