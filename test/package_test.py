#!/usr/bin/env python3
"""The SDK as its users get it: installed, inside their build, static and shared; nothing leaks out of it.

usage: test/package_test.py          what ./dev test runs
       test/package_test.py arm64    the SDK's tests cross-built for arm64, under qemu (./dev arm64)
       test/package_test.py time     CPU seconds to configure and compile a user's program from nothing
"""
import functools
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "test", "system"))
from spanloom_server import run_tests  # noqa: E402

WORK = os.path.join(ROOT, "build", "package")
CONSUMER = os.path.join(ROOT, "test", "package", "consumer")
COMPONENTS = os.path.join(ROOT, "test", "package", "components")
ADAPTER = os.path.join(ROOT, "test", "package", "adapter")
CACHE = [f"-DCMAKE_CXX_COMPILER_LAUNCHER={shutil.which('ccache')}"] if shutil.which("ccache") else []
GENERATOR = ["-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release"]


def run(*command, cwd=None, env=None):
    done = subprocess.run(command, cwd=cwd, env={**os.environ, **(env or {})}, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def build(source, folder, *options, jobs=os.cpu_count() or 2):
    run("cmake", "-S", source, "-B", folder, *GENERATOR, *CACHE, *options)
    run("cmake", "--build", folder, "-j", str(jobs))
    return folder


@functools.cache
def installed(kind):
    """The prefix of the installed SDK; kind: static or shared. Both are compiled alike, so that with
    a compiler cache the second only links."""
    prefix = os.path.join(WORK, kind, "prefix")
    shutil.rmtree(prefix, ignore_errors=True)
    folder = build(ROOT, os.path.join(WORK, kind, "build"), "-DSPANLOOM_SDK_ONLY=ON",
                   f"-DSPANLOOM_SHARED={'ON' if kind == 'shared' else 'OFF'}")
    run("cmake", "--install", folder, "--prefix", prefix)
    return prefix


def library(kind):
    name = "libspanloom.so" if kind == "shared" else "libspanloom.a"
    for folder, _, files in os.walk(installed(kind)):
        if name in files:
            return os.path.join(folder, name)
    raise AssertionError(f"no {name} was installed")


def spans_of(program, env=None):
    """What the program wrote, by name of the span."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "spans.json")
        run(program, path, env=env)
        found = {}
        with open(path, encoding="utf-8") as f:
            for line in f:
                for of_resource in json.loads(line)["resourceSpans"]:
                    for scope in of_resource["scopeSpans"]:
                        found.update({s["name"]: {**s, "scope": scope["scope"], "resource": of_resource["resource"]} for s in scope["spans"]})
        return found


def check_consumer(program, env=None):
    spans = spans_of(program, env)
    assert set(spans) == {"parent", "child"}, spans
    assert spans["child"]["parentSpanId"] == spans["parent"]["spanId"], spans
    assert spans["child"]["attributes"] == [{"key": "answer", "value": {"intValue": "42"}}], spans
    assert {"key": "service.name", "value": {"stringValue": "consumer"}} in spans["child"]["resource"]["attributes"], spans


def check_found(kind):
    folder = build(CONSUMER, os.path.join(WORK, kind, "find_package"), "-DWAY=find_package", f"-DCMAKE_PREFIX_PATH={installed(kind)}")
    check_consumer(os.path.join(folder, "consumer"))


def check_pkg_config(kind):
    config = os.path.join(os.path.dirname(library(kind)), "pkgconfig")
    flags = run("pkg-config", "--cflags", "--libs", *(["--static"] if kind == "static" else []), "spanloom",
                env={"PKG_CONFIG_PATH": config}).split()
    program = os.path.join(WORK, kind, "with_pkg_config")
    run("g++", "-std=c++17", os.path.join(CONSUMER, "main.cc"), "-o", program, *flags)
    check_consumer(program, {"LD_LIBRARY_PATH": os.path.dirname(library(kind))})


def test_find_package_static():
    check_found("static")


def test_find_package_shared():
    check_found("shared")


def test_pkg_config_static():
    check_pkg_config("static")


def test_pkg_config_shared():
    check_pkg_config("shared")


def components(kind):
    """Those that were installed, for what they trace is here, in the order of their names."""
    folder = os.path.join(os.path.dirname(library(kind)), "cmake", "spanloom")
    names = (re.match(r"^spanloom_(\w+)_targets\.cmake$", f) for f in os.listdir(folder))
    return sorted(m[1] for m in names if m)


def check_components(kind):
    found = components(kind)
    assert {"http", "asio", "beast"} <= set(found), found  # what they need is in every build
    folder = build(COMPONENTS, os.path.join(WORK, kind, "components"), f"-DCMAKE_PREFIX_PATH={installed(kind)}", f"-DCOMPONENTS={';'.join(found)}")
    for name in found:
        run(os.path.join(folder, f"with_{name}"))


def test_every_installed_component_traces_static():
    check_components("static")


def test_every_installed_component_traces_shared():
    check_components("shared")


def test_every_installed_component_has_a_pkg_config_file():
    config = os.path.join(os.path.dirname(library("static")), "pkgconfig")
    for name in components("static"):
        run("pkg-config", "--exists", "--print-errors", f"spanloom_{name}", env={"PKG_CONFIG_PATH": config})
    flags = run("pkg-config", "--cflags", "--libs", "--static", "spanloom_http", env={"PKG_CONFIG_PATH": config}).split()
    program = os.path.join(WORK, "static", "http_with_pkg_config")
    run("g++", "-std=c++17", os.path.join(COMPONENTS, "with_http.cc"), "-o", program, *flags)
    run(program)


def test_archives_of_components_define_only_names_of_ours():
    for name in components("static"):
        archive = os.path.join(os.path.dirname(library("static")), f"libspanloom_{name}.a")
        if os.path.exists(archive):
            # Of type T: defined by it alone, where a template's instance (W) is shared by whoever has it.
            names = [line.split(" T ")[1] for line in run("nm", "-C", "--defined-only", archive).splitlines() if " T " in line]
            assert names and not [n for n in names if not n.startswith("spanloom::")], (name, names)


def test_a_component_that_is_not_there_is_named():
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "CMakeLists.txt"), "w", encoding="utf-8") as f:
            f.write("cmake_minimum_required(VERSION 3.24)\nproject(x LANGUAGES CXX)\nfind_package(spanloom REQUIRED COMPONENTS nonsense)\n")
        done = subprocess.run(["cmake", "-S", folder, "-B", folder + "/b", f"-DCMAKE_PREFIX_PATH={installed('static')}"], capture_output=True, text=True)
        assert done.returncode != 0 and "nonsense" in done.stderr, done.stderr


def check_inside(way):
    folder = build(CONSUMER, os.path.join(WORK, way), f"-DWAY={way}", f"-DSPANLOOM_SOURCE={ROOT}")
    check_consumer(os.path.join(folder, "consumer"))
    assert not [f for _, _, files in os.walk(folder) for f in files if "boost" in f.lower() or "protobuf" in f.lower()]


def test_add_subdirectory():
    check_inside("add_subdirectory")


def test_fetch_content():
    check_inside("FetchContent")


def test_a_shared_library_shows_only_its_own_names():
    names = run("nm", "-DC", "--defined-only", library("shared")).splitlines()
    shown = [re.sub(r"^\S+ \S ", "", n) for n in names]
    ours = re.compile(r"^(spanloom::|(typeinfo|typeinfo name|vtable|VTT|guard variable|non-virtual thunk|virtual thunk) (for|to) (spanloom::))")
    assert len(shown) > 100, shown
    assert not [n for n in shown if not ours.match(n)], [n for n in shown if not ours.match(n)][:10]
    inner = re.compile(r"^spanloom::(send|otlp|privacy|http|log)::")
    assert not [n for n in shown if inner.match(n)], [n for n in shown if inner.match(n)][:10]


def test_public_headers_define_no_macro_but_ours():
    folder = os.path.join(installed("static"), "include")
    standard, headers = set(), []
    for name in sorted(os.listdir(os.path.join(folder, "spanloom"))):
        if not name.endswith(".h"):
            continue
        with open(os.path.join(folder, "spanloom", name), encoding="utf-8") as f:
            shown = re.findall(r"^#\s*include (<[^>]+>)", f.read(), re.M)
        # A header for another library's users (asio.h) shows that library.
        if all(re.match(r"^<[a-z_0-9]+>$", s) for s in shown):
            headers.append(name)
            standard.update(shown)
    own = "".join(f"#include <spanloom/{n}>\n" for n in headers)
    without = "".join(f"#include {s}\n" for s in sorted(standard))

    def macros(text):
        done = subprocess.run(["g++", "-std=c++20", "-dM", "-E", "-x", "c++", f"-I{folder}", "-"], input=text, capture_output=True, text=True, check=True)
        return set(re.findall(r"^#define (\w+)", done.stdout, re.M))

    leaked = {m for m in macros(without + own) - macros(without) if not m.startswith("SPANLOOM_")}
    assert not leaked, leaked


@functools.cache
def adapters():
    """The folder of the programs, each compiled with other options of opentelemetry-cpp's API."""
    folder = os.path.join(WORK, "adapter")
    shutil.rmtree(folder, ignore_errors=True)  # which API was found is cached there
    return build(ADAPTER, folder, f"-DCMAKE_PREFIX_PATH={installed('static')};{os.environ['OPENTELEMETRY_CPP_DIR']}")


def check_adapter(name):
    spans = spans_of(os.path.join(adapters(), name))
    assert set(spans) == {"renamed", "native", "below native", "child", "grandchild", "root"}, set(spans)
    server = spans["renamed"]
    assert server["kind"] == 2 and server["status"] == {"code": 2, "message": "broken"} and server["traceState"] == "vendor=value", server
    assert server["parentSpanId"].startswith("b701") and server["links"][0]["spanId"] == server["parentSpanId"], server
    assert [e["name"] for e in server["events"]] == ["plain", "with"], server
    values = {a["key"]: a["value"] for a in server["attributes"]}
    assert values["given"] == {"stringValue": "at start"} and values["int"] == {"intValue": "-7"} and values["bytes"] == {"bytesValue": "AQL/"}, values
    assert values["uints"] == {"arrayValue": {"values": [{"intValue": "4000000000"}, {"intValue": "1"}]}}, values
    assert values["strings"] == {"arrayValue": {"values": [{"stringValue": "a"}, {"stringValue": "b"}]}}, values
    assert values["uint64"] == {"intValue": str(2**63 - 1)} and values["bool"] == {"boolValue": True}, values
    assert server["scope"]["name"] == "library" and server["scope"]["version"] == "2.0", server
    for child, parent in (("native", "renamed"), ("below native", "native"), ("child", "renamed"), ("grandchild", "child")):
        assert spans[child]["parentSpanId"] == spans[parent]["spanId"], (child, spans[child])
    assert {"key": "set.by", "value": {"stringValue": "library"}} in spans["native"]["attributes"], spans["native"]
    assert "parentSpanId" not in spans["root"], spans["root"]


def test_opentelemetry_cpp_abi_1():
    check_adapter("abi_1")


def test_opentelemetry_cpp_abi_2():
    check_adapter("abi_2")


def test_opentelemetry_cpp_with_std_types():
    check_adapter("std_types")


def children_cpu_s():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def measure_time():
    """From nothing and without a compiler cache, as a user's first build. One job at a time: two threads of
    one core take half as much CPU time again for the same work."""
    global CACHE
    CACHE = []
    folder = os.path.join(WORK, "time")
    shutil.rmtree(folder, ignore_errors=True)
    os.environ["CCACHE_DISABLE"] = "1"
    before = children_cpu_s()
    build(CONSUMER, folder, "-DWAY=add_subdirectory", f"-DSPANLOOM_SOURCE={ROOT}", jobs=1)
    seconds = round(children_cpu_s() - before, 1)
    print(f"  configure and compile a program with the OTLP exporter from nothing: {seconds} s of CPU (at most 20)")
    print(json.dumps({"consumer_build_cpu_s": seconds}))
    return 0 if seconds < 20 else 1


# A child of a fork that starts a thread runs into an assertion of qemu-user's own (7.2, "qemu_plugin_vcpu_init_hook").
NOT_UNDER_QEMU = "fork:*,static destruction*,a process that SIGTERM ends*"


def cross_build():
    """The SDK and its tests for arm64 (./dev arm64 has the toolchain in place); no timings are claimed."""
    folder = build(ROOT, os.path.join(WORK, "arm64"), "-DSPANLOOM_SDK_ONLY=ON", "-DSPANLOOM_SDK_TESTS=ON",
                   "-DSPANLOOM_INSTALL=OFF", f"-DCMAKE_TOOLCHAIN_FILE={os.path.join(ROOT, 'cmake', 'arm64.cmake')}")
    return subprocess.run(["qemu-aarch64", "-L", "/usr/aarch64-linux-gnu", os.path.join(folder, "sdk_tests"), f"-tce={NOT_UNDER_QEMU}"]).returncode


def main():
    if sys.argv[1:] == ["arm64"]:
        sys.exit(cross_build())
    if sys.argv[1:] == ["time"]:
        sys.exit(measure_time())
    tests = sys.modules[__name__]
    skipped = []
    if not os.environ.get("OPENTELEMETRY_CPP_DIR"):
        skipped = [n for n in vars(tests) if n.startswith("test_opentelemetry_cpp")]
    for name in skipped:
        print(f"skip {name[5:].replace('_', ' ')}: OPENTELEMETRY_CPP_DIR names no installed opentelemetry-cpp")
        delattr(tests, name)
    run_tests(tests, skipped=len(skipped))


if __name__ == "__main__":
    main()
