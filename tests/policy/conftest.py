"""How long the property tests look: a usual number of examples, or `--hypothesis-profile=deep`."""

from __future__ import annotations

from hypothesis import settings

# A deadline an example would make the tests depend on what else the machine does.
settings.register_profile("usual", deadline=None)
settings.register_profile("deep", deadline=None, max_examples=5000)
settings.load_profile("usual")
