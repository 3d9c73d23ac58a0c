"""What a protocol is to the service, floor 4: a plugin that Twisted finds, ours and those that others add (S3).

A distribution that has a protocol puts a module into ``twisted/plugins`` (a folder without ``__init__.py``) with an
instance of a class that implements :class:`IFrontEnd`; :class:`StreamFrontEnd` is one to derive from. Nothing of
Lumina's is changed for it: the configuration, ``--listen`` and ``lumina protocols`` know it once it is installed.
"""

from __future__ import annotations

from typing import Any

from twisted.application.service import IService
from twisted.internet.interfaces import IProtocolFactory
from twisted.plugin import IPlugin
from zope.interface import Attribute, implementer

from lumina_twisted.frontends.context import Context
from lumina_twisted.frontends.endpoints import Place, endpoint_fault, place_of
from lumina_twisted.frontends.stream import StreamService


class IFrontEnd(IPlugin):
    """A protocol that a listener can speak."""

    name: str = Attribute("What the configuration and ``--listen`` call it.")
    summary: str = Attribute("What it is, in one line, for ``lumina protocols``.")
    endpoint: str = Attribute("An example of where it listens.")
    options: type[Any] = Attribute(
        """The settings class of its own options, made with attrs and :func:`lumina_twisted.schema.setting`; without
        the keys ``protocol`` and ``endpoint``, which every listener has. An option called ``port`` names a port. A
        method ``faults()`` may tell what cannot be used together, as pairs of a key and a sentence, and a method
        ``named_ports()`` which ports it names, as pairs of a key and a name."""
    )

    def fault(endpoint: str) -> str | None:  # noqa: N805 - zope's way
        """A sentence that says why it cannot listen at ``endpoint``, or None. Nothing is opened."""

    def place(endpoint: str) -> Place | None:  # noqa: N805
        """Where a faultless ``endpoint`` is, so that two listeners are not put in one place; None if nobody knows."""

    def make(options: Any, context: Context) -> IService:  # noqa: N805
        """A listener as a service.

        :param options: an instance of :attr:`options`, which has ``protocol`` and ``endpoint`` too.
        :return: a service that begins to listen in ``privilegedStartService``, which raises, or gives a Deferred that
            fails, if that cannot be done. ``stopService`` listens no longer, asks nothing more of any port, and gives
            a Deferred that fires when the last answer is written: the ports stop at the same time, so that all that
            waits for them ends. It may have a method ``counts()``: numbers by name, which ``stats`` tells.
        """


@implementer(IFrontEnd)
class StreamFrontEnd:
    """A protocol over streams, such as TCP connections, that listens at a Twisted server endpoint. To derive from: a
    name, a summary, options, and :meth:`build`."""

    name = ""
    summary = ""
    endpoint = "tcp:8888:interface=127.0.0.1"
    options: type[Any]

    def fault(self, endpoint: str) -> str | None:
        """See :class:`IFrontEnd`."""
        return endpoint_fault(endpoint)

    def place(self, endpoint: str) -> Place | None:
        """See :class:`IFrontEnd`."""
        return place_of(endpoint)

    def make(self, options: Any, context: Context) -> IService:
        """See :class:`IFrontEnd`."""
        return StreamService(options.endpoint, self.build(options, context), context.reactor)

    def build(self, options: Any, context: Context) -> IProtocolFactory:
        """The factory of one listener. Its ``drain`` and ``counts``, which a
        :class:`lumina_twisted.frontends.listener.Listener` has, are heeded if they are there."""
        raise NotImplementedError
