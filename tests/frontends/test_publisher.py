"""A front that goes out: a publisher without an endpoint, which nothing but its plugin knows."""

from __future__ import annotations

import pathlib
from typing import Any

from attrs import frozen
from twisted.application.service import Service
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from lumina_twisted.bus.events import Sample
from lumina_twisted.config import listeners as protocols
from lumina_twisted.config.compose import Given, compose
from lumina_twisted.config.daemon import Daemon
from lumina_twisted.errors import ConfigError
from lumina_twisted.frontends.plugin import Context, IFrontEnd
from lumina_twisted.schema import setting
from lumina_twisted.testing import MemoryPort, MemoryPorts, memory_context

CONFIGURATION = """
[ports.a]
path = "/nonexistent/tty0"

[[listen]]
protocol = "line"
endpoint = "tcp:8888"

[[listen]]
protocol = "publish-example"
interval = 2.0
"""


@frozen(kw_only=True, slots=False)
class PublishOptions:
    """How it publishes."""

    interval: float = setting(10.0, "how often figures are published", unit="s")


class PublishService(Service):
    """Publishes each sample as it comes, and all figures at an interval; here into a list."""

    def __init__(self, options: Any, context: Context) -> None:
        self.published: list[tuple[str, Any]] = []
        self._context = context
        self._interval = options.interval
        self._ends: list[Any] = []

    def startService(self) -> None:
        super().startService()
        for port in self._context.buses:
            self._ends.append(port.listen(lambda sample, name=port.name: self._publish(name, sample)))
        self._call = self._context.reactor.callLater(self._interval, self._on_interval)

    def stopService(self) -> None:
        super().stopService()
        self._call.cancel()
        for end in self._ends:
            end()

    def counts(self) -> dict[str, int]:
        return {"published": len(self.published)}

    def _publish(self, topic: str, what: Any) -> None:
        self.published.append((topic, what))

    def _on_interval(self) -> None:
        self._call = self._context.reactor.callLater(self._interval, self._on_interval)
        figures = self._context.figures
        for name, counts in figures.counts(without=self._context).items():
            self._publish(name, counts)
        for port in figures.ports():
            self._publish(port.name, port.report())


@implementer(IFrontEnd)
class PublishFrontEnd:
    """It has no endpoint, no place, and no fault of one."""

    name = "publish-example"
    summary = "publishes samples and figures"
    options = PublishOptions

    def make(self, options: Any, context: Context) -> PublishService:
        return PublishService(options, context)


class Installed(SynchronousTestCase):
    """Beside Lumina's own protocols."""

    def setUp(self) -> None:
        found = protocols.getPlugins
        self.patch(protocols, "getPlugins", lambda interface: [*found(interface), PublishFrontEnd()])
        protocols.front_ends.cache_clear()
        self.addCleanup(protocols.front_ends.cache_clear)
        protocols.listener_class.cache_clear()

    def compose(self, text: str) -> Any:
        file = pathlib.Path(self.mktemp())
        file.write_text(text)
        return compose(Given(file=str(file)))

    def test_in_the_daemon(self) -> None:
        reactor = MemoryReactorClock()
        daemon = Daemon(self.compose(CONFIGURATION), reactor, now=reactor.seconds)
        publisher = daemon._fronts[1][1]
        assert isinstance(publisher, PublishService)
        publisher.startService()
        self.addCleanup(publisher.stopService)
        reactor.advance(2.0)
        topics = dict(publisher.published)
        self.assertEqual(topics["line tcp:8888"], {"clients": 0, "lines": 0, "errors": 0})
        self.assertEqual(topics["a"]["transactions"], 0)
        self.assertEqual(daemon._figures.counts()["publish-example"], {"published": 2})

    def test_an_endpoint_is_none_of_its_keys(self) -> None:
        error = self.assertRaises(ConfigError, self.compose, CONFIGURATION + 'endpoint = "tcp:1"\n')
        self.assertIn("endpoint", str(error))

    def test_its_options_are_checked(self) -> None:
        error = self.assertRaises(ConfigError, self.compose, CONFIGURATION.replace("2.0", '"often"'))
        self.assertIn("interval", str(error))


class Samples(SynchronousTestCase):
    """What devices say."""

    def test_published_as_they_come(self) -> None:
        port, clock = MemoryPort(), Clock()
        service = PublishFrontEnd().make(PublishOptions(), memory_context(MemoryPorts(port), clock))
        service.startService()
        [publish] = port.listeners
        sample = Sample(1, b"\x03\x00\x00\x00\x01", b"\x03\x02\x00\x07", 0.0, True)
        publish(sample)
        self.assertEqual(service.published, [("boiler", sample)])
        service.stopService()
        self.assertEqual(port.listeners, [])
        self.assertEqual(clock.getDelayedCalls(), [])
