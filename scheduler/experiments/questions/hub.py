"""Rows of a data set on the Hugging Face hub. The only importer of `datasets` in this folder."""

from collections.abc import Iterator
from typing import Any


def hub_rows(
    hub_id: str, subset: str | None = None, split: str = "train", revision: str | None = None
) -> Iterator[dict[str, Any]]:
    """Streamed. Raises ValueError where the set cannot be had, or `datasets` is not installed."""
    try:
        import datasets
    except ImportError:
        raise ValueError(f"{hub_id} is on the hub: install the extra `experiments`") from None
    try:
        yield from datasets.load_dataset(
            hub_id, subset, split=split, revision=revision, streaming=True
        )
    except Exception as error:  # of whatever library reads the format
        why = " ".join(str(error).split())[:300]
        raise ValueError(
            f"{hub_id} cannot be read from the hub: {type(error).__name__}: {why}; "
            "`path` names a file of the same columns in its place"
        ) from error
