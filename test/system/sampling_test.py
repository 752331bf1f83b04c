#!/usr/bin/env python3
"""Clients of three languages follow the strategies that the server tells them, static and adaptive."""
import concurrent.futures
import json
import os
import shutil
import subprocess
import sys

from spanloom_server import ROOT, Server, run_tests

CACHE = os.path.join(ROOT, ".cache", "test")
OWN = os.path.join(ROOT, "build", "release", "test", "sample_remotely")
GO = os.path.join(CACHE, "sampler-go")
JAVA = os.path.join(CACHE, "sampler-java")
BUILD_TIMEOUT_S = 600
SPANS = 4000
STRATEGIES = {
    "default_strategy": {"type": "probabilistic", "param": 0.5,
                         "operation_strategies": [{"operation": "ready", "type": "probabilistic", "param": 1}]},
    "service_strategies": [
        {"service": "shop", "type": "probabilistic", "param": 0.1,
         "operation_strategies": [{"operation": "never", "type": "probabilistic", "param": 0},
                                  {"operation": "quarter", "type": "probabilistic", "param": 0.25}]},
        {"service": "busy", "type": "adaptive", "param": 10},
    ],
    "adaptive": {"initial": 0.5, "every": "5s", "at_least_per_minute": 0},
}


def build_go():
    """The reason why there is none, or nothing."""
    go = shutil.which("go") or os.path.join(ROOT, ".cache", "go", "bin", "go")
    if not os.path.exists(go):
        return "Go is not installed"
    done = subprocess.run([go, "build", "-trimpath", "-o", GO, "."], cwd=os.path.join(ROOT, "test", "clients", "sampler-go"),
                          capture_output=True, text=True, timeout=BUILD_TIMEOUT_S)
    return None if done.returncode == 0 else f"the Go client cannot be built: {done.stderr.strip().splitlines()[-1:]}"


def build_java():
    if not shutil.which("mvn") or not shutil.which("java"):
        return "Java and Maven are not installed"
    if os.path.exists(os.path.join(JAVA, "classes")):
        return None
    done = subprocess.run(["mvn", "-q", "-B", f"-Dacc.build={JAVA}", "package"], cwd=os.path.join(ROOT, "test", "clients", "sampler-java"),
                          capture_output=True, text=True, timeout=BUILD_TIMEOUT_S, stdin=subprocess.DEVNULL)
    return None if done.returncode == 0 else f"the Java client cannot be built: {done.stdout.strip().splitlines()[:1]}"


def counts(*command):
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def check_obedience(command, url):
    """Within five standard deviations of what was told."""
    for service, expected in (("shop", {"never": 0, "quarter": 0.25, "other": 0.1}), ("unknown", {"other": 0.5})):
        found = counts(*command, url, service, str(SPANS), *expected)
        for operation, share in expected.items():
            spread = 5 * (SPANS * share * (1 - share)) ** 0.5
            assert abs(found[operation] - SPANS * share) <= spread, (service, operation, found)


def server():
    return Server(config=json.dumps({"head_sampling": STRATEGIES}))


def test_the_own_sdk_follows():
    with server() as s:
        check_obedience([OWN], f"http://127.0.0.1:{s.ports['sampling']}")
        assert s.metric("spanloom_head_sampling_answers_total") >= 2
        # The same on the main port.
        assert s.get_json("/api/sampling?service=shop")[1]["operationSampling"]["defaultSamplingProbability"] == 0.1


def follows_in_go():
    with server() as s:
        check_obedience([GO], f"http://127.0.0.1:{s.ports['sampling']}/sampling")


def follows_in_java():
    with server() as s:
        check_obedience(["java", "-cp", f"{JAVA}/classes:{JAVA}/lib/*", "acceptance.Sampler"], f"http://127.0.0.1:{s.ports['sampling']}")


def adapts_in_go():
    """A thousand traces a second of one operation and four of another: ten of the one are to come, and all of the other."""
    with server() as s:
        done = subprocess.run([GO, f"http://127.0.0.1:{s.ports['sampling']}/sampling", "busy", f"127.0.0.1:{s.ports['otlp-grpc']}",
                               "21", "flood=1000", "trickle=4"], capture_output=True, text=True, timeout=90, stdin=subprocess.DEVNULL)
        assert done.returncode == 0, done.stderr
        seconds = [json.loads(line) for line in done.stdout.splitlines()]
        flood = [second.get("flood", 0) for second in seconds]
        # By then the third adjustment is over and told.
        settled = sum(flood[-5:]) / 5
        assert flood[2] > 300 and 3 < settled < 25, flood
        trickle = sum(second.get("trickle", 0) for second in seconds[-5:])
        assert trickle >= 18, seconds[-5:]
        clients = s.get_json("/api/head-sampling")[1]["services"]
        learned = {o["operation"]: o for o in clients[0]["operations"]}
        # Of some 25 traces: a standard deviation is a fifth.
        assert 0.004 < learned["flood"]["share"] < 0.04 and learned["trickle"]["share"] == 1, clients
        assert 250 < learned["flood"]["traces_per_second"] < 2500, clients
        # What was learned is there after a kill.
        s.kill()
        s.start(keep_ports=True)
        again = s.get_json("/api/sampling?service=busy")[1]["operationSampling"]["perOperationStrategies"]
        assert {o["operation"]: o["probabilisticSampling"]["samplingRate"] for o in again}["flood"] == learned["flood"]["share"], again


def main():
    os.makedirs(CACHE, exist_ok=True)
    skipped = 0
    # What takes its time goes on beside the others.
    beside = concurrent.futures.ThreadPoolExecutor(1)
    for reason, tests in ((build_go(), (follows_in_go, adapts_in_go)), (build_java(), (follows_in_java,))):
        for test in tests:
            if reason:
                print(f"skip {test.__name__.replace('_', ' ')}: {reason}", flush=True)
                skipped += 1
            else:
                is_long = test is adapts_in_go
                globals()[f"test_{'then_it' if is_long else 'it'}_{test.__name__}"] = beside.submit(test).result if is_long else test
    run_tests(sys.modules[__name__], skipped)


if __name__ == "__main__":
    main()
