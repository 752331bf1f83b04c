#!/usr/bin/env python3
"""Runs h2spec, plain and strict, against every port of the release binary.

The last line is 'N passed, N failed, N skipped'. Without Go 1.24 or newer the checks are skipped,
and the reason is said.
"""
import os
import re
import shutil
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "test", "system"))
from spanloom_server import Server  # noqa: E402

VERSION = "v2.2.1+incompatible"


def install():
    """The path of h2spec, or None and why not."""
    binary = os.path.join(ROOT, ".cache", "h2spec", "h2spec")
    if os.path.exists(binary):
        return binary, ""
    go = shutil.which("go") or os.path.join(ROOT, ".cache", "go", "bin", "go")
    if not os.path.exists(go):
        return None, "h2spec is a Go program, and there is no Go here"
    version = re.search(r"go1\.(\d+)", subprocess.run([go, "version"], capture_output=True, text=True, check=False).stdout)
    if not version or int(version[1]) < 24:
        return None, "h2spec needs Go 1.24 or newer"
    done = subprocess.run([go, "install", f"github.com/summerwind/h2spec/cmd/h2spec@{VERSION}"], capture_output=True, text=True,
                          env={**os.environ, "GOBIN": os.path.dirname(binary), "GOFLAGS": "-mod=mod"}, check=False)
    if done.returncode:
        return None, f"h2spec could not be built: {done.stderr.strip()[-300:]}"
    return binary, ""


def main():
    h2spec, reason = install()
    if h2spec is None:
        print(f"skipped: {reason}")
        print("0 passed, 0 failed, 1 skipped")
        return 0
    passed = failed = skipped = 0
    with Server() as server:
        for name, port in server.ports.items():
            for strict in ([], ["--strict"]):
                done = subprocess.run([h2spec, *strict, "-h", "127.0.0.1", "-p", str(port), "-o", "5"], capture_output=True, text=True,
                                      timeout=600, check=False)
                m = re.search(r"(\d+) tests, (\d+) passed, (\d+) skipped, (\d+) failed", done.stdout)
                if not m:
                    print(done.stdout[-2000:], done.stderr[-500:])
                    failed += 1
                    continue
                print(f"{name} {' '.join(strict) or 'plain'}: {m[0]}", flush=True)
                if int(m[4]):
                    print("\n".join(re.findall(r".*×.*", done.stdout)[:40]))
                passed, skipped, failed = passed + int(m[2]), skipped + int(m[3]), failed + int(m[4])
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
