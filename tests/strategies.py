"""What Hypothesis makes for the tests of floor 0: PDUs of every class, with the limits in mind."""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from lumina_twisted.modbus import pdu

QUICK = settings(
    derandomize=True, database=None, deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow]
)
"""The same examples in every run, and no deadline, for a busy machine is no fault."""

WORDS = st.integers(0, 0xFFFF)
BYTES = st.integers(0, 0xFF)


def registers(most: int, fewest: int = 1) -> st.SearchStrategy[list[int]]:
    """Values of registers."""
    return st.lists(WORDS, min_size=fewest, max_size=most)


def coils(most: int) -> st.SearchStrategy[list[bool]]:
    """Values of coils; lists drawn from one number, for thousands of single draws are slow."""
    numbers = st.integers(1, most).flatmap(lambda size: st.tuples(st.just(size), st.integers(0, 2**size - 1)))
    return numbers.map(lambda drawn: [bool(drawn[1] >> at & 1) for at in range(drawn[0])])


_references = st.builds(
    pdu.RecordReference, st.integers(1, 0xFFFF), st.integers(0, 9999), st.integers(1, 20)
)
_records = st.builds(pdu.FileRecord, st.integers(1, 0xFFFF), st.integers(0, 9999), registers(20))
_objects = st.lists(st.tuples(BYTES, st.binary(max_size=40)), max_size=5)
_unknown = st.sampled_from([code for code in range(1, 128) if code not in pdu.REQUESTS])
_diagnostics = st.one_of(
    st.tuples(st.just(0), st.binary(min_size=1, max_size=125).map(lambda half: half + half)),
    st.tuples(st.integers(1, 0xFFFF), st.binary(min_size=2, max_size=2)),
)

REQUESTS: st.SearchStrategy[pdu.Request] = st.one_of(
    st.builds(pdu.ReadCoilsRequest, WORDS, st.integers(1, 2000)),
    st.builds(pdu.ReadDiscreteInputsRequest, WORDS, st.integers(1, 2000)),
    st.builds(pdu.ReadHoldingRegistersRequest, WORDS, st.integers(1, 125)),
    st.builds(pdu.ReadInputRegistersRequest, WORDS, st.integers(1, 125)),
    st.builds(pdu.WriteSingleCoilRequest, WORDS, st.booleans()),
    st.builds(pdu.WriteSingleRegisterRequest, WORDS, WORDS),
    st.builds(pdu.ReadExceptionStatusRequest),
    _diagnostics.map(lambda fields: pdu.DiagnosticsRequest(*fields)),
    st.builds(pdu.GetCommEventCounterRequest),
    st.builds(pdu.GetCommEventLogRequest),
    st.builds(pdu.WriteMultipleCoilsRequest, WORDS, coils(1968)),
    st.builds(pdu.WriteMultipleRegistersRequest, WORDS, registers(123)),
    st.builds(pdu.ReportServerIdRequest),
    st.builds(pdu.ReadFileRecordRequest, st.lists(_references, min_size=1, max_size=5)),
    st.builds(pdu.WriteFileRecordRequest, st.lists(_records, min_size=1, max_size=5)),
    st.builds(pdu.MaskWriteRegisterRequest, WORDS, WORDS, WORDS),
    st.builds(pdu.ReadWriteMultipleRegistersRequest, WORDS, st.integers(1, 125), WORDS, registers(121)),
    st.builds(pdu.ReadFIFOQueueRequest, WORDS),
    st.builds(pdu.ReadDeviceIdentificationRequest, st.integers(1, 4), BYTES),
    st.builds(pdu.RawRequest, _unknown, st.binary(max_size=252)),
    st.builds(pdu.RawRequest, st.just(43), st.binary(max_size=251).map(lambda data: b"\x0d" + data)),
)
"""Requests of every function."""

REPLIES: st.SearchStrategy[pdu.Reply] = st.one_of(
    st.builds(pdu.ReadCoilsReply, coils(2000)),
    st.builds(pdu.ReadDiscreteInputsReply, coils(2000)),
    st.builds(pdu.ReadHoldingRegistersReply, registers(125)),
    st.builds(pdu.ReadInputRegistersReply, registers(125)),
    st.builds(pdu.WriteSingleCoilReply, WORDS, st.booleans()),
    st.builds(pdu.WriteSingleRegisterReply, WORDS, WORDS),
    st.builds(pdu.ReadExceptionStatusReply, BYTES),
    _diagnostics.map(lambda fields: pdu.DiagnosticsReply(*fields)),
    st.builds(pdu.GetCommEventCounterReply, WORDS, WORDS),
    st.builds(pdu.GetCommEventLogReply, WORDS, WORDS, WORDS, st.binary(max_size=64)),
    st.builds(pdu.WriteMultipleCoilsReply, WORDS, st.integers(1, 1968)),
    st.builds(pdu.WriteMultipleRegistersReply, WORDS, st.integers(1, 123)),
    st.builds(pdu.ReportServerIdReply, st.binary(max_size=251)),
    st.builds(pdu.ReadFileRecordReply, st.lists(registers(20), min_size=1, max_size=5)),
    st.builds(pdu.WriteFileRecordReply, st.lists(_records, min_size=1, max_size=5)),
    st.builds(pdu.MaskWriteRegisterReply, WORDS, WORDS, WORDS),
    st.builds(pdu.ReadWriteMultipleRegistersReply, registers(125)),
    st.builds(pdu.ReadFIFOQueueReply, registers(31, 0)),
    st.builds(pdu.ReadDeviceIdentificationReply, st.integers(1, 4), BYTES, st.booleans(), BYTES, _objects),
    st.builds(pdu.RawReply, _unknown, st.binary(max_size=252)),
    st.builds(pdu.ExceptionReply, st.integers(0, 127), BYTES),
)
"""Replies of every function, and exceptions."""
