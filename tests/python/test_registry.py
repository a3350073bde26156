"""A registry of schemas behind TLS and a password, whose certificate an authority of its own has signed."""

import base64
import http.server
import json
import ssl
import subprocess
import threading

import adbc_driver_flightsql.dbapi as flight_sql
import pytest
from authority import Authority
from conftest import BINARY, started
from pipelines import query
from topics import produce

TOPIC = "orders"
SCHEMA = {"properties": {"id": {"type": "integer"}, "city": {"type": "string"}}}
ACCOUNT = {"user": "me", "password": "hunter2"}
ROWS = [{"id": 1, "city": "Lyon"}, {"id": 2, "city": "Oslo"}]


class Handler(http.server.BaseHTTPRequestHandler):
    """Knows the newest schema of the values of one topic."""

    def do_GET(self):
        expected = base64.b64encode(f"{ACCOUNT['user']}:{ACCOUNT['password']}".encode()).decode()
        if self.headers["authorization"] != f"Basic {expected}":
            self.answer(401, {"error_code": 401, "message": "who are you?"})
        elif self.path == f"/subjects/{TOPIC}-value/versions/latest":
            self.answer(200, {"schemaType": "JSON", "schema": json.dumps(SCHEMA)})
        else:
            self.answer(404, {"error_code": 40401, "message": "not found"})

    def answer(self, status, body):
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("registry") / "authority")


@pytest.fixture(scope="module")
def registry(authority):
    files = authority.for_this_machine()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate, files.key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"https://localhost:{server.server_port}"
    server.shutdown()


def settings(url, **more):
    """What a node has to know."""
    all_of_them = {"url": url} | ACCOUNT | more
    return [flag for key, value in all_of_them.items() for flag in ("--set", f"kafka.registry.{key}={value}")]


def consume(brokers, registry, flags):
    command = [BINARY, "topic", "consume", TOPIC, "--brokers", brokers, "--format", "json"]
    command += ["-o", f"format.registry={registry}", "--count", "1", "--values", *flags]
    return subprocess.run(command, capture_output=True, text=True)


def test_a_registry_of_an_own_authority_is_trusted_by_the_setting_only(registry, authority):
    trusting = settings(registry, tls_ca=authority.certificate)
    cluster = ["--executors", "1", "--vcores", "1", "--kafka", "embedded"]
    with started(*cluster, *trusting) as addresses, flight_sql.connect(
        addresses["flight_sql"], autocommit=True
    ) as connection:
        brokers = addresses["kafka"]
        produce(brokers, TOPIC, ROWS)
        query(
            connection,
            f"CREATE EXTERNAL TABLE {TOPIC} STORED AS KAFKA LOCATION 'kafka://{brokers}/{TOPIC}' "
            f"OPTIONS ('format' 'json', 'format.registry' '{registry}')",
        )
        query(connection, f"WAIT FOR TABLE {TOPIC} TIMEOUT '30s'")
        assert query(connection, f"SELECT id, city FROM {TOPIC} ORDER BY id").to_dict("records") == ROWS

        assert json.loads(consume(brokers, registry, trusting).stdout) in ROWS
        refused = consume(brokers, registry, settings(registry))
        assert refused.returncode != 0
        assert "certificate" in refused.stderr
        assert ACCOUNT["password"] not in refused.stderr


def test_a_file_that_has_no_certificates_is_refused_at_the_start(tmp_path):
    file = tmp_path / "empty.pem"
    file.write_text("")
    command = [BINARY, "executor", "--set", f"kafka.registry.tls_ca={file}"]
    refused = subprocess.run(command, capture_output=True, text=True)
    assert refused.returncode != 0
    assert "kafka.registry.tls_ca" in refused.stderr
