"""Decorators that let each client method be written once for Twisted and for asyncio, floor 3.

A method is a function that makes an operation: a request, and the conversion of its answer. A decorator turns it into a
method of every *face* of the client. The face decides whether its callers get a Deferred, a coroutine or another
awaitable. A type checker takes the result type from the base class of the face: :class:`GivesDeferreds`,
:class:`GivesCoroutines` or :class:`GivesAwaitables`.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, TypeVar, overload

from attrs import frozen

from lumina_twisted.modbus import calls
from lumina_twisted.modbus.calls import Call

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

P = ParamSpec("P")
T = TypeVar("T")
_Self = TypeVar("_Self")


class GivesDeferreds:
    """The methods of this face return Deferreds."""

    __slots__ = ()


class GivesCoroutines:
    """The methods of this face return coroutines, for asyncio."""

    __slots__ = ()


class GivesAwaitables:
    """The methods of this face return a future in an asyncio task, and a Deferred anywhere else."""

    __slots__ = ()


@frozen
class Operation(Generic[T]):
    """One request of a client, and the conversion of its answer.

    :param request: the request for the session.
    :param result: takes the answer and returns the result. It may return another operation instead, whose result then
        counts. If the answer stands for a failure, it raises that error.
    """

    request: Any
    result: Callable[[Any], Any]


class Method(Generic[P, T]):
    """What a type checker sees of a method; at runtime it is a plain function."""

    @overload
    def __get__(self, instance: None, owner: Any = None, /) -> Callable[Concatenate[Any, P], Any]: ...
    @overload
    def __get__(self, instance: GivesDeferreds, owner: Any = None, /) -> Callable[P, Deferred[T]]: ...
    @overload
    def __get__(self, instance: GivesCoroutines, owner: Any = None, /) -> Callable[P, Coroutine[Any, Any, T]]: ...
    @overload
    def __get__(self, instance: GivesAwaitables, owner: Any = None, /) -> Callable[P, Awaitable[T]]: ...
    def __get__(self, instance: Any, owner: Any = None, /) -> Any:
        """The method, with the result type of its face."""
        raise NotImplementedError


def operation(make: Callable[Concatenate[_Self, P], Operation[T]]) -> Method[P, T]:
    """Makes a method for each face, which runs the operation that ``make`` returns. The class needs ``_run``."""

    @functools.wraps(make)
    def run(self: Any, *args: Any, **kwargs: Any) -> Any:
        return self._run(partial(make, self, *args, **kwargs))

    return _described(run, inspect.signature(make))


def delegate(ask: Callable[Concatenate[_Self, P], Awaitable[T]]) -> Method[P, T]:
    """Makes a method for each face, which returns the result of another method of the same face."""
    return ask  # type: ignore[return-value]


def function(make: Callable[P, Call[T]]) -> Method[P, T]:
    """Makes a method for the units of each face. It runs the call that ``make`` returns. The class needs ``_run``."""

    @functools.wraps(make)
    def run(self: Any, *args: Any, **kwargs: Any) -> Any:
        return self._run(partial(make, *args, **kwargs))

    signature = inspect.signature(make)
    own = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    return _described(run, signature.replace(parameters=[own, *signature.parameters.values()]))


def _described(run: Callable[..., Any], signature: inspect.Signature) -> Method[Any, Any]:
    """Gives the function the signature that ``help()`` shows: instead of an operation it returns an awaitable."""
    _, _, result = str(signature.return_annotation).partition("[")
    method: Any = run
    method.__signature__ = signature.replace(return_annotation=f"Awaitable[{result}")
    described: Method[Any, Any] = method
    return described


class UnitMethods:
    """The public Modbus functions of one unit as methods, with the parameters of :mod:`lumina_twisted.modbus.calls`.

    A read gives the values. A write gives None when the device has confirmed it, a broadcast when it has been
    sent. A request that exceeds the limits of the specification is not sent and fails with
    :class:`~lumina_twisted.errors.RequestError`.
    """

    __slots__ = ()

    def _run(self, make: Callable[[], Call[T]]) -> Any:
        """Runs a call, and returns its result as a Deferred, a coroutine or another awaitable."""
        raise NotImplementedError

    request = function(calls.raw)
    read_coils = function(calls.read_coils)
    read_discrete_inputs = function(calls.read_discrete_inputs)
    read_holding_registers = function(calls.read_holding_registers)
    read_input_registers = function(calls.read_input_registers)
    write_single_coil = function(calls.write_single_coil)
    write_single_register = function(calls.write_single_register)
    write_multiple_coils = function(calls.write_multiple_coils)
    write_multiple_registers = function(calls.write_multiple_registers)
    mask_write_register = function(calls.mask_write_register)
    read_write_multiple_registers = function(calls.read_write_multiple_registers)
    read_exception_status = function(calls.read_exception_status)
    diagnostics = function(calls.diagnostics)
    get_comm_event_counter = function(calls.get_comm_event_counter)
    get_comm_event_log = function(calls.get_comm_event_log)
    report_server_id = function(calls.report_server_id)
    read_file_record = function(calls.read_file_record)
    write_file_record = function(calls.write_file_record)
    read_fifo_queue = function(calls.read_fifo_queue)
    read_device_identification = function(calls.read_device_identification)
