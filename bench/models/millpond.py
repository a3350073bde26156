"""A cluster of Millpond for the run, and statements on it."""

import subprocess
import time
from pathlib import Path

import adbc_driver_flightsql.dbapi as flight_sql
import psutil


class Cursor:
    def __init__(self, binary: Path, work: Path) -> None:
        ports = ["--flight-sql-bind", "127.0.0.1:0", "--http-bind", "127.0.0.1:0"]
        flags = ["--executors", "2", "--state", str(work / "state"), *ports]
        self._log = (work / "millpond.log").open("w")
        self._process = subprocess.Popen(
            [binary, "up", *flags], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self._log, text=True
        )
        addresses = {}
        for line in self._process.stdout:
            if line.strip() == "ready":
                break
            name, value = line.split()
            addresses[name] = value
        self._connection = flight_sql.connect(addresses["flight_sql"], autocommit=True)
        self._cursor = self._connection.cursor()

    def run(self, sql: str) -> list[tuple]:
        self._cursor.execute(sql)
        return self._cursor.fetchall() if self._cursor.description else []

    def cpu_seconds(self) -> float:
        processes = [psutil.Process(self._process.pid)]
        processes += processes[0].children(recursive=True)
        return sum(sum(process.cpu_times()[:2]) for process in processes)

    def wait(self, table: str) -> None:
        self.run(f"WAIT FOR TABLE {table} TIMEOUT '1200s'")

    def pause(self) -> None:
        """Lets what goes on in the background end."""
        time.sleep(1)

    def close(self) -> None:
        self._cursor.close()
        self._connection.close()
        self._process.terminate()
        self._process.wait(60)
        self._log.close()
