#!/usr/bin/env python3
"""Forwarding between two real spanlooms, and to a target that refuses: whole traces by rules, once each, through kill -9."""
import concurrent.futures
import http.server
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time

import collector as otel
from spanloom_server import BINARY, Server, ids, request, span

RNG = random.Random(11)
ROUNDS = int(os.environ.get("FORWARD_ROUNDS", "12"))


def config(target, wait="1s", protocol="grpc", more=""):
    port = target.ports["otlp-grpc" if protocol == "grpc" else "otlp-http"] if isinstance(target, Server) else target
    return f"""
store: {{flush_after: 1s}}
forward:
  - name: b
    endpoint: 127.0.0.1:{port}
    protocol: {protocol}
    wait: {wait}
    {more}
    keep:
      - {{name: errors, match: '{{ status = error }}'}}
      - {{name: slow, match: '{{ duration > 2s }}'}}
"""


def command(*args):
    done = subprocess.run([BINARY, *args], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, (args, done.stdout, done.stderr)
    return done.stdout


def trace_spans(trace_id, is_error, count=5):
    span_ids = [RNG.randbytes(8) for _ in range(count)]
    return [span(trace_id, s, parent=span_ids[0] if i else b"", attributes={"n": i, "text": "x" * 50}, error="no" if is_error and i == 3 else None)
            for i, s in enumerate(span_ids)]


def spans_of(server, trace_id):
    status, reply = server.get_json(f"/api/traces/{trace_id}")
    return [] if status == 404 else reply["data"][0]["spans"]


def state(server):
    return server.get_json("/api/forward")[1]["targets"][0]


def all_sent(server):
    found = state(server)
    return found["held_traces"] == 0 and found["unsent_traces"] == 0


def test_what_the_rules_choose_arrives_as_it_came():
    for protocol in ("grpc", "http/protobuf"):
        with Server() as b, Server(config=config(b, protocol=protocol, more='headers: {x-key: very-secret}')) as a:
            kept, slow, dropped = ids(RNG)[0], ids(RNG)[0], ids(RNG)[0]
            for trace_id, is_error in ((kept, True), (dropped, False)):
                # Apart, as services send.
                for one in trace_spans(trace_id, is_error):
                    assert a.send(request([one]))[0] == 200
            assert a.send(request([span(slow, RNG.randbytes(8), duration_ns=3 * 10**9)]))[0] == 200
            a.wait_until(lambda: state(a)["traces_sent"] == 2, what="two traces")
            a.wait_until(lambda: all_sent(a), what="the rest")
            key = lambda s: json.dumps({k: v for k, v in s.items() if k != "processID"}, sort_keys=True)
            b.wait_until(lambda: spans_of(b, kept.hex()) and spans_of(b, slow.hex()), what="them at the target")
            assert sorted(map(key, spans_of(a, kept.hex()))) == sorted(map(key, spans_of(b, kept.hex())))
            assert not spans_of(b, dropped.hex()) and spans_of(a, dropped.hex())
            assert a.metric("spanloom_forward_traces_dropped_total", 'target="b"') == 1
            assert a.metric("spanloom_forward_spans_sent_total", 'target="b"') == 6
            # Late spans follow.
            for trace_id in (kept, dropped):
                assert a.send(request([span(trace_id, RNG.randbytes(8), name="late")]))[0] == 200
            b.wait_until(lambda: len(spans_of(b, kept.hex())) == 6, what="the late span")
            assert not spans_of(b, dropped.hex())
            for path in ("/api/forward", "/api/settings", "/metrics"):
                assert b"very-secret" not in a.request("http", "GET", path)[2], path
            assert a.terminate() == 0


class Sender(threading.Thread):
    """Sends traces span by span, some of them with errors, until the server dies."""

    def __init__(self, server, seed):
        super().__init__(daemon=True)
        self.server, self.rng = server, random.Random(seed)
        self.acknowledged, self.stop = {}, threading.Event()  # trace: whether it has an error

    def run(self):
        while not self.stop.is_set():
            trace_id, is_error = self.rng.randbytes(16), self.rng.random() < 0.3
            try:
                spans = trace_spans(trace_id, is_error)
                done = [self.server.send(request(part))[0] for part in (spans[:2], spans[2:])]
            except (OSError, http.client.HTTPException):
                return
            if done == [200, 200]:
                self.acknowledged[trace_id.hex()] = is_error


def test_killed_at_any_moment_every_chosen_trace_arrives_and_no_other():
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        list(pool.map(live_and_die, (ROUNDS - ROUNDS // 2, ROUNDS // 2)))


def live_and_die(rounds):
    with Server() as b:
        a = Server(config=config(b))
        sent, by_a = {}, 0
        try:
            for round_ in range(rounds):
                a.start(keep_ports=False)
                senders = [Sender(a, RNG.random()) for _ in range(2)]
                for one in senders:
                    one.start()
                # Decisions are made every second: some lives see none, others two.
                time.sleep(RNG.uniform(0.1, 2.3))
                if round_ % 4 == 3:
                    for one in senders:
                        one.stop.set()
                        one.join()
                    assert a.terminate() == 0
                else:
                    a.kill()
                for one in senders:
                    one.join()
                    sent.update(one.acknowledged)
            a.start()
            a.wait_until(lambda: all_sent(a), 60, "everything")
            assert a.metric("spanloom_forward_lost_traces_total") == 0
            assert a.metric("spanloom_forward_dead_letter_traces_total") == 0
        finally:
            a.clean()
        chosen = [t for t, is_error in sent.items() if is_error]
        # What was taken is searchable within a second.
        b.wait_until(lambda: len(spans_of(b, chosen[-1])) == 5, what="the last trace at the target")
        missing = [t for t in chosen if len(spans_of(b, t)) != 5]
        assert not missing, (len(missing), len(chosen), missing[:3])
        wrong = [t for t, is_error in sent.items() if not is_error and spans_of(b, t)]
        assert not wrong, (len(wrong), wrong[:3])
        received, again = b.metric("spanloom_store_accepted_spans_total"), b.metric("spanloom_store_duplicate_spans_total")
        print(f"     {rounds} lives, {len(sent)} traces, {len(chosen)} chosen; the target got {received:.0f} spans, {5 * len(chosen)} of acknowledged "
              f"traces; it recognised {again:.0f} as sent again")
        # A request holds a second's traces: not more than that, of each life.
        assert again <= rounds * 5 * 200, again
        assert len(chosen) > 10


def test_it_says_what_became_of_a_trace_also_when_it_is_gone():
    with Server() as b, Server(config=config(b)) as a:
        kept, dropped = ids(RNG)[0], ids(RNG)[0]
        for trace_id, is_error in ((kept, True), (dropped, False)):
            assert a.send(request(trace_spans(trace_id, is_error)))[0] == 200
        why = lambda trace: command("why", trace.hex(), "--server", f"http://127.0.0.1:{a.ports['http']}")
        a.wait_until(lambda: "not decided yet" in why(kept), what="the trace to be held")
        a.wait_until(lambda: "forwarded to 'b': sent" in why(kept), what="the trace to be sent")
        assert "by rule 'errors'; 5 spans" in why(kept), why(kept)
        assert "did not choose it" in why(dropped), why(dropped)
        deleted = json.dumps({"traces": [kept.hex()], "by": "test"})
        assert a.request("http", "POST", "/api/admin/delete", deleted, {"Content-Type": "application/json"})[0] == 200
        assert not spans_of(a, kept.hex())
        a.kill()
        a.start()
        assert "forwarded to 'b': sent" in why(kept), why(kept)


def certificates(folder):
    files = {n: os.path.join(folder, n) for n in ("server.pem", "server.key", "client.pem", "client.key")}
    for name, alternative in (("server", "IP:127.0.0.1"), ("client", "DNS:client")):
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1", "-subj", f"/CN={name}",
                        "-addext", f"subjectAltName={alternative}", "-keyout", files[f"{name}.key"], "-out", files[f"{name}.pem"]], check=True, capture_output=True)
    return files


def test_a_collector_that_asks_for_a_certificate_gets_traces_by_every_protocol():
    with tempfile.TemporaryDirectory() as folder:
        files = certificates(folder)
        tls = {"cert_file": files["server.pem"], "key_file": files["server.key"], "client_ca_file": files["client.pem"]}
        more = f"tls: {{ca: {files['server.pem']}, certificate: {files['client.pem']}, key: {files['client.key']}}}"
        for protocol, gzip in (("grpc", "true"), ("http/protobuf", "false"), ("http/json", "true")):
            with otel.Collector(tls) as collector:
                port = collector.grpc if protocol == "grpc" else collector.http
                with Server(config=config(port, wait="0s", protocol=protocol, more=f"{more}\n    gzip: {gzip}")) as a:
                    trace = ids(RNG)[0]
                    assert a.send(request(trace_spans(trace, True)))[0] == 200
                    a.wait_until(lambda: state(a)["traces_sent"] == 1, what=f"the trace by {protocol}")
                    assert state(a)["problem"] == "", state(a)
                collector.stop()
                assert [s["traceId"] for _, _, s in collector.spans()] == [trace.hex()] * 5, protocol
        # Without its certificate nothing goes, and nothing is given up.
        with otel.Collector(tls) as collector, Server(config=config(collector.grpc, wait="0s", more=f"tls: {{ca: {files['server.pem']}}}")) as a:
            assert a.send(request(trace_spans(ids(RNG)[0], True)))[0] == 200
            a.wait_until(lambda: state(a)["retries"] >= 1, what="an attempt")
            assert state(a)["traces_sent"] == 0 and state(a)["dead_letter_traces"] == 0 and state(a)["unsent_traces"] == 1, state(a)


class Hostile(http.server.BaseHTTPRequestHandler):
    """Answers as it is told, the way honest servers do not."""
    protocol_version = "HTTP/1.1"
    way, requests = "", 0

    def do_POST(self):  # noqa: N802
        self.rfile.read(int(self.headers["Content-Length"]))
        Hostile.requests += 1
        if Hostile.way == "elsewhere":
            self.send_response(302)
            self.send_header("Location", f"http://127.0.0.1:{self.server.server_port}/elsewhere")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(1 << 30 if Hostile.way == "a gigabyte" else 0))
        self.end_headers()
        try:
            for _ in range(1024 if Hostile.way == "a gigabyte" else 0):
                self.wfile.write(b"x" * (1 << 20))
        except OSError:
            self.close_connection = True

    def log_message(self, *_):
        pass


def test_a_target_that_sends_elsewhere_or_answers_a_gigabyte_does_no_harm():
    target = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hostile)
    threading.Thread(target=target.serve_forever, daemon=True).start()
    try:
        for way in ("elsewhere", "a gigabyte"):
            Hostile.way, Hostile.requests = way, 0
            with Server(config=config(target.server_port, wait="0s", protocol="http/protobuf")) as a:
                assert a.send(request(trace_spans(ids(RNG)[0], True)))[0] == 200
                a.wait_until(lambda: state(a)["retries"] or state(a)["dead_letter_traces"], what="an answer")
                assert a.rss_bytes("VmHWM") < 120 << 20, a.rss_bytes("VmHWM")
                found = state(a)
                assert found["traces_sent"] == 0 and found["unsent_traces"] + found["dead_letter_traces"] == 1, found
    finally:
        target.shutdown()


class Refusing(http.server.BaseHTTPRequestHandler):
    """400 while `refuses`; 503 with Retry-After while `busy`."""
    protocol_version = "HTTP/1.1"
    refuses, busy, requests = True, False, []

    def do_POST(self):  # noqa: N802
        body = self.rfile.read(int(self.headers["Content-Length"]))
        Refusing.requests.append((time.time(), self.headers, body))
        self.send_response(400 if Refusing.refuses else 503 if Refusing.busy else 200)
        if Refusing.busy:
            self.send_header("Retry-After", "2")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def test_what_is_refused_can_be_imported_and_who_is_busy_is_waited_for():
    target = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
    threading.Thread(target=target.serve_forever, daemon=True).start()
    try:
        with Server(config=config(target.server_port, protocol="http/protobuf", more="headers: {x-key: k1}")) as a, Server() as c:
            refused = [ids(RNG)[0] for _ in range(3)]
            for trace_id in refused:
                assert a.send(request(trace_spans(trace_id, True)))[0] == 200
            a.wait_until(lambda: state(a)["dead_letter_traces"] == 3, what="dead letters")
            assert all(headers["x-key"] == "k1" for _, headers, _ in Refusing.requests)
            folder = os.path.join(a.data, "forward", "b")
            letters = [os.path.join(folder, n) for n in os.listdir(folder) if n.startswith("dead-")]
            out = subprocess.run([BINARY, "import", *letters, "--endpoint", f"http://127.0.0.1:{c.ports['otlp-grpc']}"], capture_output=True, text=True,
                                 timeout=60)
            assert out.returncode == 0 and "imported 15 spans" in out.stdout, out
            c.wait_until(lambda: all(len(spans_of(c, t.hex())) == 5 for t in refused), what="the imported traces")
            Refusing.refuses, Refusing.busy = False, True
            assert a.send(request(trace_spans(ids(RNG)[0], True)))[0] == 200
            first = len(Refusing.requests)
            a.wait_until(lambda: len(Refusing.requests) >= first + 2, what="another attempt")
            assert Refusing.requests[first + 1][0] - Refusing.requests[first][0] > 1.9
            assert "503" in state(a)["problem"] and a.metric("spanloom_forward_retries_total") >= 1
            Refusing.busy = False
            a.wait_until(lambda: state(a)["traces_sent"] == 1, what="the trace")
            assert a.terminate() == 0
    finally:
        target.shutdown()


def test_a_wrong_configuration_is_refused():
    for bad in ("forward: 7", "forward: [{wait: 1s}]", "forward: [{endpoint: 'x:1', keep: [{name: a, match: '{'}]}]"):
        server = Server(config=bad)
        try:
            server.start()
            raise AssertionError(f"{bad} was taken")
        except RuntimeError:
            assert "forward" in server.stderr_tail(), server.stderr_tail()
        finally:
            server.clean()


if __name__ == "__main__":
    otel.run_tests(sys.modules[__name__], at_once=4)
