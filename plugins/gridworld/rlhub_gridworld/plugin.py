"""What this package offers, as data."""
