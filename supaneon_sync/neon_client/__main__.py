"""``python -m supaneon_sync.neon_client list-branches [--filter TEXT] [--json]``."""

import os
import sys
from datetime import UTC, datetime

from supaneon_sync.neon_client.listing import run

if __name__ == "__main__":
    sys.exit(run(sys.argv[1:], os.environ, sys.stdout, sys.stderr, lambda: datetime.now(UTC)))
