"""TF-Agents' wrappers for Gymnasium environments, by name."""
