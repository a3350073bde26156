"""An S3 server in this process, on a free port, for tests of object stores.

moto keeps objects in memory and refuses a PUT with `If-None-Match: *` of an object that exists, which is all that the
state store asks of S3.
"""

import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import boto3
from moto.server import ThreadedMotoServer

ACCESS_KEY_ID = "test"
SECRET_ACCESS_KEY = "test"
REGION = "us-east-1"


@dataclass(frozen=True)
class S3Server:
    """A running server. It forgets everything when it stops."""

    endpoint: str

    def client(self):
        """A boto3 client of this server."""
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=ACCESS_KEY_ID,
            aws_secret_access_key=SECRET_ACCESS_KEY,
            region_name=REGION,
        )

    def variables(self) -> dict[str, str]:
        """What a Millpond process needs in its environment to reach this server."""
        return {
            "MILLPOND_STORAGE_S3_ACCESS_KEY_ID": ACCESS_KEY_ID,
            "MILLPOND_STORAGE_S3_SECRET_ACCESS_KEY": SECRET_ACCESS_KEY,
            "MILLPOND_STORAGE_S3_REGION": REGION,
            "MILLPOND_STORAGE_S3_ENDPOINT": self.endpoint,
            "MILLPOND_STORAGE_S3_ALLOW_HTTP": "true",
        }


@contextmanager
def s3_server(*buckets: str) -> Iterator[S3Server]:
    """Starts a server with some empty buckets and stops it at the end."""
    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    try:
        host, port = moto.get_host_and_port()
        server = S3Server(f"http://{host}:{port}")
        # Moto keeps its objects in this process, also those of a server that was stopped.
        forget = urllib.request.Request(f"{server.endpoint}/moto-api/reset", method="POST")
        urllib.request.urlopen(forget, timeout=10).close()
        for bucket in buckets:
            server.client().create_bucket(Bucket=bucket)
        yield server
    finally:
        moto.stop()
