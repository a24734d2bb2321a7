"""Counts for ever, ignores every signal that can be ignored, and so does a child in a session of its own: only a kill of the whole tree ends it."""

import os
import signal

for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
    signal.signal(number, signal.SIG_IGN)
child = os.fork()
if child == 0:
    os.setsid()
else:
    print("nobody stops", os.getpid(), "or", child, flush=True)
while True:
    pass
