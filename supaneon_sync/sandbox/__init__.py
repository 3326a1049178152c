"""A stand-in for Neon and for Supabase on one machine: Neon's API over real PostgreSQL, and a primary.

What it does not do, and says so where it is asked: branches as of a time or of an LSN after which the
parent was written to (the answer is 400), schema-only branches, read_only endpoints, snapshots. It
reports the size limit of the plan but does not enforce it (SQLSTATE 53100 needs a patched server).
``-pooler`` hosts reach the same server without a pooler. A role's password that was changed with SQL
is not known to the API. ``neon.timeline_id`` and its like are placeholders that a session may set.
Event triggers and publications of all tables need a superuser, as in unpatched PostgreSQL.
"""
