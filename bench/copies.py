"""How often a byte of a request is copied in memory on its way to the columns (./dev bench copies).

A library that counts copies (bench/copy_count.c) is preloaded into the server; `perf` and the kernel are not asked,
so what the kernel copies out of a socket and into a file is not in it. Threads tell where: transport and log threads
receive, the builder makes rows into columns; flush and maintenance, which encode anew, are shown apart.
"""
import json
import os
import subprocess
import tempfile

STAGES = (("columns", ("builder",)), ("segments", ("flush", "maintenance", "spanloom")))  # the main thread has the last flush


def stage_of(thread):
    for stage, names in STAGES:
        if thread in names:
            return stage
    return "receive"


def measure(run, library, protocol, path):
    with tempfile.TemporaryDirectory(prefix="spanloom-bench-") as folder:
        counted = os.path.join(folder, "copies")
        os.environ.update(LD_PRELOAD=library, COPY_COUNT_FILE=counted)
        try:
            server = run.Server(data=os.path.join(folder, "data")).start()
        finally:
            del os.environ["LD_PRELOAD"], os.environ["COPY_COUNT_FILE"]
        port = server.ports["otlp-grpc" if protocol == "grpc" else "otlp-http"]
        done = subprocess.run([run.loadgen(), "-endpoint", f"127.0.0.1:{port}", "-protocol", protocol, "-replay", path, "-shift-to-now",
                               "-concurrency", "16"], check=True, stdout=subprocess.PIPE, text=True)
        report = json.loads(done.stdout)
        received = server.metric("spanloom_received_bytes_total")
        server.terminate()
        copied, threads = {}, {}
        with open(counted, encoding="ascii") as f:
            for line in f:
                _, size, name = line.rstrip("\n").split(" ", 2)
                copied[stage_of(name)] = copied.get(stage_of(name), 0) + int(size)
                threads[name] = threads.get(name, 0) + int(size)
    if report["spans_failed"]:
        raise RuntimeError(f"{report['spans_failed']} spans were refused")
    return {stage: round(size / received, 3) for stage, size in copied.items()}, {name: round(size / received, 3) for name, size in threads.items()}


def copies(run, options):
    path = run.dump(run.loadgen(), options.spans)
    library = os.path.join(run.ROOT, "build", "release", "bench", "copy_count.so")
    result, rows = {"spans": options.spans}, []
    for protocol in ("grpc", "http"):
        stages, threads = measure(run, library, protocol, path)
        total = stages.get("receive", 0) + stages.get("columns", 0)
        result[protocol] = {"copied_per_byte": round(total, 3), **stages, "threads": threads}
        rows.append((protocol, f"{total:.2f} bytes copied per byte received: receive {stages.get('receive', 0):.2f}, columns {stages.get('columns', 0):.2f}"
                               f" (then segments {stages.get('segments', 0):.2f})"))
    run.table(rows)
    print(json.dumps(result))
