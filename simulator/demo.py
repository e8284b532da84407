"""`make demo`: load and transform against the simulator, so that anyone sees the product work.

It never touches DATABASE_URL: simulated candles have no place in a real warehouse.
"""

import os
import subprocess
import sys

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
    environment = {key: value for key, value in os.environ.items() if key != "DATABASE_URL"}
    # with a fixed origin, so that a second demo in the same folder finds the same candles, and goes
    # on where the first one ended
    with Simulator(Exchange.demo(origin=SEEN_AT)) as simulator:
        environment["KALSHI_API_URL"] = simulator.url
        print(f"a simulated Kalshi answers at {simulator.url}", flush=True)
        try:
            for arguments in (["load"], ["transform"], ["psql", "-P", "pager=off", "-c", LOOK]):
                print(f"\n$ kalshi-elt {arguments[0]}", flush=True)
                status = subprocess.call([*COMMAND, *arguments], env=environment)
                if status:
                    return status
        finally:
            subprocess.call([*COMMAND, "stop"], env=environment, stdout=subprocess.DEVNULL)
    folder = environment["PGDATA_DIR"]
    print(
        f"\nLook further with: make psql PGDATA_DIR={folder}\n"
        "The real thing: make load && make transform"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
