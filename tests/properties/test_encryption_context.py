from random import Random  # noqa: TID251 - a type

from hypothesis import given
from hypothesis import strategies as st

from strongroom.keys.encryption_context import canonical

contexts = st.dictionaries(st.text(), st.text(), max_size=6)


@given(contexts, contexts)
def test_two_contexts_share_an_encoding_only_if_they_are_equal(one: dict[str, str], two: dict[str, str]) -> None:
    assert (canonical(one) == canonical(two)) == (one == two)


@given(contexts, st.randoms())
def test_the_order_of_pairs_does_not_matter(context: dict[str, str], random: Random) -> None:
    pairs = list(context.items())
    random.shuffle(pairs)
    assert canonical(dict(pairs)) == canonical(context)


def test_an_empty_context_equals_an_absent_one() -> None:
    assert canonical({}) == canonical(None) == b""
