"""What the image runs: the action's door inside a workflow step, the command line everywhere else."""

from __future__ import annotations

import os
import sys


def main() -> int:
    """Choose the door. Arguments mean the command line; an `operation` input means the action."""
    if not sys.argv[1:] and (os.environ.get("GITHUB_ACTIONS") == "true" or "INPUT_OPERATION" in os.environ):
        from supaneon_sync import action

        return action.main()
    from supaneon_sync import cli

    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
