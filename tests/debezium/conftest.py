"""What the tests of Debezium need: addresses, a cluster whose processes can be killed, the seed of histories."""

import os
import pathlib
import random
import subprocess
import tempfile
import time

import adbc_driver_flightsql.dbapi as flight_sql
import psycopg
import pytest
from connect import Connect

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
# What the tests are told is no setting of Millpond.
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("MILLPOND_")}
BINARY = os.environ.get("MILLPOND_BIN", REPOSITORY / "target" / "debug" / "millpond")


class Cluster:
    """A scheduler and two executors with a state of their own."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.executors = {}
        self.start()

    def start(self):
        """Starts all processes; what an earlier start left in the state is there again."""
        ports = [f"--{port}-bind=127.0.0.1:0" for port in ("flight-sql", "http", "internal")]
        self.scheduler, announced = self.process("scheduler", "--state", self.folder / "state", *ports)
        self.url, self.internal = announced["flight_sql"], announced["internal"]
        for number in (1, 2):
            self.start_executor(number)
        deadline = time.monotonic() + 60
        while self.query("SELECT count(*) FROM system.executors") != [(2,)]:
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.1)

    def start_executor(self, number):
        ports = [f"--{port}-port=0" for port in ("data", "grpc", "http")]
        name = f"executor-{number}"
        flags = ["--scheduler", self.internal, "--name", name, "--vcores", "1", "--work-dir", self.folder / name]
        self.executors[number], _ = self.process("executor", *flags, *ports)

    def process(self, *command):
        """Starts a process and reads what it announces."""
        with open(self.folder / "log", "ab") as log:
            process = subprocess.Popen(
                [BINARY, *command],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=ENVIRONMENT,
            )
        announced = {}
        for line in process.stdout:
            if line.strip() == "ready":
                return process, announced
            name, value = line.split()
            announced[name] = value
        raise RuntimeError(f"{command[0]} did not start:\n{self.log()}")

    def kill_executor(self, number):
        """Ends an executor as `kill -9` does."""
        process = self.executors.pop(number)
        process.kill()
        process.wait()

    def kill(self):
        """Ends all processes as `kill -9` does."""
        for number in list(self.executors):
            self.kill_executor(number)
        self.scheduler.kill()
        self.scheduler.wait()

    def log(self):
        return (self.folder / "log").read_text(errors="replace")[-4000:]

    def query(self, sql):
        with flight_sql.connect(self.url, autocommit=True) as connection, connection.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchall()


@pytest.fixture(scope="session")
def seed():
    return int(os.environ.get("MILLPOND_SEED") or random.randrange(2**32))


@pytest.fixture(scope="session")
def postgres():
    host, port = os.environ["MILLPOND_TEST_POSTGRES"].split(":")
    with psycopg.connect(host=host, port=port, user="postgres", dbname="postgres", autocommit=True) as connection:
        yield connection


@pytest.fixture(scope="session")
def connect():
    return Connect(os.environ["MILLPOND_TEST_CONNECT"], os.environ["MILLPOND_TEST_POSTGRES"])


@pytest.fixture(scope="session")
def cluster():
    with tempfile.TemporaryDirectory() as folder:
        cluster = Cluster(folder)
        try:
            yield cluster
        finally:
            cluster.kill()
