#!/usr/bin/env python3
"""Runs the real SDKs of test/clients against the release binary and compares what they sent with what is stored.

The clients are built once into .cache/clients. The last line is 'N passed, N failed'.
"""
import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "test", "system"))
from spanloom_server import Server  # noqa: E402


def main():
    build = os.path.join(ROOT, ".cache", "clients")
    run = os.path.join(ROOT, "test", "clients", "run.sh")
    clients = sys.argv[1] if len(sys.argv) > 1 else "go,python,node,java,rust,zipkin"
    stamp = os.path.join(build, "installed-" + clients.replace(",", "-"))
    if not os.path.exists(stamp):
        print("building the clients (once; Rust takes minutes)", flush=True)
        subprocess.run(["bash", run, "--build", build, "--install-only", "--clients", clients], check=True)
        open(stamp, "w", encoding="utf-8").close()
    with Server() as server:
        at = {name: f"http://127.0.0.1:{port}" for name, port in server.ports.items()}
        return subprocess.run(["bash", run, "--build", build, "--clients", clients, "--grpc", at["otlp-grpc"], "--http", at["otlp-http"],
                               "--zipkin", at["zipkin"] + "/api/v2/spans", "--jaeger", at["http"], "--tempo", at["http"],
                               "--check", "--jaeger-v3"], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
