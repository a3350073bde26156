"""Topics of the run: made, filled and counted."""

import time
from collections.abc import Iterable, Iterator
from itertools import islice

from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from messages import PARTITIONS, Message
from wire import Broker, encode_request

REQUEST_MESSAGES = 5_000
TIMEOUT_SECONDS = 120


def create_topic(brokers: str, name: str) -> None:
    topic = NewTopic(name, num_partitions=PARTITIONS, replication_factor=1)
    # The client must outlive its answers.
    client = AdminClient({"bootstrap.servers": brokers})
    for made in client.create_topics([topic]).values():
        made.result(TIMEOUT_SECONDS)
    _wait_for_leaders(brokers, name)


def _wait_for_leaders(brokers: str, topic: str) -> None:
    """A topic is known a moment before its topic partitions take messages."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while True:
        try:
            count_messages(brokers, topic)
            return
        except KafkaException:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def count_messages(brokers: str, topic: str) -> int:
    """Messages that the topic holds, of which none has been deleted."""
    consumer = Consumer({"bootstrap.servers": brokers, "group.id": "count", "enable.auto.commit": False})
    try:
        partitions = [TopicPartition(topic, number) for number in range(PARTITIONS)]
        return sum(consumer.get_watermark_offsets(one, TIMEOUT_SECONDS)[1] for one in partitions)
    finally:
        consumer.close()


def in_parts(messages: Iterable[Message], size: int) -> Iterator[list[Message]]:
    rest = iter(messages)
    while part := list(islice(rest, size)):
        yield part


def fill_topic(brokers: str, topic: str, messages: Iterable[Message], count: int) -> float:
    """Makes a topic with these messages, `count` of them, and returns the seconds that it took."""
    started = time.perf_counter()
    create_topic(brokers, topic)
    broker = Broker(brokers)
    for part in in_parts(messages, REQUEST_MESSAGES):
        broker.send(encode_request(topic, part))
    broker.close()
    if (found := count_messages(brokers, topic)) != count:
        raise SystemExit(f"{topic} has {found} messages instead of {count}")
    return time.perf_counter() - started
