"""A population of twenty, side by side and one member after another: env steps/s of the evolution strategies' play.

    python benchmarks/evolution_speed.py [--num-envs 20] [--pairs 7] [--episodes 15]

Side by side is what `deep/cmaes` and `deep/openai_es` do; one after another is `rlhub_core.evaluation.play` with one
environment for each member. Both take turns in one process. Only steps that belong to a task are counted.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from gymnasium.envs.classic_control.cartpole import CartPoleVectorEnv
from results import median, ratio, record
from rlhub_deep import evolution
from rlhub_deep.cmaes import CMAES, CMAESConfig

import rlhub_core as rlhub
from rlhub_core import evaluation

MEMBERS = 20
RLMODELS = CMAESConfig(hidden_sizes=(6, 6), activation="relu", population_size=MEMBERS)  # 86 weights


class Vectorized(CartPoleVectorEnv):
    """Gymnasium's CartPole in numpy, where every environment has a generator of its own, as the collector asks."""

    state: Any

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        """Reset the environments of the mask, or all."""
        if options is None:
            super().reset()
            self.generators = [np.random.default_rng(each) for each in seed]
        which = np.ones(self.num_envs, np.bool_) if options is None else options["reset_mask"]
        for env in np.flatnonzero(which):
            if seed is not None and seed[env] is not None:
                self.generators[env] = np.random.default_rng(seed[env])
            self.state[:, env] = self.generators[env].uniform(-0.05, 0.05, 4)
        self.steps[which], self.prev_done[which] = 0, False
        return self.state.T.astype(np.float32), {}


ENVIRONMENTS: dict[str, Callable[[int], Any]] = {
    "SyncVectorEnv": lambda num_envs: rlhub.make_vec("CartPole-v1", num_envs),
    "CartPoleVectorEnv": Vectorized,
}


class Population:
    """Members as `deep/cmaes` draws them after some generations of learning.

    Args:
        generations: before them.
    """

    def __init__(self, generations: int) -> None:
        self.one = rlhub.make_vec("CartPole-v1", 1)
        spaces = self.one.single_observation_space, self.one.single_action_space
        self.learner = CMAES(*spaces, RLMODELS, seed=0, total_steps=1, device="cpu")
        training = self.learner.train(rlhub.Collector(Vectorized(MEMBERS), 0), 10**9)
        for _ in range(generations):
            next(training)
        self.members = self.learner.ask()
        self.networks = [self.learner.network.copy() for _ in self.members]
        for network, weights in zip(self.networks, self.members, strict=True):
            network.weights.copy_(torch.from_numpy(weights))

    def side_by_side(self, env: Any, episodes: int) -> Callable[[], float]:
        """Return what plays all of it in a vector environment, and returns steps/s."""
        collector, policy = rlhub.Collector(env, 1), self.learner.policy
        policies = evolution.SideBySide(self.learner.network, env.num_envs, collector.single_observation_space)

        def play() -> float:
            begun = time.perf_counter()
            played = evolution.play(collector, policies, policy, self.members, episodes)
            return sum(episode.length for episode in played.episodes) / (time.perf_counter() - begun)

        play()  # once to warm up
        return play

    def one_after_another(self, episodes: int) -> float:
        """Play all of it in one environment; return steps/s."""
        begun, steps, policy = time.perf_counter(), 0, self.learner.policy
        for seed, network in enumerate(self.networks):

            def act(observations: Any, first: Any, network: Any = network) -> Any:
                return policy.to_env(policy.mode(network.of_arrays(observations)))

            steps += sum(evaluation.play(act, self.one, episodes, seed).lengths)
        return steps / (time.perf_counter() - begun)


def main() -> None:
    """Measure and record."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--num-envs", type=int, nargs="*", default=[20, 60])
    parser.add_argument("--pairs", type=int, default=7, help="alternating measurements a side")
    parser.add_argument("--episodes", type=int, default=15, help="of each member")
    parser.add_argument("--generations", type=int, nargs="*", default=[1, 25], help="of learning before")
    parser.add_argument("--threads", type=int, default=1, help="of torch")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    rows = []
    for generations in given.generations:
        population = Population(generations)
        for kind, make in ENVIRONMENTS.items():
            for num_envs in given.num_envs:
                side_by_side = population.side_by_side(make(num_envs), given.episodes)
                pairs = [(side_by_side(), population.one_after_another(given.episodes)) for _ in range(given.pairs)]
                ours, theirs = ([pair[side] for pair in pairs] for side in (0, 1))
                rates = f"{median(ours)} | {median(theirs)} | {ratio(ours, theirs)}"
                rows.append(f"| {kind} × {num_envs} | {generations} | {rates} |")
                print(rows[-1], flush=True)
    head = "| environments | generations before | side by side | one after another | ratio, median [min–max] |"
    table = f"{head}\n|---|---|---|---|---|\n" + "\n".join(rows)
    note = (
        f"Env steps/s of playing {given.episodes} whole episodes of each of {MEMBERS} members with 86 weights on "
        f"CartPole-v1, medians of {given.pairs} alternating measurements, {given.threads} torch thread; steps of "
        "environments that had no task left are not counted, the time they take is. One after another is "
        "`rlhub_core.evaluation.play` with one environment. `SyncVectorEnv` is what `--num-envs` gives: it steps "
        "Gymnasium's CartPole one environment after another, which takes most of the time; `CartPoleVectorEnv` steps "
        "all of them in one call, as environments with a vector implementation of their own do. Members after 25 "
        "generations balance the pole for longer, so that resets weigh less."
    )
    record("Speed: a population side by side", f"{table}\n\n{note}")


if __name__ == "__main__":
    main()
