"""What Twisted finds of Lumina: the twistd command, and the prefix of its client endpoint strings."""

from twisted.application.service import ServiceMaker

from lumina_twisted.ports.endpoint import SerialEndpointParser

lumina = ServiceMaker(
    "Lumina", "lumina_twisted.tap", "Share serial ports and the Modbus devices behind them.", "lumina"
)
serial_endpoint = SerialEndpointParser()
