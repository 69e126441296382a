"""The control API of running simulators, for whoever asks them to misbehave and reads back what they saw."""

from typing import Any

import httpx


class Control:
    """Asks and reads, over a connection to the simulators' URL."""

    def __init__(self, http: httpx.Client) -> None:
        self._http = http

    def misbehave(self, prompt: str, **behaviour: Any) -> None:
        """Has the requests with this prompt treated so."""
        answer = self._http.post("/_control/behaviours", json={"prompt_contains": prompt, **behaviour})
        assert answer.status_code == 201, answer.text

    def submits(self, prompt: str) -> list[dict[str, Any]]:
        """What was submitted with this prompt."""
        answer = self._http.get("/_control/submits", params={"prompt_contains": prompt})
        return list(answer.raise_for_status().json()["submits"])

    def callbacks(self, upstream_id: str) -> list[dict[str, Any]]:
        """The callbacks made for a task of the simulators."""
        answer = self._http.get("/_control/callbacks", params={"task_id": upstream_id})
        return list(answer.raise_for_status().json()["callbacks"])

    def reads(self, upstream_id: str) -> int:
        """How often they were asked for their task's status."""
        answer = self._http.get("/_control/status_reads")
        return list(answer.raise_for_status().json()["task_ids"]).count(upstream_id)
