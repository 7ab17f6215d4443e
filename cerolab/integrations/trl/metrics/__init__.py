"""What TRL logs, over the rows that count."""
