"""The shell on a terminal of its own, as a person uses it: keys go in, text comes out.

The line editor switches bracketed paste on when it starts to read and off when it has a line, so these two sequences
tell when the shell is ready and where the output of a command begins and ends.
"""

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import adbc_driver_flightsql.dbapi as flight_sql
import pytest
from conftest import BINARY

READING, HAS_LINE = b"\x1b[?2004h", b"\x1b[?2004l"
WHERE_IS_THE_CURSOR, TOP_LEFT = b"\x1b[6n", b"\x1b[1;1R"
ESCAPE_SEQUENCE = re.compile(rb"\x1b\[[0-9;?]*[a-zA-Z]|\x1b[()][A-Z0-9]|\x1b[=>78]")
CTRL_C, CTRL_D, UP = b"\x03", b"\x04", b"\x1b[A"
PATIENCE_SECONDS = 30
PAIRS = "SELECT count(*) FROM generate_series(1, 100000) a(x) JOIN generate_series(1, 100000) b(y) ON a.x % 3 = b.y % 3"


class Terminal:
    """A shell and the terminal it runs on."""

    def __init__(self, url: str, folder: Path):
        self.main, shell_side = pty.openpty()
        fcntl.ioctl(shell_side, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 200, 0, 0))
        environment = {key: value for key, value in os.environ.items() if not key.startswith("MILLPOND_")}
        self.shell = subprocess.Popen(
            [BINARY, "sql", "--url", url],
            cwd=folder,
            env=environment | {"XDG_STATE_HOME": str(folder), "TERM": "xterm", "NO_COLOR": "1"},
            stdin=shell_side,
            stdout=shell_side,
            stderr=shell_side,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(shell_side)
        self.shown = b""
        self.news = threading.Condition()
        self.reader = threading.Thread(target=self._read)
        self.reader.start()
        self.wait_for(lambda: READING in self.shown, 0)

    def _read(self) -> None:
        """Collects what the shell shows and answers its questions, until it ends."""
        try:
            while data := os.read(self.main, 65536):
                for _ in range(data.count(WHERE_IS_THE_CURSOR)):
                    os.write(self.main, TOP_LEFT)
                with self.news:
                    self.shown += data
                    self.news.notify_all()
        except OSError:
            pass  # Linux says so when nobody is at the other end any more.

    def wait_for(self, happened: Callable[[], bool], start: int) -> None:
        """Waits until something is shown; `start` is where to begin in the error message."""
        with self.news:
            if not self.news.wait_for(happened, PATIENCE_SECONDS):
                raise AssertionError(f"not shown: {self.text(start)}")

    def text(self, start: int, end: int | None = None) -> str:
        """What was shown, without colours and cursor movements."""
        plain = ESCAPE_SEQUENCE.sub(b"", self.shown[start:end])
        return plain.decode().replace("\r\n", "\n").replace("\r", "\n")

    def press(self, keys: str | bytes) -> int:
        """Sends keys. Gives the place in what is shown from which their effect is to be seen."""
        start = len(self.shown)
        os.write(self.main, keys if isinstance(keys, bytes) else keys.encode())
        return start

    def enter(self, line: str | bytes) -> int:
        """Types a line that ends a statement. Gives the place where its output begins."""
        line = line if isinstance(line, bytes) else line.encode()
        start = self.press(line + b"\r")
        self.wait_for(lambda: HAS_LINE in self.shown[start:], start)
        return self.shown.index(HAS_LINE, start) + len(HAS_LINE)

    def output(self, start: int) -> str:
        """Waits until the shell takes keys again and gives what it has shown since `start`."""
        self.wait_for(lambda: READING in self.shown[start:], start)
        return self.text(start, self.shown.index(READING, start))

    def run(self, line: str | bytes) -> str:
        """Types a line and gives its output."""
        return self.output(self.enter(line))

    def wait_for_text(self, text: str, start: int, count: int = 1) -> None:
        """Waits until a text was shown `count` times."""
        self.wait_for(lambda: self.text(start).count(text) >= count, start)

    def end(self) -> int:
        """Waits for the end of the shell and gives its exit code."""
        return self.shell.wait(PATIENCE_SECONDS)

    def close(self) -> None:
        """Ends the shell if it still runs, and forgets the terminal."""
        self.shell.kill()
        self.shell.wait(PATIENCE_SECONDS)
        self.reader.join(PATIENCE_SECONDS)
        os.close(self.main)


@pytest.fixture
def open_terminal(cluster_url: str, tmp_path: Path) -> Iterator[Callable[[], Terminal]]:
    """Opens terminals whose shells share a history."""
    opened = []

    def open_one() -> Terminal:
        opened.append(Terminal(cluster_url, tmp_path))
        return opened[-1]

    yield open_one
    for terminal in opened:
        terminal.close()


@pytest.fixture
def terminal(open_terminal: Callable[[], Terminal]) -> Terminal:
    return open_terminal()


@pytest.fixture
def relations(cluster_url: str, tmp_path: Path) -> Iterator[None]:
    """A table `shell_table` and a view `shell_view`."""
    (tmp_path / "shell.csv").write_text("x,y\n1,one\n2,two\n")
    with flight_sql.connect(cluster_url, autocommit=True) as connection, connection.cursor() as cursor:
        cursor.execute(
            f"CREATE EXTERNAL TABLE shell_table (x BIGINT, y TEXT) STORED AS CSV LOCATION '{tmp_path}/shell.csv' "
            "OPTIONS ('format.has_header' 'true')"
        )
        cursor.execute("CREATE VIEW shell_view AS SELECT x + 1 AS next_x FROM shell_table")
        yield
        cursor.execute("DROP VIEW shell_view")
        cursor.execute("DROP TABLE shell_table")


def number_of_jobs(cluster_url: str, condition: str) -> int:
    with flight_sql.connect(cluster_url, autocommit=True) as connection, connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM system.jobs WHERE {condition}")
        return cursor.fetchone()[0]


def test_a_statement_goes_over_several_lines(terminal: Terminal) -> None:
    start = terminal.press("SELECT 40\r")
    terminal.wait_for_text("...>", start)
    terminal.press("+ 2\r")
    output = terminal.run("AS answer;")
    assert re.search(r"answer.*\b42\b.*\(1 row\)", output, re.DOTALL), output
    assert "time: " in output


def test_two_statements_on_a_line_and_an_error_keep_the_shell(terminal: Terminal) -> None:
    output = terminal.run("SELECT 30 + 1; SELECT 50 + 2;")
    assert "31" in output and "52" in output
    output = terminal.run("SELEC 1;")
    assert "error: " in output and "MP0001" in output
    output = terminal.run("\\nonsense")
    assert "error: " in output and "\\?" in output
    assert "45" in terminal.run("SELECT 44 + 1;")


def test_relations_are_listed_and_described(terminal: Terminal, relations: None) -> None:
    output = terminal.run("\\d")
    assert "shell_table" in output and "shell_view" in output
    output = terminal.run("\\dt")
    assert "shell_table" in output and "shell.csv" in output and "shell_view" not in output
    output = terminal.run("\\d shell_view")
    assert "next_x" in output and "Int64" in output
    output = terminal.run("\\d no_such_table")
    assert "error: " in output and "no_such_table" in output


def test_expanded_rows_and_times_are_switched(terminal: Terminal) -> None:
    query = "SELECT 60 + 1 AS first, 60 + 2 AS second;"
    assert re.search(r"\b61\b.*\b62\b", terminal.run(query)), "both in one line"
    terminal.run("\\x")
    output = terminal.run(query)
    assert re.search(r"^.*first.*\b61\b.*$", output, re.MULTILINE), output
    assert not re.search(r"\b61\b.*\b62\b", output), output
    terminal.run("\\x off")
    assert re.search(r"\b61\b.*\b62\b", terminal.run(query))
    assert "time: " in terminal.run(query), "the shell tells times from the start"
    terminal.run("\\timing")
    assert "time: " not in terminal.run(query)
    terminal.run("\\timing on")
    assert "time: " in terminal.run(query)


def test_watch_repeats_until_interrupted(terminal: Terminal) -> None:
    assert "73" in terminal.run("SELECT 70 + 3 AS watched;")
    asked = time.monotonic()
    start = terminal.enter("\\watch 1")
    terminal.wait_for_text("(1 row)", start, count=2)
    assert time.monotonic() - asked >= 1, "there is a pause between"
    terminal.press(CTRL_C)
    output = terminal.output(start)
    assert output.count("73") >= 2 and "error" not in output, output
    assert "84" in terminal.run("SELECT 80 + 4;")


def test_ctrl_c_cancels_on_the_server_and_keeps_the_shell(terminal: Terminal, cluster_url: str) -> None:
    mine = "sql LIKE 'SELECT count(*) FROM generate_series%ON a.x % 3 = b.y % 3'"
    start = terminal.enter(f"{PAIRS};")
    deadline = time.monotonic() + PATIENCE_SECONDS
    while number_of_jobs(cluster_url, f"{mine} AND state = 'running' AND tasks > 0") != 1:
        assert time.monotonic() < deadline, "it does not run"
        time.sleep(0.05)
    pressed = time.monotonic()
    terminal.press(CTRL_C)
    output = terminal.output(start)
    assert time.monotonic() - pressed < 10
    assert "cancelled" in output, output
    while number_of_jobs(cluster_url, f"{mine} AND state = 'cancelled'") != 1:
        assert time.monotonic() < deadline, "the cluster did not hear of it"
        time.sleep(0.05)
    assert "95" in terminal.run("SELECT 90 + 5;")


def test_ctrl_c_at_the_prompt_drops_the_line(terminal: Terminal) -> None:
    start = terminal.press("SELECT nonsense")
    terminal.wait_for_text("nonsense", start)
    terminal.output(terminal.press(CTRL_C))
    output = terminal.run("SELECT 10 + 6;")
    assert "16" in output and "error" not in output, output


def test_history_is_kept_for_the_next_shell(open_terminal: Callable[[], Terminal], tmp_path: Path) -> None:
    first = open_terminal()
    start = first.press("SELECT 100\r")
    first.wait_for_text("...>", start)
    assert "107" in first.run("+ 7;")
    first.enter("\\q")
    assert first.end() == 0
    history = tmp_path / "millpond/history"
    assert "SELECT 100" in history.read_text() and "+ 7;" in history.read_text()
    second = open_terminal()
    start = second.press(UP)
    second.wait_for_text("\\q", start)
    start = second.press(UP)
    second.wait_for_text("+ 7;", start)
    assert "107" in second.run(b"")


def test_q_and_ctrl_d_end_the_shell_well(open_terminal: Callable[[], Terminal]) -> None:
    for leave in (b"\\q\r", CTRL_D):
        shell = open_terminal()
        shell.press(leave)
        assert shell.end() == 0
