"""An example of a protocol for Lumina: a line with a unit and a register's address is answered by its value."""

from attrs import frozen
from twisted.protocols.basic import LineOnlyReceiver

from lumina_twisted.errors import LuminaError
from lumina_twisted.frontends.listener import DRAINING, TALKING, Connection, Listener, ListenerOptions
from lumina_twisted.frontends.plugin import StreamFrontEnd
from lumina_twisted.modbus import pdu
from lumina_twisted.schema import setting


@frozen(kw_only=True, slots=False)
class ValuesOptions(ListenerOptions):
    port: str = setting("", "name or path of the port that is read; not given: the first one")
    timeout: float = setting(5.0, "how long a reader waits", unit="s")


class ValuesProtocol(Connection, LineOnlyReceiver):
    """One client. ``3 100`` asks unit 3 for holding register 100."""

    delimiter = b"\n"

    def lineReceived(self, line):
        if self.state is not TALKING:
            return
        try:
            unit, address = map(int, line.split())
            request = pdu.ReadHoldingRegistersRequest(address, 1).encode()
        except (ValueError, LuminaError):
            self.write(b"error: expected UNIT ADDRESS, as 3 100\n")
            return
        options, ports = self.listener.options, self.listener.ports
        port = ports.find(options.port) if options.port else next(iter(ports))
        asked = port.request(self, unit, request, timeout=options.timeout)
        self.pending.add(asked)
        asked.addCallback(lambda frame: b"%d" % pdu.decode_reply(frame[1:-2]).values)
        asked.addErrback(lambda failure: b"error: " + str(failure.value).encode())
        asked.addCallback(self.answer, asked)

    def answer(self, text, asked):
        if asked in self.pending:  # else the client has left
            self.pending.remove(asked)
            self.write(text + b"\n")
            if self.state is DRAINING:
                self.close_if_done()


class ValuesListener(Listener):
    protocol = ValuesProtocol


class ValuesFrontEnd(StreamFrontEnd):
    name = "values-example"
    summary = "registers by unit and address, a line each"
    options = ValuesOptions

    def build(self, options, context):
        return ValuesListener(options, context)
