"""What Twisted finds of Lumina: the twistd command, the protocols of its listeners, and the prefixes of its client
endpoint strings."""

from twisted.application.service import ServiceMaker

from lumina_twisted.frontends.echo import EchoFrontEnd
from lumina_twisted.frontends.line.client import LineFrontEnd
from lumina_twisted.frontends.modbus_tcp import ModbusTcpFrontEnd
from lumina_twisted.frontends.rtu.program import RtuTcpFrontEnd
from lumina_twisted.frontends.rtu.pty import RtuPtyFrontEnd
from lumina_twisted.frontends.rtu.serial import RtuSerialFrontEnd
from lumina_twisted.frontends.values.client import ValuesFrontEnd
from lumina_twisted.ports.serial import SerialEndpointParser
from lumina_twisted.ports.tcp import SocketEndpointParser

lumina = ServiceMaker(
    "Lumina", "lumina_twisted.tap", "Share serial ports and the Modbus devices behind them.", "lumina"
)
line = LineFrontEnd()
modbus_tcp = ModbusTcpFrontEnd()
rtu_tcp = RtuTcpFrontEnd()
rtu_pty = RtuPtyFrontEnd()
rtu_serial = RtuSerialFrontEnd()
values = ValuesFrontEnd()
echo = EchoFrontEnd()
serial_endpoint = SerialEndpointParser()
rtu_tcp_endpoint = SocketEndpointParser("rtu+tcp")
modbus_tcp_endpoint = SocketEndpointParser("modbus+tcp")
