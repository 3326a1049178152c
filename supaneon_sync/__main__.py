"""``python -m supaneon_sync`` is the command line."""

import sys

from supaneon_sync.cli import main

sys.exit(main())
