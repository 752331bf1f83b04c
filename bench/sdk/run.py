#!/usr/bin/env python3
"""The SDK beside its rivals, in one run: a table, and one JSON object of the medians as the last line.

usage: bench/sdk/run.py [--rounds N] [--only NAME ...] [--prepare]

Programs: spanloom, limit (a bare program that reads the clock, makes ids and writes OTLP bytes), and the
rivals of bench/sdk/rivals, each built once into .cache. Every round runs all of them one after the other,
so that what the machine does meanwhile meets them alike; figures are medians over the rounds. Times are
CPU nanoseconds of the calling thread, those of pipelines of the whole process.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "bench", "sdk", "rivals"))
import rivals  # noqa: E402

OURS = {name: os.path.join(ROOT, "build", "sdk", program) for name, program in (("spanloom", "sdk_bench"), ("limit", "sdk_limit"))}
# key, what it is, what it must not exceed
ROWS = [("start_end", "start + end, no attributes", 50), ("attributes_4", "+ 4 attributes", 100),
        ("attributes_10_event", "+ 10 attributes + 1 event", 250), ("sampled_out", "sampled out, 4 attributes set anyway", 20),
        ("unconfigured", "nothing configured", 3), ("child_active", "child + made active", 60),
        ("extract_inject", "traceparent extract + inject", 60), ("pipeline_cpu", "pipeline flooded by 1 thread: CPU", 200),
        ("pipeline_flood_dropped", "  dropped, %", None), ("pipeline_2_threads_dropped", "  by 2 threads: dropped, %", None),
        ("pipeline_paced_cpu", "paced at 100,000 spans/s: CPU", 500), ("pipeline_paced_dropped", "  dropped, %", 0),
        ("pipeline_dropped", "2 threads, 1M spans/s: dropped, %", 0),
        ("pipeline_5m_dropped", "2 threads, 5M spans/s: dropped, %", None), ("allocations", "heap allocations a span", 0),
        ("start_end_queued", "start + end into a busy queue", None), ("attributes_4_queued", "+ 4 attributes into a busy queue", None),
        ("sampled_out_ratio", "sampled out by ratio, 4 attributes", None), ("extract_inject_default", "extract + inject with baggage's", None),
        ("counter", "one reading of the counter", None), ("clock_gettime", "one clock_gettime", None)]
SPANS_OF = {"pipeline_flood_dropped": "pipeline_spans", "pipeline_2_threads_dropped": "pipeline_2_threads_spans",
            "pipeline_paced_dropped": "pipeline_paced_spans", "pipeline_dropped": "pipeline_1m_spans",
            "pipeline_5m_dropped": "pipeline_5m_spans"}
# The programs' names of them are those of the scenario.
NAMES = {"pipeline_dropped": "pipeline_flood_dropped", "pipeline_1m_dropped": "pipeline_dropped"}


def note(text):
    print(text, file=sys.stderr, flush=True)


def programs(wanted):
    """What can be had: {name: program}, {name: why not}."""
    found, absent = {}, {}
    for name in wanted:
        if name in OURS:
            found[name] = OURS[name]
            continue
        note(f"  building {name}")
        try:
            found[name] = rivals.prepare(name)
        except rivals.Absent as why:
            absent[name] = str(why)
    return found, absent


def run(found, rounds):
    taken = {name: [] for name in found}
    for turn in range(rounds):
        for name, program in found.items():
            note(f"  round {turn + 1} of {rounds}: {name}")
            taken[name].append(rivals.run(program))
    medians = {}
    for name, all_rounds in taken.items():
        medians[name] = {NAMES.get(key, key): round(statistics.median(one[key] for one in all_rounds), 2) for key in all_rounds[0]}
    return medians


def show(figures, key):
    if key not in figures:
        return "-"
    if key in SPANS_OF:
        return f"{100 * figures[key] / figures[SPANS_OF[key]]:.2f}"
    return f"{figures[key]:,.0f}" if figures[key] >= 100 else f"{figures[key]:.1f}"


def table(medians):
    names = list(medians)
    width = max(len(text) for _, text, _ in ROWS)
    print(f"  {'ns of CPU':{width}}" + "".join(f"  {n:>{max(len(n), 8)}}" for n in names) + "      must")
    for key, text, most in ROWS:
        if any(key in medians[name] for name in names):
            cells = "".join(f"  {show(medians[n], key):>{max(len(n), 8)}}" for n in names)
            print(f"  {text:{width}}{cells}  {'' if most is None else most:>8}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = list(OURS) + list(rivals.RIVALS)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=names, default=names)
    parser.add_argument("--prepare", action="store_true", help="build the rivals, measure nothing")
    options = parser.parse_args()
    found, absent = programs(options.only)
    for name, why in absent.items():
        note(f"  left out: {name}: {why}")
    if options.prepare:
        return
    medians = run(found, options.rounds)
    table(medians)
    result = medians.pop("spanloom", {})
    print(json.dumps({**result, **medians, **{name: {"skipped": why} for name, why in absent.items()}}))


if __name__ == "__main__":
    main()
