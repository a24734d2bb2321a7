"""What a playbook did, as JSON in $RECAP: the counts of each host, and each task that changed or failed."""

import json
import os

from ansible.plugins.callback import CallbackBase


class CallbackModule(CallbackBase):
    """Writes once, at the end."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "recap"

    def __init__(self):
        super().__init__()
        self.notable = []

    def _note(self, what, result):
        self.notable.append(f"{what} {result.host.get_name()}: {result.task.get_name()}")

    def v2_runner_on_ok(self, result):
        if result.is_changed():
            self._note("changed", result)

    def v2_runner_on_failed(self, result, ignore_errors=False):
        self._note("failed", result)

    def v2_runner_on_unreachable(self, result):
        self._note("unreachable", result)

    def v2_playbook_on_stats(self, stats):
        hosts = {host: stats.summarize(host) for host in stats.processed}
        with open(os.environ["RECAP"], "w", encoding="utf-8") as file:
            json.dump({"hosts": hosts, "notable": self.notable}, file)
