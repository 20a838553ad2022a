"""The `bus` command: the command line over the composition root; `python -m workers` is the same."""

from bus.cli import run
from workers.bootstrap import wire


def main() -> None:
    """Run the command line."""
    run(wire)


if __name__ == "__main__":
    main()
