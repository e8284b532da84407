"""A simulator of Kalshi's public market-data API: an HTTP server on loopback for tests and demos.

    with Simulator(Exchange.demo()) as simulator:
        requests.get(f"{simulator.url}/events/KXPRESPERSON-28")

The exchange is data and rules (exchange.py). Its candles are worked out from a hash when they are
asked for (candles.py), and a test can order faults at any time (faults.py).
"""

from .candles import Candle
from .exchange import Exchange
from .faults import Fault, FaultLayer
from .model import Event, Market, Series
from .server import Request, RequestLog, Simulator

__all__ = [
    "Candle",
    "Event",
    "Exchange",
    "Fault",
    "FaultLayer",
    "Market",
    "Request",
    "RequestLog",
    "Series",
    "Simulator",
]
