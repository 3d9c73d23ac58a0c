"""The state table against the specification's diagram (Modbus over Serial Line V1.02, section 2.4.1)."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lumina_twisted.bus.transaction import TABLE, Signal, State


class TableTests(SynchronousTestCase):
    """What the diagram says, and where we differ."""

    def test_states_are_the_specifications(self) -> None:
        """The five states of the diagram."""
        self.assertEqual(
            {state.name for state in State},
            {"IDLE", "WAITING_FOR_REPLY", "WAITING_TURNAROUND_DELAY", "PROCESSING_REPLY", "PROCESSING_ERROR"},
        )

    def test_unexpected_frame_keeps_waiting(self) -> None:
        """A frame that is not the reply leaves the bus where it was."""
        received = TABLE[State.WAITING_FOR_REPLY, Signal.FRAME_RECEIVED]
        self.assertIs(TABLE[received, Signal.FRAME_REFUSED], State.WAITING_FOR_REPLY)

    def test_only_idle_sends(self) -> None:
        """One transaction at a time."""
        senders = {state for state, signal in TABLE if signal in (Signal.REQUEST_SENT, Signal.BROADCAST_SENT)}
        self.assertEqual(senders, {State.IDLE})

    def test_every_state_comes_back_to_idle(self) -> None:
        """There is no state without a way out."""
        back = {State.IDLE}
        for _ in State:
            back |= {state for (state, _), following in TABLE.items() if following in back}
        self.assertEqual(back, set(State))
