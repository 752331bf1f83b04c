#!/usr/bin/env python3
"""Whole-program benchmarks. A table, and one JSON object as the last line.

usage: bench/run.py ingest [--spans N] [--concurrency N] [--connections N]
       bench/run.py query  [--spans N] [--data DIR [--load-only]]
       bench/run.py large  [--spans N]    query with 100M spans, loaded once into .cache/bench/large
       bench/run.py copies [--spans N]    how often a byte of a request is copied on its way
       bench/run.py forward [--spans N] [--rate N] [--wait S] [--collector BINARY]   errors and slow traces sent on to another spanloom
       bench/run.py segment|store         runs that micro-benchmark

Load is made by bench/loadgen (seed 1). CPU seconds are the server's own, from /proc, until all is
flushed and merged; wall times include the client, which shares the cores.
"""
import argparse
import json
import os
import re
import shutil
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time
import urllib.parse

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "test", "system"))
from copies import copies  # noqa: E402
from spanloom_server import Server, varint  # noqa: E402

CACHE = os.path.join(ROOT, ".cache", "bench")
DUMPED_MAX = 2_000_000  # more than this is generated while it is sent: a dump takes 500 bytes a span
QUIET_S = 3.0  # the server has settled when it used no CPU worth counting for so long


def go_program():
    return shutil.which("go") or os.path.join(ROOT, ".cache", "go", "bin", "go")


def loadgen():
    os.makedirs(CACHE, exist_ok=True)
    binary = os.path.join(CACHE, "loadgen")
    subprocess.run([go_program(), "build", "-o", binary, "."], cwd=os.path.join(ROOT, "bench", "loadgen"), check=True)
    return binary


def dump(binary, spans):
    path = os.path.join(CACHE, f"load-{spans}.dump")
    if not os.path.exists(path + ".meta.json"):
        subprocess.run([binary, "-dump", path, "-spans", str(spans), "-seed", "1"], check=True, stdout=subprocess.DEVNULL)
    return path


def cpu_s(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        text = f.read()
    return {k: int(re.search(rf"{k}:\s+(\d+)", text)[1]) * 1024 for k in ("VmHWM", "VmRSS", "RssAnon")}


def settle(server):
    """Waits until everything is on disk and merged."""
    last, since = cpu_s(server.process.pid), time.time()
    while time.time() - since < QUIET_S or server.metric("spanloom_store_segments_in_memory") > 0:
        time.sleep(0.25)
        now = cpu_s(server.process.pid)
        if now - last > 0.03:
            last, since = now, time.time()


STORE_CONFIG = "store:\n  flush_after: 5s\n"


def disk_bytes(data):
    total = 0
    for folder, _, names in os.walk(data):
        # The reserve is a fixed size, whatever is stored.
        total += sum(os.path.getsize(os.path.join(folder, n)) for n in names if os.path.basename(folder) != "log" and n != "reserve")
    return total


def table(rows):
    width = max(len(r[0]) for r in rows)
    for name, value in rows:
        print(f"  {name:{width}}  {value}")


def ingest(options):
    binary = loadgen()
    path = dump(binary, options.spans)
    with tempfile.TemporaryDirectory(prefix="spanloom-bench-") as folder:
        server = Server(data=os.path.join(folder, "data"), config=STORE_CONFIG).start()
        idle = memory(server.process.pid)
        peak_anon = 0
        client = subprocess.Popen([binary, "-endpoint", f"127.0.0.1:{server.ports['otlp-grpc']}", "-replay", path, "-shift-to-now",
                                   "-concurrency", str(options.concurrency), "-connections", str(options.connections)],
                                  stdout=subprocess.PIPE, text=True)
        while client.poll() is None:
            peak_anon = max(peak_anon, memory(server.process.pid)["RssAnon"])
            time.sleep(0.02)
        report = json.loads(client.stdout.read())
        ingest_cpu_s = cpu_s(server.process.pid)
        settle(server)
        cpu = cpu_s(server.process.pid)
        peak_anon = max(peak_anon, memory(server.process.pid)["RssAnon"])
        peak = memory(server.process.pid)
        syncs = server.metric("spanloom_log_syncs_total")
        sync_ms = {q: server.metric("spanloom_log_sync_seconds", f'quantile="{q}"') * 1000 for q in ("0.5", "0.99")}
        amplification = server.metric("spanloom_store_write_amplification")
        server.terminate()
        disk = disk_bytes(server.data)
    millions = report["spans_accepted"] / 1e6
    result = {"spans": report["spans_accepted"], "failed": report["spans_failed"], "rejected": report["spans_rejected"],
              "spans_per_s": round(report["spans_per_s"]), "request_ms_p50": report["request_ms_p50"], "request_ms_max": report["request_ms_max"],
              "cpu_s_per_million_spans": round(cpu / millions, 2), "cpu_s_per_million_spans_while_sending": round(ingest_cpu_s / millions, 2),
              "peak_rss_anon_bytes": peak_anon, "peak_rss_bytes": peak["VmHWM"], "idle_rss_anon_bytes": idle["RssAnon"],
              "bytes_per_span": round(disk / report["spans_accepted"], 1), "log_syncs": int(syncs),
              "sync_ms_p50": round(sync_ms["0.5"], 1), "sync_ms_p99": round(sync_ms["0.99"], 1), "write_amplification": round(amplification, 2),
              "concurrency": options.concurrency, "connections": options.connections, "client_cpu_s": report["cpu_s"]}
    table([("spans accepted", f"{result['spans']:,} ({result['failed']} failed, {result['rejected']} rejected)"),
           ("spans per second, durable", f"{result['spans_per_s']:,}"),
           ("server CPU-s per million spans", f"{result['cpu_s_per_million_spans']} (to segments on disk; {result['cpu_s_per_million_spans_while_sending']} while sending)"),
           ("bytes per span on disk", result["bytes_per_span"]),
           ("peak RSS, anonymous / all", f"{peak_anon / 1e6:.0f} / {peak['VmHWM'] / 1e6:.0f} MB"),
           ("idle RSS, anonymous", f"{idle['RssAnon'] / 1e6:.1f} MB"),
           ("request p50 / max", f"{report['request_ms_p50']:.1f} / {report['request_ms_max']:.1f} ms, {options.concurrency} in flight"),
           ("syncs of the log", f"{int(syncs)}, p50 {sync_ms['0.5']:.0f} ms, p99 {sync_ms['0.99']:.0f} ms"),
           ("bytes written per byte received", round(amplification, 2))])
    print(json.dumps(result))


def read_reply(connection):
    """Status and body of one reply on a plain socket: a client of the library takes longer than the server."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(1 << 16)
    head, body = data.split(b"\r\n\r\n", 1)
    length = int(re.search(rb"content-length: *(\d+)", head, re.IGNORECASE)[1])
    body = bytearray(body)
    while len(body) < length:
        body += connection.recv(1 << 18)
    return int(head.split(b" ", 2)[1]), bytes(body)


WARM_MAX_S = 15


def timed(server, path, times=21):
    """Milliseconds: the median of warm repetitions on one connection, of as many as 15 seconds take, and the first."""
    took, begun = [], time.perf_counter()
    with socket.create_connection(("127.0.0.1", server.ports["http"]), timeout=120) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(times):
            started = time.perf_counter()
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            status, body = read_reply(connection)
            took.append((time.perf_counter() - started) * 1000)
            if status != 200:
                raise RuntimeError(f"{path}: {status} {body[:300]}")
            if len(took) > 1 and time.perf_counter() - begun > WARM_MAX_S:
                break
    return statistics.median(took[1:]), took[0]


def cold(server, path, times=5):
    """Milliseconds: the first question after a start, with nothing of the disk in memory; None where that takes more rights."""
    took = []
    for _ in range(times):
        server.terminate()
        try:
            os.sync()
            with open("/proc/sys/vm/drop_caches", "w", encoding="ascii") as f:
                f.write("3")
        except OSError:
            server.start()
            return None
        server.start()
        with socket.create_connection(("127.0.0.1", server.ports["http"]), timeout=120) as connection:
            started = time.perf_counter()
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            if read_reply(connection)[0] != 200:
                raise RuntimeError(path)
            took.append((time.perf_counter() - started) * 1000)
    return statistics.median(took)


def stream_first_ms(port, query, window, times=11):
    """Milliseconds from asking tempopb.StreamingQuerier/Search to its first message: the median of warm repetitions."""
    def frame(kind, flags, payload):
        return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", 0 if kind == 4 else 1) + payload

    def number(field, value):
        return varint(field << 3) + varint(value)

    path = b"/tempopb.StreamingQuerier/Search"
    fields = ((b":method", b"POST"), (b":scheme", b"http"), (b":path", path), (b":authority", b"localhost"), (b"content-type", b"application/grpc"), (b"te", b"trailers"))
    block = b"".join(b"\0" + bytes([len(k)]) + k + bytes([len(v)]) + v for k, v in fields)
    message = number(4, window["limit"]) + number(5, window["start"]) + number(6, window["end"]) + varint(8 << 3 | 2) + varint(len(query)) + query.encode()
    opening = (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, b"") + frame(1, 4, block) + frame(0, 1, b"\0" + struct.pack(">I", len(message)) + message))
    took = []
    for _ in range(times):
        with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            started, buffer, first_ms = time.perf_counter(), b"", None
            connection.sendall(opening)
            while first_ms is None:
                part = connection.recv(1 << 16)
                if not part:
                    raise RuntimeError("the stream ended before its first message")
                buffer += part
                while len(buffer) >= 9 and len(buffer) >= 9 + int.from_bytes(buffer[:3], "big"):
                    size, kind, flags = int.from_bytes(buffer[:3], "big"), buffer[3], buffer[4]
                    buffer = buffer[9 + size:]
                    if kind == 0:
                        first_ms = (time.perf_counter() - started) * 1000
                        break
                    if kind in (3, 7) or kind == 1 and flags & 1:
                        raise RuntimeError("the stream was refused")
            took.append(first_ms)
    return statistics.median(took[1:])


def language_cases(window):
    """TraceQL: name, path, repetitions. The load is spread over the hour before it was sent, which takes minutes."""
    hour = {"start": window["end"] - 4200, "end": window["end"]}

    def search(q):
        return "/api/search?" + urllib.parse.urlencode({"q": q, **window})

    def series(q):
        return "/api/metrics/query_range?" + urllib.parse.urlencode({"q": q, **hour})

    def whole(q):
        return "/api/metrics/query?" + urllib.parse.urlencode({"q": q, **hour})

    def tags(path):
        return path + "?" + urllib.parse.urlencode(hour)

    return [("attribute filter, newest 20", search("{ span.http.response.status_code = 500 }"), 21),
            ("{ } >> errors, newest 20", search("{ } >> { status = error }"), 21),
            ("server >> client errors, newest 20", search("{ kind = server } >> { kind = client && status = error }"), 21),
            ("count() > 100, newest 20", search("{ } | count() > 100"), 11),
            ("{ } >> errors, counted", whole("{ } >> { status = error } | count_over_time()"), 5),
            ("server >> client errors, counted", whole("{ kind = server } >> { kind = client && status = error } | count_over_time()"), 5),
            ("rate() by service", series("{ } | rate() by(resource.service.name)"), 11),
            ("error rate() by service", series("{ status = error } | rate() by(resource.service.name)"), 11),
            ("quantiles by name", series("{ } | quantile_over_time(duration, .5, .95, .99) by(name)"), 11),
            ("compare(errors), 1 h", whole("{ } | compare({ status = error })"), 5),
            ("compare(errors), 1 h, sampled", whole("{ } | compare({ status = error }) with(sample=true)"), 5),
            ("compare(errors) of roots, 1 h, in steps, sampled",
             series("{ nestedSetParent < 0 && true } | compare({ status = error }, 10) with(sample=true)"), 5),
            ("tag names", tags("/api/v2/search/tags"), 21),
            ("tag values", tags("/api/v2/search/tag/resource.service.name/values"), 21),
            ("tag values of a span's attribute", tags("/api/v2/search/tag/span.http.route/values"), 21)]


def load(server, options):
    """Sends the spans; what the generator says of them (needle_trace_id)."""
    binary = loadgen()
    send = [binary, "-endpoint", f"127.0.0.1:{server.ports['otlp-grpc']}", "-concurrency", "16", "-connections", "2"]
    if options.spans <= DUMPED_MAX:
        path = dump(binary, options.spans)
        subprocess.run(send + ["-replay", path, "-shift-to-now"], check=True, stdout=subprocess.DEVNULL)
        with open(path + ".meta.json", encoding="utf-8") as f:
            return json.load(f)
    done = subprocess.run(send + ["-spans", str(options.spans)], check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)


def start_with_log(server):
    """Killed just after spans came in: what the log alone holds is read back at the start."""
    subprocess.run([loadgen(), "-endpoint", f"127.0.0.1:{server.ports['otlp-grpc']}", "-concurrency", "16", "-replay", dump(loadgen(), 250_000),
                    "-shift-to-now"], check=True, stdout=subprocess.DEVNULL)
    log_bytes = server.metric("spanloom_store_unflushed_log_bytes")
    server.kill()
    started = time.time()
    server.start()
    took = time.time() - started
    return {"start_with_log_s": round(took, 3), "start_log_bytes": int(log_bytes), "start_rss_anon_bytes": memory(server.process.pid)["RssAnon"]}


def query(options):
    with tempfile.TemporaryDirectory(prefix="spanloom-bench-") as folder:
        kept = options.data and os.path.abspath(options.data)
        data = kept or os.path.join(folder, "data")
        note = data + ".load.json"
        if kept:
            os.makedirs(os.path.dirname(kept), exist_ok=True)
        server = Server(data=data, config=STORE_CONFIG).start()
        if os.path.exists(note):
            with open(note, encoding="utf-8") as f:
                meta = json.load(f)
            settle(server)  # an hour that is over by now is merged once more
        else:
            meta = load(server, options)
            settle(server)
            meta = {"needle_trace_id": meta["needle_trace_id"], "loaded_s": time.time()}
            with open(note, "w", encoding="utf-8") as f:
                json.dump(meta, f)
        if options.load_only:
            server.terminate()
            return
        end = int(meta["loaded_s"]) + 60
        window = {"start": end - 3 * 3600, "end": end, "limit": 20}
        service, operation = "product-catalog", "oteldemo.ProductCatalogService/SearchProducts"

        def search(q):
            return "/api/search?" + urllib.parse.urlencode({"q": q, **window})

        cases = [("trace by id", f"/api/v2/traces/{meta['needle_trace_id']}"),
                 ('needle user.id = "4815"', search('{ span.user.id = "4815" }')),
                 ("absent needle", search('{ span.user.id = "nobody-has-this" }')),
                 ("service + operation, newest 20", search(f'{{ resource.service.name = "{service}" && name = "{operation}" }}')),
                 ("errors, newest 20", search("{ status = error }")),
                 ("duration > 1 s, newest 20", search("{ duration > 1s }")),
                 ("everything, newest 20", search("{ }")),
                 ("substring of a statement", search('{ span.db.query.text =~ ".*UPDATE.*" }')),
                 ("services", "/api/services"),
                 ("rate, errors, p50, p95 by service per minute",
                  f"/api/ui/v1/services?from={(end - 3600) * 10**9}&to={end * 10**9}&step={60 * 10**9}")]
        disk = disk_bytes(server.data)
        result = {"spans": options.spans, "segments": int(server.metric("spanloom_store_segments")), "disk_bytes": disk}
        rows = []
        for name, target in cases:
            warm, first = timed(server, target)
            result[re.sub(r"\W+", "_", name).strip("_") + "_ms"] = round(warm, 2)
            rows.append((name, f"{warm:8.2f} ms warm   {first:8.2f} ms first"))
        for name, target, times in language_cases(window):
            warm, first = timed(server, target, times)
            result["traceql_" + re.sub(r"\W+", "_", name.replace(">>", "over")).strip("_") + "_ms"] = round(warm, 2)
            rows.append((name, f"{warm:8.2f} ms warm   {first:8.2f} ms first"))
        result["traceql_first_of_a_stream_ms"] = round(stream_first_ms(server.ports["http"], "{ status = error }", window), 2)
        rows.append(("{ status = error }, first message of a stream", f"{result['traceql_first_of_a_stream_ms']:8.2f} ms warm"))
        for name, target in cases[:2]:
            first = cold(server, target)
            result[re.sub(r"\W+", "_", name).strip("_") + "_cold_ms"] = first and round(first, 2)
            rows.append((name + ", first question on a cold disk", f"{first:8.2f} ms" if first else "not measured: only root can empty the page cache"))
        server.kill()
        started = time.time()
        server.start()
        result["start_after_kill_s"] = round(time.time() - started, 3)
        rows.append(("start to ready after kill -9", f"{result['start_after_kill_s']} s"))
        if not kept:
            result.update(start_with_log(server))
            rows.append(("the same with a log that was not flushed",
                         f"{result['start_with_log_s']} s, {result['start_log_bytes'] / 1e6:.0f} MB of log, {result['start_rss_anon_bytes'] / 1e6:.0f} MB anonymous"))
        server.terminate()
    print(f"  {options.spans:,} spans, over HTTP with a connection kept open, medians of 20")
    table(rows)
    print(json.dumps(result))


FORWARD_RULES = "[{name: errors, match: '{ status = error }'}, {name: slow, match: '{ trace:duration > 2s }'}]"
FORWARD_SPAN_RULES = "[{name: errors, match: '{ status = error }'}, {name: slow, match: '{ duration > 2s }'}]"


def collector_config(port, target, wait_s):
    """The Collector with the same wait and policies; its latency is the trace's."""
    return json.dumps({
        "receivers": {"otlp": {"protocols": {"grpc": {"endpoint": f"127.0.0.1:{port}"}}}},
        "processors": {"tail_sampling": {"decision_wait": f"{wait_s}s", "num_traces": 500_000, "expected_new_traces_per_sec": 2000, "policies": [
            {"name": "errors", "type": "status_code", "status_code": {"status_codes": ["ERROR"]}},
            {"name": "slow", "type": "latency", "latency": {"threshold_ms": 2000}}]}},
        "exporters": {"otlp": {"endpoint": target, "tls": {"insecure": True}}},
        "service": {"pipelines": {"traces": {"receivers": ["otlp"], "processors": ["tail_sampling"], "exporters": ["otlp"]}}}})


class CollectorProcess:
    def __init__(self, binary, target, wait_s):
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.process = subprocess.Popen([binary, "--config", "yaml:" + collector_config(self.port, target, wait_s)], stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
        deadline = time.time() + 30
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                if time.time() > deadline:
                    raise
                time.sleep(0.1)


def trace_ids(server):
    """Of everything that the server holds."""
    found, lines = set(), subprocess.run([server_binary(), "export", "--server", f"http://127.0.0.1:{server.ports['http']}"], check=True,
                                         stdout=subprocess.PIPE).stdout.splitlines()
    for line in lines:
        for resource in json.loads(line)["resourceSpans"]:
            found.update(s["traceId"] for scope in resource["scopeSpans"] for s in scope["spans"])
    return found


def server_binary():
    return os.environ.get("SPANLOOM_BINARY", os.path.join(ROOT, "build", "release", "spanloom"))


def paced(name, pid, port, options, binary, path):
    """CPU and memory of a process that gets so many spans a second, until everything was decided."""
    idle, most = memory(pid)["RssAnon"], 0
    client = subprocess.Popen([binary, "-endpoint", f"127.0.0.1:{port}", "-replay", path, "-shift-to-now", "-rate", str(options.rate)],
                              stdout=subprocess.PIPE, text=True)
    while client.poll() is None:
        time.sleep(0.1)
        most = max(most, memory(pid)["RssAnon"])
    report = json.loads(client.stdout.read())
    time.sleep(options.wait + 5)
    return {"name": name, "spans": report["spans_accepted"], "spans_per_s": round(report["spans_per_s"]),
            "cpu_s_per_million_spans": round(cpu_s(pid) / (report["spans_accepted"] / 1e6), 2), "peak_rss_anon_bytes": most, "idle_rss_anon_bytes": idle}


def forward(options):
    binary = loadgen()
    path = dump(binary, options.spans)
    held = options.rate * options.wait
    results, chosen = [], {}
    ways = [("spanloom, not forwarding", None), ("spanloom, rules of spans", FORWARD_SPAN_RULES), ("spanloom, rules of traces", FORWARD_RULES)]
    for name, rules in ways + ([("Collector", "")] if options.collector else []):
        with tempfile.TemporaryDirectory(prefix="spanloom-bench-") as folder:
            target = Server(data=os.path.join(folder, "target")).start()
            endpoint = f"127.0.0.1:{target.ports['otlp-grpc']}"
            if name == "Collector":
                collector = CollectorProcess(options.collector, endpoint, options.wait)
                results.append(paced(name, collector.process.pid, collector.port, options, binary, path))
                collector.process.terminate()
                collector.process.wait()
            else:
                config = f"forward: [{{name: target, endpoint: '{endpoint}', wait: {options.wait}s, keep: {rules}}}]\n" if rules else ""
                server = Server(data=os.path.join(folder, "data"), config=config).start()
                results.append(paced(name, server.process.pid, server.ports["otlp-grpc"], options, binary, path))
                server.terminate()
            if rules is not None:
                chosen[name] = trace_ids(target)
                results[-1]["traces_forwarded"] = len(chosen[name])
            target.terminate()
    base = results[0]
    for one in results:
        grown = one["peak_rss_anon_bytes"] - (one["idle_rss_anon_bytes"] if one["name"] == "Collector" else base["peak_rss_anon_bytes"])
        one["rss_bytes_per_held_span"] = round(grown / held, 1)
    rows = [(one["name"], f"{one['cpu_s_per_million_spans']:6.2f} CPU-s per million spans   {one['peak_rss_anon_bytes'] / 1e6:6.0f} MB anonymous   "
             f"{one['rss_bytes_per_held_span']:8.1f} bytes per held span   {one.get('traces_forwarded', 0):6} traces forwarded") for one in results]
    print(f"  {options.spans:,} spans at {options.rate:,} a second, wait {options.wait} s; held: {held:,} spans")
    table(rows)
    result = {"rate": options.rate, "wait_s": options.wait, "runs": results}
    if options.collector:
        result["decided_differently"] = len(chosen["Collector"] ^ chosen["spanloom, rules of traces"])
        print(f"  traces that the Collector and spanloom decided differently: {result['decided_differently']}")
    print(json.dumps(result))


SPARSE_KEYS = 10_000


def store(options):
    """The store alone, and again where every span has one attribute more with one of very many keys."""
    program = os.path.join(ROOT, "build", "release", "bench", "store_bench")
    result, rows = {"spans": options.spans}, []
    for name, keys in (("plain", 0), (f"{SPARSE_KEYS:,} sparse keys", SPARSE_KEYS)):
        with tempfile.TemporaryDirectory(prefix="spanloom-bench-") as folder:
            done = subprocess.run([program, folder, str(options.concurrency), str(options.spans), str(keys)], capture_output=True, text=True, check=True)
        figures = json.loads(done.stdout)
        result["sparse_keys" if keys else "plain"] = figures
        rows.append((name, f"{figures['spans_per_s']:,.0f} spans/s, {figures['cpu_s_per_million']} CPU-s per million spans, {figures['bytes_per_span']} bytes a span"))
    table(rows)
    print(json.dumps(result))


AGEING_DUMP_SPANS = 1_000_000


def ageing(options):
    """Rules previewed over a store, and the store's hours aged by them: copies of a million spans, each an hour."""
    program = os.path.join(ROOT, "build", "release", "bench", "ageing_bench")
    spans = min(options.spans, AGEING_DUMP_SPANS)
    load = dump(loadgen(), spans)
    with tempfile.TemporaryDirectory(prefix="spanloom-bench-", dir=CACHE) as folder:
        done = subprocess.run([program, load, folder, str(max(1, options.spans // spans))], capture_output=True, text=True, check=True)
    figures = json.loads(done.stdout)
    table([("preview", f"{figures['preview_s']} s, {figures['preview_cpu_s_per_million']} CPU-s per million spans"),
           ("ageing", f"{figures['ageing_s']} s, {figures['ageing_cpu_s_per_million']} CPU-s per million spans, {figures['kept_share']:.1%} of spans kept"),
           ("decisions and counts", f"{figures['decision_bytes']:,} and {figures['counts_bytes']:,} bytes; the counts by the minute "
            f"{figures['counts_by_minute_bytes']:,}, by the hour as one day {figures['counts_by_hour_bytes']:,}, as of a month {figures['counts_of_month_bytes']:,}")])
    print(json.dumps(figures))


COUNTED_LOADS = ((20, 10, 1000), (10, 10, 100))  # services, operations of each, spans a second


def counts():
    """What counts take that are kept for years: of loads that are made up, nothing is stored."""
    program = os.path.join(ROOT, "build", "release", "bench", "counts_bench")
    result, rows = [], []
    for load in COUNTED_LOADS:
        done = subprocess.run([program, *map(str, load)], capture_output=True, text=True, check=True)
        figures = json.loads(done.stdout)
        result.append(figures)
        rows.append((f"{load[0]} services with {load[1]} operations, {load[2]:,} spans/s",
                     f"an hour by 10 s {figures['hour_by_10s_bytes']:,} bytes, by the minute {figures['hour_by_minute_bytes']:,}; a day by the hour "
                     f"{figures['day_by_hour_bytes']:,}; a month {figures['month_bytes']:,}, a year {figures['year_bytes']:,}"))
        rows.append(("  read", f"an hour by 10 s {figures['decode_hour_by_10s_ms']:.1f} ms, by the minute {figures['decode_hour_by_minute_ms']:.1f}; "
                     f"a day {figures['decode_day_by_hour_ms']:.1f}; a month {figures['decode_month_ms']:.1f} ({figures['month_memory_bytes']:,} bytes in memory)"))
    table(rows)
    print(json.dumps({"loads": result}))


def segment():
    """The program prints its own table; the last line repeats its figures as JSON."""
    program = os.path.join(ROOT, "build", "release", "bench", "segment_bench")
    done = subprocess.run([program, dump(loadgen(), 200_000)], capture_output=True, text=True, check=True)
    print(done.stdout, end="")
    figures = {}
    for line in done.stdout.splitlines():
        m = re.match(r"\s*([A-Za-z][^:\d]*?):?\s+([\d,]+(?:\.\d+)?)\b(.*)$", line)
        if m:
            figures[re.sub(r"\W+", "_", m[1]).strip("_").lower()] = float(m[2].replace(",", ""))
    print(json.dumps(figures))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=["ingest", "query", "large", "copies", "forward", "segment", "store", "ageing", "counts"])
    parser.add_argument("--spans", type=int, default=None)
    parser.add_argument("--data", help="data directory that stays: loaded by the first run, used again by the next ones")
    parser.add_argument("--load-only", action="store_true")
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--rate", type=int, default=20_000, help="spans a second (forward)")
    parser.add_argument("--wait", type=int, default=10, help="seconds before a trace is decided about (forward)")
    parser.add_argument("--collector", help="a Collector with tail_sampling to compare with (test/collector)")
    options = parser.parse_args()
    if options.name == "large":
        options.data = options.data or os.path.join(CACHE, "large")
    options.spans = options.spans or (100_000_000 if options.name == "large" else 1_000_000)
    if options.name == "ingest":
        ingest(options)
    elif options.name == "copies":
        copies(sys.modules[__name__], options)
    elif options.name in ("query", "large"):
        query(options)
    elif options.name == "forward":
        forward(options)
    elif options.name == "store":
        store(options)
    elif options.name == "ageing":
        ageing(options)
    elif options.name == "counts":
        counts()
    else:
        segment()


if __name__ == "__main__":
    main()
