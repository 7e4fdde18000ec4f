"""Environments of older libraries for rlhub; every dialect is a module of its own."""
