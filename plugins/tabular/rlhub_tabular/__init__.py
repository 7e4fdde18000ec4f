"""Tabular reinforcement learning for rlhub: planning and learning with tables, and pictures of them."""
