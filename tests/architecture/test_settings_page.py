"""The bounds and the words that a setting can be are in docs/settings.md."""

import re
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from msgspec import inspect

from strongroom.settings import Settings

PAGE = Path(__file__).parents[2] / "docs" / "settings.md"
UNTOLD = {None, 0, 1, 31_622_400, 1 << 32, (1 << 32) - 1, 1 << 40}
"""The bounds that are those of the type, and that of all times, which the page says once."""
FIELDS = {field.encode_name: field for field in msgspec.structs.fields(Settings)}


def rows() -> dict[str, str]:
    found = re.findall(r"^\| (`.*?`) \| .*? \| (.*) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    return {name: text for names, text in found for name in re.findall(r"`([\w-]+)`", names)}


def single_types(kind: inspect.Type) -> Iterator[inspect.Type]:
    """Yield the type of a setting, or of what a list has."""
    match kind:
        case inspect.UnionType():
            for each in kind.types:
                yield from single_types(each)
        case inspect.VarTupleType():
            yield from single_types(kind.item_type)
        case _:
            yield kind


def words_for(kind: inspect.Type) -> Iterator[str]:
    match kind:
        case inspect.IntType() | inspect.FloatType():
            yield from (f"{bound:,}" for bound in (kind.ge, kind.gt, kind.le) if bound not in UNTOLD)
        case inspect.StrType(max_length=int() as length):
            yield f"{length:,}"
        case inspect.LiteralType():
            yield from (f"`{value}`" for value in kind.values)
        case _:
            pass


@pytest.mark.parametrize("name", sorted(FIELDS))
def test_what_a_setting_can_be_is_documented(name: str) -> None:
    text = rows()[name]
    for kind in single_types(inspect.type_info(FIELDS[name].type)):
        missing = [word for word in words_for(kind) if not re.search(rf"(?<![\w.,]){re.escape(word)}(?!\w)", text)]
        assert missing == []
