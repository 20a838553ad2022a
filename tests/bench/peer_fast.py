"""fast_bitrix24 doing the bare updates: no queue, no ledger, no comparison, under its own throttle at the same limit.

`python -m tests.bench.peer_fast URL REQUESTS_PER_SECOND BURST PORTION STAGE FIRST_ID LAST_ID`; PORTION is how many
updates it is given at a time. Its throttle counts a request when it was answered (1.8.14, throttle.py), so of a call
that makes more requests than the burst all begin at once, and after ten refusals in a row it gives up.
"""

from __future__ import annotations

import asyncio
import sys

from fast_bitrix24 import BitrixAsync


async def update(url: str, per_second: float, burst: int, portion: int, stage: str, ids: range) -> None:
    """Move the deals to a stage, 50 updates a request."""
    portal = BitrixAsync(url, verbose=False, request_pool_size=burst, requests_per_second=per_second)
    for start in range(0, len(ids), portion):
        some = ids[start : start + portion]
        await portal.call("crm.deal.update", [{"ID": one, "fields": {"STAGE_ID": stage}} for one in some])


if __name__ == "__main__":
    url, per_second, burst, portion, stage, first, last = sys.argv[1:]
    asyncio.run(update(url, float(per_second), int(burst), int(portion), stage, range(int(first), int(last) + 1)))
