"""Statements with an ON CONFLICT clause, in the dialects of SQLite and PostgreSQL."""

import pytest
from sqlalchemy import Dialect, func, select
from sqlalchemy.dialects import postgresql, sqlite

from strongroom.store.sql.schema import alias, audit_mark
from strongroom.store.sql.statements import KEY, insert_below_limit, upsert, where

DIALECTS: list[Dialect] = [sqlite.dialect(), postgresql.dialect()]  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
def test_an_upsert_replaces_what_is_not_in_its_keys(dialect: Dialect) -> None:
    text = str(upsert(audit_mark, "writer").compile(dialect=dialect))
    assert text.endswith('ON CONFLICT (writer) DO UPDATE SET segment = excluded.segment, "offset" = excluded."offset"')


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
def test_a_guarded_insert_checks_the_count_in_its_own_statement(dialect: Dialect) -> None:
    count = select(func.count()).select_from(alias).where(where(alias, *KEY))
    text = " ".join(str(insert_below_limit(alias, count).compile(dialect=dialect)).split())
    assert text.startswith("INSERT INTO alias (account, region, name, key_id, created_at, updated_at, row_mac) SELECT ")
    assert "WHERE (SELECT count(*) AS count_1 FROM alias WHERE " in text
