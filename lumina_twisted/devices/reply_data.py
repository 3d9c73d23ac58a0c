"""The data within a reply, floor 3: of its frame, of its PDU, or the data alone.

Which of them some bytes are is told by lengths that agree to the byte, and by a frame's CRC. Where two would do,
nothing is guessed: that is refused, and who knows says it.
"""

from __future__ import annotations

from typing import Any, Final, Literal, get_args

from lumina_twisted.errors import EXCEPTION_CLASSES, FrameError, ModbusException, RequestError, exception_from_code
from lumina_twisted.framing.crc import crc_ok
from lumina_twisted.framing.rtu import decode_adu
from lumina_twisted.modbus.codes import EXCEPTION_FLAG, MAX_RTU_ADU, MIN_RTU_ADU
from lumina_twisted.modbus.lengths import UNKNOWN, reply_length
from lumina_twisted.modbus.pdu import REPLIES

Form = Literal["auto", "frame", "pdu", "data"]
_COUNTED: Final = frozenset({1, 2, 3, 4, 12, 17, 20, 21, 23})
"""Functions whose reply counts in its second byte those that follow."""
_REFUSALS: Final = frozenset(code | EXCEPTION_FLAG for code in REPLIES)
_READS: Final = frozenset({1, 2, 3, 4, 23})
_DIAGNOSTICS: Final = 8
_FIFO: Final = 24
_FIFO_HEAD: Final = 5


def data_of(response: Any, size: int, form: Form = "auto") -> bytes:
    """The ``size`` bytes of data in a reply.

    :param response: bytes, or an object that has a whole frame as its ``frame``, as a client's replies have.
    :param form: what the bytes are; ``auto`` where their length shall tell.
    :raises ModbusException: if the reply is one.
    :raises FrameError: if it is a frame with a wrong CRC.
    :raises RequestError: if it has no such data, or nobody can tell.
    """
    octets, form = _octets(response, form)
    if form == "auto" and len(octets) == size:
        if other := _also(octets):
            raise RequestError(
                f"the bytes {octets[:8].hex(' ')}{' …' * (size > 8)} can be {size} bytes of data, and {other} as well: "
                'give the whole frame of the right reply, or say form="data", or form="pdu"'
            )
        form = "data"
    found = _found(octets, size, form)
    if found is None:
        raise _nothing(octets, size, form)
    if isinstance(found, ModbusException):
        raise found
    return found


def _octets(response: Any, form: Form) -> tuple[bytes, Form]:
    if hasattr(response, "frame"):
        if not response.frame:
            raise RequestError("there is no reply: it was a broadcast, which nobody answers")
        response, form = response.frame, "frame"
    if not isinstance(response, bytes | bytearray | memoryview):
        raise RequestError(f"a response is bytes, or a reply that has a frame, not {type(response).__name__}")
    if form not in get_args(Form):
        raise RequestError(f"form is one of {', '.join(get_args(Form))}, not {form!r}")
    return bytes(response), form


def _also(octets: bytes) -> str:
    """What bytes that are as long as the data can be as well; empty if nothing."""
    if _has_crc(octets) and _found_in_pdu(octets[1:-2]) is not None:
        return "a whole frame"
    if len(octets) == 2 and octets[0] in _REFUSALS and octets[1] in EXCEPTION_CLASSES:
        return "an exception"
    return "the PDU of a read" if len(octets) > 2 and octets[0] in _READS and octets[1] == len(octets) - 2 else ""


def _found(octets: bytes, size: int, form: Form) -> bytes | ModbusException | None:
    """The data of that size, or the exception in its place."""
    if form == "data":
        return octets if len(octets) == size else None
    found: bytes | ModbusException | None = None
    if form == "frame" or (form == "auto" and _has_crc(octets)):
        unit, pdu = decode_adu(octets)
        found = _found_in_pdu(pdu, unit)
    elif form == "pdu" or (octets and reply_length(octets) == len(octets)):
        found = _found_in_pdu(octets)
    return None if isinstance(found, bytes) and len(found) != size else found


def _has_crc(octets: bytes) -> bool:
    return MIN_RTU_ADU <= len(octets) <= MAX_RTU_ADU and crc_ok(octets)


def _found_in_pdu(pdu: bytes, unit: int | None = None) -> bytes | ModbusException | None:
    if len(pdu) == 2 and pdu[0] & EXCEPTION_FLAG:
        return exception_from_code(pdu[1], unit=unit, function_code=pdu[0] & ~EXCEPTION_FLAG)
    return _behind_head(pdu)


def _behind_head(pdu: bytes) -> bytes | None:
    """What a normal reply carries; None if its length is not what its function says."""
    if not pdu or not 0 < pdu[0] < EXCEPTION_FLAG:
        return None
    if pdu[0] != _DIAGNOSTICS and reply_length(pdu) not in (UNKNOWN, len(pdu)):
        return None
    if pdu[0] == _FIFO:
        return pdu[_FIFO_HEAD:]
    return pdu[2:] if pdu[0] in _COUNTED else pdu[1:]


def _nothing(octets: bytes, size: int, form: Form) -> RequestError | FrameError:
    """Why the bytes are not the reply."""
    inner = _behind_head(octets[1:-2]) if form in ("auto", "frame") else None
    if inner is not None and _has_crc(octets):
        return RequestError(f"the reply of function {octets[1]} has {len(inner)} bytes of data, not {size}")
    if inner is not None and len(inner) == size:
        return FrameError("wrong CRC", unit=octets[0], function_code=octets[1], frame=octets)
    return RequestError(
        f"{len(octets)} bytes are no reply with {size} bytes of data: that is {size} for the data alone, "
        f"{size + 2} for the PDU of a read, {size + 5} for its frame"
    )
