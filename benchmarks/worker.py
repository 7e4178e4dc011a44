"""A process for one variant: it runs and times what it is asked to, and sleeps until the next request."""

import importlib
import json
import os
import pathlib
import re
import resource
import subprocess
import sys
import tempfile
import time
import traceback

from benchmarks import load
from tfgen.errors import InputError, RunError


class Worker:
    """The parent's side: starts the process and sends it requests.

    Args:
        subject: "module:class", with a dot before a module of this package. The process makes one object of the class.
        **arguments: arguments of the class, which must be JSON.

    Attributes:
        seconds: from the start of the process until the object is made, imports included.
        description: the object's `description`.
        peak_memory: the process's peak resident size so far, in bytes.
        load_of_others: the part of the machine that other programs took during the last call; see `load.of_others`.
    """

    def __init__(self, subject, **arguments):
        started = time.perf_counter()
        self.subject = subject
        self.stderr = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker", subject],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.stderr,
            text=True,
            # It finds the same modules as this process.
            env={"TF_CPP_MIN_LOG_LEVEL": "2", **os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        try:
            self.description, _ = self.call("describe", **arguments)
        except BaseException:
            self.__exit__()
            raise
        self.seconds = time.perf_counter() - started

    def call(self, method, **arguments):
        """Returns `(result, seconds)` of a method; raises the process's error, or `RunError` if it died."""
        before = load.reading(self.process.pid)
        try:
            self.process.stdin.write(json.dumps([method, arguments]) + "\n")
            self.process.stdin.flush()
            answer = self.process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            self.stderr.seek(0)
            last = self.stderr.read().decode(errors="replace").strip().splitlines()[-1:] or ["no message"]
            raise RunError(
                f"the process of {self.subject} ended in {method} with code {self.process.wait()}: {last[0]}"
            )
        answer = json.loads(answer)
        if "error" in answer:
            kind = InputError if answer["wrong_use"] else RunError
            raise kind(answer["error"] if answer["wrong_use"] else f"{self.subject}, {method}: {answer['error']}")
        self.peak_memory = answer["peak_memory"]
        self.load_of_others = load.of_others(before, load.reading(self.process.pid))
        return answer["result"], answer["seconds"]

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()
        self.stderr.close()


def main(subject):
    """The process's side: answers requests from standard input until it ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # What libraries print must not mix with the answers.
    module, name = subject.split(":")
    target = None
    for line in sys.stdin:
        method, arguments = json.loads(line)
        try:
            started = time.perf_counter()
            if method == "describe":
                target = getattr(importlib.import_module(module, "benchmarks"), name)(**arguments)
                result = target.description
            else:
                result = getattr(target, method)(**arguments)
            answer = {"result": result, "seconds": time.perf_counter() - started, "peak_memory": peak_memory()}
        except Exception as error:  # The parent raises it.
            traceback.print_exc()
            message = " ".join(f"{type(error).__name__}: {error}".split())[:600]
            wrong_use = isinstance(error, InputError)
            answer = {"error": str(error) if wrong_use else message, "wrong_use": wrong_use}
        print(json.dumps(answer), file=answers, flush=True)


def peak_memory():
    """Returns the peak resident size of this process so far, in bytes."""
    if sys.platform == "linux":
        # getrusage may report the parent's peak there, inherited when it started the process.
        status = pathlib.Path("/proc/self/status").read_text()
        return 1024 * int(re.search(r"VmHWM:\s*(\d+) kB", status)[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # In bytes on macOS.


if __name__ == "__main__":
    main(sys.argv[1])
