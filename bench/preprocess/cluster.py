"""`millpond up` and commands on it, measured together and the last of them alone."""

import signal
import subprocess
import time
from pathlib import Path

from measured import Measurement, PeakMemory

EXECUTORS = 2
STOP_SECONDS_MAX = 60


def run_millpond(binary: Path, commands: list[list[str]], work: Path) -> tuple[Measurement, Measurement]:
    """Starts a cluster, runs commands on it one after the other, stops it.

    Returns the whole, from the start of the cluster to the end of the last command, and the last command alone. The
    peak of memory is that of the whole in both.
    """
    memory = PeakMemory()
    with (work / "up.log").open("w") as up_log:
        started = time.perf_counter()
        up = subprocess.Popen(_up(binary, work), stdout=subprocess.PIPE, stderr=up_log, text=True)
        memory.watch(up.pid)
        memory.start()
        try:
            url = _wait_until_ready(up, work)
            for command in commands:
                command_started = time.perf_counter()
                _run([str(binary), *command, "--url", url], work / f"{command[0]}.log", memory)
            ended = time.perf_counter()
        finally:
            _stop(up)
            peak_bytes = memory.stop()
    return Measurement(ended - started, peak_bytes), Measurement(ended - command_started, peak_bytes)


def _up(binary: Path, work: Path) -> list[str]:
    ports = ["--flight-sql-bind", "127.0.0.1:0", "--http-bind", "127.0.0.1:0"]
    return [str(binary), "up", "--executors", str(EXECUTORS), "--state", str(work / "state"), *ports]


def _wait_until_ready(up: subprocess.Popen, work: Path) -> str:
    """Reads the lines that `up` writes when every executor has joined, and returns the address for clients."""
    url = None
    for line in up.stdout:
        words = line.split()
        if words[:1] == ["flight_sql"]:
            url = words[1]
        if words == ["ready"] and url:
            return url
    raise SystemExit(f"the cluster did not start:\n{(work / 'up.log').read_text()[-2000:]}")


def _run(command: list[str], log: Path, memory: PeakMemory) -> None:
    with log.open("w") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)
        memory.watch(process.pid)
        code = process.wait()
    if code != 0:
        raise SystemExit(f"{' '.join(command)} ended with {code}:\n{log.read_text()[-2000:]}")


def _stop(up: subprocess.Popen) -> None:
    up.send_signal(signal.SIGINT)
    try:
        up.wait(STOP_SECONDS_MAX)
    except subprocess.TimeoutExpired:
        up.kill()
        up.wait()
