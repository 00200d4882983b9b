"""Names of dated backups, and which of them retention removes."""

from strongroom.backup.file_names import dated_name, too_many

OURS, OTHERS = "0123456789ab", "ba9876543210"
NOW = 1_790_000_000.0


def test_names_sort_by_time_and_name_the_deployment() -> None:
    assert dated_name(OURS, NOW, encrypted=True) == "strongroom-0123456789ab-20260921T141320Z.backup.age"
    assert dated_name(OURS, NOW, encrypted=False, again=2) == "strongroom-0123456789ab-20260921T141320Z-2.backup"


def test_the_oldest_of_one_deployment_are_too_many() -> None:
    ours = [dated_name(OURS, NOW + hour * 3600, encrypted=bool(hour % 2)) for hour in range(5)]
    others = [dated_name(OTHERS, NOW - hour, encrypted=True) for hour in range(5)]
    strange = ["notes.txt", f".{ours[0]}.partial", f"{ours[0]}.bak", "strongroom-0123456789ab-2026.backup.age"]
    assert too_many([*ours, *others, *strange], OURS, 2, ours[-1], {}) == ours[:3]
    assert too_many([*ours, *others], OURS, 5, ours[-1], {}) == []
    assert too_many(ours, OURS, 1, ours[-1], {}) == ours[:4]


def test_the_new_one_stays_also_if_the_clock_was_set_back() -> None:
    names = [dated_name(OURS, NOW + hour * 3600, encrypted=True) for hour in range(3)]
    assert too_many(names, OURS, 1, names[0], {}) == names[1:]


def test_those_of_one_second_are_counted() -> None:
    names = [dated_name(OURS, NOW, encrypted=True, again=again) for again in range(12)]
    assert too_many(names, OURS, 2, names[-1], {}) == names[:10]


def test_the_audit_log_says_which_is_newer_and_not_the_dates_in_names() -> None:
    """The clock was years ahead, and was set right after the third of five."""
    ahead = [dated_name(OURS, NOW + 9e7 + hour * 3600, encrypted=True) for hour in range(3)]
    right = [dated_name(OURS, NOW + hour * 3600, encrypted=True) for hour in range(2)]
    ranks = {name: rank for rank, name in enumerate([*ahead[1:], *right], -9)}
    # The log does not know the first any more.
    assert too_many([*right, *ahead], OURS, 3, right[-1], ranks) == ahead[:2]
    assert too_many([*right, *ahead], OURS, 1, right[-1], ranks) == [*ahead, right[0]]
