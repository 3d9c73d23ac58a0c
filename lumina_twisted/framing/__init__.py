"""How a unit and a PDU become bytes on a wire and back. Floor 0.

A bus knows units and PDUs only; its framing is an object of :class:`lumina_twisted.framing.base.Framing`. There are
:class:`~lumina_twisted.framing.rtu.RtuFraming` and :class:`~lumina_twisted.framing.numbered.MbapFraming`. Another one
(ASCII, Modbus over UDP) is a file here. ``ports/socket.py`` (``framing_of``) chooses it; ``ports/settings.py``
(``_SCHEMES``) has the prefixes of paths, and ``twisted/plugins/lumina_plugin.py`` those of endpoints. Its class has to

* encode a request, and find messages in what was received, however that is cut and whatever stands before, between
  and behind them. Where nothing in a frame tells its end, it asks the patterns of the awaited replies;
* say whether replies are numbered. If they are, it gives the replies to open requests only, and says of others that
  they are late, foreign or spoiled. If they are not, the bus itself keeps late replies apart;
* say whether its bytes take wire time;
* forget what it has received when a request leaves, unless replies are numbered, and when a connection begins.
"""
