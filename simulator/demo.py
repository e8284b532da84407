"""`make demo`: load and transform against the simulator, so that anyone sees the product work.

It has a server and a warehouse of its own: simulated candles have no place in a real warehouse.
"""

import os
import subprocess
import sys
from pathlib import Path

from kalshi_elt.base.paths import PROJECT_ROOT
from kalshi_elt.warehouse.embedded import EmbeddedServer
from simulator import Exchange, Simulator
from simulator.seed_event import SEEN_AT

COMMAND = (sys.executable, "-m", "kalshi_elt")

LOOK = """
select
    markets.yes_sub_title as market,
    max(markets.last_price_dollars)::numeric(4, 2) as last_price,
    count(*) as candles,
    sum(candles.volume_fp) as volume_24h,
    max(candles.end_ts) as newest_candle
from kalshi.candles
inner join kalshi.markets
    on candles.market_ticker = markets.market_ticker
group by markets.market_ticker
order by last_price desc, market
"""


def main() -> int:
    """Run the demo; returns the exit status of the first command that failed."""
    folder = Path(os.environ["PGDATA_DIR"])
    server = EmbeddedServer(PROJECT_ROOT / folder)
    is_new = not server.data.exists()
    # named to each command, as `.dlt/secrets.toml` may name the real warehouse
    environment = {**os.environ, "DATABASE_URL": server.start(), "DLT_DATA_DIR": str(server.folder)}
    try:
        if not is_new:
            _upgrade(environment)
        # with a fixed origin, so that a second demo in the same folder finds the same candles, and
        # goes on where the first one ended
        with Simulator(Exchange.demo(origin=SEEN_AT)) as simulator:
            environment["KALSHI_API_URL"] = simulator.url
            print(f"a simulated Kalshi answers at {simulator.url}", flush=True)
            for arguments in (["load"], ["transform"], ["psql", "-P", "pager=off", "-c", LOOK]):
                print(f"\n$ kalshi-elt {arguments[0]}", flush=True)
                status = subprocess.call([*COMMAND, *arguments], env=environment)
                if status:
                    return status
    finally:
        server.stop()
    print(
        f"\nLook further with: make psql PGDATA_DIR={folder}\n"
        "The real thing: make load && make transform"
    )
    return 0


def _upgrade(environment: dict[str, str]) -> None:
    """Carry the warehouse of an earlier demo forward: nobody else would know which one it is.

    Where that fails `load` says why, and in one that is empty there is nothing to do.
    """
    upgraded = subprocess.run(
        [*COMMAND, "upgrade"], env=environment, capture_output=True, text=True, check=False
    )
    if "was of" in upgraded.stdout:
        print(upgraded.stdout, end="", flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
