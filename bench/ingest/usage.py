"""What processes have used."""

import time
from dataclasses import dataclass

import psutil


@dataclass(frozen=True)
class Usage:
    """Seconds on the clock and on processors, and the resident memory, of some processes together."""

    seconds: float
    cpu_seconds: float
    resident_bytes: int


def usage_of(processes: list[psutil.Process]) -> Usage:
    """Until now, and now. A process that has ended fails the run: it should not."""
    times = [one.cpu_times() for one in processes]
    resident = sum(one.memory_info().rss for one in processes)
    return Usage(time.perf_counter(), sum(one.user + one.system for one in times), resident)


def machine_cpu_seconds() -> float:
    """Processor seconds of everything on the machine until now."""
    times = psutil.cpu_times()
    return sum(times) - times.idle - times.iowait - times.guest - times.guest_nice
