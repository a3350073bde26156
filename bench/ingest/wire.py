"""Messages as brokers take them: encoded once, so that sending them costs next to nothing.

A client library spends microseconds on every message it sends. On a machine that also runs the broker and the engine
that would be measured too. Here a batch of messages is compressed and summed before the clock starts, and then only
copied into a socket. The format is that of record batches, version 2, and of Produce requests, version 7:
https://kafka.apache.org/documentation/#recordbatch and https://kafka.apache.org/protocol#The_Messages_Produce
"""

import socket
import struct
import time
from collections.abc import Iterable
from functools import cache

import google_crc32c
import lz4.frame
from messages import PARTITIONS, Message

LZ4 = 3
MAGIC = 2
NOBODY = -1
PRODUCE = (0, 7)
ACKS = 1
TIMEOUT_MS = 60_000
# Length of a batch and its sum are of what comes after them.
AFTER_LENGTH = struct.Struct(">ibI")
AFTER_SUM = struct.Struct(">hiqqqhii")


def encode_batch(messages: list[Message]) -> bytes:
    """A record batch of messages of one topic partition."""
    now_ms = int(time.time() * 1000)
    records = b"".join(_record(index, message) for index, message in enumerate(messages))
    summed = AFTER_SUM.pack(LZ4, len(messages) - 1, now_ms, now_ms, NOBODY, NOBODY, NOBODY, len(messages))
    # Brokers refuse blocks that depend on others.
    summed += lz4.frame.compress(records, block_linked=False, block_size=lz4.frame.BLOCKSIZE_MAX64KB)
    rest = AFTER_LENGTH.pack(NOBODY, MAGIC, google_crc32c.value(summed)) + summed
    return struct.pack(">qi", 0, len(rest)) + rest


def _record(index: int, message: Message) -> bytes:
    key, value = message.key, message.value
    key_part = _number(len(key)) + key if key else _number(NOBODY)
    # No attributes, the time of the batch, no headers.
    body = b"\0\0" + _number(index) + key_part + _number(len(value)) + value + b"\0"
    return _number(len(body)) + body


@cache
def _number(value: int) -> bytes:
    """Zigzag and seven bits a byte, lowest first."""
    rest = value * 2 if value >= 0 else -value * 2 - 1
    out = bytearray()
    while rest > 0x7F:
        out.append(rest & 0x7F | 0x80)
        rest >>= 7
    out.append(rest)
    return bytes(out)


def encode_request(topic: str, messages: Iterable[Message]) -> bytes:
    """A request with these messages, a batch for each topic partition."""
    parts: list[list[Message]] = [[] for _ in range(PARTITIONS)]
    for message in messages:
        parts[message.partition].append(message)
    batches = [(number, encode_batch(part)) for number, part in enumerate(parts) if part]
    body = struct.pack(">hhii", NOBODY, ACKS, TIMEOUT_MS, 1) + _text(topic) + struct.pack(">i", len(batches))
    body += b"".join(struct.pack(">ii", number, len(batch)) + batch for number, batch in batches)
    request = struct.pack(">hhi", *PRODUCE, 0) + _text("bench") + body
    return struct.pack(">i", len(request)) + request


def _text(text: str) -> bytes:
    return struct.pack(">h", len(text)) + text.encode()


class Broker:
    """A connection to the broker that leads all topic partitions: there is only one."""

    def __init__(self, brokers: str) -> None:
        host, port = brokers.rsplit(":", 1)
        self._socket = socket.create_connection((host, int(port)), TIMEOUT_MS / 1000)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._answers = self._socket.makefile("rb")

    def send(self, request: bytes) -> None:
        """Ends when the broker has written the messages."""
        self._socket.sendall(request)
        (length,) = struct.unpack(">i", self._answers.read(4))
        _check(self._answers.read(length))

    def close(self) -> None:
        self._answers.close()
        self._socket.close()


def _check(answer: bytes) -> None:
    """Fails if a topic partition has an error. Before it stand the number of the request and one topic."""
    (name_length,) = struct.unpack_from(">h", answer, 8)
    place = 10 + name_length
    (partitions,) = struct.unpack_from(">i", answer, place)
    for number in range(partitions):
        partition, error = struct.unpack_from(">ih", answer, place + 4 + number * 30)
        if error:
            raise SystemExit(f"the broker refused messages for topic partition {partition}: error {error}")
