"""Tables that follow topics of the embedded broker of the shared cluster."""

import json
import subprocess

from conftest import BINARY
from pipelines import query


def produce(brokers, topic, messages):
    lines = "".join(json.dumps(message) + "\n" for message in messages)
    command = [BINARY, "topic", "produce", topic, "--file", "-", "--key", "id", "--brokers", brokers]
    subprocess.run(command, input=lines, check=True, capture_output=True, text=True)


class Topics:
    """Tables that follow topics of the embedded broker, which makes a topic when the first message comes."""

    def __init__(self, connection, brokers):
        self.connection, self.brokers, self.made = connection, brokers, []

    def follow(self, name, messages, columns, keyed):
        produce(self.brokers, name, messages)
        key, form = (", PRIMARY KEY (id)", "op-json") if keyed else ("", "json")
        query(
            self.connection,
            f"CREATE EXTERNAL TABLE {name} ({columns}{key}) STORED AS KAFKA LOCATION 'kafka://{self.brokers}/{name}' "
            f"OPTIONS ('format' '{form}')",
        )
        self.made.append(name)
        self.wait(name)

    def send(self, name, messages):
        produce(self.brokers, name, messages)
        self.wait(name)

    def wait(self, name):
        query(self.connection, f"WAIT FOR TABLE {name} TIMEOUT '30s'")
