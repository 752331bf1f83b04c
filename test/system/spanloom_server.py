"""A spanloom server under test, and small OTLP requests to send it. Only the standard library."""
import concurrent.futures
import http.client
import json
import os
import random
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import traceback

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BINARY = os.environ.get("SPANLOOM_BINARY", os.path.join(ROOT, "build", "release", "spanloom"))
START_TIMEOUT_S = 30


class Server:
    """One process on free ports of 127.0.0.1, with a data directory of its own unless given one."""

    def __init__(self, data=None, config=None, args=()):
        self.owns_data = data is None
        self.data = data or tempfile.mkdtemp(prefix="spanloom-test-")
        self.config, self.args = config, list(args)
        self.environment = {}  # beside this process's own
        self.process, self.ports = None, {}
        self.log_path = self.data + ".log"

    def start(self, keep_ports=False):
        command = [BINARY, "serve", "--data", self.data]
        for flag in ("otlp-grpc", "otlp-http", "http", "zipkin", "sampling"):
            command += [f"--{flag}", f"127.0.0.1:{self.ports.get(flag, 0) if keep_ports else 0}"]
        if self.config:
            path = self.data + ".yaml"
            with open(path, "w", encoding="utf-8") as f:
                f.write(self.config)
            command += ["--config", path]
        self.log = open(self.log_path, "ab")
        self.process = subprocess.Popen(command + self.args, stdout=subprocess.PIPE, stderr=self.log, stdin=subprocess.DEVNULL,
                                        env={**os.environ, **self.environment})
        self.ports = {}
        deadline = time.time() + START_TIMEOUT_S
        while time.time() < deadline:
            line = self.process.stdout.readline().decode()
            if not line:
                raise RuntimeError(f"spanloom ended with {self.process.wait()} before it was ready: {self.stderr_tail()}")
            m = re.match(r"\s+(otlp-grpc|otlp-http|http|zipkin|tempo|sampling)\s+(\S+):(\d+)", line)
            if m:
                self.ports[m[1]] = int(m[3])
            if line.strip() == "ready":
                return self
        raise RuntimeError("spanloom was not ready in time")

    def stderr_tail(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as f:
            return f.read()[-2000:]

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.process.stdout.close()
        self.log.close()

    def terminate(self, timeout_s=30):
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout_s)
        self.process.stdout.close()
        self.log.close()
        return code

    def clean(self):
        if self.process and self.process.poll() is None:
            self.kill()
        if self.owns_data:
            shutil.rmtree(self.data, ignore_errors=True)
            for end in (".log", ".yaml"):
                if os.path.exists(self.data + end):
                    os.remove(self.data + end)

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.clean()

    def request(self, port, method, path, body=None, headers=None, timeout=30):
        """(status, headers, body) of one request on a connection of its own."""
        c = http.client.HTTPConnection("127.0.0.1", self.ports[port], timeout=timeout)
        try:
            c.request(method, path, body=body, headers=headers or {})
            r = c.getresponse()
            return r.status, {k.lower(): v for k, v in r.getheaders()}, r.read()
        finally:
            c.close()

    def get_json(self, path):
        status, _, body = self.request("http", "GET", path, headers={"Accept": "application/json"})
        return status, json.loads(body) if body else None

    def send(self, body, content_type="application/x-protobuf", headers=None):
        return self.request("otlp-http", "POST", "/v1/traces", body, {"Content-Type": content_type, **(headers or {})})

    def metric(self, name, labels=""):
        """The sum over the series of a metric whose labels contain the text."""
        _, _, body = self.request("http", "GET", "/metrics")
        total = 0.0
        for line in body.decode().splitlines():
            m = re.match(r"(\w+)(\{.*\})? (\S+)$", line)
            if m and m[1] == name and labels in (m[2] or ""):
                total += float(m[3])
        return total

    def rss_bytes(self, field="VmRSS"):
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as f:
            return int(re.search(rf"{field}:\s+(\d+)", f.read())[1]) * 1024

    def wait_until(self, check, timeout_s=20, what="the condition"):
        """Polls until check() is true; the server has no way to tell us."""
        deadline = time.time() + timeout_s
        while True:
            value = check()
            if value:
                return value
            if time.time() > deadline:
                raise AssertionError(f"{what} did not come within {timeout_s} s")
            time.sleep(0.05)


# ---- protobuf by hand

def varint(n):
    out = bytearray()
    while n >= 0x80:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


def field(number, payload):
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def number(n, value):
    return varint(n << 3) + varint(value)


def fixed64(n, value):
    return varint(n << 3 | 1) + struct.pack("<Q", value)


def text(n, value):
    return field(n, value.encode())


def attribute(key, value):
    if isinstance(value, bool):
        inner = number(2, int(value))
    elif isinstance(value, int):
        inner = number(3, value & (1 << 64) - 1)
    elif isinstance(value, float):
        inner = varint(4 << 3 | 1) + struct.pack("<d", value)
    elif isinstance(value, bytes):
        inner = field(7, value)
    else:
        inner = text(1, value)
    return text(1, key) + field(2, inner)


def span(trace_id, span_id, name="work", parent=b"", start_ns=None, duration_ns=1_000_000, kind=2, attributes=None, error=None, extra=b""):
    start_ns = time.time_ns() - duration_ns if start_ns is None else start_ns
    out = field(1, trace_id) + field(2, span_id) + (field(4, parent) if parent else b"") + text(5, name) + number(6, kind)
    out += fixed64(7, start_ns) + fixed64(8, start_ns + duration_ns)
    for k, v in (attributes or {}).items():
        out += field(9, attribute(k, v))
    if error is not None:
        out += field(15, text(2, error) + number(3, 2))
    return out + extra


def request(spans, service="shop", resource=None):
    attributes = b"".join(field(1, attribute(k, v)) for k, v in {"service.name": service, **(resource or {})}.items())
    return field(1, field(1, attributes) + field(2, field(1, text(1, "test")) + b"".join(field(2, s) for s in spans)))


def ids(rng):
    return rng.randbytes(16), rng.randbytes(8)


# ---- a very small test runner

def run_tests(module, skipped=0, at_once=1):
    """Runs every test_* function of a module; the last line is 'N passed, N failed', and ', N skipped' where some were.
    Tests that mostly wait may run several at once."""
    wanted = sys.argv[1:]

    def run(name, test):
        try:
            test()
            print(f"ok   {name[5:].replace('_', ' ')}", flush=True)
            return True
        except Exception:  # noqa: BLE001 - whatever a test throws is its failure
            print(f"FAIL {name[5:].replace('_', ' ')}\n{traceback.format_exc()}", flush=True)
            return False

    tests = [one for one in sorted(vars(module).items()) if one[0].startswith("test_") and (not wanted or one[0] in wanted)]
    with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
        done = list(pool.map(lambda one: run(*one), tests))
    passed, failed = sum(done), len(done) - sum(done)
    print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
    sys.exit(1 if failed else 0)


__all__ = ["Server", "BINARY", "ROOT", "attribute", "field", "fixed64", "ids", "number", "random", "request", "run_tests", "span", "text", "varint"]
