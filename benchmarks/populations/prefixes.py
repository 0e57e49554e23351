"""Simulated prefix traces, for where none were recorded: chains that settle somewhere on their way.

What `priced_exit` saves on them is no measure of a real model. They show that the benchmark runs.
"""

from random import Random

from scheduler.experiments.recordings import Prefix, PrefixTrace, Traced

CHAINS_A_QUESTION, POSITIONS = 4, 10
MIN_TOKENS, MAX_TOKENS = 500, 4000


def simulated_trace(
    query_class: str = "simulated", chains: int = 400, seed: int = 0
) -> PrefixTrace:
    """Each chain settles on an answer after a share of its length that is uniform.

    Four fifths settle on the right answer, the others on a wrong one; before that, trial answers
    are wrong and little probable.
    """
    rng, made = Random(seed), []
    for number in range(chains):
        length = rng.randint(MIN_TOKENS, MAX_TOKENS)
        settled, final = rng.random(), "right" if rng.random() < 0.8 else "wrong"
        prefixes = []
        for position in range(POSITIONS + 1):
            share = position / POSITIONS
            is_settled = share >= settled
            answer = final if is_settled else rng.choice("abc")
            probability = rng.uniform(0.8, 1.0) if is_settled else rng.uniform(0.1, 0.7)
            prefixes.append(Prefix(round(length * share), answer, probability, answer == "right"))
        made.append(Traced(f"question-{number // CHAINS_A_QUESTION}", length, tuple(prefixes)))
    return PrefixTrace(query_class, tuple(made))
