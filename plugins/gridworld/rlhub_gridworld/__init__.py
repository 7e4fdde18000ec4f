"""Grid worlds for rlhub whose right answers are known."""
