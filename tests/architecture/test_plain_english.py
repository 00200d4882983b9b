"""Plain English: a list of phrases that the project does not use, because a reader has to guess what they mean.

To forbid a phrase, add it to ``PHRASES`` with what to write instead. ``PATHS`` has the parts of the project that are
free of these phrases. The aim is the whole project: src, tests, docs, bench, demo, tools and the Markdown files.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SUFFIXES = frozenset({".py", ".md", ".toml", ".sh", ""})
"""Suffixes of the files that are checked; the Makefile and most tools have none."""

PHRASES = {
    r"whoever|whatever comes": "the caller, a reader, an attacker, any process: name who it is",
    r"nobody('s)? [a-z]+": "no caller, no process; unauthenticated; is not read, is not written",
    r"asks? nobody|serves? nobody|tells? nobody": "asks no caller, serves no requests, is not reported",
    r"vouch(es|ed|ing)?|unvouched for": "signs, verifies, covers, authenticates; unauthenticated",
    r"(is|are|was|were) told so": "gets an error, is notified",
    r"(stand|stands|stood|standing) still": "hangs, does not send heartbeats, has stopped",
    r"stands? where": "the position of",
    r"comes? beyond": "exceeds the limit",
    r"hangs? up|hung up": "closes the connection, closes the pipe",
    r"count(s|ed)? silence": "counts missed heartbeats",
    r"in vain": "without a reply, without success",
    r"for ever": "without a limit, in every later release",
    r"(is|are|was|were) no more(?! than)": "has ended, does not exist",
    r"(take|takes|taken|come|comes) along": "also erases, is also included",
    r"held against (nobody|it)": "does not count",
    r"goes? on with it": "continues, uses it further",
    r"makes? up for": "resets, compensates",
    r"(lie|lies|lying) about": "is unused",
    r"alone in the world": "a single-Region key, the only one",
    r"speaks? to the terminal": "sends escape sequences",
    r"a stranger's": "of an untrusted peer",
    r"the (local|loopback|direct)'s": "the deployment's, the server's, the client's",
    r"what [a-z0-9]+ (takes|returns)(?! over)": "the request of, the response of",
    r"worth having": "recommended",
    r"somebody|someone": "another user, another process, an attacker",
    r"as of now": "present, current",
    r"(is|are|was|not) to be had": "cannot be used, is not available",
    r"at hand": "available, given",
    r"for good": "permanently, in all later releases",
    r"now and then": "from time to time, at an interval",
    r"habits?": "the cached parameters of a client",
    r"front doors?": "http, server",
    r"held against": "compared with",
    r"answers? leaves?": "the answer is sent",
    r"knows? nothing( of)?": "does not depend on",
    r"the very [a-z]+": "the same, itself",
    r"in (the )?clear": "as plaintext, in plaintext",
    r"kept from": "was not, could not",
    r"whichever": "any, also if other",
    r"misfits?|rehears(e|es|al|als|ing)": "mutation of a valid request, rolled-back call",
}
"""Regular expression of a phrase, in lower case → what to write instead. ``_`` counts as a space, as in names."""

PATHS = (
    "Makefile",
    "pyproject.toml",
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "RELEASING.md",
    "docs",
    "src",
    "tests",
    "bench",
    "demo",
    "tools",
)
"""Files and folders that are checked."""


def text_files(path: Path) -> Iterator[Path]:
    """Yield a file, or the text files below a folder. This file, which has to quote the phrases, is left out."""
    for each in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if each.is_file() and each.suffix in SUFFIXES and "__pycache__" not in each.parts and each != Path(__file__):
            yield each


def phrases_in(text: str) -> list[str]:
    """Return each forbidden phrase of a text, with its line and what to write instead."""
    # Code and comments wrap: a phrase may go on in the next line, after indentation and ``#``.
    flat = re.sub(r"\s+(# ?)?|_", lambda match: " " * len(match[0]), text.lower())
    found = []
    for phrase, instead in PHRASES.items():
        pattern = phrase.replace(" ", " +")
        for match in re.finditer(rf"(?<![a-z/])(?:{pattern})(?![a-z])", flat):
            line = text.count("\n", 0, match.start()) + 1
            found.append(f"line {line}: {' '.join(match[0].split())!r}; write: {instead}")
    return found


@pytest.mark.parametrize("path", PATHS)
def test_a_path_has_none_of_the_forbidden_phrases(path: str) -> None:
    assert (ROOT / path).exists()
    found: dict[str, list[str]] = {}
    for file in text_files(ROOT / path):
        name = str(file.relative_to(ROOT))
        text = file.read_text(encoding="utf-8")
        if phrases := phrases_in(text):
            found[name] = phrases
    assert found == {}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("Whoever holds it may call.", 1),
        ("x = 1\n# A reader that stands\n# still is killed.\n", 2),
        ("def test_a_worker_that_stands_still_is_killed() -> None:", 1),
        ("no signature\nand nobody vouches for it", 2),
        ("What comes beyond is refused.", 1),
        ("The caller is told\n    so.", 1),
    ],
)
def test_a_forbidden_phrase_is_found_in_prose_names_and_across_lines(text: str, line: int) -> None:
    assert any(each.startswith(f"line {line}: ") for each in phrases_in(text))


@pytest.mark.parametrize("text", ["arn:aws:iam::000000000000:user/nobody", "forever", "told something", "the rest"])
def test_other_text_is_not_reported(text: str) -> None:
    assert phrases_in(text) == []
