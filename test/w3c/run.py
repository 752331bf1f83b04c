#!/usr/bin/env python3
"""Runs the W3C's trace-context test suite, whole and strict, against a small service on the SDK.

usage: test/w3c/run.py SERVICE      (build/release/src/sdk/w3c_service)

The suite (github.com/w3c/trace-context) is not ours to copy: W3C_SUITE_DIR says where it lies.
Without it, the rules are still tested by propagators_test.cc and trace_headers_test.cc. The last
line is 'N passed, N failed, N skipped'.
"""
import os
import re
import socket
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def python_with_aiohttp():
    """An interpreter that has what the suite needs: this one, or one of .cache."""
    if subprocess.run([sys.executable, "-c", "import aiohttp"], capture_output=True).returncode == 0:
        return sys.executable
    folder = os.path.join(ROOT, ".cache", "w3c")
    python = os.path.join(folder, "bin", "python")
    if not os.path.exists(python):
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([python, "-m", "pip", "install", "-q", "aiohttp==3.13.2"], check=True)
    return python


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def main():
    suite = os.environ.get("W3C_SUITE_DIR")
    if not suite or not os.path.exists(os.path.join(suite, "test", "test.py")):
        print("W3C_SUITE_DIR names no checkout of github.com/w3c/trace-context: the suite is skipped")
        print("0 passed, 0 failed, 1 skipped")
        return 0
    python = python_with_aiohttp()
    service = subprocess.Popen([sys.argv[1]], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        port = int(service.stdout.readline())
        with tempfile.TemporaryDirectory() as folder:
            run = subprocess.run([python, os.path.join(suite, "test", "test.py"), f"http://127.0.0.1:{port}/test"], cwd=folder,
                                 env={**os.environ, "STRICT_LEVEL": "2", "SPEC_LEVEL": "2", "HARNESS_PORT": str(free_port()),
                                      "PYTHONDONTWRITEBYTECODE": "1"},
                                 stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=600)
    finally:
        service.stdin.close()
        service.wait(10)
    print(run.stdout)
    passed = len(re.findall(r"\.\.\. ok$", run.stdout, re.M))
    failed = len(re.findall(r"\.\.\. (?:FAIL|ERROR)$", run.stdout, re.M))
    skipped = len(re.findall(r"\.\.\. skipped", run.stdout, re.M))
    if run.returncode != 0 and failed == 0:
        failed = 1
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
