"""Runs that are killed at random moments, again and again, and must end as if nothing had happened."""
