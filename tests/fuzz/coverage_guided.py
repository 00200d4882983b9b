"""``make fuzz``: runs the targets in turn, guided by coverage, and keeps what breaks one as a seed.

``coverage_guided.py --minutes M [--only NAME]`` shares the time among the targets, each in a process of its own.
``coverage_guided.py --run NAME --seconds S`` is such a process. Inputs that reach new code go to ``.fuzz/NAME``, which
is not committed. An input that breaks a target becomes ``seeds/NAME/found-….bin``: once its fault is mended, commit it.
"""

import argparse
import subprocess
import sys
from pathlib import Path

import atheris

_CORPUS = Path(__file__).parents[2] / ".fuzz"
_SEEDS = Path(__file__).with_name("seeds")
_MEMORY = 2048
"""Megabytes that a target may take."""
_SECONDS_OF_AN_INPUT = 10


def main() -> None:
    """Fuzz, and exit with 1 if a target broke."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--only", choices=sorted(path.name for path in _SEEDS.iterdir()))
    parser.add_argument("--run")
    parser.add_argument("--seconds", type=int, default=0)
    asked = parser.parse_args()
    if asked.run:
        _fuzz(asked.run, asked.seconds)
    names = [asked.only] if asked.only else sorted(path.name for path in _SEEDS.iterdir())
    seconds = max(1, int(asked.minutes * 60 / len(names)))
    broken = [name for name in names if not _holds(name, seconds)]
    print(f"{len(names)} targets, {seconds} s each; broken: {', '.join(broken) or 'none'}")
    raise SystemExit(1 if broken else 0)


def _holds(name: str, seconds: int) -> bool:
    """Run a target in a process of its own; return whether it kept its promises."""
    print(f"--- {name}", flush=True)
    command = [sys.executable, __file__, "--run", name, "--seconds", str(seconds)]
    done = subprocess.run(command, check=False)
    for found in (_SEEDS / name).glob("found-*"):
        if not found.suffix:
            found.rename(found.with_suffix(".bin"))
    return done.returncode == 0


def _fuzz(name: str, seconds: int) -> None:
    """Fuzz one target until the time is over or it breaks; does not return."""
    with atheris.instrument_imports(include=["strongroom"]):
        from targets import MAX_LENGTH, TARGETS, seeds_of  # noqa: PLC0415 - after the instrumentation has begun
    # The first call makes what the target works on, which takes longer than any input may.
    TARGETS[name](seeds_of(name)[0])
    corpus = _CORPUS / name
    corpus.mkdir(parents=True, exist_ok=True)
    options = [
        f"-max_total_time={seconds}",
        f"-max_len={MAX_LENGTH}",
        f"-rss_limit_mb={_MEMORY}",
        f"-timeout={_SECONDS_OF_AN_INPUT}",
        f"-report_slow_units={_SECONDS_OF_AN_INPUT}",
        f"-artifact_prefix={_SEEDS / name}/found-",
        "-print_final_stats=1",
        "-verbosity=0",
    ]
    atheris.Setup([sys.argv[0], *options, str(corpus), str(_SEEDS / name)], TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
