"""Bytes that a fine-tuning takes on one GPU, by what they hold.

States follow the ZeRO paper (arXiv 1910.02054, section 3): in bf16 a parameter takes 2 bytes, its
gradient 2, its optimizer states 12 (a copy in fp32 and AdamW's two moments). A stage divides states
by the number of workers: 1 those of the optimizer, 2 gradients too, 3 parameters too.

Activations are what a layer of transformers' decoders saves for the backward pass with fused
attention (sdpa or FlashAttention), counted tensor by tensor; a test compares them with what PyTorch
saves. `eager` attention would add the score matrices, which grow with the square of the length.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

from training.plan.architecture import Architecture

GIB = 1 << 30
# `stage3_max_live_parameters` of DeepSpeed, its default.
LIVE_PARAMETERS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Setup:
    """What the memory and the time of a fine-tuning follow from, besides its model and its rows.

    `length` is the longest sequence in tokens. A worker is one GPU.
    """

    workers: int
    length: int
    zero_stage: int = 2
    offload: bool = False
    micro_batch_size: int = 1
    gradient_checkpointing: bool = True
    precision: Literal["bf16", "fp32"] = "bf16"

    @property
    def bytes(self) -> int:
        """Of one number in the model."""
        return 2 if self.precision == "bf16" else 4

    @property
    def tokens(self) -> int:
        """Tokens that a worker takes at once, at most."""
        return self.micro_batch_size * self.length


class Memory(NamedTuple):
    """Bytes on one GPU; `host` are bytes of the CPU's memory for each worker.

    `step` is needed while the optimizer steps, when `activations` and `logits` are gone.
    """

    parameters: int
    gradients: int
    optimizer: int
    buffers: int
    activations: int
    logits: int
    step: int
    host: int

    @property
    def states(self) -> int:
        return self.parameters + self.gradients + self.optimizer + self.buffers

    @property
    def total(self) -> int:
        """At the peak."""
        return self.states + max(self.activations + self.logits, self.step)


def memory(model: Architecture, setup: Setup) -> Memory:
    """The memory of one worker."""
    count, stage = model.parameters, setup.zero_stage
    share = -(-count // setup.workers)
    optimizer = (share if stage >= 1 else count) * _optimizer_bytes(setup)
    gradients = (share if stage >= 2 else count) * setup.bytes
    # The gradients of the worker's share, in fp32, as the optimizer takes them.
    step = 4 * (share if stage >= 1 else count) if setup.precision == "bf16" else 0
    if setup.offload:  # ZeRO-Offload: states and gradients of the optimizer are on the host
        host, optimizer, step = optimizer + step, 0, 0
        gradients = gradients if stage < 2 else 0
    else:
        host = 0
    return Memory(
        parameters=(share if stage == 3 else count) * setup.bytes,
        gradients=gradients,
        optimizer=optimizer,
        buffers=_buffers(model, setup),
        activations=activations(model, setup),
        logits=logits(model, setup),
        step=step,
        host=host,
    )


def activations(model: Architecture, setup: Setup) -> int:
    """Bytes saved by all layers; with checkpointing, the input of each and all of one layer."""
    layer, count = layer_activations(model, setup.bytes), model.layers
    if setup.gradient_checkpointing:
        return setup.tokens * (count * model.hidden * setup.bytes + layer)
    return setup.tokens * count * layer


def layer_activations(model: Architecture, size: int) -> int:
    """Bytes that one layer saves for one token, if a number has `size` bytes.

    Of each norm its input in fp32, the normed input, and what leaves it; queries, keys, values and
    the output of attention; gate, its activation, up, and their product.
    """
    numbers = 4 * model.hidden + 2 * model.query + 2 * model.key + 4 * model.intermediate
    saved = size * numbers + 2 * 4 * (model.hidden + 1) + 4 * model.heads
    if model.normed_heads:
        saved += (size + 4) * (model.query + model.key) + 4 * (model.heads + model.kv_heads)
    return saved


def logits(model: Architecture, setup: Setup) -> int:
    """Bytes around the loss: logits, their logarithms of softmax in fp32, and a gradient of those.

    In bf16 there is a copy of the logits in fp32 before the gradient takes its place.
    """
    return setup.tokens * model.vocabulary * (setup.bytes + 4 + 4)


def _optimizer_bytes(setup: Setup) -> int:
    """For one parameter: two moments, and a copy in fp32 where parameters are bf16 or divided."""
    return 8 if setup.precision == "fp32" and setup.zero_stage == 0 else 12


def _buffers(model: Architecture, setup: Setup) -> int:
    """Two buckets of gradients on their way; in stage 3 gathered parameters, too.

    A bucket has hidden x hidden numbers, which is what transformers makes of "auto".
    """
    if setup.zero_stage == 0 or setup.workers == 1:
        return 0
    gathered = min(model.parameters, LIVE_PARAMETERS) if setup.zero_stage == 3 else 0
    return setup.bytes * (2 * model.hidden**2 + gathered)
