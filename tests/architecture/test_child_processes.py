"""A test that fails leaves no process behind: ``with Popen(…)`` waits for it, until the test has taken too long.

What is said of such a process fails a later test, which has nothing to do with it.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parents[1]
ENDING = {"kill", "killpg", "terminate"}


def opens_process(item: ast.withitem) -> bool:
    call = item.context_expr
    return isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "Popen"


def is_killed(block: ast.With) -> bool:
    """Tell whether the process of a block ends with it, by ``killed`` or in a ``finally`` of the block."""
    names = {name.id for item in block.items for name in ast.walk(item.context_expr) if isinstance(name, ast.Name)}
    endings = [node for part in block.body if isinstance(part, ast.Try) for node in part.finalbody]
    called = {node.attr for part in endings for node in ast.walk(part) if isinstance(node, ast.Attribute)}
    return "killed" in names or not ENDING.isdisjoint(called)


def waiting_blocks(source: str) -> Iterator[int]:
    """Yield the lines of the blocks that wait for a process which nothing ends if the block fails."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.With) and any(map(opens_process, node.items)) and not is_killed(node):
            yield node.lineno


def test_the_process_of_a_block_is_killed_with_it() -> None:
    found = {
        f"{path.relative_to(TESTS)}:{line}"
        for path in TESTS.rglob("*.py")
        for line in waiting_blocks(path.read_text(encoding="utf-8"))
    }
    assert found == set()


def test_a_block_that_waits_is_found() -> None:
    opened = "with subprocess.Popen(command) as process"
    assert [*waiting_blocks(f"{opened}:\n    process.wait(60)")] == [1]
    assert [*waiting_blocks(f"{opened}, killed(process):\n    process.wait(60)")] == []
    assert [
        *waiting_blocks(f"{opened}:\n    try:\n        process.wait(60)\n    finally:\n        process.kill()")
    ] == []
