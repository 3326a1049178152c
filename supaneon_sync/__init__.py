"""supaneon-sync: a Supabase database, standing proved and ready on Neon, every night."""

__version__ = "0.1.0"
