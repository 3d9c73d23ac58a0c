"""States and configurations that outlive the process, floor 3."""

from lumina_twisted.devices.store.state_store import StateStore, StoreSettings

__all__ = ["StateStore", "StoreSettings"]
