"""Numbers of a service, as Prometheus reads them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)
_IMAGES = (1, 2, 4, 8, 16, 32, 64)


class Metrics:
    """Times, queues, sizes and refusals of one service."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        own: dict[str, Any] = {"registry": self._registry}
        self.seconds = Histogram(
            "kinbits_request_seconds", "Time of requests.", ["route", "status"], buckets=_SECONDS, **own
        )
        self.busy = Gauge("kinbits_requests_in_progress", "Requests that are answered or wait.", **own)
        self.refused = Counter("kinbits_refused_total", "Requests that were refused, by reason.", ["reason"], **own)
        self.encoded = Histogram(
            "kinbits_encoded_together", "Images that were encoded together.", buckets=_IMAGES, **own
        )
        self.searched = Histogram("kinbits_search_seconds", "Time of searches.", ["index"], buckets=_SECONDS, **own)
        self._items = Gauge("kinbits_index_items", "Items of an index.", ["index"], **own)
        self._generation = Gauge("kinbits_index_generation", "Number of the last change of an index.", ["index"], **own)

    def page(self, indexes: Mapping[str, Mapping[str, int]]) -> tuple[bytes, str]:
        """Return the text of all numbers, and its content type.

        Args:
            indexes: Descriptions of all indexes by name.
        """
        for name, info in indexes.items():
            self._items.labels(name).set(info["items"])
            self._generation.labels(name).set(info["generation"])
        return generate_latest(self._registry), CONTENT_TYPE_LATEST
