"""What leans on schemas that are left out, told by the catalogs' own record of dependencies."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from supaneon_sync.policy.facts import Helper, Need, ObjectId, Reference
from supaneon_sync.postgres.session import Session

_REFERENCES = """
SELECT k.conname, k.conrelid, k.confrelid FROM pg_constraint k WHERE k.contype = 'f' AND k.conparentid = 0
"""
_PARTITIONS = """
SELECT i.inhrelid, i.inhparent FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE c.relispartition
"""
_EXTENSION_SCHEMAS = """
SELECT DISTINCT n.nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
WHERE n.nspname <> 'pg_catalog'
"""

# What depends, as an archive knows it: a view for its query, a table for a check or default of its own; and
# what it depends on, for each object that lies in one of the schemas.
_NEEDS = """
WITH inside (catalog, oid) AS (
  SELECT 1259::oid, c.oid FROM pg_class c WHERE c.relnamespace = ANY (%(schemas)s::oid[])
  UNION ALL SELECT 1255, p.oid FROM pg_proc p WHERE p.pronamespace = ANY (%(schemas)s::oid[])
  UNION ALL SELECT 1247, t.oid FROM pg_type t WHERE t.typnamespace = ANY (%(schemas)s::oid[])
  UNION ALL SELECT 2617, o.oid FROM pg_operator o WHERE o.oprnamespace = ANY (%(schemas)s::oid[])
  UNION ALL SELECT 3456, l.oid FROM pg_collation l WHERE l.collnamespace = ANY (%(schemas)s::oid[])
  UNION ALL SELECT 2616, k.oid FROM pg_opclass k WHERE k.opcnamespace = ANY (%(schemas)s::oid[])
  UNION ALL SELECT 2753, f.oid FROM pg_opfamily f WHERE f.opfnamespace = ANY (%(schemas)s::oid[])
  UNION ALL SELECT 3602, g.oid FROM pg_ts_config g WHERE g.cfgnamespace = ANY (%(schemas)s::oid[])
  UNION ALL SELECT 3600, y.oid FROM pg_ts_dict y WHERE y.dictnamespace = ANY (%(schemas)s::oid[])
), tied AS (
  SELECT CASE WHEN d.classid = 2618 AND w.rulename = '_RETURN' THEN 1259
              WHEN d.classid = 2604 AND a.attrdef THEN 1259
              WHEN d.classid = 2606 AND k.contype = 'c' AND k.conrelid <> 0 THEN 1259
              WHEN d.classid = 2606 AND k.contype = 'c' THEN 1247
              WHEN d.classid = 1247 AND t.typrelid <> 0 THEN 1259 ELSE d.classid END AS catalog,
         CASE WHEN d.classid = 2618 AND w.rulename = '_RETURN' THEN w.ev_class
              WHEN d.classid = 2604 THEN a.relation
              WHEN d.classid = 2606 AND k.contype = 'c' AND k.conrelid <> 0 THEN k.conrelid
              WHEN d.classid = 2606 AND k.contype = 'c' THEN k.contypid
              WHEN d.classid = 1247 AND t.typrelid <> 0 THEN t.typrelid ELSE d.objid END AS oid,
         d.refclassid, d.refobjid
  FROM pg_depend d JOIN inside i ON (i.catalog, i.oid) = (d.refclassid, d.refobjid)
  LEFT JOIN pg_rewrite w ON d.classid = 2618 AND w.oid = d.objid
  LEFT JOIN pg_constraint k ON d.classid = 2606 AND k.oid = d.objid
  LEFT JOIN pg_type t ON d.classid = 1247 AND t.oid = d.objid
  LEFT JOIN (SELECT oid, adrelid, true FROM pg_attrdef) AS a (oid, relation, attrdef)
    ON d.classid = 2604 AND a.oid = d.objid
  WHERE d.deptype IN ('n', 'a', 'i', 'P', 'S') AND d.classid <> 1262
)
SELECT DISTINCT t.catalog, t.oid, t.refclassid, t.refobjid,
       (pg_identify_object(t.refclassid, t.refobjid, 0)).type || ' '
       || (pg_identify_object(t.refclassid, t.refobjid, 0)).identity
FROM tied t WHERE NOT EXISTS (SELECT FROM inside i WHERE (i.catalog, i.oid) = (t.catalog, t.oid))
ORDER BY 1, 2, 5
"""
_HELPERS = """
SELECT p.oid, n.oid, n.nspname, p.proname, oidvectortypes(p.proargtypes), pg_get_functiondef(p.oid) || E';\\n'
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE n.oid = ANY (%(schemas)s::oid[]) AND p.prokind = 'f' ORDER BY p.oid
"""


def ties(session: Session) -> dict[str, Any]:
    """Return the fields of an Inventory that any scope needs."""
    return {
        "references": tuple(Reference(*row) for row in session.query(_REFERENCES)),
        "partition_of": dict(session.query(_PARTITIONS)),
        "extension_schemas": frozenset(row[0] for row in session.query(_EXTENSION_SCHEMAS)),
    }


def read(session: Session, outside: Iterable[str]) -> dict[str, Any]:
    """Return the fields of an Inventory that a scope which leaves these schemas out needs."""
    names = sorted(outside)
    oids = [
        row[0] for row in session.query("SELECT oid FROM pg_namespace WHERE nspname = ANY (%s)", (names,))
    ]
    needs: defaultdict[ObjectId, list[Need]] = defaultdict(list)
    for catalog, oid, other_catalog, other, label in session.query(_NEEDS, {"schemas": oids}):
        needs[catalog, oid].append(Need((other_catalog, other), label))
    return {
        "outside": frozenset(names),
        "needs": {key: tuple(found) for key, found in needs.items()},
        "helpers": tuple(
            Helper((1255, oid), *rest) for oid, *rest in session.query(_HELPERS, {"schemas": oids})
        ),
    }
