"""The watch on the state directory, every other second: changes that other commands make while this proxy serves.

Owns the rhythm and what follows from each find: another CA, a deleted one, one that comes to its end, revocations,
other CRLs for clients, a file that was allowed, ports that were opened. Refuses to end for a state that cannot be read:
the next look may.
Loaded after the start.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import msgspec

from devtls.daemon.assembly import Daemon
from devtls.daemon.expiry import EndNotice
from devtls.daemon.listeners import HTTP_PORT, HTTPS_PORT, BoundListeners, bind_forbidden
from devtls.daemon.reload import Reloader
from devtls.errors import DevtlsError
from devtls.net.bind import Origin
from devtls.system.changes.ports.nft import redirected_ports

# Seconds: for what no command tells us of, such as devtls allow.
_LOOK_S = 2.0


class StateWatch:
    """Checks the state directory for one process; `is_orphan` = its CA was deleted."""

    def __init__(self, daemon: Daemon, reloader: Reloader) -> None:
        self.is_orphan = False
        self._daemon = daemon
        self._reloader = reloader
        self._log = daemon.log
        self._end = EndNotice()
        self._looking = asyncio.Lock()

    async def run(self) -> None:
        """Check the directory every other second, until cancelled."""
        while True:
            await asyncio.sleep(_LOOK_S)
            try:
                await self.look()
            except OSError as error:
                self._log.report(f"the state folder cannot be read: {error.strerror or error}")

    async def look(self, *, by_command: bool = False, set_up: bool = False) -> DevtlsError | None:
        """Check once; returns what keeps a change from being taken over. Raises OSError."""
        async with self._looking:  # a command's look and ours would take the same CA over twice
            await self.take_ports(set_up=set_up)
            return await self._look(by_command)

    async def _look(self, by_command: bool) -> DevtlsError | None:
        daemon, reloader = self._daemon, self._reloader
        # Before the CA is looked at: a revocation counts also while a new CA cannot be read.
        await daemon.drop_revoked_leaves()
        if text := self._end.due(daemon.generation.authority.not_after, datetime.now(UTC)):
            self._log.warn(text, event="authority_ends")
        try:
            replaced = await asyncio.to_thread(daemon.authority_replaced)
            self._tell_of_deletion(await asyncio.to_thread(daemon.keystore.fingerprint_on_disk) is None)
        except DevtlsError as error:
            self._log.report(f"the CA on disk cannot be read: {error}")
            return error
        # A reload reads the policies itself, but only a changed file or CA makes one.
        await self.refresh_policies()
        if replaced:
            return await reloader.reload("The CA was replaced", by_itself=True, by_command=by_command)
        if reloader.waits_for_allow:
            # `devtls allow` changes a file of ours, not the one that is watched.
            return await reloader.reload(f"{reloader.file_name} was allowed", by_itself=True)
        return None

    async def take_ports(self, *, set_up: bool = False) -> None:
        """Take the usual ports that were closed to this user at the start, when they are open now.

        `set_up` says that `devtls setup` was there: then the system may redirect them.
        """
        daemon, before = self._daemon, self._daemon.bound
        if not before.forbidden:
            return
        after = await asyncio.to_thread(bind_forbidden, before)
        if set_up and HTTPS_PORT in after.forbidden:
            after = await asyncio.to_thread(_with_redirect, after)
        opened = sorted(before.forbidden - after.forbidden)
        await daemon.open_besides(after)
        if after.https_port == before.https_port and after.http_port == before.http_port:
            return
        ports = " and ".join(str(port) for port in opened)
        also = f" {before.https_port} goes on beside {after.https_port}." if HTTPS_PORT in opened else ""
        self._log.say(
            f"devtls serves port{'s' if len(opened) > 1 else ''} {ports} too: the system lets this user have "
            f"{'them' if len(opened) > 1 else 'it'} now.{also}",
            event="ports",
            https_port=after.https_port,
            http_port=after.http_port,
        )
        self._reloader.tell_readiness()
        await self.show_addresses()

    async def show_addresses(self) -> None:
        """Show the banner again, here and in the terminals of those that joined."""
        self._daemon.addresses_changed()
        await self._reloader.show_banner()

    async def refresh_policies(self) -> None:
        """Judge clients by the revocation lists as they are now; trouble is said once and changes nothing."""
        try:
            await self._daemon.refresh_policies()
        except (DevtlsError, OSError) as error:
            self._log.report(f"what clients' certificates are judged by stays as it is: {error}")

    def _tell_of_deletion(self, deleted: bool) -> None:
        if deleted and not self.is_orphan:
            self._log.warn(
                "The CA was deleted; this devtls goes on with it. `devtls trust` makes a new one, which it takes over.",
                event="authority_deleted",
            )
        self.is_orphan = deleted


def _with_redirect(bound: BoundListeners) -> BoundListeners:
    """Return `bound` as the listeners of the usual ports, if the system redirects those there; blocks."""
    found = redirected_ports((HTTPS_PORT, HTTP_PORT), bound.https.port)
    if HTTPS_PORT not in found:
        return bound
    https = msgspec.structs.replace(bound.https, origin=Origin.REDIRECTED, redirected_from=HTTPS_PORT)
    notes = tuple(note for note in bound.notes if not any(note.startswith(f"Port {port} ") for port in found))
    sent_here = HTTP_PORT if HTTP_PORT in found and bound.http is None else bound.sent_here
    left = bound.forbidden - found
    return msgspec.structs.replace(bound, https=https, notes=notes, sent_here=sent_here, forbidden=left)
