"""The public doors of a cluster: who gets in with token and TLS, who does not, and when nothing starts at all."""

import http.client
import itertools
import os
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from adbc_driver_flightsql import DatabaseOptions, dbapi
from authority import Authority, TlsFiles, encrypt

ROOT = Path(__file__).resolve().parents[2]
# The name must not start with MILLPOND_, because Millpond refuses variables of that form that it does not know.
BINARY = Path(os.environ.get("TEST_MILLPOND_BINARY", ROOT / "target/debug/millpond"))
TOKEN = "right-0d1f6cbe"
WRONG_TOKEN = "wrong-83b2a97e"
ANY_PORT = "127.0.0.1:0"
OPEN_PORT = "0.0.0.0:0"
START_SECONDS = 60
STOP_SECONDS = 30
REQUEST_SECONDS = 20
# Less than a handshake may take, and than the answer to one request may wait for another client.
PROMPT_SECONDS = 5
FAILED, CANNOT_CONNECT = 1, 3


@dataclass
class Node:
    """A running `millpond up` or `millpond scheduler`."""

    process: subprocess.Popen
    log: Path
    addresses: dict[str, str]

    @property
    def flight_sql(self) -> str:
        return self.addresses["flight_sql"]

    @property
    def http(self) -> str:
        return self.addresses["http"]

    def port(self, name: str) -> tuple[str, int]:
        host, port = self.addresses[name].rsplit("/", 1)[1].rsplit(":", 1)
        return host, int(port)


def environment(**variables: str) -> dict[str, str]:
    """Our environment without what it says to Millpond, and with `variables`."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("MILLPOND_")}
    return inherited | variables


@contextmanager
def node(folder: Path, *arguments: str, **variables: str) -> Iterator[Node]:
    """Starts a node on free ports, waits until it serves, and ends it."""
    log = folder / "log"
    with log.open("w") as log_file:
        process = subprocess.Popen(
            [BINARY, *arguments, "--state", folder / "state"],
            cwd=folder,
            env=environment(**variables),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log_file,
            text=True,
        )
    try:
        lines = list(itertools.takewhile(lambda line: line != "ready", map(str.strip, process.stdout)))
        assert process.poll() is None and lines, log.read_text()
        yield Node(process, log, dict(line.split() for line in lines))
    finally:
        process.terminate()
        process.wait(timeout=STOP_SECONDS)


def millpond(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess:
    """Runs a command to its end."""
    return subprocess.run(
        [BINARY, *arguments],
        cwd=folder,
        env=environment(**variables),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=START_SECONDS,
        check=False,
    )


@pytest.fixture(scope="module")
def authority(tmp_path_factory) -> Authority:
    return Authority(tmp_path_factory.mktemp("doors") / "authority")


@pytest.fixture(scope="module")
def stranger(tmp_path_factory) -> Authority:
    return Authority(tmp_path_factory.mktemp("doors") / "stranger")


@pytest.fixture(scope="module")
def tls_files(authority) -> TlsFiles:
    return authority.for_this_machine()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory, tls_files) -> Iterator[Node]:
    """A cluster with token and TLS that logs all it can say without drowning in frames."""
    ports = ["--flight-sql-bind", ANY_PORT, "--http-bind", ANY_PORT]
    arguments = ["up", "--executors", "1", "--vcores", "1", *ports, *tls_files.flags()]
    variables = {"MILLPOND_AUTH_TOKEN": TOKEN, "MILLPOND_LOG_LEVEL": "debug"}
    with node(tmp_path_factory.mktemp("cluster"), *arguments, **variables) as running:
        yield running


# The Flight SQL port


def rows(url: str, options: dict[str, str], sql: str = "SELECT 6 * 7") -> list[tuple]:
    with dbapi.connect(url, db_kwargs=options, autocommit=True) as connection, connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchall()


def bearer(token: str) -> dict[str, str]:
    return {DatabaseOptions.AUTHORIZATION_HEADER.value: f"Bearer {token}"}


def trusting(authority: Authority) -> dict[str, str]:
    return {DatabaseOptions.TLS_ROOT_CERTS.value: authority.certificate.read_text()}


def plain(url: str) -> str:
    return url.replace("grpc+tls://", "grpc://")


def test_adbc_gets_in_with_the_token(cluster, authority):
    assert cluster.flight_sql.startswith("grpc+tls://")
    assert rows(cluster.flight_sql, trusting(authority) | bearer(TOKEN)) == [(42,)]


# The driver writes base64 without padding, so the length of the name matters to a decoder that asks for padding.
@pytest.mark.parametrize("username", ["a", "ab", "abc"])
def test_adbc_gets_in_with_the_token_as_password(cluster, authority, username):
    password = {"username": username, "password": TOKEN}
    assert rows(cluster.flight_sql, trusting(authority) | password) == [(42,)]


@pytest.mark.parametrize("credentials", [{}, bearer(WRONG_TOKEN), {"username": "abc", "password": WRONG_TOKEN}])
def test_adbc_is_refused_without_the_right_token(cluster, authority, credentials):
    with pytest.raises(dbapi.Error, match="MP0050"):
        rows(cluster.flight_sql, trusting(authority) | credentials)


def test_adbc_trusts_no_stranger_and_speaks_no_plain_text(cluster, stranger):
    with pytest.raises(dbapi.Error, match="certificate"):
        rows(cluster.flight_sql, trusting(stranger) | bearer(TOKEN))
    with pytest.raises(dbapi.Error):
        rows(plain(cluster.flight_sql), bearer(TOKEN))


def sql(folder: Path, url: str, *flags: str, **variables: str) -> subprocess.CompletedProcess:
    return millpond(folder, "sql", "--url", url, *flags, "--format", "csv", "-c", "SELECT 6 * 7 AS x", **variables)


def test_command_line_gets_in_with_flags_or_variables(cluster, authority, tmp_path):
    ca = str(authority.certificate)
    by_flags = sql(tmp_path, cluster.flight_sql, "--token", TOKEN, "--tls-ca", ca)
    assert (by_flags.returncode, by_flags.stdout) == (0, "x\n42\n"), by_flags.stderr
    by_variables = sql(tmp_path, cluster.flight_sql, MILLPOND_TOKEN=TOKEN, MILLPOND_CLIENT_TLS_CA=ca)
    assert (by_variables.returncode, by_variables.stdout) == (0, "x\n42\n"), by_variables.stderr


@pytest.mark.parametrize("token", [[], ["--token", WRONG_TOKEN]])
def test_command_line_is_refused_without_the_right_token(cluster, authority, tmp_path, token):
    refused = sql(tmp_path, cluster.flight_sql, "--tls-ca", str(authority.certificate), *token)
    assert (refused.returncode, refused.stdout) == (CANNOT_CONNECT, ""), refused.stderr
    assert "MP0050" in refused.stderr and WRONG_TOKEN not in refused.stderr


def test_command_line_trusts_no_stranger_and_speaks_no_plain_text(cluster, stranger, tmp_path):
    for trusted in [[], ["--tls-ca", str(stranger.certificate)]]:
        untrusted = sql(tmp_path, cluster.flight_sql, "--token", TOKEN, *trusted)
        assert (untrusted.returncode, untrusted.stdout) == (CANNOT_CONNECT, ""), untrusted.stderr
        assert "certificate" in untrusted.stderr
    unprotected = sql(tmp_path, plain(cluster.flight_sql), "--token", TOKEN)
    assert (unprotected.returncode, unprotected.stdout) == (CANNOT_CONNECT, ""), unprotected.stderr


# The HTTP port


def get(url: str, authority: Authority | None = None, token: str | None = None, timeout: float = REQUEST_SECONDS):
    """Status and text of a page."""
    trust = ssl.create_default_context(cafile=authority.certificate) if authority else None
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"} if token else {})
    try:
        with urllib.request.urlopen(request, timeout=timeout, context=trust) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as refusal:
        return refusal.code, refusal.read().decode()


def test_probes_need_no_token_and_metrics_do(cluster, authority):
    assert cluster.http.startswith("https://")
    assert get(f"{cluster.http}/healthz", authority) == (200, "ok\n")
    assert get(f"{cluster.http}/readyz", authority) == (200, "1 executors\n")
    for token in [None, WRONG_TOKEN]:
        status, text = get(f"{cluster.http}/metrics", authority, token)
        assert status == 401 and "MP0050" in text and "catalog_version" not in text
    status, text = get(f"{cluster.http}/metrics", authority, TOKEN)
    assert status == 200 and "catalog_version" in text


def test_http_needs_trust_and_tls(cluster, stranger):
    with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
        get(f"{cluster.http}/healthz", stranger)
    with pytest.raises((OSError, http.client.HTTPException)):
        get(f"{cluster.http.replace('https://', 'http://')}/healthz")


def test_clients_that_never_shake_hands_keep_nobody_waiting(cluster, authority):
    with ExitStack() as silent:
        for name in ["http", "flight_sql"]:
            for first_bytes in [b"", b"GET /healthz HTTP/1.1\r\n\r\n", b"\x16\x03\x01"] * 5:
                connection = silent.enter_context(socket.create_connection(cluster.port(name)))
                connection.sendall(first_bytes)
        start = time.monotonic()
        assert get(f"{cluster.http}/healthz", authority, timeout=PROMPT_SECONDS)[0] == 200
        assert rows(cluster.flight_sql, trusting(authority) | bearer(TOKEN)) == [(42,)]
        assert time.monotonic() - start < PROMPT_SECONDS


# Secrets


def test_tokens_are_never_shown(cluster, authority, tmp_path):
    options = trusting(authority) | bearer(TOKEN)
    for token in [TOKEN, WRONG_TOKEN]:
        get(f"{cluster.http}/metrics", authority, token)
        sql(tmp_path, cluster.flight_sql, "--tls-ca", str(authority.certificate), "--token", token)
    setting = "SELECT value FROM system.settings WHERE name = 'auth.token'"
    assert rows(cluster.flight_sql, options, setting) == [("***",)]
    assert TOKEN not in str(rows(cluster.flight_sql, options, "SELECT * FROM system.settings"))
    shown = millpond(tmp_path, "config", "show", MILLPOND_AUTH_TOKEN=TOKEN, MILLPOND_TOKEN=TOKEN)
    assert shown.returncode == 0 and "auth.token" in shown.stdout and TOKEN not in shown.stdout + shown.stderr
    log = cluster.log.read_text()
    assert "scheduler is ready" in log
    assert TOKEN not in log and WRONG_TOKEN not in log


# The start


def scheduler_flags(**binds: str) -> list[str]:
    ports = {"flight_sql_bind": ANY_PORT, "http_bind": ANY_PORT, "internal_bind": ANY_PORT} | binds
    return [text for name, address in ports.items() for text in [f"--{name.replace('_', '-')}", address]]


def refused_start(folder: Path, *flags: str, **variables: str) -> str:
    """What a scheduler says that does not start."""
    ended = millpond(folder, "scheduler", "--state", str(folder / "state"), *flags, **variables)
    assert (ended.returncode, ended.stdout) == (FAILED, ""), ended.stderr
    return ended.stderr


@pytest.mark.parametrize("port", ["flight_sql_bind", "http_bind"])
def test_open_ports_need_token_and_tls(tmp_path, tls_files, port):
    flags = scheduler_flags(**{port: OPEN_PORT})
    for guarded_by_one in [([], {}), (tls_files.flags(), {}), ([], {"MILLPOND_AUTH_TOKEN": TOKEN})]:
        text = refused_start(tmp_path, *flags, *guarded_by_one[0], **guarded_by_one[1])
        assert "MP0052" in text and "0.0.0.0" in text
        assert "auth.token" in text and "tls.cert" in text and "--insecure" in text


def test_cluster_of_one_machine_refuses_open_ports_too(tmp_path):
    flags = ["--flight-sql-bind", OPEN_PORT, "--http-bind", ANY_PORT, "--state", str(tmp_path / "state")]
    ended = millpond(tmp_path, "up", "--executors", "1", *flags)
    assert (ended.returncode, ended.stdout) == (FAILED, "")
    assert "MP0052" in ended.stderr and "--insecure" in ended.stderr


def test_open_ports_start_with_token_and_tls_or_insecure(tmp_path, tls_files, authority):
    flags = scheduler_flags(flight_sql_bind=OPEN_PORT, http_bind=OPEN_PORT)
    with node(tmp_path, "scheduler", *flags, "--insecure") as insecure:
        assert insecure.http.startswith("http://0.0.0.0:")
        assert get(f"http://127.0.0.1:{insecure.port('http')[1]}/metrics")[0] == 200
        assert rows(f"grpc://127.0.0.1:{insecure.port('flight_sql')[1]}", {}) == [(42,)]
    with node(tmp_path, "scheduler", *flags, *tls_files.flags(), MILLPOND_AUTH_TOKEN=TOKEN) as guarded:
        assert get(f"https://127.0.0.1:{guarded.port('http')[1]}/healthz", authority)[0] == 200


def missing(files: TlsFiles, _: Authority) -> None:
    files.key.unlink()


def empty(files: TlsFiles, _: Authority) -> None:
    files.certificate.write_text("")


def not_pem(files: TlsFiles, _: Authority) -> None:
    files.certificate.write_bytes(ssl.PEM_cert_to_DER_cert(files.certificate.read_text()))


def damaged(files: TlsFiles, _: Authority) -> None:
    der = ssl.PEM_cert_to_DER_cert(files.certificate.read_text())
    files.certificate.write_text(ssl.DER_cert_to_PEM_cert(der[: len(der) // 2]))


def swapped(files: TlsFiles, _: Authority) -> None:
    certificate, key = files.certificate.read_bytes(), files.key.read_bytes()
    files.certificate.write_bytes(key)
    files.key.write_bytes(certificate)


def of_another(files: TlsFiles, authority: Authority) -> None:
    files.key.write_bytes(authority.for_this_machine("another").key.read_bytes())


def in_wrong_order(files: TlsFiles, authority: Authority) -> None:
    files.certificate.write_bytes(authority.certificate.read_bytes() + files.certificate.read_bytes())


def with_password(files: TlsFiles, _: Authority) -> None:
    encrypt(files, b"password")


@pytest.mark.parametrize(
    ("spoil", "named", "remedy"),
    [
        (missing, "spoiled.key", "may read"),
        (empty, "spoiled.pem", "BEGIN CERTIFICATE"),
        (not_pem, "spoiled.pem", "openssl x509"),
        (damaged, "spoiled.pem", "again"),
        (swapped, "spoiled.pem", "swapped"),
        (of_another, "spoiled.key", "made with"),
        (in_wrong_order, "spoiled.pem", "comes first"),
        (with_password, "spoiled.key", "openssl pkey"),
    ],
)
def test_certificates_that_cannot_serve_end_the_start(tmp_path, spoil, named, remedy):
    authority = Authority(tmp_path / "authority")
    files = authority.for_this_machine("spoiled")
    spoil(files, authority)
    text = refused_start(tmp_path, *scheduler_flags(), *files.flags())
    assert "MP0072" in text and named in text and remedy in text


def test_stopping_does_not_wait_for_clients_that_stay(tmp_path, tls_files, authority):
    trust = ssl.create_default_context(cafile=authority.certificate)
    with ExitStack() as clients, node(tmp_path, "scheduler", *scheduler_flags(), *tls_files.flags()) as running:
        host, port = running.port("http")
        silent = clients.enter_context(socket.create_connection((host, port)))
        idle = clients.enter_context(trust.wrap_socket(socket.create_connection((host, port)), server_hostname=host))
        idle.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert idle.recv(100).startswith(b"HTTP/1.1 200 ")
        running.process.terminate()
        assert running.process.wait(timeout=PROMPT_SECONDS) == 0
        assert silent.recv(1) == b""
