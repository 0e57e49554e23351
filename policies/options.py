"""What the scheduler must know of a policy beside its decisions."""

from dataclasses import dataclass

from policies.plan import check_int, check_number

DEFAULT_ANSWER_TOKENS = 128


@dataclass(frozen=True, slots=True)
class PolicyOptions:
    """The settings of a policy that bound its chains, as it declares them itself.

    Raises ValueError that names the field and the value.
    """

    #: Cap on the thinking of a chain, in tokens. None: the room of the context.
    max_thinking_tokens: int | None = None
    #: Least thinking of a chain, in tokens.
    min_thinking_tokens: int = 0
    #: Extensions that are forced on every chain.
    extensions: int = 0
    #: Tokens reserved for the answer of a chain.
    answer_tokens: int = DEFAULT_ANSWER_TOKENS
    #: Accuracy that one token must buy. None: the server's price.
    price: float | None = None
    #: Whether it spends tokens by the price and the value of a query, so that an effort is what
    #: accuracy is worth. For other policies an effort is a cap on thinking.
    spends_by_price: bool = False
    #: Whether its decisions read what was learned of a class, so that it learns in experiments.
    reads_curves: bool = False
    #: Whether its decisions read the rewards of chains, so that it needs a verifier.
    reads_rewards: bool = False

    def __post_init__(self) -> None:
        check_int("max_thinking_tokens", self.max_thinking_tokens, optional=True)
        check_int("min_thinking_tokens", self.min_thinking_tokens)
        check_int("extensions", self.extensions)
        check_int("answer_tokens", self.answer_tokens, at_least=1)
        check_number("price", self.price, at_least=0, optional=True)
