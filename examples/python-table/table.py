"""Prints a small table again and again, laid out by the package `tabulate`."""

import os
import time

from tabulate import tabulate

print(f"table {os.environ['SWARM_VERSION']} on {os.environ['SWARM_BOX']}")
for second in range(10**9):
    print(tabulate([[second, second**2]], headers=["n", "n squared"]))
    time.sleep(1)
