#!/usr/bin/env python3
"""The programs of examples/ against the release binary: each trace is looked up and its shape checked."""
import http.client
import os
import re
import secrets
import subprocess
import sys

import collector as otel
from spanloom_server import ROOT, Server

EXAMPLES = os.environ.get("SPANLOOM_EXAMPLES", os.path.join(ROOT, "build", "release", "examples"))


def environment(server, **more):
    clean = {k: v for k, v in os.environ.items() if not k.startswith("OTEL_")}
    # Who sends elsewhere says where.
    endpoint = {} if server is None else {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{server.ports['otlp-http']}"}
    return {**clean, **endpoint, **more}


def run_example(server, name, **more):
    """What a program prints that ends by itself."""
    done = subprocess.run([os.path.join(EXAMPLES, name)], env=environment(server, **more), capture_output=True, text=True, timeout=60,
                          stdin=subprocess.DEVNULL)
    assert done.returncode == 0, f"{name} ended with {done.returncode}: {done.stderr}"
    return done.stdout


class Trace:
    """A trace as the Jaeger API shows it: names to spans, parents and links by name."""

    def __init__(self, server, trace_id, count):
        def whole():
            status, reply = server.get_json(f"/api/traces/{trace_id}")
            spans = reply["data"][0]["spans"] if status == 200 else []
            return reply["data"][0] if len(spans) >= count else None
        data = server.wait_until(whole, what=f"{count} spans of {trace_id}")
        self.spans = data["spans"]
        self.services = {k: v["serviceName"] for k, v in data["processes"].items()}
        self.by_id = {s["spanID"]: s for s in self.spans}
        assert len(self.spans) == count, sorted(s["operationName"] for s in self.spans)

    def named(self, name):
        found = [s for s in self.spans if s["operationName"] == name]
        assert len(found) == 1, f"{len(found)} spans are called {name}: {sorted(s['operationName'] for s in self.spans)}"
        return found[0]

    def tag(self, name, key):
        return {t["key"]: t["value"] for t in self.named(name)["tags"]}.get(key)

    def service(self, name):
        return self.services[self.named(name)["processID"]]

    def parent(self, span):
        """The parent's name; None of a root."""
        for reference in span["references"]:
            if reference["refType"] == "CHILD_OF":
                parent = self.by_id.get(reference["spanID"])
                return parent["operationName"] if parent else reference["spanID"]
        return None

    def tree(self):
        """(name, its parent's name) of every span, sorted."""
        return sorted((s["operationName"], self.parent(s) or "") for s in self.spans)

    def links(self, span):
        return sorted(r["traceID"] for r in span["references"] if r["refType"] == "FOLLOWS_FROM")


def trace_ids(output, word="trace"):
    return re.findall(rf"^{word} ([0-9a-f]{{32}})$", output, re.M)


class Service:
    """An example that listens until it is told to quit."""

    def __init__(self, server, name, *arguments, **more):
        self.process = subprocess.Popen([os.path.join(EXAMPLES, name), *map(str, arguments)], env=environment(server, **more),
                                        stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)
        self.port = int(re.match(r"listening on (\d+)", self.process.stdout.readline())[1])

    def get(self, path, headers=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request("GET", path, headers={"Connection": "close", **(headers or {})})
            return connection.getresponse().read().decode()
        finally:
            connection.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.get("/quit")
        try:
            assert self.process.wait(30) == 0
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
            self.process.stdout.close()


def tutorial(server, trace_id, **more):
    with Service(server, "other_service", **more) as other, Service(server, "my_awesome_service", other.port, **more) as mine:
        assert mine.get("/hello?user=4815", {"traceparent": f"00-{trace_id}-{'1' * 16}-01"}) == "hello, world"


TUTORIAL = sorted([("GET /hello", "1" * 16), ("prepare greeting", "GET /hello"), ("GET", "GET /hello"), ("GET /work", "GET"), ("work", "GET /work")])


def test_the_tutorial_arrives_by_grpc():
    with Server() as server:
        trace_id = secrets.token_hex(16)
        tutorial(server, trace_id, OTEL_EXPORTER_OTLP_PROTOCOL="grpc", OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{server.ports['otlp-grpc']}")
        assert Trace(server, trace_id, 5).tree() == TUTORIAL


def test_a_collector_gets_the_tutorial_by_every_protocol():
    with otel.Collector() as collector:
        wanted = {}
        for protocol, port in (("grpc", collector.grpc), ("http/protobuf", collector.http), ("http/json", collector.http)):
            wanted[secrets.token_hex(16)] = protocol
            tutorial(None, list(wanted)[-1], OTEL_EXPORTER_OTLP_PROTOCOL=protocol, OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{port}")
        collector.stop()
        found = collector.spans()
    for trace_id, protocol in wanted.items():
        spans = [span for _, _, span in found if span["traceId"] == trace_id]
        names = {s["spanId"]: s["name"] for s in spans}
        tree = sorted((s["name"], names.get(s["parentSpanId"], s["parentSpanId"])) for s in spans)
        assert tree == TUTORIAL, (protocol, tree)


def test_the_tutorial_is_one_trace_of_two_services():
    with Server() as server:
        trace_id = secrets.token_hex(16)
        tutorial(server, trace_id)
        trace = Trace(server, trace_id, 5)
        assert trace.tree() == TUTORIAL, trace.tree()
        assert trace.service("GET /hello") == "my-awesome-service"
        assert trace.service("work") == "other-service"
        assert trace.tag("GET /hello", "user.id") == "4815"
        assert trace.tag("GET /work", "http.route") == "/work"
        assert trace.named("prepare greeting")["logs"], "the event is there"
        # The user is found by what the tutorial says of them.
        _, found = server.get_json("/api/search?q=%7B%20.user.id%20%3D%20%224815%22%20%7D")
        assert [t["traceID"] for t in found["traces"]] == [trace_id], found


def test_one_environment_variable_samples():
    with Server() as server:
        trace_id = secrets.token_hex(16)
        with Service(server, "other_service", OTEL_TRACES_SAMPLER="always_off") as other:
            assert other.get("/work", {"traceparent": f"00-{trace_id}-{'1' * 16}-01"}) == "world"
        assert server.get_json(f"/api/traces/{trace_id}")[0] == 404


def test_a_thread_pool_keeps_the_context():
    with Server() as server:
        (trace_id,) = trace_ids(run_example(server, "thread_pool"))
        trace = Trace(server, trace_id, 6)
        assert trace.parent(trace.named("upload")) is None
        others = sorted(s["operationName"] for s in trace.spans if trace.parent(s) == "upload")
        assert others == ["notify", "resize image", "resize image", "resize image", "write index"], others


def test_coroutines_keep_the_context():
    with Server() as server:
        (trace_id,) = trace_ids(run_example(server, "coroutines"))
        trace = Trace(server, trace_id, 3)
        assert trace.parent(trace.named("render")) is None
        assert trace.parent(trace.named("load")) == "render"
        assert trace.parent(trace.named("send")) == "render"
        assert trace.named("load")["logs"]


def test_asio_keeps_requests_apart():
    with Server() as server:
        output = run_example(server, "asio_async")
        ids, counts = trace_ids(output) + trace_ids(output, "timer"), (3, 3, 2)
        assert len(set(ids)) == 3, ids
        shapes = [Trace(server, i, n).tree() for i, n in zip(ids, counts)]
        request = [("query database", "request"), ("render", "request"), ("request", "")]
        assert shapes == [request, request, [("schedule", ""), ("timer fired", "schedule")]], shapes


def test_a_message_queue_links_its_batches():
    with Server() as server:
        output = run_example(server, "message_queue")
        orders = trace_ids(output)
        (batch_id,) = trace_ids(output, "batch")
        batch = Trace(server, batch_id, 1)
        assert batch.links(batch.named("process orders")) == sorted(orders)
        for order in orders:
            trace = Trace(server, order, 3)
            assert trace.parent(trace.named("POST /orders")) is None
            assert trace.parent(trace.named("send orders")) == "POST /orders"
            assert trace.parent(trace.named("process order")) == "send orders"
            assert trace.links(trace.named("process order")) == [batch_id]


def test_the_samples_of_the_user_guide_run():
    clean = {k: v for k, v in os.environ.items() if not k.startswith("OTEL_")}
    done = subprocess.run([os.path.join(EXAMPLES, "sdk_samples")], env={**clean, "OTEL_TRACES_EXPORTER": "none"}, capture_output=True, text=True,
                          timeout=60, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^\d+ samples ran$", done.stdout, re.M), done.stdout


if __name__ == "__main__":
    otel.run_tests(sys.modules[__name__])
