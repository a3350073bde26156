"""`millpond up`, started and stopped."""

import os
import signal
import subprocess
from pathlib import Path

EXECUTORS = 2
STOP_SECONDS_MAX = 60


def binary_of_environment() -> Path:
    """The binary to measure."""
    path = os.environ.get("MILLPOND_BIN")
    if not path:
        raise SystemExit("set MILLPOND_BIN to the millpond binary")
    binary = Path(path).resolve()
    if not binary.is_file():
        raise SystemExit(f"MILLPOND_BIN: there is no {binary}")
    return binary


class Cluster:
    """A cluster with an empty catalog and the defaults of every setting."""

    def __init__(self, binary: Path, work: Path) -> None:
        self._log = work / "up.log"
        with self._log.open("w") as log:
            # In a folder of its own, and without variables, so that no configuration is found.
            self._up = subprocess.Popen(
                _up(binary, work), stdout=subprocess.PIPE, stderr=log, text=True, cwd=work, env=_environment()
            )
        try:
            self.url = self._wait_until_ready()
        except BaseException:
            self.stop()
            raise

    def _wait_until_ready(self) -> str:
        """Reads the lines that `up` writes when every executor has joined, and returns the address for clients."""
        url = None
        for line in self._up.stdout:
            words = line.split()
            if words[:1] == ["flight_sql"]:
                url = words[1]
            if words == ["ready"] and url:
                return url
        raise SystemExit(f"the cluster did not start:\n{self._log.read_text()[-2000:]}")

    def stop(self) -> None:
        self._up.send_signal(signal.SIGINT)
        try:
            self._up.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self._up.kill()
            self._up.wait()


def _up(binary: Path, work: Path) -> list[str]:
    ports = ["--flight-sql-bind", "127.0.0.1:0", "--http-bind", "127.0.0.1:0"]
    return [str(binary), "up", "--executors", str(EXECUTORS), "--state", str(work / "state"), *ports]


def _environment() -> dict[str, str]:
    """Millpond takes every MILLPOND_ variable for a setting."""
    return {name: value for name, value in os.environ.items() if not name.startswith("MILLPOND_")}
