"""Atari 2600 games for rlhub: one definition, a readable single environment and a native vector one."""
