"""An unmodified OpenTelemetry Collector of its released Go modules, under test."""
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time

import spanloom_server
from spanloom_server import ROOT

SOURCE = os.path.join(ROOT, "test", "collector")
BINARY = os.path.join(ROOT, ".cache", "test", "collector")
BUILD_TIMEOUT_S = 900


def build():
    """The reason why there is none, or nothing."""
    go = shutil.which("go") or os.path.join(ROOT, ".cache", "go", "bin", "go")
    if not os.path.exists(go):
        return "Go is not installed"
    os.makedirs(os.path.dirname(BINARY), exist_ok=True)
    done = subprocess.run([go, "build", "-trimpath", "-o", BINARY, "."], cwd=SOURCE, capture_output=True, text=True, timeout=BUILD_TIMEOUT_S)
    return None if done.returncode == 0 else f"the Collector cannot be built: {done.stderr.strip().splitlines()[-1:]}"


def run_tests(tests, **options):
    """Those of a module; without those that need a Collector where none can be built."""
    reason = build()
    skipped = [n for n in vars(tests) if n.startswith("test_a_collector")] if reason else []
    for name in skipped:
        print(f"skip {name[5:].replace('_', ' ')}: {reason}", flush=True)
        delattr(tests, name)
    spanloom_server.run_tests(tests, skipped=len(skipped), **options)


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


class Collector:
    """OTLP in (gRPC and HTTP), OTLP/JSON lines out. `tls`: {"cert_file":..., "key_file":..., "client_ca_file":...}."""

    def __init__(self, tls=None):
        self.folder = tempfile.mkdtemp(prefix="spanloom-collector-")
        self.grpc, self.http = free_ports(2)
        self.output = os.path.join(self.folder, "spans.json")
        protocols = {"grpc": {"endpoint": f"127.0.0.1:{self.grpc}"}, "http": {"endpoint": f"127.0.0.1:{self.http}"}}
        for protocol in protocols.values():
            if tls:
                protocol["tls"] = tls
        self.config = {
            "receivers": {"otlp": {"protocols": protocols}},
            "exporters": {"file": {"path": self.output, "append": True}},
            "service": {"pipelines": {"traces": {"receivers": ["otlp"], "exporters": ["file"]}}},
        }
        self.process = None

    def start(self):
        self.log = open(os.path.join(self.folder, "log"), "ab")
        self.process = subprocess.Popen([BINARY, "--config", "yaml:" + json.dumps(self.config)], stdout=self.log, stderr=self.log,
                                        stdin=subprocess.DEVNULL)
        deadline = time.time() + 30
        for port in (self.grpc, self.http):
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port), timeout=1).close()
                    break
                except OSError:
                    if time.time() > deadline or self.process.poll() is not None:
                        with open(self.log.name, encoding="utf-8") as f:
                            raise RuntimeError(f"the Collector did not start: {f.read()[-1500:]}") from None
                    time.sleep(0.05)
        return self

    def stop(self):
        """As an operator does; what it took it writes out first."""
        self.process.terminate()
        self.process.wait(30)
        self.log.close()

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def spans(self):
        """Every span it wrote, as OTLP/JSON, with its resource and scope."""
        found = []
        with open(self.output, encoding="utf-8") as f:
            for line in f:
                for resource in json.loads(line)["resourceSpans"]:
                    for scope in resource["scopeSpans"]:
                        found += [(resource["resource"], scope["scope"], s) for s in scope["spans"]]
        return found
