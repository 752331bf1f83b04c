#!/usr/bin/env python3
"""Rules that `spanloom import-policies` makes choose the traces that the Collector's policies would."""
import http.client
import json
import random
import subprocess
import sys
import tempfile
import time

import collector as otel
from spanloom_server import BINARY, Server, field, ids, request, span, text, varint

RNG = random.Random(3)
SECOND = 1_000_000_000
MS = 1_000_000

# A policy, and by name the traces below that it chooses.
POLICIES = [
    ({"type": "status_code", "status_code": {"status_codes": ["ERROR"]}}, {"failed"}),
    ({"type": "latency", "latency": {"threshold_ms": 900}}, {"slow"}),
    # Whole milliseconds: a trace of 499.9 ms took 499.
    ({"type": "latency", "latency": {"threshold_ms": 499}}, {"slow", "middling"}),
    ({"type": "latency", "latency": {"threshold_ms": 498}}, {"slow", "middling", "nearly"}),
    ({"type": "latency", "latency": {"threshold_ms": 499, "upper_threshold_ms": 600}}, {"middling"}),
    ({"type": "latency", "latency": {"threshold_ms": 300, "upper_threshold_ms": 499}}, {"nearly"}),
    ({"type": "numeric_attribute", "numeric_attribute": {"key": "n", "min_value": 5, "max_value": 7}}, {"numbered"}),
    ({"type": "numeric_attribute", "numeric_attribute": {"key": "n", "min_value": 7}}, {"numbered"}),
    ({"type": "numeric_attribute", "numeric_attribute": {"key": "n", "min_value": 8}}, set()),
    ({"type": "numeric_attribute", "numeric_attribute": {"key": "n", "min_value": -9, "max_value": -1}}, {"negative"}),
    # The resource's attribute counts although the span has one of its own.
    ({"type": "string_attribute", "string_attribute": {"key": "zone", "values": ["eu"]}}, {"both"}),
    ({"type": "string_attribute", "string_attribute": {"key": "zone", "values": ["us"]}}, {"both"}),
    # An event's does not.
    ({"type": "string_attribute", "string_attribute": {"key": "of.event", "values": ["x"]}}, set()),
    ({"type": "trace_state", "trace_state": {"key": "key3", "values": ["value1"]}}, {"state"}),
    ({"type": "trace_state", "trace_state": {"key": "vendor", "values": ["", "a+b", "other"]}}, {"state", "blanks"}),
    ({"type": "trace_state", "trace_state": {"key": "ey3", "values": ["value1", "lue1"]}}, set()),
    ({"type": "trace_flags"}, {"sampled"}),
    ({"type": "string_attribute", "string_attribute": {"key": "service.name", "values": ["cart"]}}, {"cart"}),
    ({"type": "string_attribute", "string_attribute": {"key": "url", "values": ["^/pay", "x|gone$"], "enabled_regex_matching": True}},
     {"pay", "gone"}),
    ({"type": "boolean_attribute", "boolean_attribute": {"key": "vip", "value": True}}, {"vip"}),
    ({"type": "span_count", "span_count": {"min_spans": 3, "max_spans": 4}}, {"three"}),
    ({"type": "span_count", "span_count": {"min_spans": 5}}, {"many"}),
    ({"type": "ottl_condition", "ottl_condition": {"span": ['attributes["vip"] == true and IsMatch(name, "l.s")']}}, {"vip"}),
    ({"type": "ottl_condition", "ottl_condition": {"span": ['not (kind == SPAN_KIND_SERVER) and attributes["n"] != 7']}}, {"client"}),
    ({"type": "ottl_condition", "ottl_condition": {"span": ['end_time_unix_nano - start_time_unix_nano > 900000000']}}, {"slow"}),
    ({"type": "ottl_condition", "ottl_condition": {"span": ['(end_time - start_time) >= Duration("500ms") and IsRootSpan()']}},
     {"slow", "middling"}),
    ({"type": "ottl_condition", "ottl_condition": {"span": ['trace_state["key3"] == "value1"', 'kind.string == "Client"']}},
     {"state", "client"}),
    ({"type": "and", "and": {"and_sub_policy": [
        {"name": "a", "type": "string_attribute", "string_attribute": {"key": "url", "values": ["/pay/1", "/gone"]}},
        {"name": "b", "type": "not", "not": {"not_sub_policy": {"name": "c", "type": "string_attribute",
                                                                "string_attribute": {"key": "url", "values": ["/gone"]}}}}]}}, {"pay"}),
    ({"type": "not", "not": {"not_sub_policy": {"name": "a", "type": "span_count", "span_count": {"min_spans": 2}}}},
     {"failed", "slow", "middling", "nearly", "numbered", "negative", "cart", "pay", "gone", "vip", "client", "plain", "both", "event",
      "state", "blanks", "sampled"}),
]


def traces():
    """Name: (service, spans as keyword arguments, attributes of the resource)."""
    event = field(11, text(2, "e") + field(9, text(1, "of.event") + field(2, text(1, "x"))))
    state = lambda value: text(3, value)  # noqa: E731
    flags = lambda value: varint(16 << 3 | 5) + value.to_bytes(4, "little")  # noqa: E731
    one = {"plain": {"extra": flags(0x302)}, "failed": {"error": "no"}, "slow": {"duration_ns": SECOND}, "middling": {"duration_ns": SECOND // 2},
           "nearly": {"duration_ns": 500 * MS - 100_000}, "numbered": {"attributes": {"n": 7}}, "negative": {"attributes": {"n": -3}},
           "pay": {"attributes": {"url": "/pay/1"}}, "gone": {"attributes": {"url": "/gone"}},
           "vip": {"attributes": {"vip": True}}, "client": {"kind": 3}, "event": {"extra": event},
           "state": {"extra": state("key3=value1,vendor=a+b")}, "blanks": {"extra": state("x=key3:value1 ,\t vendor=other\t,z=1")},
           "sampled": {"extra": flags(0x301)}}
    made = {name: ("shop", [more], {}) for name, more in one.items()}
    made["cart"] = ("cart", [{}], {})
    made["both"] = ("shop", [{"attributes": {"zone": "us"}}], {"zone": "eu"})
    made["three"] = ("shop", [{}] * 3, {})
    made["many"] = ("shop", [{}] * 9, {})
    return made


def requests():
    """Of each trace, by name: its id and the request that sends it."""
    end_ns = time.time_ns()
    made = {}
    for name, (service, spans, resource) in traces().items():
        trace_id, root = ids(RNG)
        body = []
        for i, more in enumerate(spans):
            duration = more.get("duration_ns", MS)
            body.append(span(trace_id, root if i == 0 else RNG.randbytes(8), name="less", parent=b"" if i == 0 else root,
                             **{"start_ns": end_ns - duration, **more, "attributes": {"which": name, **more.get("attributes", {})}}))
        made[name] = (trace_id, request(body, service=service, resource=resource))
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
        for _, body in requests().values():
            assert server.send(body)[0] == 200
        total = len(traces())
        server.wait_until(lambda: len(server.get_json("/api/search?q=%7B%7D&limit=100")[1]["traces"]) == total, what="all traces")
        for policy, expected in POLICIES:
            rules, notes = rules_of([{"name": "it", **policy}])
            whole = "upper_threshold_ms" not in policy.get("latency", {})  # which the Collector judges by the first spans alone
            assert (": the same" if whole else ": DIFFERS: ") in notes, notes
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


def test_a_collector_chooses_the_same_traces():
    """Its decisions on each policy, asked of the real one: a pipeline for each."""
    collector = otel.Collector()
    config, names = collector.config, {}
    config["processors"], pipelines = {}, {}
    for i, (policy, _) in enumerate(POLICIES):
        names[i] = f"{collector.folder}/{i}.json"
        config["processors"][f"tail_sampling/{i}"] = {"decision_wait": "1s", "policies": [{"name": "it", **policy}]}
        config["exporters"][f"file/{i}"] = {"path": names[i]}
        pipelines[f"traces/{i}"] = {"receivers": ["otlp"], "processors": [f"tail_sampling/{i}"], "exporters": [f"file/{i}"]}
    del config["exporters"]["file"]
    config["service"]["pipelines"] = pipelines
    with collector:
        sent = requests()
        for _, body in sent.values():
            connection = http.client.HTTPConnection("127.0.0.1", collector.http, timeout=20)
            connection.request("POST", "/v1/traces", body, {"Content-Type": "application/x-protobuf"})
            assert connection.getresponse().status == 200
            connection.close()
        time.sleep(4)
        collector.stop()
        name_of = {trace_id.hex(): name for name, (trace_id, _) in sent.items()}
        for i, (policy, expected) in enumerate(POLICIES):
            collector.output = names[i]
            found = {name_of[s["traceId"]] for _, _, s in collector.spans()}
            assert found == expected, (policy, found, expected)


def test_what_is_wrong_is_one_sentence():
    done = subprocess.run([BINARY, "import-policies", "/nowhere.yaml"], capture_output=True, text=True, timeout=20)
    assert done.returncode == 1 and done.stderr == "spanloom: cannot read the policies /nowhere.yaml: is the path right?\n", done.stderr
    rules, notes = rules_of([{"name": "a", "type": "quantum"}])
    assert rules.endswith("keep: []\n") and notes.startswith("'a' (quantum): LEFT OUT: "), (rules, notes)


if __name__ == "__main__":
    otel.run_tests(sys.modules[__name__])
