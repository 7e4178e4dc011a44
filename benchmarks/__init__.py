"""Measures the speed of training, inference and evaluation beside other frameworks: `make benchmark`.

Every variant runs in its own process, which sleeps between two requests. So no framework is slowed down by another's
waiting threads, memory or start-up. A round measures every variant once, for about the same number of seconds, and the
next round goes in the reverse order. Ratios are taken within a round, in which the machine is the same for all. They
are reported as median, minimum and maximum over the rounds. Start-up and compilation are timed separately. Each
framework uses its default number of threads.

No other program should run on the machine. What they took of it is recorded, and marks the rows that it made
unreliable. PyTorch loses most if one occupies a core, since its threads wait for each
other after each operation.
"""
