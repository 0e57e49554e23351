"""Where a model lives: the embedded one, a folder, or a name on the model hub."""

from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from workers.format import S1, THINK_TAGS, ThinkingFormat

FORMAT_FILE = "thinking_format.json"
POCKET = "s1-pocket"
POCKET_FOLDER = Path(__file__).parent / "pocket"
UNSAFE = frozenset({".bin", ".pt", ".pth", ".pkl", ".ckpt"})
_FORMAT = TypeAdapter(ThinkingFormat)


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


def thinking_format(model: str) -> ThinkingFormat:
    """The format that a model is trained with: of the file in its folder, or of its name.

    The embedded model is known by its folder, too.

    Raises ValueError for a file that holds no format.
    """
    folder = POCKET_FOLDER if model == POCKET else Path(model).expanduser()
    file = folder / FORMAT_FILE
    if file.is_file():
        try:
            return _FORMAT.validate_json(file.read_bytes())
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            place = ".".join(map(str, first["loc"]))
            raise ValueError(f"{file}: {place} {first['msg']}, got {first['input']!r}") from None
    name = POCKET if folder == POCKET_FOLDER else folder.name.lower()
    # s1.1 keeps s1's delimiters; the think-tags models are far more, so s1 is the exception.
    return S1 if name.startswith(("s1-", "s1.1-")) else THINK_TAGS


def write_thinking_format(folder: Path, format_: ThinkingFormat) -> None:
    """Put a format beside a model's weights, where `thinking_format` finds it."""
    text = _FORMAT.dump_json(format_, indent=2).decode()
    (folder / FORMAT_FILE).write_text(f"{text}\n", encoding="utf-8")
