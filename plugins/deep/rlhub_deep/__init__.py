"""Deep reinforcement learning algorithms for rlhub."""
