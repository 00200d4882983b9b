"""How the demonstrations tell what they do."""

import json
import sys
import textwrap

BOLD, DIM, GREEN, RED, RESET = (
    ("\033[1m", "\033[2m", "\033[32m", "\033[31m", "\033[0m") if sys.stdout.isatty() else ("",) * 5
)


def step(title: str) -> None:
    print(f"\n{BOLD}{title}{RESET}", flush=True)


def code(text: str) -> None:
    """Show a command of the shell, or a line of Python, behind the prompt of each."""
    prompt = "$" if text.startswith(("aws ", "strongroom ", "softhsm2-util ")) else ">>>"
    print(f"  {GREEN}{prompt}{RESET} {text}", flush=True)


def show(document: object) -> None:
    print(textwrap.indent(json.dumps(document, indent=2), "  "), flush=True)


def say(text: str) -> None:
    print(f"  {text}", flush=True)
