"""`make bench-move`: time and memory of moving a deployment from SQLite to PostgreSQL and back, and of a backup there.

The database server runs on the same machine, with `fsync`, and its CPU is not counted. Commands are an operator's.
"""

import argparse
import tempfile
from pathlib import Path

from backup import run
from measure import machine
from postgresql import SERVER, Cluster
from tables import print_table
from worlds import add_keys


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--keys", type=int, default=100_000)
    keys: int = options.parse_args().keys
    cluster = Cluster(settings="")
    try:
        cluster.prepare()
        with cluster.database() as name, tempfile.TemporaryDirectory(prefix="strongroom-bench-") as scratch:
            folder = Path(scratch)
            data = folder / "data"
            add_keys(data, keys)
            address = cluster.address(name, SERVER)
            config = folder / "there.toml"
            config.write_text(f'store = "{address}"\n')
            spent = {
                "migrate to PostgreSQL": run("migrate", "--from", data, "--to", address),
                "backup of PostgreSQL": run(
                    "backup", "--config", config, "--data", data, "--to", folder / "made", "--unencrypted"
                ),
                "migrate back": run("migrate", "--from", address, "--to", data),
            }
            print(machine())
            print(f"{keys:,} keys")
            print_table(
                ["", "seconds", "CPU seconds", "memory MB"],
                [[row, f"{each.wall:.1f}", f"{each.cpu:.1f}", f"{each.memory:.0f}"] for row, each in spent.items()],
            )
    finally:
        cluster.remove()


if __name__ == "__main__":
    main()
