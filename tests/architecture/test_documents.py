"""Statements of the documents, compared with the code."""

import re
from pathlib import Path

import msgspec

from strongroom.iam.aws_managed_policies import AWS_POLICIES
from strongroom.iam.principals import account_root, assumed_role, iam_user, service
from strongroom.operations import condition_keys
from strongroom.operations.lanes import Lane
from strongroom.server import lane_limits, turn_queue
from strongroom.server.lease_wait import MOST_WAITING
from strongroom.server.unsettled_answers import MOST_HELD
from strongroom.settings import Settings
from strongroom.settings_sources import load

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


def test_every_condition_key_is_documented_and_no_other() -> None:
    table = (
        (DOCS / "identities.md").read_text(encoding="utf-8").partition("## Condition keys")[2].partition("As on AWS")[0]
    )
    documented = {key.lower() for key in re.findall(r"`((?:aws|iam|kms|sts):[\w/:]+)`", table)}
    callers = (
        account_root("111122223333"),
        iam_user("arn:aws:iam::111122223333:user/ann", user_id="AIDAANN", tags={"KEY": "x"}),
        assumed_role("arn:aws:iam::111122223333:role/app", "session"),
        service("backup.amazonaws.com"),
    )
    of_callers = {key for caller in callers for key in caller.condition_keys}
    of_targets = {"iam:associatedresourcearn", "iam:passedtoservice", "sts:transitivetagkeys"}
    families = {f"{family}key" for family in condition_keys._FAMILIES}
    assert documented == of_callers | families | set(condition_keys._KEYS) | of_targets


def test_every_policy_of_aws_is_documented() -> None:
    row = re.search(r"a few of AWS's own \((.*)\)", (DOCS / "identities.md").read_text(encoding="utf-8"))
    assert row is not None
    assert set(re.findall(r"`(\w+)`", row[1])) == {policy.name for policy in AWS_POLICIES.values()}


def test_the_settings_shown_can_be_used() -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in sorted(DOCS.glob("*.md")))
    blocks = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    assert len(blocks) > 10
    for block in blocks:
        assert load(block, {}, {}) != load("", {}, {})


def test_every_setting_is_documented_with_its_default() -> None:
    rows = re.findall(r"^\| (`.*?`) \| (.*?) \|", (DOCS / "settings.md").read_text(encoding="utf-8"), re.MULTILINE)
    documented = {name: default for names, default in rows for name in re.findall(r"`([\w-]+)`", names)}
    fields = {field.encode_name: field.default for field in msgspec.structs.fields(Settings)}
    assert documented.keys() == fields.keys()
    for name, shown in documented.items():
        default = fields[name]
        if default is None:
            assert not shown.strip("\N{EN DASH}")
        else:
            assert shown.strip("`") == _as_toml(default)


def test_the_bounds_of_queues_are_those_of_the_code() -> None:
    section = (DOCS / "settings.md").read_text(encoding="utf-8").partition("## When it is too much")[2]
    rows = dict(re.findall(r"^\| (.*?) \| (.*?) \|", section, re.MULTILINE))

    def bound_of(words: str) -> int:
        (found,) = [bound for what, bound in rows.items() if what.startswith(words)]
        return int(found.split()[0].replace(",", ""))

    assert bound_of("requests that wait for their turn on the event loop") == turn_queue._MAX_QUEUED
    assert bound_of("calls that generate primes") == lane_limits._MAX_SIGNED[Lane.GENERATING]
    others = {most for lane, most in lane_limits._MAX_SIGNED.items() if lane is not Lane.GENERATING}
    assert {bound_of("calls that read from the store, write to it, sign")} == others
    assert bound_of("requests whose access key has to be read") == lane_limits._MAX_UNVERIFIED
    assert bound_of("unauthenticated calls") == lane_limits._MAX_UNSIGNED
    assert bound_of("with PostgreSQL, requests that wait for a lease") == MOST_WAITING
    assert bound_of("with PostgreSQL, changes whose answers wait") == MOST_HELD


def test_every_golden_file_is_one_of_a_documented_format() -> None:
    page = (ROOT / "RELEASING.md").read_text(encoding="utf-8")
    golden = {path.name for path in (ROOT / "tests" / "vectors" / "golden").iterdir()}
    assert set(re.findall(r"tests/vectors/golden/(\w+\.json)", page)) == golden


def _as_toml(default: object) -> str:
    if isinstance(default, tuple):
        return str(list(default)).replace("'", '"')
    if isinstance(default, bool):
        return str(default).lower()
    return f"{default:g}" if isinstance(default, float) else str(default)


_MADE_BY_THE_READER = {"src/strongroom/operations/iam/context_keys.py"}
"""The file that the guide to a first change has its reader write."""


def test_every_file_and_folder_that_a_document_names_exists() -> None:
    places = ("src/strongroom", "tests", "docs", "bench", "demo", "tools", "requirements")
    there = [f"/{path.relative_to(ROOT)}" for place in places for path in (ROOT / place).rglob("*")]
    missing: dict[str, list[str]] = {}
    for page in (*ROOT.glob("*.md"), *DOCS.rglob("*.md")):
        named = re.findall(r"`([\w./-]+(?:\.py|/))`", page.read_text(encoding="utf-8"))
        absent = [name for name in named if not any(path.endswith(f"/{name.rstrip('/')}") for path in there)]
        if left := sorted(set(absent) - _MADE_BY_THE_READER):
            missing[page.name] = left
    assert missing == {}


def test_every_link_leads_to_a_page_and_a_heading() -> None:
    pages = [*ROOT.glob("*.md"), *DOCS.rglob("*.md")]
    broken = [f"{page.name}: {link}" for page in pages for link in _links_of(page) if not _leads_somewhere(page, link)]
    assert broken == []


def test_a_link_that_leads_nowhere_is_found() -> None:
    assert _leads_somewhere(ROOT / "README.md", "docs/settings.md#when-it-is-too-much")
    assert not _leads_somewhere(ROOT / "README.md", "docs/settings.md#never")
    assert not _leads_somewhere(DOCS / "settings.md", "docs/settings.md")


def _links_of(page: Path) -> list[str]:
    links = re.findall(r"\]\(([^)\s]+)\)", _without_code(page.read_text(encoding="utf-8")))
    return [link for link in links if not re.match(r"[a-z]+:", link)]


def _leads_somewhere(page: Path, link: str) -> bool:
    name, _, anchor = link.partition("#")
    target = page.parent / name if name else page
    return target.exists() and (not anchor or anchor in _anchors_of(target))


def _anchors_of(page: Path) -> set[str]:
    """Return the names that GitHub gives the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", _without_code(page.read_text(encoding="utf-8")), re.MULTILINE)
    shown = (re.sub(r"\[(.*?)\]\(.*?\)", r"\1", heading) for heading in headings)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in shown}


def _without_code(text: str) -> str:
    return re.sub(r"^ *```.*?^ *```$", "", text, flags=re.MULTILINE | re.DOTALL)
