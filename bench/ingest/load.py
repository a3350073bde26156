"""Sends changes at a fixed rate, in a process of its own: load.py BROKERS TOPIC KEYS START COUNT RATE

Encodes first, then writes `ready`, and begins when a line comes in. COUNT messages from message START on are sent, RATE
of them each second. One round of changes at most is made and then sent again and again: the same changes in the same
order end in the same table. At the end writes what it did, as JSON.
"""

import json
import sys
import time
from dataclasses import asdict, dataclass
from itertools import cycle, islice

from messages import Changes
from topics import in_parts
from wire import Broker, encode_request

TICK_SECONDS = 0.02
# Less than this share of the rate is not that rate.
KEPT_MIN = 0.97


@dataclass
class Sent:
    """What was sent, how long it took, and the processor seconds of the sender in that time."""

    messages: int
    seconds: float
    cpu_seconds: float


def send(brokers: str, ticks: list[tuple[bytes, int]], count: int, rate: float) -> Sent:
    """Sends requests, each with its number of messages, when they are due."""
    broker = Broker(brokers)
    sent, cpu, started = 0, time.process_time(), time.perf_counter()
    for request, messages in islice(cycle(ticks), count):
        if (early := started + sent / rate - time.perf_counter()) > 0:
            time.sleep(early)
        broker.send(request)
        sent += messages
    result = Sent(sent, time.perf_counter() - started, time.process_time() - cpu)
    broker.close()
    return result


def main() -> None:
    brokers, topic = sys.argv[1:3]
    keys, start, count, rate = map(int, sys.argv[3:])
    per_tick = max(1, round(rate * TICK_SECONDS))
    messages = Changes(keys).messages(start, min(count, keys))
    ticks = [(encode_request(topic, part), len(part)) for part in in_parts(messages, per_tick)]
    print("ready", flush=True)
    sys.stdin.readline()
    print(json.dumps(asdict(send(brokers, ticks, -(-count // per_tick), rate))), flush=True)


if __name__ == "__main__":
    main()
