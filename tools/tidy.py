#!/usr/bin/env python3
"""Checks the structure of the tree, as rules that a machine keeps.

Layers (a folder includes only folders earlier in the order of the data), headers that compile
alone, sizes, banned names, dead headers, documents. Each rule is one check; the last line is
'N passed, N failed'. --fast leaves out compiling the headers.
"""
import concurrent.futures
import os
import re
import shutil
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LAYERS = ["base", "otlp", "privacy", "http", "send", "sdk", "instrumentation", "receive", "store", "rollup", "traceql",
          "sampling", "insight", "api", "main"]
# Headers of third parties that our own headers may show.
OPEN_THIRD = {"fmt/core.h", "tl/expected.hpp", "xxhash.h", "doctest/doctest.h"}
# Public headers that exist for a third party's library show it.
SHOWN_THIRD = {"asio.h": "boost/", "instrumentation/beast.h": "boost/", "instrumentation/httplib.h": "httplib.h",
               "instrumentation/curl.h": "curl/", "instrumentation/grpc.h": "grpcpp/", "instrumentation/libpq.h": "libpq-fe.h",
               "instrumentation/hiredis.h": "hiredis/", "instrumentation/spdlog.h": "spdlog/"}
# Where those are, beside the compiler's own folders; the headers that need C++20.
THIRD_INCLUDES = ["-isystem", "/usr/include/postgresql"]
PUBLIC_CPP20 = {"include/spanloom/coroutine.h"}
SYSTEM = re.compile(r"^((sys|netinet|arpa)/)?[a-z_]+\.h$")  # POSIX
STANDARD = re.compile(r"^[a-z_0-9]+$")
LINE_MAX = 100
FILE_LINES_MAX = 1000
BLOB_BYTES_MAX = 512 * 1024
HEADERS = "build/headers"  # what compiles each header alone


def tracked():
    out = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [f for f in out.splitlines() if os.path.exists(os.path.join(ROOT, f))]


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as f:
        return f.read()


def includes(text):
    return re.findall(r'^\s*#\s*include\s+([<"])([^>"]+)[>"]', text, re.M)


def check_layers(files):
    """A folder of src/ includes only itself and folders earlier in the list."""
    bad = []
    for f in files:
        m = re.match(r"src/(\w+)/.*\.(h|cc)$", f)
        if not m:
            continue
        if m[1] not in LAYERS:
            bad.append(f"{f}: src/{m[1]} is not a folder of the design")
            continue
        for quote, name in includes(read(f)):
            target = name.split("/")[0]
            if quote == '"' and target in LAYERS and LAYERS.index(target) > LAYERS.index(m[1]):
                bad.append(f"{f} includes {name}: {target} comes after {m[1]}")
    return bad


def check_walls(files):
    """A header that shows a third party's is read by its own folder only; the SDK's public headers use the standard library only."""
    bad = []
    showing = {}
    for f in files:
        if not re.match(r"(src|include)/.*\.h$", f):
            continue
        for quote, name in includes(read(f)):
            if quote == "<" and not STANDARD.match(name) and not SYSTEM.match(name) and name not in OPEN_THIRD:
                showing[f[len("src/"):]] = name
            shown = SHOWN_THIRD.get(f[len("include/spanloom/"):])
            if quote == "<" and f.startswith("include/") and not STANDARD.match(name) and not (shown and name.startswith(shown)):
                bad.append(f"{f} includes <{name}>; public headers use the standard library only")
    for f in files:
        m = re.match(r"src/(\w+)/", f)
        if not m or not f.endswith((".h", ".cc")):
            continue
        for _, name in includes(read(f)):
            if name in showing and name.split("/")[0] != m[1]:
                bad.append(f"{f} includes {name}, which shows <{showing[name]}>")
    return bad


def check_sizes(files):
    """No source line over 100 columns, no source file over 1,000 lines, no file over 512 kB."""
    bad = []
    for f in files:
        path = os.path.join(ROOT, f)
        if os.path.getsize(path) > BLOB_BYTES_MAX:
            bad.append(f"{f} is larger than {BLOB_BYTES_MAX} bytes")
        if not re.match(r"(src|include|test|fuzz|bench|web/src)/.*\.(h|cc|ts|tsx|py)$", f):
            continue
        lines = read(f).split("\n")
        if len(lines) > FILE_LINES_MAX:
            bad.append(f"{f} has {len(lines)} lines")
        # Tests hold requests and queries as they are; clang-format keeps the rest of them.
        if f.endswith((".h", ".cc")) and not f.endswith("_test.cc"):
            bad += [f"{f}:{i} has {len(line)} columns" for i, line in enumerate(lines, 1) if len(line) > LINE_MAX and "http" not in line]
    return bad


def check_names(files):
    """No folder or file is a drawer: utils, common, helpers, misc, manager."""
    bad = []
    for f in files:
        if re.search(r"(^|[/_])(utils?|commons?|helpers?|misc|managers?)([/_.]|$)", f) and "node_modules" not in f:
            bad.append(f"{f}: name it for what it does")
    return bad


def check_banned(files):
    """Slow or unsafe constructs stay out of src/."""
    banned = [(r"\bstd::regex\b", "use RE2: std::regex has no bound on its time"), (r"\bstd::endl\b", "use '\\n'"),
              (r"#include <iostream>", "use fmt"), (r"\b(sprintf|strcpy|strcat|gets)\(", "unbounded"),
              (r"\bTODO\b|\bFIXME\b|\bXXX\b", "do it, or write it down as a limit"), (r"\bprintf\(\"%", "use fmt")]
    bad = []
    for f in files:
        if not re.match(r"(src|include)/.*\.(h|cc)$", f):
            continue
        for i, line in enumerate(read(f).split("\n"), 1):
            for pattern, why in banned:
                if re.search(pattern, line):
                    bad.append(f"{f}:{i}: {line.strip()[:60]} ({why})")
    return bad


def check_headers_once(files):
    """Each header starts with #pragma once and is included somewhere."""
    bad = []
    seen = set()
    for f in files:
        if f.endswith((".h", ".cc")):
            seen.update(name for _, name in includes(read(f)))
    for f in files:
        if re.match(r"src/.*\.h$", f):
            if not read(f).startswith("#pragma once"):
                bad.append(f"{f} does not start with #pragma once")
            if f[len("src/"):] not in seen:
                bad.append(f"{f} is included by nobody")
    return bad


def check_documents(files):
    """One h1 per document; links between documents resolve."""
    bad = []
    for f in files:
        if not f.endswith(".md"):
            continue
        text = re.sub(r"```.*?```", "", read(f), flags=re.S)
        titles = re.findall(r"^# .+", text, re.M)
        if len(titles) != 1 and f != "CHANGELOG.md":
            bad.append(f"{f} has {len(titles)} titles")
        for target in re.findall(r"\]\(([^)#\s]+)", text):
            if "://" in target or target.startswith("mailto:"):
                continue
            if not os.path.exists(os.path.join(ROOT, os.path.dirname(f), target)):
                bad.append(f"{f} links to {target}, which is not there")
    return bad


def compile_header(f):
    quoted = f[len("src/"):] if f.startswith("src/") else f[len("include/"):]
    standard = "-std=c++20" if f.startswith("src/") or f in PUBLIC_CPP20 else "-std=c++17"
    stem = os.path.join(HEADERS, re.sub(r"\W", "_", f))
    with open(os.path.join(ROOT, stem + ".cc"), "w", encoding="utf-8") as source:
        source.write(f'#include "{quoted}"\n')
    # An object instead of -fsyntax-only: the compiler's cache keeps objects.
    cached = ["ccache"] if shutil.which("ccache") else []
    command = [*cached, "g++", standard, "-c", "-o", stem + ".o", "-Isrc", "-Iinclude", *THIRD_INCLUDES, "-DFMT_HEADER_ONLY=1", "-DXXH_INLINE_ALL=1",
               "-Wall", "-Wextra", "-Werror", stem + ".cc"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    return f, run.returncode == 0, run.stderr.strip().split("\n")[0]


def check_headers_alone(files):
    """Each header compiles with nothing before it."""
    headers = [f for f in files if re.match(r"(src|include)/.*\.h$", f)]
    os.makedirs(os.path.join(ROOT, HEADERS), exist_ok=True)
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        return [f"{f}: {why}" for f, good, why in pool.map(compile_header, headers) if not good]


def main():
    files = tracked()
    checks = [check_layers, check_walls, check_sizes, check_names, check_banned, check_headers_once, check_documents]
    if "--fast" not in sys.argv:
        checks.append(check_headers_alone)
    failed = 0
    for check in checks:
        bad = check(files)
        print(f"{'FAIL' if bad else 'ok  '} {check.__doc__}")
        for line in bad[:20]:
            print(f"       {line}")
        if len(bad) > 20:
            print(f"       and {len(bad) - 20} more")
        failed += bool(bad)
    print(f"{len(checks) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
