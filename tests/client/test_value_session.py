"""A client's session with a listener for values: sans-IO, with injected time and a peer that a test plays."""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from lumina_twisted.client.session import Answered, Failed, Unusable
from lumina_twisted.client.value_session import MAX_ANSWER, PATIENCE, SILENCE, Changed, ValueRequest, ValueSession
from lumina_twisted.client.value_watches import ValueReading, Watch
from lumina_twisted.errors import (
    Cancelled,
    ConfigError,
    Expired,
    NotConnected,
    OutcomeUnknown,
    ResponseTimeout,
    Stopping,
    UnknownName,
)
from lumina_twisted.valueproto import command
from lumina_twisted.valueproto.reading import Quality

READ = command.Read(("boiler.flow",))
WRITE = command.Write("boiler.set", "65")


def value(name: str, number: float, quality: str = "good") -> dict[str, Any]:
    """A reading as it stands in a line."""
    return {"name": name, "value": number, "unit_of_measure": "°C", "quality": quality, "time": 1.0, "why": ""}


class SessionCase(SynchronousTestCase):
    """One session and its peer."""

    def setUp(self) -> None:
        self.session = ValueSession("here:5000")
        self.now = 0.0
        self.tags: dict[str, str] = {}

    def connect(self) -> None:
        """A connection to a listener that speaks JSON."""
        self.session.connected(self.now)
        self.answer("format json", format="json")

    def ask(self, asked: command.Command, timeout: float = 10.0, watch: Watch | None = None) -> ValueRequest:
        request = ValueRequest(asked, self.now + timeout, watch=watch)
        self.session.submit(request, self.now)
        return request

    def watch(self, *names: str) -> tuple[Watch, ValueRequest]:
        watch = Watch(command.Watch(names), print)
        return watch, self.ask(watch.asked, watch=watch)

    def sent(self) -> list[str]:
        """The lines sent since the last call, without tags."""
        lines = []
        for line in self.session.data_to_send().decode().splitlines():
            tag, _, rest = line.partition(" ")
            self.tags[rest] = tag.removeprefix("@")
            lines.append(rest)
        return lines

    def answer(self, line: str, **said: Any) -> None:
        """The peer answers that line."""
        self.sent()
        self.say({"tag": self.tags[line], "ok": "error" not in said, **said})

    def say(self, *said: Any) -> None:
        data = "".join(f"{json.dumps(one)}\n" for one in said).encode()
        self.session.receive_data(data, self.now)

    def change(self, name: str, number: float) -> None:
        self.say({"change": value(name, number)})

    def later(self, seconds: float) -> None:
        self.now += seconds
        self.session.handle_timer(self.now)

    def events(self) -> list[Any]:
        found = []
        while (event := self.session.next_event()) is not None:
            found.append(event)
        return found

    def ended(self) -> list[Any]:
        """The kinds of the events, in their order."""
        return [type(one.error) if isinstance(one, Failed) else type(one) for one in self.events()]

    def told(self, watch: Watch) -> list[tuple[str, Any, str]]:
        """The readings that the observer of a watch got."""
        readings: list[ValueReading] = [
            one.reading for one in self.events() if isinstance(one, Changed) and one.watch is watch
        ]
        return [(one.name, one.value, str(one.quality)) for one in readings]


class Requests(SessionCase):
    """Requests with an answer, and without one."""

    def test_nothing_is_asked_before_the_far_end_has_said_what_it_is(self) -> None:
        self.ask(WRITE)
        self.session.connected(0)
        self.assertEqual(self.sent(), ["format json"])
        self.answer("format json", format="json")
        self.assertEqual(self.sent(), ["write boiler.set 65"])

    def test_answers_in_any_order_and_in_pieces(self) -> None:
        self.connect()
        first, second = self.ask(READ), self.ask(WRITE)
        self.sent()
        line = json.dumps({"ok": True, "tag": second.attempt_id, "written": value("boiler.set", 65)}).encode() + b"\n"
        for byte in line:
            self.session.receive_data(bytes((byte,)), 0)
        self.answer("read boiler.flow", values=[value("boiler.flow", 3)])
        self.assertEqual([one.request for one in self.events()], [second, first])

    def test_an_answer_counts_once(self) -> None:
        self.connect()
        self.ask(READ)
        for _ in range(2):
            self.answer("read boiler.flow", values=[value("boiler.flow", 3)])
        self.assertEqual(self.ended(), [Answered])

    def test_refused(self) -> None:
        self.connect()
        self.ask(READ)
        self.answer("read boiler.flow", error="unknown_name", message="there is no boiler.flow; boiler.flaw is near")
        (event,) = self.events()
        self.assertIsInstance(event.error, UnknownName)
        self.assertEqual(str(event.error), "there is no boiler.flow; boiler.flaw is near")

    def test_faults_of_a_configuration(self) -> None:
        self.connect()
        self.ask(command.Config("boiler", {"poll": -1, "x": 2}))
        self.answer("config boiler poll=-1 x=2", error="invalid", message="poll: is 0 or more\nx: is no key")
        (event,) = self.events()
        self.assertIsInstance(event.error, ConfigError)
        self.assertEqual(event.error.faults, ("poll: is 0 or more", "x: is no key"))

    def test_lost_connection(self) -> None:
        """A read is sent again, in its place; a write that may have been sent is not."""
        self.connect()
        self.ask(READ)
        self.ask(WRITE)
        self.sent()
        self.session.connection_lost("cut", 0)
        self.ask(command.List())
        (event,) = self.events()
        self.assertIsInstance(event.error, OutcomeUnknown)
        self.assertIn("here:5000 was lost", str(event.error))
        self.connect()
        self.assertEqual(self.sent(), ["read boiler.flow", "list"])

    def test_lost_connection_with_more_than_the_server_takes(self) -> None:
        """All requests keep their order."""
        self.session = ValueSession("here:5000", window=2)
        self.connect()
        for number in range(4):
            self.ask(command.Describe(f"p.{number}"))
        self.assertEqual(self.sent(), ["describe p.0", "describe p.1"])
        self.session.connection_lost("cut", 0)
        self.connect()
        self.assertEqual(self.sent(), ["describe p.0", "describe p.1"])

    def test_a_change_of_a_configuration_is_no_read(self) -> None:
        self.connect()
        self.ask(command.Config("boiler", {"poll": 2}))
        self.ask(command.Config("boiler"))
        self.sent()
        self.session.connection_lost("cut", 0)
        self.assertEqual(self.ended(), [OutcomeUnknown])
        self.connect()
        self.assertEqual(self.sent(), ["config boiler"])

    def test_a_write_that_was_not_sent_waits(self) -> None:
        self.session.connection_lost("nobody there", 0)
        self.ask(WRITE)
        self.connect()
        self.assertEqual(self.sent(), ["write boiler.set 65"])

    def test_deadlines(self) -> None:
        """Each request ends at its own deadline, a read and a write in different ways."""
        self.connect()
        self.ask(READ, 2)
        self.ask(WRITE, 1)
        self.sent()
        self.assertEqual(self.session.get_timer(), 1)
        self.later(1)
        self.assertEqual(self.ended(), [OutcomeUnknown])
        self.later(1)
        self.assertEqual(self.ended(), [ResponseTimeout])

    def test_deadline_without_a_connection(self) -> None:
        self.session.connection_lost("refused", 0)
        self.ask(WRITE, 1)
        self.later(1)
        (event,) = self.events()
        self.assertIsInstance(event.error, NotConnected)
        self.assertIn("no connection to here:5000 (refused)", str(event.error))

    def test_too_late_to_be_answered(self) -> None:
        """What has less than 25 ms left is not sent: a write would end as *outcome unknown*, for nothing."""
        self.ask(WRITE, 1)
        self.now = 0.99
        self.connect()
        self.assertEqual((self.sent(), self.ended()), ([], [NotConnected]))

    def test_window(self) -> None:
        self.session = ValueSession("here:5000", window=2)
        self.connect()
        for _ in range(3):
            self.ask(READ, 1)
        self.assertEqual(len(self.sent()), 2)
        self.answer("read boiler.flow", values=[value("boiler.flow", 3)])
        self.assertEqual(len(self.sent()), 1)
        self.ask(WRITE, 0.5)
        self.later(0.5)
        self.assertEqual(self.ended(), [Answered, Expired])

    def test_a_silent_server_is_asked_whether_it_is_there(self) -> None:
        """A device may be slow. If the server itself does not answer, the client closes the connection."""
        self.connect()
        self.ask(READ, 1)
        self.sent()
        self.later(1)
        self.assertEqual(self.sent(), ["format json"])
        self.ask(READ, 1)
        self.later(1)
        self.assertEqual(self.sent(), ["read boiler.flow"])  # one question is enough
        self.assertEqual(self.ended(), [ResponseTimeout, ResponseTimeout])
        self.later(PATIENCE)
        self.assertEqual(self.ended(), [Unusable])

    def test_a_slow_answer_cuts_nothing(self) -> None:
        self.connect()
        self.ask(READ, 1)
        self.sent()
        self.later(1)
        self.answer("format json", format="json")
        self.later(2 * PATIENCE)
        self.assertEqual(self.ended(), [ResponseTimeout])
        self.assertIsNone(self.session.get_timer())

    def test_cancelled(self) -> None:
        self.connect()
        read, write = self.ask(READ), self.ask(WRITE)
        self.assertIsInstance(self.session.cancel(read, 0), Cancelled)
        self.assertIsInstance(self.session.cancel(write, 0), OutcomeUnknown)
        self.session.connection_lost("cut", 0)
        self.assertIsInstance(self.session.cancel(self.ask(WRITE), 0), Cancelled)
        self.connect()
        self.assertEqual((self.sent(), self.events()), ([], []))

    def test_an_event_out_of_its_turn(self) -> None:
        self.connect()
        request = self.ask(READ)
        self.assertIsNone(self.session.take_event(request))
        self.answer("read boiler.flow", values=[])
        self.assertIsInstance(self.session.take_event(request), Answered)
        self.assertEqual(self.events(), [])

    def test_a_server_that_stops(self) -> None:
        """What it refuses waits for the next server. The client sends nothing else to this one."""
        self.connect()
        self.ask(WRITE)
        self.answer("write boiler.set 65", error="stopping", message="the service is stopping")
        self.ask(READ, 1)
        self.assertEqual((self.sent(), self.events()), ([], []))
        self.session.connection_lost("closed", 0)
        self.connect()
        self.assertEqual(self.sent(), ["write boiler.set 65", "read boiler.flow"])
        self.answer("write boiler.set 65", error="stopping", message="the service is stopping")
        self.ask(command.List(), 1)
        self.later(1)
        self.assertEqual(self.ended(), [ResponseTimeout, Stopping])

    def test_closed(self) -> None:
        self.connect()
        for asked in (READ, WRITE):
            self.ask(asked)
        self.session.close(0)
        self.assertEqual(self.ended(), [Cancelled, OutcomeUnknown])
        self.ask(WRITE)
        self.session.connection_lost("closed", 0)
        self.ask(WRITE)
        self.events()
        self.session.close(0)
        self.assertEqual(self.ended(), [Cancelled])

    def test_many_that_ended_leave_nothing(self) -> None:
        self.connect()
        for _ in range(5000):
            self.ask(READ, 3600)
            self.answer("read boiler.flow", values=[])
            self.events()
        self.assertLess(len(self.session._deadlines), 1100)


class OtherFarEnds(SessionCase):
    """Peers that are no listener for values."""

    def test_something_else(self) -> None:
        """All requests fail at once, and no write has been sent."""
        for said in (b":error:invalid\n", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"{}\n", b"[1]\nx\n"):
            self.session = ValueSession("here:5000")
            self.ask(WRITE)
            self.session.connected(0)
            self.session.receive_data(said, 0)
            (failed, unusable) = self.events()
            self.assertIsInstance(failed.error, NotConnected)
            self.assertIn("here:5000 is no listener for values", str(failed.error))
            self.assertIsInstance(unusable, Unusable)

    def test_no_lines_at_all(self) -> None:
        self.session.connected(0)
        self.session.receive_data(b"x" * MAX_ANSWER, 0)
        self.assertEqual(self.ended(), [])
        self.session.receive_data(b"x", 0)
        self.assertEqual(self.ended(), [Unusable])

    def test_one_that_says_nothing(self) -> None:
        self.session.connected(0)
        self.later(PATIENCE)
        self.assertEqual(self.ended(), [Unusable])

    def test_one_that_is_full(self) -> None:
        """The next attempt may succeed."""
        self.ask(READ, 1)
        for said in (b"error overloaded 100 clients are connected\n",
                     b'{"ok": false, "error": "overloaded", "message": "100 clients are connected"}\n'):
            self.session.connected(0)
            self.session.receive_data(said, 0)
            (unusable,) = self.events()
            self.assertEqual(unusable.why, "here:5000 says: 100 clients are connected")
            self.session.connection_lost(unusable.why, 0)
        self.later(1)
        self.assertIn("100 clients", str(self.events()[0].error))


class WatchCase(SessionCase):
    """The readings that an observer gets."""

    def begin(self, *names: str, **known: float) -> Watch:
        """A watch that is on, with these known values of the points of ``boiler``."""
        watch, _ = self.watch(*names)
        self.answer(f"watch {' '.join(names)}", values=[value(f"boiler.{key}", one) for key, one in known.items()])
        return watch


class Watching(WatchCase):
    """On one connection."""

    def test_what_is_known_and_each_change(self) -> None:
        self.connect()
        watch = self.begin("boiler.*", flow=3, set=5)
        events = self.events()
        self.assertEqual([type(one) for one in events], [Changed, Changed, Answered])
        self.change("boiler.flow", 4)
        self.change("boiler.flow", 4)
        self.assertEqual(self.told(watch), [("boiler.flow", 4, "good")])

    def test_refused(self) -> None:
        """If one name of several is wrong, nothing is watched."""
        self.connect()
        watch, _ = self.watch("boiler.x")
        self.answer("watch boiler.x", error="unknown_name", message="no")
        self.assertEqual(self.ended(), [UnknownName])
        watch, _ = self.watch("boiler.flow", "boiler.x")
        wrong = {"name": "boiler.x", "error": "unknown_name", "message": "no"}
        self.answer("watch boiler.flow boiler.x", values=[value("boiler.flow", 3), wrong])
        self.assertEqual(self.ended(), [UnknownName])
        self.assertEqual(self.sent(), ["unwatch boiler.flow boiler.x"])
        self.change("boiler.flow", 4)
        self.assertEqual(self.told(watch), [])

    def test_ended(self) -> None:
        """The session unwatches only the names that no other watch has."""
        self.connect()
        one, other = self.begin("boiler.*", flow=3, set=5), self.begin("boiler.flow", flow=3)
        self.events()
        self.change("boiler.flow", 4)
        self.session.unwatch(one, 0)
        self.assertEqual(self.sent(), ["unwatch boiler.set"])
        self.change("boiler.flow", 5)
        self.assertEqual([e.watch for e in self.events()], [other, other])
        self.session.unwatch(other, 0)
        self.session.unwatch(other, 0)
        self.assertEqual(self.sent(), ["unwatch boiler.flow"])

    def test_closed(self) -> None:
        """Without *unwatch* a listener would go on sending changes to a client that has ended its side."""
        self.connect()
        self.begin("boiler.flow", flow=3)
        self.session.close(0)
        self.assertEqual(self.session.data_to_send(), b"unwatch\n")

    def test_ended_while_another_begins(self) -> None:
        """The pattern of the other watch may match the same names."""
        self.connect()
        one = self.begin("boiler.flow", flow=3)
        other, _ = self.watch("boiler.*")
        self.session.unwatch(one, 0)
        self.assertEqual(self.sent(), ["watch boiler.*"])
        self.answer("watch boiler.*", values=[value("boiler.flow", 3)])
        self.assertEqual(self.sent(), [])
        self.events()
        self.change("boiler.flow", 4)
        self.assertEqual(self.told(other), [("boiler.flow", 4, "good")])

    def test_cancelled_before_it_began(self) -> None:
        """The server begins the watch nevertheless, and the session ends it with the first change."""
        self.connect()
        _, request = self.watch("boiler.*")
        self.sent()
        self.session.cancel(request, 0)
        self.answer("watch boiler.*", values=[value("boiler.flow", 3)])
        self.change("boiler.flow", 4)
        self.assertEqual((self.sent(), self.events()), (["unwatch boiler.flow"], []))

    def test_many_names_to_unwatch(self) -> None:
        """They do not fit into one line."""
        self.connect()
        watch = self.begin("*", **{f"{'x' * 60}{number}": 1.0 for number in range(200)})
        self.session.unwatch(watch, 0)
        lines = self.sent()
        self.assertEqual(sum(len(line.split()) - 1 for line in lines), 200)
        self.assertTrue(all(len(line) < 4000 for line in lines))


class Reconnecting(WatchCase):
    """Over several connections."""

    def test_lost_and_there_again(self) -> None:
        """Meanwhile the values are stale; then the observer gets what changed, and the rest is good again."""
        self.connect()
        watch = self.begin("boiler.*", flow=3)
        self.events()
        self.session.connection_lost("cut", 0)
        (event,) = self.events()
        self.assertEqual((event.reading.value, event.reading.quality), (3, Quality.STALE))
        self.assertEqual(event.reading.why, "the connection to here:5000 was lost (cut)")
        self.session.connection_lost("refused", 0)
        self.assertEqual(self.events(), [])
        self.connect()
        self.assertEqual(self.sent(), ["watch boiler.*"])
        self.answer("watch boiler.*", values=[value("boiler.flow", 3)])
        self.assertEqual(self.told(watch), [("boiler.flow", 3, "good")])
        self.change("boiler.flow", 4)
        self.assertEqual(self.told(watch), [("boiler.flow", 4, "good")])

    def test_lost_before_it_began(self) -> None:
        self.connect()
        self.watch("boiler.*")
        self.sent()
        self.session.connection_lost("cut", 0)
        self.connect()
        self.assertEqual(self.sent(), ["watch boiler.*"])

    def test_ended_meanwhile(self) -> None:
        self.connect()
        watch = self.begin("boiler.*", flow=3)
        self.session.connection_lost("cut", 0)
        self.session.unwatch(watch, 0)
        self.connect()
        self.assertEqual(self.sent(), [])

    def test_refused_by_the_next_server(self) -> None:
        """The next server may have other devices."""
        self.connect()
        watch = self.begin("boiler.flow", flow=3)
        self.session.connection_lost("cut", 0)
        self.events()
        self.connect()
        self.answer("watch boiler.flow", error="unknown_name", message="there is no boiler.flow")
        (event,) = self.events()
        self.assertEqual((event.reading.quality, event.reading.why), (Quality.STALE, "there is no boiler.flow"))
        self.session.connection_lost("cut", 0)
        self.connect()
        self.answer("watch boiler.flow", values=[value("boiler.flow", 4)])
        self.assertEqual(self.told(watch), [("boiler.flow", 4, "good")])

    def test_one_that_is_slow_to_begin_again(self) -> None:
        self.connect()
        self.begin("boiler.flow", flow=3)
        self.session.connection_lost("cut", 0)
        self.connect()
        self.assertEqual(self.sent(), ["watch boiler.flow"])
        self.later(PATIENCE)
        self.assertEqual(self.sent(), ["watch boiler.flow", "format json"])
        self.later(PATIENCE)
        self.assertEqual(self.ended()[-1], Unusable)

    def test_silence(self) -> None:
        """A session that only watches would not notice that the cable was pulled."""
        self.connect()
        self.begin("boiler.flow", flow=3)
        self.events()
        self.assertEqual(self.session.get_timer(), SILENCE)
        self.later(SILENCE)
        self.answer("format json", format="json")
        self.later(SILENCE)
        self.assertEqual(self.sent(), ["format json"])
        self.later(PATIENCE)
        self.assertEqual(self.ended(), [Unusable])

    def test_nobody_watches_and_nobody_asks(self) -> None:
        self.connect()
        self.assertIsNone(self.session.get_timer())
