"""Topics of the run: made, filled, and measured in messages."""

import time
from collections.abc import Iterable, Iterator
from itertools import islice

from confluent_kafka import Consumer, Producer, TopicPartition
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
    """Sends batches. A callback for each message would cost more than the message, so messages are counted afterwards."""

    def __init__(self, producer: Producer, topic: str) -> None:
        self._producer, self._topic = producer, topic

    def send(self, batch: list[dict]) -> None:
        """Waits while the queue of the producer is full."""
        while self._producer.produce_batch(self._topic, batch) < len(batch):
            # The producer marks those that it did not take.
            batch = [one for one in batch if one.pop("_error", None)]
            self._producer.poll(0.01)

    def finish(self) -> None:
        """Ends when the brokers have acknowledged all."""
        if left := self._producer.flush(TIMEOUT_SECONDS):
            raise SystemExit(f"{left} messages for {self._topic} were not sent")


def count_messages(brokers: str, topic: str) -> int:
    """Messages that the topic holds, of which none has been deleted."""
    consumer = Consumer({"bootstrap.servers": brokers, "group.id": "count", "enable.auto.commit": False})
    try:
        partitions = [TopicPartition(topic, number) for number in range(PARTITIONS)]
        return sum(consumer.get_watermark_offsets(one, TIMEOUT_SECONDS)[1] for one in partitions)
    finally:
        consumer.close()


def fill_topic(brokers: str, topic: str, messages: Iterable[Message], count: int) -> float:
    """Makes a topic with these messages, `count` of them, and returns the seconds that it took."""
    started = time.perf_counter()
    create_topic(brokers, topic)
    sender = Sender(open_producer(brokers), topic)
    for batch in in_batches(messages):
        sender.send(batch)
    sender.finish()
    if (found := count_messages(brokers, topic)) != count:
        raise SystemExit(f"{topic} has {found} messages instead of {count}")
    return time.perf_counter() - started
