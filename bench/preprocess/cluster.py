"""`millpond up` and `millpond submit`, measured together and the job alone."""

import signal
import subprocess
import time
from pathlib import Path

from measured import Measurement, PeakMemory

EXECUTORS = 2
STOP_SECONDS_MAX = 60


def run_millpond(binary: Path, job: Path, work: Path) -> tuple[Measurement, Measurement]:
    """Starts a cluster, runs the job on it, stops it.

    Returns the whole, from the start of the cluster to the end of the job, and the job alone on the running cluster.
    """
    memory = PeakMemory()
    with (work / "up.log").open("w") as up_log, (work / "submit.log").open("w") as submit_log:
        started = time.perf_counter()
        up = subprocess.Popen(_up(binary, work), stdout=subprocess.PIPE, stderr=up_log, text=True)
        memory.watch(up.pid)
        memory.start()
        try:
            url = _wait_until_ready(up, work)
            submitted = time.perf_counter()
            command = [str(binary), "submit", str(job), "--url", url]
            submit = subprocess.Popen(command, stdout=submit_log, stderr=subprocess.STDOUT)
            memory.watch(submit.pid)
            code = submit.wait()
            ended = time.perf_counter()
        finally:
            _stop(up)
            peak_bytes = memory.stop()
    if code != 0:
        raise SystemExit(f"the job ended with {code}:\n{(work / 'submit.log').read_text()[-2000:]}")
    return Measurement(ended - started, peak_bytes), Measurement(ended - submitted, peak_bytes)


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


def _stop(up: subprocess.Popen) -> None:
    up.send_signal(signal.SIGINT)
    try:
        up.wait(STOP_SECONDS_MAX)
    except subprocess.TimeoutExpired:
        up.kill()
        up.wait()
