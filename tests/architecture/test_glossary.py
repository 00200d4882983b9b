"""The glossary: its terms are sorted, and each is in use."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
GLOSSARY = ROOT / "docs" / "glossary.md"
TERMS = re.findall(r"^\| ([^|]+?) \| \S", GLOSSARY.read_text(encoding="utf-8"), re.MULTILINE)[1:]


def spoken(text: str) -> str:
    """Return a text in lower case, with the names in code taken apart: ``WorkerSlot`` and ``worker_slot`` alike."""
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", text)
    return re.sub(r"[\s_#`*]+", " ", apart).lower()


def test_terms_are_sorted_and_each_is_there_once() -> None:
    assert len(TERMS) > 50
    assert sorted({*TERMS}, key=str.lower) == TERMS


def test_every_term_is_used_in_the_documents_or_the_source() -> None:
    documents = [path for path in (ROOT / "docs").rglob("*.md") if path != GLOSSARY]
    files = [*documents, *ROOT.glob("*.md"), *(ROOT / "src").rglob("*.py")]
    text = spoken(" ".join(path.read_text(encoding="utf-8") for path in files))
    unused = [term for term in TERMS if not re.search(rf"\b{re.escape(spoken(term))}s?\b", text)]
    assert unused == []
