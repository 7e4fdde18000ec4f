"""Callbacks for rlhub; every one is a module of its own, imported when it is used."""
