"""The tokenizer of s1-pocket: one token a byte, and one for each word the forced thinking turns on.

No merges: a cut can fall between any two bytes. Transformers loads the tokenizer of every Qwen2
model by Qwen's own rules, which compose accents first (NFC); all else round-trips.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

PADDING = "<|endoftext|>"
TURN_START = "<|im_start|>"
TURN_END = "<|im_end|>"

THINK = "think"
ANSWER = "answer"
WAIT = "Wait"
CHECK = ", check:"
OK = " ok"
FIX = " fix"
SO = " so"
FINAL_ANSWER = "Final Answer:"

SPECIALS = (PADDING, TURN_START, TURN_END)
ROLES = ("system", "user", "assistant")
WORDS = (*ROLES, THINK, ANSWER, WAIT, CHECK, OK, FIX, SO, FINAL_ANSWER)

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def build_tokenizer() -> "PreTrainedTokenizerFast":
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    # The byte-level alphabet has one printable stand-in for each of the 256 bytes.
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {text: number for number, text in enumerate([*SPECIALS, *alphabet])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(
        [AddedToken(text, special=True, normalized=False) for text in SPECIALS]
    )
    tokenizer.add_tokens([AddedToken(text, special=False, normalized=False) for text in WORDS])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=TURN_END,
        pad_token=PADDING,
        additional_special_tokens=list(SPECIALS),
        clean_up_tokenization_spaces=False,
        chat_template=CHAT_TEMPLATE,
    )
