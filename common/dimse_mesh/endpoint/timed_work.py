"""Work of a task whose time is counted: what it takes of the event loop, not what it waits for."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from time import perf_counter
from typing import Any, Generic, TypeVar

ResultT = TypeVar("ResultT")


class TimedWork(Generic[ResultT]):
    """A coroutine that is awaited as it is, step by step.

    Args:
        work: is awaited once.
        took: called after each step with the seconds that it has taken, those in which the machine was busy among them.
    """

    __slots__ = ("_took", "_work")

    def __init__(self, work: Coroutine[Any, Any, ResultT], took: Callable[[float], None]) -> None:
        self._work = work
        self._took = took

    def __await__(self) -> Generator[Any, Any, ResultT]:
        work = self._work
        value: Any = None
        error: BaseException | None = None
        while True:
            begun = perf_counter()
            try:
                awaited = work.send(value) if error is None else work.throw(error)
            except StopIteration as end:
                result: ResultT = end.value
                return result
            finally:
                self._took(perf_counter() - begun)
            value, error = None, None
            try:
                value = yield awaited
            except GeneratorExit:
                work.close()
                raise
            except BaseException as thrown:  # noqa: BLE001 - it is thrown on, into the work
                error = thrown
