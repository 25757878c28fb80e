"""Answers the benchmark's requests, one line of JSON each way, for the peers written in Python; serve.ts does so for the others."""
import json
import resource
import sys
import time


def serve(name, prepare, peak_bytes=lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024):
    """`prepare(work, parameters)` gives what to answer and what to run and time, or None where the peer cannot do the work."""
    run = None
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if request["op"] == "hello":
                answer = {"name": name}
            elif request["op"] == "prepare":
                answer, run = prepare(request["work"], request["parameters"]) or ({"unable": True}, None)
            elif request["op"] == "time":
                ms = []
                for _ in range(request["runs"]):
                    started = time.perf_counter()
                    run()
                    ms.append(1000 * (time.perf_counter() - started))
                answer = {"ms": ms, "peakBytes": peak_bytes()}
            else:
                answer, run = {}, None
        except Exception as error:  # the benchmark reports it and goes on
            answer = {"error": (str(error) or type(error).__name__).split("\n")[0]}
        print(json.dumps(answer), flush=True)
