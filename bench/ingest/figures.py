"""The tables that are printed."""

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from engine import MILLPOND
from load import KEPT_MIN

# More than this of other work in the background disturbs.
BUSY_CORES_MAX = 0.2
MIB = 2**20

# Name of an engine to what was measured of it.
Results = dict[str, dict]


@dataclass(frozen=True)
class Line:
    """A line of the table: what it is called, how it is taken from a result, and its digits after the point."""

    label: str
    value: Callable[[dict], float | None]
    digits: int = 0


def percentile(values: list[float], hundredths: int) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[hundredths - 1] if len(values) > 1 else values[0]


def slowdown(live: dict) -> float:
    """How many times as long the query takes with changes as without."""
    return statistics.median(live["query"]["query_ms"]) / statistics.median(live["idle_query_ms"])


def _catch_up_lines(what: str, name: str) -> list[Line]:
    return [
        Line(f"{what}: events per second", lambda result: result[name]["messages"] / result[name]["seconds"]),
        Line(
            f"{what}: events per second of a core",
            lambda result: result[name]["messages"] / result[name]["cpu_seconds"],
        ),
        Line(f"{what}: cores in use", lambda result: result[name]["cpu_seconds"] / result[name]["seconds"], 2),
        Line(f"{what}: memory grown, bytes per row", lambda result: _grown(result[name])),
        Line(f"{what}: memory told, bytes per row", lambda result: _per_row(result[name])),
    ]


def _grown(found: dict) -> float | None:
    """Nothing if a garbage collector gave back more than the table took."""
    return found["grown_bytes"] / found["rows"] if found["grown_bytes"] > 0 else None


def _per_row(found: dict) -> float | None:
    return None if found["told_bytes"] is None else found["told_bytes"] / found["rows"]


def _fresh_lines(load: str, name: str) -> list[Line]:
    return [
        Line(f"at {load}: changes per second", lambda result: _sent_rate(result["live"][name])),
        *[
            Line(
                f"at {load}: produced to visible, p{hundredths}, ms",
                lambda result, hundredths=hundredths: percentile(result["live"][name]["fresh_ms"], hundredths),
            )
            for hundredths in (50, 99)
        ],
        Line(f"at {load}: cores in use", lambda result: result["live"][name]["busy_cores"], 2),
    ]


def _sent_rate(phase: dict) -> float:
    return phase["sent"]["messages"] / phase["sent"]["seconds"]


LINES = [
    *_catch_up_lines("changes", "changes"),
    *_catch_up_lines("sensors", "sensors"),
    *_fresh_lines("20 %", "light"),
    *_fresh_lines("80 % of a core", "core"),
    *_fresh_lines("80 %", "heavy"),
    Line("group-by, idle, ms", lambda result: statistics.median(result["live"]["idle_query_ms"]), 1),
    Line("group-by at 80 %, ms", lambda result: statistics.median(result["live"]["query"]["query_ms"]), 1),
    Line("group-by: slowdown", lambda result: slowdown(result["live"]), 2),
    Line("cores busy before", lambda result: result["busy_cores_before"], 1),
]


def table(results: Results) -> str:
    """A column for each engine, and how many times the figure of Millpond the others have."""
    others = [name for name in results if name != MILLPOND] if MILLPOND in results else []
    heads = ["", *results, *[f"{name} / {MILLPOND}" for name in others]]
    lines = [_row(heads), _row(["---"] * len(heads))]
    for line in LINES:
        values = {name: line.value(result) for name, result in results.items()}
        cells = ["-" if value is None else f"{value:,.{line.digits}f}" for value in values.values()]
        lines.append(_row([line.label, *cells, *[_ratio(values[name], values[MILLPOND]) for name in others]]))
    return "\n".join(lines)


def restore_text(restore: dict) -> str:
    return " ".join(
        [
            f"Restore of {restore['keys']:,} keys: {restore['seconds']:.1f} s from the start of the processes to the",
            f"first count, {restore['ready_seconds']:.1f} s of them until the cluster was ready;",
            f"{restore['state_bytes'] / MIB:.0f} MiB of state.",
            f"The checkpoint had all rows {restore['checkpoint_seconds']:.1f} s after the table did.",
        ]
    )


def warnings(results: Results, binary: Path | None) -> list[str]:
    """What a reader of the table must know."""
    lines = []
    for name, result in results.items():
        if (busy := result["busy_cores_before"]) > BUSY_CORES_MAX:
            lines.append(f"{busy:.1f} cores were busy with other work before {name} began: its figures are too low.")
        for phase in ("light", "core", "heavy", "query"):
            lines += _load_warnings(name, phase, result["live"][phase])
    if binary and "release" not in binary.parts:
        lines.append("Millpond was not built with the release profile.")
    return lines


def _load_warnings(name: str, phase: str, found: dict) -> list[str]:
    lines = []
    if _sent_rate(found) < KEPT_MIN * found["rate"]:
        lines.append(f"{name}, {phase}: {_sent_rate(found):,.0f} changes a second were sent, not {found['rate']:,}.")
    if found["behind_seconds"] > 1:
        lines.append(f"{name}, {phase}: the table had all changes {found['behind_seconds']:.1f} s after the last one.")
    return lines


def failures(results: Results, expected: dict[str, dict], restore: dict | None) -> list[str]:
    """What makes the figures worthless: tables that do not hold what the messages say."""
    lines = []
    for name, result in results.items():
        pairs = [(topic, result[topic]["sums"], sums) for topic, sums in expected.items()]
        pairs.append(("live", result["live"]["check"]["sums"], result["live"]["check"]["expected"]))
        lines += [f"{name}, {what}: {found} instead of {right}" for what, found, right in pairs if found != right]
    if restore and restore["answers"] != [restore["keys"]]:
        lines.append(f"restore: counts of {restore['keys']} rows were {restore['answers'][:5]}")
    return lines


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _ratio(value: float | None, base: float | None) -> str:
    return "-" if not value or not base else f"{value / base:.2f}"
