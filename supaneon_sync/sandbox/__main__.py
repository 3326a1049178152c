"""``python -m supaneon_sync.sandbox up|down``."""

import sys

from supaneon_sync.sandbox.commands import main

sys.exit(main())
