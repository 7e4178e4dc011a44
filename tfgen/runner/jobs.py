"""Runs in several processes, each with its share of the cores. The parent's side imports no TensorFlow.

The processes load TensorFlow and the data once. The parent gives each one run after another, those first that others
need, and prints what they print.
"""

import contextlib
import dataclasses
import json
import os
import queue
import subprocess
import sys
import threading

from tfgen.console import interruptible, line, load_tensorflow
from tfgen.errors import InputError, RunError
from tfgen.recipes import RECIPES
from tfgen.runner.environment import cores
from tfgen.runner.request import Request, check_all
from tfgen.runner.results import read_results

# Begins a line that is an answer to the parent; what else a process prints is for the user.
ANSWER = "\x1e"
# Of libraries that compute with several threads, the variables that say with how many.
THREADS = ("TF_NUM_INTRAOP_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
SECONDS_TO_STOP = 60
PROGRAM = (sys.executable, "-m", "tfgen.runner.jobs")


@dataclasses.dataclass(frozen=True)
class Task:
    """A run to be made, or those that it needs and nobody has asked for.

    Attributes:
        request: the `Request`.
        needed: whether only the runs that it needs are made.
        after: the directories of runs that must be there before.
    """

    request: Request
    needed: bool = False
    after: frozenset = frozenset()

    @property
    def makes(self):
        """The directories of the runs that are there afterwards."""
        return _needed(self.request) if self.needed else {self.request.directory}

    @property
    def label(self):
        """What the user reads before each line of the run."""
        request = self.request
        if self.needed:
            return ", ".join(RECIPES[request.recipe].needs)
        return f"{request.recipe}, seed {request.seed}"


def _needed(request):
    return frozenset(request.needed_directory / name for name in RECIPES[request.recipe].needs)


def tasks_of(requests):
    """Returns the tasks of some requests in the order in which they are to begin.

    First what others need, then what needs others, since it ends a chain, then the rest; else as they come.
    """
    asked = {request.directory for request in requests}
    tasks, made = [], set(asked)
    for request in requests:
        if _needed(request) - made:
            tasks.append(Task(request, needed=True))
            made |= _needed(request)
    tasks += [Task(request, after=_needed(request)) for request in requests]
    wanted = {directory for task in tasks for directory in task.after}
    return sorted(tasks, key=lambda task: 0 if task.makes & wanted else 1 if task.after else 2)


def carry_out_all(requests, jobs, options):
    """Makes the runs of several requests, `jobs` at a time; returns their results in the order of the requests.

    Args:
        requests: the `Request`s, no two of the same directory.
        jobs: the number of processes.
        options: for the processes: dict of `dataset`, `data_dir`, `tensorboard` and `debug`; see `tfgen run`.

    Raises:
        InputError: for a request that cannot be run.
        RunError: if a run fails. The other ones are stopped, and can be resumed.
    """
    tasks, answers = tasks_of(requests), queue.Queue()
    with contextlib.ExitStack() as stack:
        count = min(jobs, len(tasks))
        threads = max(1, cores() // count)
        workers = [stack.enter_context(_Worker(options, threads, answers)) for _ in range(count)]
        workers[0].ask("check", requests)
        _wait(answers)
        waiting, done, busy = list(tasks), set(), {}
        while waiting or busy:
            for worker in workers:
                task = next((task for task in waiting if task.after <= done), None)
                if worker not in busy and task is not None:
                    waiting.remove(task)
                    busy[worker] = task
                    print(f"{task.label}: begins, {len(tasks) - len(waiting)} of {len(tasks)}", flush=True)
                    worker.ask("needed" if task.needed else "run", [task.request], task.label)
            done |= busy.pop(_wait(answers)).makes
    return [read_results(request.directory / "results.json") for request in requests]


def _wait(answers):
    """Prints what processes print until one has done what it was asked; returns that one."""
    while True:
        worker, text = answers.get()
        if text is None:
            code = worker.process.wait()
            raise RunError(f"the process of {worker.label or 'the runs'} ended with code {code}; add --resume to go on")
        if not text.startswith(ANSWER):
            print(f"{worker.label}: {line(text)}" if worker.label else line(text), flush=True)
            continue
        answer = json.loads(text.removeprefix(ANSWER))
        if "error" in answer:
            raise (InputError if answer["wrong_use"] else RunError)(answer["error"])
        return worker


class _Worker:
    """The parent's view of a process."""

    def __init__(self, options, threads, answers):
        self.label = ""
        self.process = subprocess.Popen(
            [*PROGRAM, json.dumps(options)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="backslashreplace",
            env={**os.environ, **dict.fromkeys(THREADS, str(threads)), "PYTHONIOENCODING": "utf-8"},
            # Ctrl-C is for the parent, which stops the process.
            start_new_session=True,
        )
        self.reader = threading.Thread(target=self._read, args=(answers,), daemon=True)
        self.reader.start()

    def _read(self, answers):
        with self.process.stdout as output:
            for text in output:
                answers.put((self, text.rstrip("\n")))
        answers.put((self, None))

    def ask(self, what, requests, label=""):
        self.label = label
        fields = [dataclasses.asdict(request) for request in requests]
        with contextlib.suppress(BrokenPipeError):  # The end of its output tells that it has ended.
            self.process.stdin.write(json.dumps([what, fields], default=os.fspath) + "\n")
            self.process.stdin.flush()

    def __enter__(self):
        return self

    def __exit__(self, kind, *exception):
        """Lets the process end: at once if something went wrong, with its checkpoints kept."""
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        if kind is not None:
            self.process.terminate()
        try:
            self.process.wait(SECONDS_TO_STOP)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.reader.join()


def main(options):
    """A process's side: loads TensorFlow, and does what the lines of standard input ask for.

    The data are loaded for the first of them. So one process alone, that which checks, may have to download them.
    """
    with interruptible():
        try:
            load_tensorflow(options["debug"])
            from tfgen import data

            source = data.Source(options["dataset"], options["data_dir"])
            for text in sys.stdin:
                what, fields = json.loads(text)
                _do(what, [Request(**each) for each in fields], source, options["tensorboard"])
                print(f"{ANSWER}{{}}", flush=True)
        except KeyboardInterrupt:
            return 130
        except Exception as error:
            if isinstance(error, BrokenPipeError):  # The parent was killed. What is not finished can be resumed.
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            if options["debug"]:
                import traceback

                traceback.print_exc()
            ours = isinstance(error, InputError | RunError)
            message = str(error) if ours else f"{type(error).__name__}: {' '.join(str(error).split())[:600]}"
            answer = {"error": message, "wrong_use": isinstance(error, InputError)}
            print(f"{ANSWER}{json.dumps(answer)}", flush=True)
            return 1
    return 0


def _do(what, requests, source, tensorboard):
    if what == "check":
        check_all(requests, source)
        return
    from tfgen.runner.run import carry_out, make_needed

    (request,) = requests
    dataset = source.of(RECIPES[request.recipe].dataset)
    if what == "needed":
        make_needed(request, dataset)
    else:
        carry_out(request, dataset, tensorboard)


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
