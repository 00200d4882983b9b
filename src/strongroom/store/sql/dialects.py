"""Expressions that each database spells in its own way. All other statements are the same for all of them."""

from sqlalchemy import Boolean, Text
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement


class as_json(FunctionElement[str]):  # noqa: N801 - named as the function of SQL that it is
    """The values of a column in all rows, as the text of a JSON array; ``[]`` if there are no rows."""

    type = Text()
    inherit_cache = True


class is_integer(FunctionElement[bool]):  # noqa: N801 - see above
    """Whether a value is an integer. On SQLite a column takes values of other types, which other programs may write."""

    type = Boolean()
    inherit_cache = True


@compiles(as_json, "sqlite")
def _as_json_sqlite(element: as_json, compiler: SQLCompiler, **options: object) -> str:
    return f"json_group_array({compiler.process(element.clauses, **options)})"


@compiles(as_json, "postgresql")
def _as_json_postgresql(element: as_json, compiler: SQLCompiler, **options: object) -> str:
    return f"CAST(coalesce(json_agg({compiler.process(element.clauses, **options)}), '[]') AS TEXT)"


@compiles(is_integer, "sqlite")
def _is_integer_sqlite(element: is_integer, compiler: SQLCompiler, **options: object) -> str:
    return f"typeof({compiler.process(element.clauses, **options)}) = 'integer'"


@compiles(is_integer, "postgresql")
def _is_integer_postgresql(element: is_integer, compiler: SQLCompiler, **options: object) -> str:
    return f"({compiler.process(element.clauses, **options)}) IS NOT NULL"
