#!/usr/bin/env python3
"""Rules that `spanloom import-policies` makes choose the traces that the Collector's policies would."""
import json
import random
import subprocess
import sys
import tempfile
import time

from spanloom_server import BINARY, Server, ids, request, run_tests, span

RNG = random.Random(3)
SECOND = 1_000_000_000

# A policy, and by name the traces below that it chooses.
POLICIES = [
    ({"type": "status_code", "status_code": {"status_codes": ["ERROR"]}}, {"failed"}),
    ({"type": "latency", "latency": {"threshold_ms": 900}}, {"slow"}),
    ({"type": "latency", "latency": {"threshold_ms": 300, "upper_threshold_ms": 600}}, {"middling"}),
    ({"type": "numeric_attribute", "numeric_attribute": {"key": "n", "min_value": 5, "max_value": 7}}, {"numbered"}),
    ({"type": "string_attribute", "string_attribute": {"key": "service.name", "values": ["cart"]}}, {"cart"}),
    ({"type": "string_attribute", "string_attribute": {"key": "url", "values": ["^/pay", "x|gone$"], "enabled_regex_matching": True}},
     {"pay", "gone"}),
    ({"type": "boolean_attribute", "boolean_attribute": {"key": "vip", "value": True}}, {"vip"}),
    ({"type": "span_count", "span_count": {"min_spans": 3, "max_spans": 4}}, {"three"}),
    ({"type": "span_count", "span_count": {"min_spans": 5}}, {"many"}),
    ({"type": "ottl_condition", "ottl_condition": {"span": ['attributes["vip"] == true and IsMatch(name, "l.s")']}}, {"vip"}),
    ({"type": "ottl_condition", "ottl_condition": {"span": ['not (kind == SPAN_KIND_SERVER) and attributes["n"] != 7']}}, {"client"}),
    ({"type": "and", "and": {"and_sub_policy": [
        {"name": "a", "type": "string_attribute", "string_attribute": {"key": "url", "values": ["/pay/1", "/gone"]}},
        {"name": "b", "type": "not", "not": {"not_sub_policy": {"name": "c", "type": "string_attribute",
                                                                "string_attribute": {"key": "url", "values": ["/gone"]}}}}]}}, {"pay"}),
    ({"type": "not", "not": {"not_sub_policy": {"name": "a", "type": "span_count", "span_count": {"min_spans": 2}}}},
     {"failed", "slow", "middling", "numbered", "cart", "pay", "gone", "vip", "client", "plain"}),
]


def traces():
    """Name: (service, spans as keyword arguments)."""
    one = {"plain": {}, "failed": {"error": "no"}, "slow": {"duration_ns": SECOND}, "middling": {"duration_ns": SECOND // 2},
           "numbered": {"attributes": {"n": 7}}, "pay": {"attributes": {"url": "/pay/1"}}, "gone": {"attributes": {"url": "/gone"}},
           "vip": {"attributes": {"vip": True}}, "client": {"kind": 3}}
    made = {name: ("shop", [more]) for name, more in one.items()}
    made["cart"] = ("cart", [{}])
    made["three"] = ("shop", [{}] * 3)
    made["many"] = ("shop", [{}] * 9)
    return made


def rules_of(policies):
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        json.dump({"processors": {"tail_sampling": {"policies": policies}}}, file)
        file.flush()
        done = subprocess.run([BINARY, "import-policies", file.name], capture_output=True, text=True, timeout=20)
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


def test_each_policy_chooses_the_same_traces():
    with Server() as server:
        end_ns = time.time_ns()
        for name, (service, spans) in traces().items():
            trace_id, root = ids(RNG)
            body = []
            for i, more in enumerate(spans):
                duration = more.get("duration_ns", 1_000_000)
                body.append(span(trace_id, root if i == 0 else RNG.randbytes(8), name="less", parent=b"" if i == 0 else root,
                                 **{"start_ns": end_ns - duration, **more, "attributes": {"which": name, **more.get("attributes", {})}}))
            assert server.send(request(body, service=service))[0] == 200
        total = len(traces())
        server.wait_until(lambda: len(server.get_json("/api/search?q=%7B%7D&limit=100")[1]["traces"]) == total, what="all traces")
        for policy, expected in POLICIES:
            rules, notes = rules_of([{"name": "it", **policy}])
            assert ": the same" in notes, notes
            with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
                file.write(rules)
                file.flush()
                done = subprocess.run([BINARY, "preview", file.name, "--json", "--server", f"http://127.0.0.1:{server.ports['http']}"],
                                      capture_output=True, text=True, timeout=20)
            assert done.returncode == 0, (done.stderr, rules)
            kept = json.loads(done.stdout)["total"]["kept"]["traces"]
            assert kept == len(expected), (kept, expected, rules)
            # And they are these.
            match = json.loads(done.stdout)["rules"]["keep"][0]["match"]
            done = subprocess.run([BINARY, "query", match + " | select(span.which)", "--json", "--since", "1h",
                                   "--server", f"http://127.0.0.1:{server.ports['http']}"], capture_output=True, text=True, timeout=20)
            assert done.returncode == 0, (done.stderr, match)
            found = {name for name in traces() if f'"{name}"' in done.stdout}
            assert found == expected, (found, expected, match)


def test_what_is_wrong_is_one_sentence():
    done = subprocess.run([BINARY, "import-policies", "/nowhere.yaml"], capture_output=True, text=True, timeout=20)
    assert done.returncode == 1 and done.stderr == "spanloom: cannot read the policies /nowhere.yaml: is the path right?\n", done.stderr
    rules, notes = rules_of([{"name": "a", "type": "trace_flags"}])
    assert rules.endswith("keep: []\n") and notes.startswith("'a' (trace_flags): LEFT OUT: "), (rules, notes)


if __name__ == "__main__":
    run_tests(sys.modules[__name__])
