"""An application's role that is no superuser can use the shim after `migrator grant`, and touch nothing else."""

from __future__ import annotations

import psycopg
import pytest
from psycopg import conninfo

from migrator.control.grants import grant
from migrator.control.install import install
from migrator.control.log import decide
from migrator.control.sealing import verify_log
from migrator.db.connect import connect
from migrator.errors import UsageError
from migrator.model.route import FallbackScope, Level
from migrator.shim import Shim
from migrator.traffic.route.fallback import raise_fallback

pytestmark = pytest.mark.pg


def test_a_granted_role_reads_writes_and_falls_back(classic_dsn: str, limitless_dsn: str) -> None:
    """The shim's whole life under the role: open, read, write, measure, fall back, close."""
    role = f"web_{conninfo.conninfo_to_dict(classic_dsn)['dbname']}"
    mine = conninfo.make_conninfo(classic_dsn, user=role, password="secret")
    with connect(classic_dsn, "test") as admin:
        install(admin, "shop", "digest", {}, {})
        admin.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'secret'")
        admin.execute("CREATE TABLE public.note (body text)")
        admin.execute(f"GRANT ALL ON public.note TO {role}")
        grant(admin, role)
        grant(admin, role)
        with Shim(classic=mine, limitless=limitless_dsn, name="web-1") as shim:
            with shim.write("1") as w:
                w.connection.execute("INSERT INTO public.note VALUES ('hello')")
            notes = shim.run_read("1", lambda r: r.connection.execute("SELECT body FROM public.note").fetchall())
            with psycopg.connect(mine, autocommit=True) as conn:
                epoch = raise_fallback(conn, FallbackScope.PART, "1", by="web-1", reason="test", level=Level.CLASSIC)
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    conn.execute("UPDATE migrator.switch SET level = 'classic'")
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    conn.execute("DELETE FROM migrator.route")
        left = admin.execute("SELECT count(*) FROM migrator.process").fetchone()
        with pytest.raises(UsageError, match="no role nobody_at_all"):
            grant(admin, "nobody_at_all")
        admin.execute(f"DROP OWNED BY {role}")
        admin.execute(f"DROP ROLE {role}")

    assert notes == [("hello",)]
    assert epoch > 0
    assert left == (0,)


def test_an_applications_role_takes_no_numbers_of_others(classic_dsn: str) -> None:
    """Numbers taken in advance would let the next rollback fail; one below 1 or at the end would never be sealed."""
    role = f"web_{conninfo.conninfo_to_dict(classic_dsn)['dbname']}"
    mine = conninfo.make_conninfo(classic_dsn, user=role, password="secret")
    with connect(classic_dsn, "test") as admin:
        install(admin, "shop", "digest", {}, {})
        admin.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'secret'")
        grant(admin, role)
        last = admin.execute("SELECT coalesce(max(id), 0) FROM migrator.decision").fetchone()
        assert last is not None
        with psycopg.connect(mine, autocommit=True) as conn:
            for number in (-5, *range(last[0] + 2, last[0] + 12), 2**63 - 1):
                conn.execute(
                    "INSERT INTO migrator.decision (id, who, kind, subject, reason) OVERRIDING SYSTEM VALUE"
                    " VALUES (%s, 'Ada', 'fallback.raised', 'all', 'forged')",
                    (number,),
                )
            conn.execute(
                "INSERT INTO migrator.incident (id, kind, reason, reported_by) OVERRIDING SYSTEM VALUE"
                " VALUES (2, 'fallback', 'forged', 'web')"
            )
        for _ in range(20):
            decide(admin, "Ana", "route.moved", "route/1", "rolled back")
            admin.execute("INSERT INTO migrator.incident (kind, reason, reported_by) VALUES ('k', 'r', 'Ana')")
        found = verify_log(admin)
        reach = admin.execute("SELECT min(id) > 0, max(id) < 1000 FROM migrator.decision").fetchone()
        admin.execute(f"DROP OWNED BY {role}")
        admin.execute(f"DROP ROLE {role}")

    assert (found.intact, found.unsealed, reach) == (True, 0, (True, True))
