"""Where and with which versions was measured."""

import datetime
import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

# Long enough that a short burst of other processes does not look like load.
IDLE_SECONDS = 2
PACKAGES = ["adbc-driver-flightsql", "datafusion", "duckdb", "pyarrow", "pyspark", "tpchgen-cli"]


def describe_machine(binary: Path | None) -> dict:
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "cores": os.cpu_count(),
        "cpu": _cpu_model(),
        "memory_bytes": psutil.virtual_memory().total,
        "versions": {"python": platform.python_version(), "millpond": _millpond(binary), **_packages()},
    }


def busy_cores() -> float:
    """Cores that are in use now, when nothing of ours runs."""
    return psutil.cpu_percent(IDLE_SECONDS) / 100 * (os.cpu_count() or 1)


def _cpu_model() -> str:
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.exists() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.machine()


def _millpond(binary: Path | None) -> str | None:
    """What the binary says of itself, and where it lies: the profile of its build is often part of the path."""
    if binary is None:
        return None
    told = subprocess.run([str(binary), "--version"], capture_output=True, text=True, check=True)
    return f"{told.stdout.strip()} ({binary})"


def _packages() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
