"""`python -m tests.bench [NAME ...] [--scale 0.05]`: what `make bench` runs."""

import argparse
import sys

from tests.bench.run import ALL, main

parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Measure the bus, with its peers beside it.")
parser.add_argument(
    "names", nargs="*", metavar="NAME", help=f"{', '.join(ALL)}; or growth, ten_thousand. By default all but those"
)
parser.add_argument("--scale", type=float, default=1.0, help="of the published sizes; below 1 it is only a try")
chosen = parser.parse_args()
sys.exit(main(chosen.names or list(ALL), chosen.scale))
