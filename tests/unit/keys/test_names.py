import sys

import pytest

from strongroom.errors import NotAuthorizedException, TagException, ValidationException
from strongroom.keys.names import (
    DUPLICATE_KEYS,
    folded,
    merge_tags,
    remove_tags,
    require_customer_alias,
    require_new_alias,
)


def test_alias_names() -> None:
    require_customer_alias("alias/Team-x/y_z:1")
    with pytest.raises(ValidationException, match='Alias must start with the prefix "alias/"'):
        require_customer_alias("team")
    for bad in ("alias/", "alias/a b", "alias/\u00e9"):
        with pytest.raises(ValidationException, match="contains invalid characters for an alias"):
            require_customer_alias(bad)
    with pytest.raises(NotAuthorizedException):
        require_customer_alias("alias/aws/s3")


def test_a_new_alias_has_no_colon() -> None:
    require_new_alias("alias/Team-x/y_z1")
    for bad in ("alias/a:b", "alias/:", "alias/a:"):
        with pytest.raises(ValidationException, match=f"{bad} contains invalid characters for an alias"):
            require_new_alias(bad)
    with pytest.raises(NotAuthorizedException):
        require_new_alias("alias/aws/a:b")


def test_tags_are_merged_by_key() -> None:
    tags = merge_tags((("a", "1"), ("b", "2")), [("b", "3"), ("c", "")])
    assert tags == (("a", "1"), ("b", "3"), ("c", ""))
    assert remove_tags(tags, ["a", "not there"]) == (("b", "3"), ("c", ""))


@pytest.mark.parametrize(
    ("existing", "added", "message"),
    [
        (0, [("a", "1"), ("a", "2")], "Duplicate tag keys"),
        (0, [("AWS:x", "1")], "Tags beginning with aws: are reserved"),
        (50, [("one more", "1")], "Too many tags"),
        (0, [("env", "1"), ("ENV", "1")], DUPLICATE_KEYS),
        (0, [("k", "1"), ("\u212a", "1")], DUPLICATE_KEYS),
        (0, [("s", "1"), ("\u017f", "1")], DUPLICATE_KEYS),
        (0, [("\u0130", "1"), ("\u0130".lower(), "1")], "Invalid tag"),
        *((0, [(f"a{character}b", "1")], "Invalid tag") for character in '&#?!{}"<>\t\n\x00\u0300'),
        *((0, [("a", f"a{character}b")], "Invalid tag") for character in '&#?!{}"<>\t\n\x00\u0300'),
    ],
)
def test_tags_that_are_refused(existing: int, added: list[tuple[str, str]], message: str) -> None:
    tags = tuple((str(n), "") for n in range(existing))
    with pytest.raises(TagException) as caught:
        merge_tags(tags, added)
    assert caught.value.message == message


def test_a_key_that_differs_by_case_from_a_stored_one() -> None:
    with pytest.raises(TagException, match="case insensitive"):
        merge_tags((("env", "1"),), [("ENV", "2")])
    # Such tags of earlier versions can be removed; meanwhile others can be added, but these not be changed.
    stored = (("ENV", "1"), ("env", "2"))
    assert merge_tags(stored, [("team", "")]) == (*stored, ("team", ""))
    with pytest.raises(TagException, match="case insensitive"):
        merge_tags(stored, [("env", "3")])
    assert merge_tags(remove_tags(stored, ["ENV"]), [("env", "3")]) == (("env", "3"),)


def test_tags_of_all_characters_that_aws_allows() -> None:
    every = "aZ0 +-=._:/@\u00e9\u6f22\u00bd\u2167\u00a0\u3000"
    assert merge_tags((), [(every, every)]) == ((every, every),)


def test_keys_that_are_equal_in_lower_case_are_equal_when_folded() -> None:
    """Policies have condition keys in lower case."""
    for code in range(sys.maxunicode + 1):
        assert folded(chr(code).lower()) == folded(chr(code))


def test_reserved_tags_cannot_be_removed() -> None:
    with pytest.raises(TagException):
        remove_tags((), ["aws:x"])
