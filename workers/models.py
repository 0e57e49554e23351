"""Where a model lives: the embedded one, a folder, or a name on the model hub."""

from pathlib import Path

POCKET = "s1-pocket"
POCKET_FOLDER = Path(__file__).parent / "pocket"
UNSAFE = frozenset({".bin", ".pt", ".pth", ".pkl", ".ckpt"})


def locate(model: str) -> str:
    """The folder or hub name that vLLM can load; refuses a folder that is not a model."""
    if model == POCKET:
        return str(POCKET_FOLDER)
    looks_like_path = model.startswith((".", "/", "~")) or Path(model).exists()
    if not looks_like_path:
        return model
    folder = Path(model).expanduser()
    if not folder.is_dir():
        raise ValueError(f"model {model!r}: there is no such folder")
    if not (folder / "config.json").is_file():
        raise ValueError(f"model {model!r}: the folder has no config.json, so it is not a model")
    kinds = {file.suffix for file in folder.iterdir()}
    if ".safetensors" not in kinds and kinds & UNSAFE:
        found = ", ".join(sorted(kinds & UNSAFE))
        raise ValueError(
            f"model {model!r}: its weights are {found} files, which run code when they are loaded; "
            "save them as safetensors"
        )
    return str(folder)


def default_format(model: str) -> str:
    """The name of the thinking format that a model of this name is trained with."""
    name = Path(model).name.lower()
    # s1.1 keeps s1's delimiters; the think-tags models are far more, so s1 is the exception.
    return "s1" if name.startswith(("s1-", "s1.1-")) else "think-tags"
