"""A town whose database changes from one night to the next in every mean way, for tests of backups."""
