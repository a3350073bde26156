"""Measures tables over topics on Millpond and Spark Structured Streaming, on the same messages, in one run.

Needs a Kafka broker that holds nothing else, and MILLPOND_BIN, which names the binary. See README.md for the method.
"""

import argparse
import os
import shutil
import sys
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).resolve().parent
# What both benchmarks need comes from there; modules here have other names.
sys.path.append(str(HERE.parent / "tpch"))

from catch_up import catch_up  # noqa: E402
from cluster import binary_of_environment  # noqa: E402
from engine import ENGINES, MILLPOND, SPARK, Engine, customers, open_engine, readings  # noqa: E402
from figures import failures, restore_text, table, warnings  # noqa: E402
from live import measure_live  # noqa: E402
from machine import busy_cores, describe_machine  # noqa: E402
from messages import Changes, Sensors  # noqa: E402
from restore import measure_restore  # noqa: E402
from results import RunFolder  # noqa: E402
from topics import fill_topic  # noqa: E402

WORK = HERE.parents[1] / "target" / "bench" / "ingest"
WARM_UP_MESSAGES = 50_000


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--changes", type=int, default=2_000_000, metavar="N", help="messages of the change log")
    parser.add_argument("--keys", type=int, default=1_000_000, metavar="N", help="keys of the change log")
    parser.add_argument("--sensors", type=int, default=2_000_000, metavar="N", help="readings of sensors")
    parser.add_argument("--restore-keys", type=int, default=1_000_000, metavar="N", help="keys to restore; 0 is none")
    parser.add_argument("--seconds", type=float, default=15, metavar="S", help="of each measurement under load")
    parser.add_argument("--only", nargs="+", choices=ENGINES, default=ENGINES, metavar="ENGINE")
    parser.add_argument("--no-spark", action="store_true", help=f"the same as --only {MILLPOND}")
    parser.add_argument("--brokers", default=os.environ.get("MILLPOND_TEST_KAFKA"), metavar="HOST:PORT")
    parser.add_argument("--work", type=Path, default=WORK, help="folder for raw results; default %(default)s")
    options = parser.parse_args()
    if options.no_spark:
        options.only = [name for name in options.only if name != SPARK]
    if not options.brokers:
        parser.error("--brokers is missing, and MILLPOND_TEST_KAFKA is not set")
    return options


def check_requirements(names: list[str]) -> None:
    """Fails now rather than after the first engine."""
    if SPARK in names and not (shutil.which("java") and shutil.which("mvn")):
        raise SystemExit(f"{SPARK} needs Java 17 or later and Maven; install them, or leave it out with --no-spark")


def fill_topics(options: argparse.Namespace) -> dict[str, float]:
    """Messages per second of each topic that was filled."""
    changes, sensors = Changes(options.keys), Sensors()
    parts = {
        "warm_changes": (changes, WARM_UP_MESSAGES),
        "warm_sensors": (sensors, WARM_UP_MESSAGES),
        "changes": (changes, options.changes),
        "sensors": (sensors, options.sensors),
        # One for each engine: every one writes more into it, at a rate of its own.
        **{f"live_{name.lower()}": (changes, options.keys) for name in options.only},
    }
    if restores(options):
        parts["restore"] = (Changes(options.restore_keys), options.restore_keys)
    rates = {}
    for topic, (source, count) in parts.items():
        print(f"filling {topic} ...", file=sys.stderr)
        rates[topic] = count / fill_topic(options.brokers, topic, source.messages(0, count), count)
    return rates


def restores(options: argparse.Namespace) -> bool:
    return MILLPOND in options.only and options.restore_keys > 0


def measure_engine(engine: Engine, name: str, options: argparse.Namespace) -> dict:
    """Catch-up with both topics, then a table under load. The first tables are only to warm up."""
    for warm in (customers("warm_changes"), readings("warm_sensors")):
        catch_up(engine, warm, WARM_UP_MESSAGES)
        engine.drop(warm)
    found = {}
    tables = {customers("changes"): options.changes, readings("sensors"): options.sensors}
    # Both stay until both are measured: memory that one gave back would hide what the other takes.
    for one, count in tables.items():
        found[one.topic] = catch_up(engine, one, count)
        print(name, one.topic, found[one.topic], file=sys.stderr)
    for one in tables:
        engine.drop(one)
    live = customers(f"live_{name.lower()}")
    engine.follow(live)
    engine.catch_up(live)
    rates = tuple(options.changes / found["changes"][what] for what in ("seconds", "cpu_seconds"))
    found["live"] = measure_live(engine, live, options.brokers, Changes(options.keys), rates, options.seconds)
    return found


def main() -> None:
    options = arguments()
    check_requirements(options.only)
    binary = binary_of_environment() if MILLPOND in options.only else None
    machine = describe_machine(binary)
    machine["versions"]["confluent-kafka"] = version("confluent-kafka")
    run = RunFolder(options.work.resolve())
    sizes = f"{options.changes:,} changes of {options.keys:,} keys, {options.sensors:,} readings"
    run.say(f"{machine['cores']} cores, {machine['cpu']}; {sizes}; {machine['versions']}\n")
    measurements = {"machine": machine, "options": {**vars(options), "work": str(options.work)}, "engines": {}}
    measurements["fill_messages_per_second"] = fill_topics(options)
    expected = {
        "changes": asdict(Changes(options.keys).expected(options.changes)),
        "sensors": asdict(Sensors().expected(options.sensors)),
    }
    measurements["expected"] = expected
    for name in options.only:
        print(f"{name} ...", file=sys.stderr)
        busy = busy_cores()
        engine = open_engine(name, options.brokers, binary, run.path / name)
        try:
            found = measure_engine(engine, name, options)
        finally:
            engine.close()
        measurements["engines"][name] = found | {"busy_cores_before": busy}
        run.keep(measurements)
    restore = None
    if restores(options):
        print("restore ...", file=sys.stderr)
        restore = measure_restore(
            options.brokers, binary, run.path / "restore", customers("restore"), options.restore_keys
        )
        run.keep(measurements | {"restore": restore})
    results = measurements["engines"]
    run.say(table(results))
    run.say("\n".join(["", *([restore_text(restore)] if restore else []), *warnings(results, binary)]))
    if wrong := failures(results, expected, restore):
        raise SystemExit("\n".join(wrong))


if __name__ == "__main__":
    main()
