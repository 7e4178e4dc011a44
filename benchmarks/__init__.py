"""How fast the lecture's models train, answer and are evaluated, beside what one would use instead: `make benchmark`.

Every variant lives in a process of its own, which sleeps between two requests, so that no framework's waiting threads,
memory or start-up are another one's. A round asks every variant once, one after the other, for about as many seconds of
work, and the next round in the reverse order. Ratios are taken within a round, where the machine was the same for all,
and reported as the median over rounds with the least and the greatest. What a process does first, compiling included,
is timed apart. Each framework has its default number of threads.

The machine should have nothing else to do: where another program holds a core, PyTorch's threads, which wait for each
other at the end of each operation, lose far more than their share.
"""
