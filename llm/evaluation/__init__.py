"""Held-out accuracy, and success rates measured for the oracle."""
