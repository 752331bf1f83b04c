#!/usr/bin/env python3
"""The SDK's exporters against real receivers: every span arrives once, and the counts add up."""
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

import collector as otel
from spanloom_server import ROOT, Server

SENDER = os.path.join(ROOT, "build", "release", "test", "send_spans")
SPANS_PER_TRACE = 100
PROTOCOLS = ("grpc", "http/protobuf", "http/json")


def start_sender(protocol, port, spans, per_second, *more, scheme="http"):
    return subprocess.Popen([SENDER, protocol, f"{scheme}://127.0.0.1:{port}", str(spans), str(per_second), *more],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def counts_of(sender, spans):
    out, err = sender.communicate(timeout=90)
    assert sender.returncode == 0, err
    counts = json.loads(out)
    assert counts["ended"] == spans, counts
    assert counts["exported"] + counts["rejected"] + counts["failed"] + counts["dropped"] == spans, counts
    return counts


def port_of(protocol, server):
    return server.ports["otlp-grpc" if protocol == "grpc" else "otlp-http"]


def stored_spans(server, spans):
    """Ids of the spans that the server has, trace by trace."""
    found = []
    for trace in range((spans + SPANS_PER_TRACE - 1) // SPANS_PER_TRACE):
        status, reply = server.get_json(f"/api/traces/{b'spanloom'.hex()}{trace:016x}")
        if status == 200:
            found += [s["spanID"] for s in reply["data"][0]["spans"]]
    return found


def test_every_span_arrives_once_by_every_protocol():
    for protocol in PROTOCOLS:
        for more in ((), ("gzip",)):
            with Server() as server:
                counts = counts_of(start_sender(protocol, port_of(protocol, server), 5_000, 50_000, *more), 5_000)
                assert counts["exported"] == 5_000 and counts["flushed"], (protocol, more, counts)
                found = server.wait_until(lambda s=server: (f := stored_spans(s, 5_000)) and len(f) >= 5_000 and f, what="5,000 spans")
                assert len(found) == len(set(found)) == 5_000, (protocol, len(found))


def test_a_receiver_that_is_killed_and_comes_back_costs_no_span():
    spans = 40_000
    for protocol in ("grpc", "http/protobuf"):
        with Server() as server:
            sender = start_sender(protocol, port_of(protocol, server), spans, 10_000)
            server.wait_until(lambda s=server: stored_spans(s, 2_000), what="the first spans")
            server.kill()
            time.sleep(1.0)  # an outage, as long as outages are
            server.start(keep_ports=True)
            counts = counts_of(sender, spans)
            server.wait_until(lambda s=server, c=counts: len(set(stored_spans(s, spans))) >= c["exported"], what="what was exported")
            found = stored_spans(server, spans)
            assert len(found) == len(set(found)), "a span is there twice"
            # An answer that was lost on the way may leave a span stored that was counted as failed.
            assert counts["exported"] <= len(found) <= counts["exported"] + counts["failed"], (protocol, counts, len(found))
            assert counts["failed"] == counts["dropped"] == 0, (protocol, counts)


def test_nobody_there_is_counted_and_does_not_hold_the_program_up():
    port = otel.free_ports(1)[0]
    started = time.time()
    counts = counts_of(start_sender("http/protobuf", port, 1_000, 100_000), 1_000)
    assert counts["exported"] == 0 and counts["failed"] + counts["dropped"] == 1_000, counts
    assert time.time() - started < 30


def test_a_collector_takes_every_span_by_every_protocol():
    for protocol in PROTOCOLS:
        for more in ((), ("gzip",)):
            with otel.Collector() as collector:
                port = collector.grpc if protocol == "grpc" else collector.http
                counts = counts_of(start_sender(protocol, port, 5_000, 50_000, *more), 5_000)
                collector.stop()
                found = collector.spans()
            assert counts["exported"] == 5_000 == len(found) == len({s["spanId"] for _, _, s in found}), (protocol, counts, len(found))
            resource, scope, span = found[-1]
            assert {"key": "service.name", "value": {"stringValue": "send-spans"}} in resource["attributes"], resource
            assert scope["name"] == "send_spans" and span["traceId"].startswith(b"spanloom".hex()), (scope, span)


def test_a_collector_that_is_restarted_gets_what_is_counted():
    spans = 40_000
    for protocol in ("grpc", "http/protobuf"):
        with otel.Collector() as collector:
            sender = start_sender(protocol, collector.grpc if protocol == "grpc" else collector.http, spans, 10_000)
            deadline = time.time() + 30
            while not (os.path.exists(collector.output) and os.path.getsize(collector.output)):
                assert time.time() < deadline, "the Collector wrote nothing"
                time.sleep(0.02)
            collector.stop()
            time.sleep(0.5)  # an outage, as long as outages are
            collector.start()
            counts = counts_of(sender, spans)
            collector.stop()
            found = {s["spanId"] for _, _, s in collector.spans()}
        # Where an answer was lost on the way, its spans were sent again: each is there, if not once.
        assert counts["exported"] == len(found) == spans, (protocol, counts, len(found))
        assert counts["failed"] == counts["dropped"] == counts["rejected"] == 0, (protocol, counts)


def test_a_collector_that_asks_for_a_client_certificate_gets_one():
    folder = tempfile.mkdtemp(prefix="spanloom-tls-")
    try:
        files = {n: os.path.join(folder, n) for n in ("server.pem", "server.key", "client.pem", "client.key")}
        for name, alternative in (("server", "IP:127.0.0.1"), ("client", "DNS:client")):
            subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1",
                            "-subj", f"/CN={name}", "-addext", f"subjectAltName={alternative}", "-keyout", files[f"{name}.key"],
                            "-out", files[f"{name}.pem"]], check=True, capture_output=True)
        tls = {"cert_file": files["server.pem"], "key_file": files["server.key"], "client_ca_file": files["client.pem"]}
        for protocol in PROTOCOLS:
            with otel.Collector(tls) as collector:
                port = collector.grpc if protocol == "grpc" else collector.http
                sender = start_sender(protocol, port, 1_000, 50_000, files["server.pem"], files["client.pem"], files["client.key"], scheme="https")
                counts = counts_of(sender, 1_000)
                collector.stop()
                assert counts["exported"] == 1_000 == len(collector.spans()), (protocol, counts)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    otel.run_tests(sys.modules[__name__])
