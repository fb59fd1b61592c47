"""What is known of the items: the newest record of catalog.items for each."""

from __future__ import annotations

from streamapp.errors import Rejection
from streamapp.events import CatalogItem, decode_catalog_item


class Catalog:
    """A view of catalog.items, shared by all tasks of a worker."""

    def __init__(self) -> None:
        self._items: dict[str, CatalogItem] = {}

    def update(self, key: str, value: bytes | None) -> bool:
        """Take one record; None deletes. Return whether anything changed.

        Raises:
            Rejection: the record cannot be used; what was known before stays.
        """
        if value is None:
            return self._items.pop(key, None) is not None
        item = decode_catalog_item(value)
        if item.item_id != key:
            raise Rejection("key_mismatch", f"record key {key!r}, item_id {item.item_id!r}")
        if self._items.get(key) == item:
            return False
        self._items[key] = item
        return True

    def get(self, item_id: str) -> CatalogItem | None:
        """Return what is known of an item, None if nothing."""
        return self._items.get(item_id)

    def __len__(self) -> int:
        return len(self._items)
