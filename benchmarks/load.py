"""Which part of the machine other programs take while a process is measured, by the counters of Linux."""

import pathlib
import statistics

LIMIT = 0.05  # More than the counters' resolution, 1 % in half a second of two cores.
PROC = pathlib.Path("/proc")


def reading(pid, proc=PROC):
    """Returns the processor time since the start, in the kernel's ticks, or None where there is no /proc/stat.

    Args:
        pid: id of the process that is measured.
        proc: directory of the counters.

    Returns:
        `(total, busy, own)`, summed over the processors: all time, the time that was not idle, and the process's. Time
        that the host gave to other machines is busy.
    """
    try:
        counters = (proc / "stat").read_text().splitlines()[0].split()
    except FileNotFoundError:
        return None
    # user, nice, system, idle, iowait, irq, softirq, steal. What follows is part of user and nice.
    times = [int(ticks) for ticks in counters[1:9]]
    # The name, in parentheses, may contain spaces. After it, from the state on: user and system time are the 12th and
    # 13th, then those of children that have ended.
    fields = (proc / str(pid) / "stat").read_text().rpartition(")")[2].split()
    return sum(times), sum(times) - times[3] - times[4], sum(int(ticks) for ticks in fields[11:15])


def of_others(before, after):
    """Returns the part of the machine, 0 to 1, that others took between two readings; None if it is not known."""
    if before is None or after is None:
        return None
    total, busy, own = (b - a for a, b in zip(before, after, strict=True))
    # A tick may be counted for the process and not yet for the machine.
    return max(0, busy - own) / max(1, total)


def disturbed(parts):
    """Returns whether others took more than `LIMIT` in the median of rounds; None if it is not known in all."""
    return None if None in parts else statistics.median(parts) > LIMIT
