"""One table of methods for every face of the client, floor 3.

What a client can be asked stands once: each method makes a call (a request and what its reply means). How its result
is given is the face's own: a Deferred, a coroutine, or whatever the caller's world awaits. A type checker reads that
from the base class that the face names: :class:`GivesDeferreds`, :class:`GivesCoroutines` or :class:`GivesAwaitables`.
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
T_co = TypeVar("T_co", covariant=True)
_Self = TypeVar("_Self")


class GivesDeferreds:
    """The methods of this face return Deferreds."""

    __slots__ = ()


class GivesCoroutines:
    """The methods of this face return coroutines, for asyncio."""

    __slots__ = ()


class GivesAwaitables:
    """The methods of this face return something to await, wherever they are called."""

    __slots__ = ()


@frozen
class Operation(Generic[T_co]):
    """One request of a client, and what its answer means.

    :param request: what its session is given.
    :param result: takes the answer, and returns the result, or the operation that comes next and gives it; raises the
        failure that the answer stands for.
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
    """A method of each face, which does what the operation of ``make`` says. Its class has ``_run``."""

    @functools.wraps(make)
    def run(self: Any, *args: Any, **kwargs: Any) -> Any:
        return self._run(partial(make, self, *args, **kwargs))

    return _described(run, inspect.signature(make))


def delegate(ask: Callable[Concatenate[_Self, P], Awaitable[T]]) -> Method[P, T]:
    """A method of each face that hands on what another method of the same face returns."""
    return ask  # type: ignore[return-value]


def function(make: Callable[P, Call[T]]) -> Method[P, T]:
    """A method of each face's unit, which does what the Modbus call of ``make`` says. Its class has ``_run``."""

    @functools.wraps(make)
    def run(self: Any, *args: Any, **kwargs: Any) -> Any:
        return self._run(partial(make, *args, **kwargs))

    signature = inspect.signature(make)
    own = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    return _described(run, signature.replace(parameters=[own, *signature.parameters.values()]))


def _described(run: Callable[..., Any], signature: inspect.Signature) -> Method[Any, Any]:
    """The function, with the signature that ``help()`` shows: what makes a call of a T is awaited for a T."""
    _, _, result = str(signature.return_annotation).partition("[")
    method: Any = run
    method.__signature__ = signature.replace(return_annotation=f"Awaitable[{result}")
    described: Method[Any, Any] = method
    return described


class UnitMethods:
    """The public functions of one unit as methods, with the parameters of :mod:`lumina_twisted.modbus.calls`.

    Each gives the values, or fails. What breaks the specification's limits fails with
    :class:`~lumina_twisted.errors.RequestError`, and is not sent.
    """

    __slots__ = ()

    def _run(self, make: Callable[[], Call[T]]) -> Any:
        """Does what a call says, and gives its result in the way of this face."""
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
