"""The error for a prompt that is too long. Clients recognise it by its first words."""

from workers.engine import Refused


def too_long(
    prompt: int, answer: int, context: int, *, closing: int = 0, field: str = "messages"
) -> Refused:
    """All in tokens: of the prompt, kept for the answer, of the context, and of the longest end of
    the thinking. The words are those of OpenAI's and vLLM's errors.
    """
    kept = f"{answer} tokens are kept for the answer"
    if closing:
        kept += f" and {closing} for the end of the thinking"
    return Refused(
        field,
        f"This model's maximum context length is {context} tokens. However, the prompt is {prompt} "
        f"tokens long and {kept}: {prompt + answer + closing} tokens in all, which does not fit. "
        "Shorten the prompt, or ask for fewer tokens.",
        "context_length_exceeded",
    )
