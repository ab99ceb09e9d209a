"""The web as a run may reach it: public addresses, and the hosts of the user's egress settings by their classes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from assay.core.egress import Outbound, Passage, Permit
from assay.core.errors import UsageError
from assay.core.web import Page, Web, WebError, host_of

if TYPE_CHECKING:
    from assay.policy.egress import EgressPolicy
    from assay.run.run import Run

MARK = "{query}"
"""Where the address of a search engine takes the words."""


class LateWeb:
    """Implements `core.web.Web` by what is made when it is first wanted: most runs fetch nothing."""

    def __init__(self, make: Callable[[], Web]) -> None:
        self._make = make
        self._made: Web | None = None

    async def get(self, url: str, limit: int) -> Page:
        self._made = self._made or self._make()
        return await self._made.get(url, limit)


def make_web(egress: dict[str, object], environ: Mapping[str, str], spill: str, run: Callable[[], Run]) -> Web:
    """`egress`: the settings of that name. Requests are judged by the label of the run, and noted in its `spill`."""

    def make() -> Web:
        from assay.app.egress import Attached, read_egress
        from assay.policy.egress import BUDGET, EgressPolicy
        from assay.policy.tripwire import Tripwire, secret_values
        from assay.workspace.web import HttpWeb

        attached = Attached(Path(spill))
        attached.run = run()
        asked = read_egress(egress)
        named = {host.credential.env for host in asked.hosts.values() if host.credential}
        # No credential goes with a page that a model asked for.
        hosts = {name: replace(host, credential=None) for name, host in asked.hosts.items()}
        policy = EgressPolicy(hosts, attached.label, {}, BUDGET if asked.bytes_out is None else asked.bytes_out)
        permits: dict[str, Permit] = {
            name: _as_tunnel(policy) if host.kind == "tunnel" else policy for name, host in hosts.items()
        }
        permits |= dict.fromkeys(asked.deny, _denied)
        watch = Tripwire(secret_values(environ, named))
        return HttpWeb(environ, hosts=permits, watch=watch, note=attached.note)

    return LateWeb(make)


def make_search(template: str, environ: Mapping[str, str]) -> tuple[Web, str]:
    """What reaches the search engine that the user named, be it on this machine, and its address. Raises `UsageError`
    for an address that is none."""
    try:
        host = host_of(template.replace(MARK, "x"))
    except WebError as error:
        raise UsageError(f"settings: search: {error}") from error
    if MARK not in template:
        raise UsageError(f"settings: search: expected an address like https://host/search?q={MARK}&format=json")

    def make() -> Web:
        from assay.policy.tripwire import Tripwire, secret_values
        from assay.workspace.web import HttpWeb

        return HttpWeb(environ, private=frozenset({host}), watch=Tripwire(secret_values(environ)))

    return LateWeb(make), template


def _as_tunnel(policy: EgressPolicy) -> Permit:
    """A tunnel's requests are not looked into, only that there is one."""

    def permit(asked: Outbound) -> Passage:
        if asked.scheme != "https":
            return Passage(reason=f"egress.hosts {asked.host}: class tunnel passes TLS only")
        return policy(replace(asked, method="CONNECT", target=""))

    return permit


def _denied(asked: Outbound) -> Passage:
    return Passage(reason=f"egress.deny has {asked.host}")
