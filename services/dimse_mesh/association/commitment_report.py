"""Send an N-EVENT-REPORT of storage commitment to its requestor (PS3.4 §J.3.3)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import anyio

from dimse_mesh.association.durable_session import DurableSession
from dimse_mesh.client import AssociationError, DicomClient, InProcessLine, Proposal
from dimse_mesh.dimse import StatusCategory, category
from dimse_mesh.dimse.commitment import (
    COMMITMENT_SYNTAXES,
    STORAGE_COMMITMENT,
    CommitmentResult,
    encode_result,
    report_request,
)
from dimse_mesh.endpoint.in_process_peer import InProcessPeer
from dimse_mesh.schemas.commitment import CommitmentRequest

TIMEOUT = 30.0
"""Seconds for the requestor to take a report."""
AssociationAsked = tuple[DurableSession, int]
"""The association on which a request came, and the id of its presentation context."""


class ReportFailed(Exception):
    """The requestor hasn't taken the report; the message says why, in our own words."""


class Reporter:
    """Reports on the association that asked, or on a new one.

    Args:
        direct: makes a client in this process whose called AE title is its destination, whatever the routes say.
    """

    def __init__(self, direct: Callable[[], InProcessPeer]) -> None:
        self._direct = direct

    async def report(
        self, request: CommitmentRequest, result: CommitmentResult, asked_on: AssociationAsked | None
    ) -> None:
        """Report.

        Raises:
            ReportFailed: the requestor was not to be had, or has not taken it.
        """
        status: int | None = None
        if asked_on is not None:
            session, context_id = asked_on
            status = await session.request(
                context_id,
                partial(report_request, result=result),
                encode_result(result, request.transfer_syntax),
                timeout=TIMEOUT,
            )
        if status is None:
            status = await self._on_new_association(request, result)
        if category(status) not in {StatusCategory.SUCCESS, StatusCategory.WARNING}:
            raise ReportFailed(f"the requestor answers with status {status:04X}H")

    async def _on_new_association(self, request: CommitmentRequest, result: CommitmentResult) -> int:
        """Call the requestor as the AE that it has called; return the status that it answers.

        Raises:
            ReportFailed: it was not to be had.
        """
        client = DicomClient(InProcessLine(self._direct()))
        try:
            with anyio.fail_after(2 * TIMEOUT):
                await client.associate(
                    called_ae=request.calling_ae,
                    calling_ae=request.called_ae,
                    proposals=[Proposal(STORAGE_COMMITMENT, COMMITMENT_SYNTAXES, as_scp=True)],
                )
                client.deadline = TIMEOUT
                context_id, syntax = client.context(STORAGE_COMMITMENT)
                answer = await client.call(
                    context_id,
                    report_request(client.next_message_id(), result),
                    encode_result(result, syntax),
                )
                await client.release()
        except (AssociationError, ValueError) as error:
            raise ReportFailed(f"calling it back fails: {error}") from error
        except TimeoutError as error:
            raise ReportFailed("calling it back takes too long") from error
        finally:
            client.close()
        status = answer.command.status
        if status is None:
            raise ReportFailed("the requestor answers without a status")
        return status
