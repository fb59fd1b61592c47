"""What is known of the items: the newest record of catalog.items for each."""

from __future__ import annotations

from collections.abc import Iterable
from sys import intern

import msgspec

from streamapp.errors import Rejection
from streamapp.events import CatalogItem, decode_catalog_item

_encode = msgspec.json.Encoder().encode


class _ItemFeatures(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """What a model may learn from about an item; unknown fields are left out."""

    category: str | None = None
    creator_id: str | None = None
    kind: str | None = None
    duration_ms: int | None = None


class Catalog:
    """A view of catalog.items, shared by all tasks of a worker."""

    def __init__(self) -> None:
        self._items: dict[str, CatalogItem] = {}
        self._features: dict[str, str] = {}

    def update(self, key: str, value: bytes | None) -> bool:
        """Take one record; None deletes. Return whether anything changed.

        Raises:
            Rejection: the record cannot be used; what was known before stays.
        """
        if value is None:
            self._features.pop(key, None)
            return self._items.pop(key, None) is not None
        item = decode_catalog_item(value)
        if item.item_id != key:
            raise Rejection("key_mismatch", f"record key {key!r}, item_id {item.item_id!r}")
        if self._items.get(key) == item:
            return False
        self._items[key] = item
        self._features[key] = _features(item)
        return True

    def get(self, item_id: str) -> CatalogItem | None:
        """Return what is known of an item, None if nothing."""
        return self._items.get(item_id)

    def features(self, item_ids: Iterable[str]) -> list[str]:
        """Return the features of items, each as a JSON object, empty when it is not known.

        An item is shown thousands of times between two changes, so they are encoded once.
        """
        known = self._features.get
        return [known(item_id, "{}") for item_id in item_ids]

    def __len__(self) -> int:
        return len(self._items)


def _features(item: CatalogItem) -> str:
    known = _ItemFeatures(item.category, item.creator_id, item.kind, item.duration_ms or None)
    return _encode(known).decode()


def interned(text: str | None) -> str | None:
    """Return the one text for all who keep it: many items have few categories, and creators."""
    return None if text is None else intern(text)
