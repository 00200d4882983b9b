"""Runs the command line: ``python -m strongroom``, and the command ``strongroom``."""

import sys


def main() -> None:
    """Run the command line. Its modules are many: with too little memory they cannot even be loaded."""
    try:
        from strongroom.cli import main as run  # noqa: PLC0415 - to report that it cannot be loaded
    except (MemoryError, OSError, SystemError, ImportError) as error:
        if isinstance(error, ModuleNotFoundError):
            raise
        sys.exit(
            f"Error: strongroom cannot be loaded, for want of memory (ulimit -v) or open files (ulimit -n): {error}"
        )
    run()


if __name__ == "__main__":
    main()
