"""Wall seconds and peak memory of processes and all their children."""

import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

SAMPLE_SECONDS = 0.05


@dataclass
class Measurement:
    """One run."""

    seconds: float
    peak_bytes: int


class PeakMemory(threading.Thread):
    """Samples the resident memory of process trees, summed, and keeps the peak.

    Pages that processes share are counted for each of them. This is equal for all engines, and largest where one has
    many processes, which here is Millpond.
    """

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak_bytes = 0
        self._roots: list[psutil.Process] = []
        self._ended = threading.Event()

    def watch(self, pid: int) -> None:
        self._roots.append(psutil.Process(pid))

    def run(self) -> None:
        while not self._ended.wait(SAMPLE_SECONDS):
            self.peak_bytes = max(self.peak_bytes, sum(map(_tree_bytes, list(self._roots))))

    def stop(self) -> int:
        self._ended.set()
        self.join()
        return self.peak_bytes


def _tree_bytes(root: psutil.Process) -> int:
    try:
        tree = [root, *root.children(recursive=True)]
    except psutil.Error:
        return 0
    return sum(map(_resident_bytes, tree))


def _resident_bytes(process: psutil.Process) -> int:
    try:
        return process.memory_info().rss
    except psutil.Error:
        return 0


def run_measured(command: list[str], log: Path) -> Measurement:
    """Runs a command to its end. Its output goes to the log; a command that fails ends the benchmark."""
    memory = PeakMemory()
    with log.open("w") as out:
        started = time.perf_counter()
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)
        memory.watch(process.pid)
        memory.start()
        code = process.wait()
        seconds = time.perf_counter() - started
    peak_bytes = memory.stop()
    if code != 0:
        raise SystemExit(f"{' '.join(command)} ended with {code}:\n{log.read_text()[-2000:]}")
    return Measurement(seconds, peak_bytes)
