"""Fetch the priors of new studies: ask the PACS, choose by the rules, have them moved, each at most once."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from datetime import date, datetime
from typing import Final

import anyio

from dimse_mesh.app.priors_pacs import body_parts, move_study, studies_of, study_facts
from dimse_mesh.app.priors_rules import StudyFacts, asks_safely, is_new, relevant, wants_priors
from dimse_mesh.app.priors_state import PriorsState, WaitingStudy
from dimse_mesh.app.way_in import Door
from dimse_mesh.client import AssociationError
from dimse_mesh.runtime.settings_priors import PriorRule, PriorsSettings

log = logging.getLogger(__name__)

LONGEST_WAIT: Final = 600.0
LOOK_SECONDS: Final = 5.0
"""Between two looks for studies whose turn it is, where nothing arrives."""
SETTLING: Final = 3.0
"""Seconds between two looks at a destination that may still be getting a study."""
_DAY: Final = 86400.0


class PriorsRefused(Exception):
    """Nothing can be done for a new study, and waiting doesn't help; the message says why, and names no patient."""


class PriorsWorker:
    """Works off the new studies.

    Args:
        today: the date.
    """

    def __init__(
        self,
        door: Door,
        settings: PriorsSettings,
        state: PriorsState,
        *,
        today: Callable[[], date] = lambda: datetime.now().astimezone().date(),
    ) -> None:
        self._door = door
        self._settings = settings
        self._state = state
        self._today = today
        self._working: set[tuple[str, str]] = set()
        self._moving: dict[tuple[str, str], anyio.Lock] = {}
        self._next_move = 0.0
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Say that a new study has been noted."""
        self._woken.set()

    async def run(self, draining: anyio.Event) -> None:
        """Work until told to drain, then finish the moves that are under way."""
        async with anyio.create_task_group() as tasks:
            for _ in range(self._settings.at_once):
                tasks.start_soon(self._work, draining)
            await draining.wait()
            self.wake()

    async def _work(self, draining: anyio.Event) -> None:
        while not draining.is_set():
            waiting = self._state.due(time.time(), but=self._working)
            if waiting is None:
                self._woken.clear()
                with anyio.move_on_after(min(LOOK_SECONDS, self._settings.retry)):
                    await self._woken.wait()
                continue
            key = (waiting.study, waiting.ae)
            self._working.add(key)
            try:
                await self._attempt(waiting, draining)
            finally:
                self._working.discard(key)

    async def _attempt(self, waiting: WaitingStudy, draining: anyio.Event) -> None:
        rules = [rule for rule in self._settings.rules if waiting.ae in rule.arrivals]
        try:
            moved = 0
            for rule in rules:
                moved += await self.fetch(waiting.study, rule, draining)
            if draining.is_set():
                return  # some may be missing: the next run looks again
            self._state.ended(waiting, "done")
            if moved:
                log.info("%d priors of study %s were moved", moved, waiting.study)
        except PriorsRefused as refused:
            self._state.ended(waiting, "refused", str(refused))
        except AssociationError as error:
            self._failed(waiting, str(error))

    def _failed(self, waiting: WaitingStudy, why: str) -> None:
        if waiting.attempts + 1 >= self._settings.attempts:
            log.error("the priors of study %s are given up: %s", waiting.study, why)
            self._state.ended(waiting, "failed", why)
            return
        wait = min(self._settings.retry * 2**waiting.attempts, LONGEST_WAIT)
        log.warning("the priors of study %s: %s; trying again in %.0f s", waiting.study, why, wait)
        self._state.put_off(waiting, time.time() + wait, why)

    async def fetch(
        self, study: str, rule: PriorRule, draining: anyio.Event, *, at_any_age: bool = False
    ) -> int:
        """Have a study's priors moved by one rule; return how many were.

        Args:
            at_any_age: whether the study may be old itself.

        Raises:
            PriorsRefused: it has none, or none that may be looked for.
            AssociationError: try again later.
        """
        new = await study_facts(self._door, rule.pacs, study)
        if new is None:
            new = await self._known_at(study, rule)
        if not asks_safely(new.patient):
            raise PriorsRefused("its Patient ID is empty, or has wildcards: it would find others' studies")
        if not at_any_age and not is_new(new, self._today(), within_days=self._settings.new_within_days):
            raise PriorsRefused("it is no new study")
        if not wants_priors(new, rule):
            return 0
        candidates = relevant(
            new, rule, await studies_of(self._door, rule.pacs, new.patient), today=self._today()
        )
        moved = fitting = 0
        parts = await body_parts(self._door, rule.pacs, study) if rule.same_body_part else frozenset()
        for prior in candidates:
            if parts:
                others = await body_parts(self._door, rule.pacs, prior.study)
                if others and not others & parts:
                    continue
            fitting += 1
            if fitting > rule.most or draining.is_set():
                break
            moved += await self._move(prior, rule)
        return moved

    async def _known_at(self, study: str, rule: PriorRule) -> StudyFacts:
        """Ask the AE where the study has arrived: a PACS may get it later, or never.

        Raises:
            AssociationError: it doesn't know it either, yet.
        """
        for title in rule.arrivals:
            try:
                found = await study_facts(self._door, title, study)
            except AssociationError as error:
                log.debug("%s can't be asked for study %s: %s", title, study, error)
                continue
            if found is not None:
                return found
        raise AssociationError(f"{rule.pacs} doesn't know the study")

    async def _move(self, prior: StudyFacts, rule: PriorRule) -> bool:
        """Have a prior moved, unless it was; return whether it was now."""
        key = (prior.study, rule.to)
        async with self._moving.setdefault(key, anyio.Lock()):
            since = time.time() - self._settings.again_after_days * _DAY
            known = self._state.move_state(*key, since=since)
            if known == "done":
                return False
            if known == "begun" and await self._has_come(prior, rule):
                self._state.move(*key, "done")
                return False
            await self._pace()
            self._state.move(*key, "begun")
            why = await move_study(self._door, rule.pacs, prior.study, rule.to)
            if why:
                raise AssociationError(why)
            self._state.move(*key, "done")
            return True

    async def _has_come(self, prior: StudyFacts, rule: PriorRule) -> bool:
        """Tell whether a move that somebody was killed in has brought all of a study: wait while it brings more.

        A destination that can't be asked, or doesn't say how many instances it has, is sent the study again.
        """
        before = -1
        while prior.instances:
            try:
                there = await study_facts(self._door, rule.to, prior.study)
            except AssociationError as error:
                log.debug("%s can't be asked what it has: %s", rule.to, error)
                return False
            count = 0 if there is None else there.instances
            if count is None or count <= before:
                return False
            if count >= prior.instances:
                return True
            before = count
            await anyio.sleep(SETTLING)
        return False

    async def _pace(self) -> None:
        """Wait until another move may begin."""
        now = asyncio.get_running_loop().time()
        begins = max(now, self._next_move)
        self._next_move = begins + 60.0 / self._settings.per_minute
        await anyio.sleep(begins - now)
