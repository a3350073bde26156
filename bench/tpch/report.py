"""The table that is printed."""

import math
import statistics
from pathlib import Path

from engines import MILLPOND, MILLPOND_MODES

# More than this of other work in the background disturbs.
BUSY_CORES_MAX = 0.2

# Name of an engine to what measure.py wrote, with `peak_bytes` and `busy_cores_before`.
Results = dict[str, dict]


def base_engine(results: Results) -> str | None:
    """The engine that others are divided by: Millpond, or the first of its variants."""
    return next((name for name in [MILLPOND, *MILLPOND_MODES] if name in results), None)


def answered(results: Results, number: int) -> bool:
    """Whether all engines answered a query."""
    return all("seconds" in result["queries"][str(number)] for result in results.values())


def table(results: Results, numbers: list[int]) -> str:
    """Seconds of each engine, and how many times as much each needs as Millpond.

    Totals and means are of queries that all engines answered.
    """
    base = base_engine(results)
    others = [name for name in results if name != base] if base else []
    ratios = [f"{name} / {base}" for name in others]
    lines = [_line(["query", *results, *ratios]), _line(["---"] * (1 + len(results) + len(ratios)))]

    def add(label: str, values: dict[str, float | None], digits: int) -> None:
        cells = ["failed" if value is None else f"{value:.{digits}f}" for value in values.values()]
        lines.append(_line([label, *cells, *[_ratio(values[name], values[base]) for name in others]]))

    for number in numbers:
        add(str(number), {name: _median(result, number) for name, result in results.items()}, 3)
    common = [number for number in numbers if answered(results, number)]
    if common:
        totals = {name: sum(_median(result, number) for number in common) for name, result in results.items()}
        add(_label("total", common, numbers), totals, 3)
        means = [f"{_mean_ratio(results[name], results[base], common):.2f}" for name in others]
        lines.append(_line([_label("geometric mean", common, numbers), *[""] * len(results), *means]))
    add("load, seconds", {name: result["load_seconds"] for name, result in results.items()}, 2)
    add("peak, MiB", {name: result["peak_bytes"] / 2**20 for name, result in results.items()}, 0)
    busy = [f"{result['busy_cores_before']:.1f}" for result in results.values()]
    lines.append(_line(["cores busy before", *busy, *["" for _ in ratios]]))
    return "\n".join(lines)


def warnings(results: Results, binary: str | None) -> list[str]:
    """What a reader of the table must know."""
    lines = [
        f"{result['busy_cores_before']:.1f} cores were busy with other work before {name} began: its figures are too high."
        for name, result in results.items()
        if result["busy_cores_before"] > BUSY_CORES_MAX
    ]
    if binary and "release" not in Path(binary).parts:
        lines.append("Millpond was not built with the release profile.")
    return lines


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _label(word: str, common: list[int], numbers: list[int]) -> str:
    return word if common == numbers else f"{word} of {len(common)} that all answered"


def _median(result: dict, number: int) -> float | None:
    query = result["queries"][str(number)]
    return statistics.median(query["seconds"]) if "seconds" in query else None


def _ratio(value: float | None, base: float | None) -> str:
    return "-" if value is None or base is None else f"{value / base:.2f}"


def _mean_ratio(result: dict, base: dict, numbers: list[int]) -> float:
    return math.exp(statistics.fmean(math.log(_median(result, n) / _median(base, n)) for n in numbers))
