"""Topics of the run: made, filled, and measured in messages."""

import time
from collections.abc import Iterable, Iterator
from itertools import islice

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic
from messages import PARTITIONS, Message

BATCH_MESSAGES = 5_000
TIMEOUT_SECONDS = 120
SETTINGS = {
    "acks": 1,
    "compression.type": "lz4",
    "linger.ms": 5,
    "batch.size": 1 << 20,
    "queue.buffering.max.messages": 500_000,
    "queue.buffering.max.kbytes": 1 << 20,
}


def create_topic(brokers: str, name: str) -> None:
    topic = NewTopic(name, num_partitions=PARTITIONS, replication_factor=1)
    # The client must outlive its answers.
    client = AdminClient({"bootstrap.servers": brokers})
    for made in client.create_topics([topic]).values():
        made.result(TIMEOUT_SECONDS)


def open_producer(brokers: str, **settings: object) -> Producer:
    return Producer({"bootstrap.servers": brokers, **SETTINGS, **settings})


def in_batches(messages: Iterable[Message], size: int = BATCH_MESSAGES) -> Iterator[list[dict]]:
    """Messages as the producer takes them, which is much faster in batches than one by one."""
    rest = iter(messages)
    while batch := [
        {"partition": one.partition, "key": one.key or None, "value": one.value} for one in islice(rest, size)
    ]:
        yield batch


class Sender:
    """Sends batches and counts what the brokers did not take."""

    def __init__(self, producer: Producer, topic: str) -> None:
        self._producer, self._topic = producer, topic
        self._failed: list[str] = []

    def send(self, batch: list[dict]) -> None:
        """Waits while the queue of the producer is full."""
        while batch:
            self._producer.poll(0)
            queued = self._producer.produce_batch(self._topic, batch, on_delivery=self._note)
            if queued == len(batch):
                return
            self._producer.poll(0.01)
            batch = [{name: one[name] for name in ("partition", "key", "value")} for one in batch if "_error" in one]

    def finish(self) -> None:
        """Ends when the brokers have acknowledged all."""
        left = self._producer.flush(TIMEOUT_SECONDS)
        if left or self._failed:
            raise SystemExit(f"{left} messages were not sent, {len(self._failed)} failed: {self._failed[:1]}")

    def _note(self, error: object, _message: object) -> None:
        if error is not None:
            self._failed.append(str(error))


def fill_topic(brokers: str, topic: str, messages: Iterable[Message]) -> float:
    """Makes a topic with these messages and returns the seconds that it took."""
    started = time.perf_counter()
    create_topic(brokers, topic)
    sender = Sender(open_producer(brokers), topic)
    for batch in in_batches(messages):
        sender.send(batch)
    sender.finish()
    return time.perf_counter() - started
