"""A process that is killed: a thousand changes a second into the file that it is given."""

from __future__ import annotations

import sys

from twisted.internet import reactor
from twisted.internet.task import LoopingCall

from lumina_twisted.devices.store import StateStore, StoreSettings
from lumina_twisted.helpers import DeviceStateManager
from lumina_twisted.valueproto.reading import Quality, Reading


async def program(path: str) -> None:
    """Says after each ten changes how many there were, and how many of them may be lost."""
    store = StateStore(StoreSettings(path=path, save_every=0.1, history_rows=100_000), reactor)
    states = DeviceStateManager(keep=store.add)
    await store.start()
    await store.save_configuration("boiler", "heater", {"poll": 0.5})
    count = 0

    def change() -> None:
        nonlocal count
        for _ in range(10):
            count += 1
            states.update("boiler", {"count": Reading(count, Quality.GOOD, float(count))})
        print(count, store.waiting, flush=True)

    LoopingCall(change).start(0.01)


if __name__ == "__main__":
    from twisted.internet.defer import Deferred

    Deferred.fromCoroutine(program(sys.argv[1]))
    reactor.run()  # type: ignore[attr-defined]
