"""Entry of the `kimicode` command; answers `--version` before anything slow is imported."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line of this process and exit with its code."""
    arguments = sys.argv[1:]
    if arguments in (["--version"], ["-V"]):
        from kimicode.cli.version import VERSION_LINE

        sys.stdout.write(VERSION_LINE + "\n")
        return
    import gc

    # What is imported stays, so collections in between find nothing; app.fix has them begin with the agent's work.
    gc.disable()
    from kimicode.cli.main import run

    sys.exit(run(arguments))


if __name__ == "__main__":
    main()
