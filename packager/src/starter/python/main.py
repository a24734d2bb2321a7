"""Everything that it needs to know comes in the environment; SWARM_STATE is its own writable folder."""

import os
import signal
import sys
import time


def stop(_signal, _frame):
    print("asked to stop")
    sys.exit(0)


signal.signal(signal.SIGTERM, stop)
print(os.environ.get("SWARM_WORKFLOW"), os.environ.get("SWARM_VERSION"), "runs on", os.environ.get("SWARM_BOX"))
while True:
    print(time.strftime("%H:%M:%S"))
    time.sleep(1)
