#!/usr/bin/env python3
"""The rivals of ./dev bench sdk: programs of ours against their public APIs, the same scenarios.

usage: bench/sdk/rivals/rivals.py [NAME ...]     one JSON object: {NAME: {scenario: ns} or {"skipped": why}}

opentelemetry_rust and fastrace are built with cargo, opentelemetry_go with Go, opentelemetry_cpp with
CMake where OPENTELEMETRY_CPP_DIR names an installed one. Each is built once into .cache/bench/rivals.
"""
import json
import os
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(HERE)))
CACHE = os.path.join(ROOT, ".cache", "bench", "rivals")
BUILD_TIMEOUT_S = 1800
RUN_TIMEOUT_S = 300


class Absent(Exception):
    """Why a rival is not here."""


def build(command, folder, env=None):
    try:
        done = subprocess.run(command, cwd=os.path.join(HERE, folder), env={**os.environ, **(env or {})}, capture_output=True, text=True,
                              timeout=BUILD_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        raise Absent(f"its build took more than {BUILD_TIMEOUT_S} s") from None
    if done.returncode != 0:
        raise Absent(f"it cannot be built here: {' '.join((done.stderr or done.stdout).strip().splitlines()[-2:])[:300]}")


def rust(program):
    if not shutil.which("cargo"):
        raise Absent("cargo is not installed")
    target = os.path.join(CACHE, "rust")
    build(["cargo", "build", "--release", "--locked", "--bin", program], "rust", {"CARGO_TARGET_DIR": target})
    return os.path.join(target, "release", program)


def go():
    compiler = shutil.which("go") or os.path.join(ROOT, ".cache", "go", "bin", "go")
    if not os.path.exists(compiler):
        raise Absent("Go is not installed")
    program = os.path.join(CACHE, "opentelemetry_go")
    build([compiler, "build", "-trimpath", "-o", program, "."], "go")
    return program


def cpp():
    installed = os.environ.get("OPENTELEMETRY_CPP_DIR")
    if not installed:
        raise Absent("OPENTELEMETRY_CPP_DIR names no installed opentelemetry-cpp")
    folder = os.path.join(CACHE, "cpp")
    build(["cmake", "-S", ".", "-B", folder, "-DCMAKE_BUILD_TYPE=Release", f"-DCMAKE_PREFIX_PATH={installed}"], "cpp")
    build(["cmake", "--build", folder], "cpp")
    return os.path.join(folder, "opentelemetry_cpp")


RIVALS = {"opentelemetry_rust": lambda: rust("opentelemetry_rust"), "fastrace": lambda: rust("fastrace"),
          "opentelemetry_go": go, "opentelemetry_cpp": cpp}


def prepare(name):
    """The rival's program, built; raises Absent."""
    os.makedirs(CACHE, exist_ok=True)
    return RIVALS[name]()


def run(program):
    """Its medians, in the keys of ./dev bench sdk."""
    done = subprocess.run([program], capture_output=True, text=True, timeout=RUN_TIMEOUT_S)
    if done.returncode != 0:
        raise RuntimeError(f"{program} ended with {done.returncode}: {done.stderr.strip()[-200:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def measure(name):
    """The same, or {"skipped": why}."""
    try:
        return run(prepare(name))
    except (Absent, RuntimeError) as why:
        return {"skipped": str(why)}
    except subprocess.TimeoutExpired:
        return {"skipped": f"it did not end within {RUN_TIMEOUT_S} s"}


def main():
    print(json.dumps({name: measure(name) for name in sys.argv[1:] or RIVALS}))


if __name__ == "__main__":
    main()
