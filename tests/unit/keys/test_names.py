import pytest

from strongroom.errors import NotAuthorizedException, TagException, ValidationException
from strongroom.keys.names import merge_tags, remove_tags, require_customer_alias, require_new_alias


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
    ],
)
def test_tags_that_are_refused(existing: int, added: list[tuple[str, str]], message: str) -> None:
    tags = tuple((str(n), "") for n in range(existing))
    with pytest.raises(TagException, match=message):
        merge_tags(tags, added)


def test_reserved_tags_cannot_be_removed() -> None:
    with pytest.raises(TagException):
        remove_tags((), ["aws:x"])
