"""Measuring the engine against its peers; nothing of this is installed."""
