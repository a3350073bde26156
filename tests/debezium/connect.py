"""Connectors of Debezium, over the REST API of Kafka Connect."""

import json
import urllib.request

JSON = "org.apache.kafka.connect.json.JsonConverter"


class Connect:
    def __init__(self, address, postgres):
        self.address = address
        self.host, self.port = postgres.split(":")
        self.opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def call(self, method, path, body=None):
        headers = {"Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://{self.address}/{path}", data, headers, method=method)
        with self.opener.open(request, timeout=30) as answer:
            return json.loads(answer.read() or "null")

    def create(self, name, tables, settings):
        """Starts a connector; its name is the prefix of its topics."""
        config = {
            "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
            "database.hostname": self.host,
            "database.port": self.port,
            "database.user": "postgres",
            "database.dbname": "postgres",
            "plugin.name": "pgoutput",
            "topic.prefix": name,
            "slot.name": name,
            "publication.name": name,
            "publication.autocreate.mode": "filtered",
            "table.include.list": ",".join(tables),
            "topic.creation.default.replication.factor": "1",
            "key.converter": JSON,
            "value.converter": JSON,
            "poll.interval.ms": "20",
        }
        self.call("POST", "connectors", {"name": name, "config": config | settings})

    def delete(self, name):
        self.call("DELETE", f"connectors/{name}")

    def restart(self, name):
        self.call("POST", f"connectors/{name}/restart?includeTasks=true")

    def failures(self):
        """Why connectors and their tasks have stopped."""
        states = self.call("GET", "connectors?expand=status").values()
        parts = [part for state in states for part in (state["status"]["connector"], *state["status"]["tasks"])]
        return [part.get("trace") for part in parts if part["state"] == "FAILED"]
