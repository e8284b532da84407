"""One of several loaders that share a load: it leads the others or joins them.

Who leads lists, plans and then works like the others. When it is gone, another one leads.
"""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from psycopg2.extensions import connection as Connection  # noqa: N812

from pipelines import candles, coverage, sharing
from pipelines.context import LoadContext, make_context
from pipelines.land import Lander
from pipelines.load import list_and_plan, measured, settle, settle_pending
from pipelines.ops import application_of, count_holders, share_lock, try_to_lead
from pipelines.plan import CandleRequest
from pipelines.settings import LoadSettings
from pipelines.shared_pace import SharedPace
from pipelines.sharing import Leases
from pipelines.slots import hold_slot
from pipelines.summary import LoadSummary, count
from pipelines.timerange import TimeRange
from pipelines.warehouse import LOADER_ROLE, Warehouse

SECONDS_BETWEEN_LOOKS = 0.5


def load_shared(settings: LoadSettings, wanted: TimeRange, warehouse: Warehouse) -> LoadSummary:
    """Land a share of what `settings` select; ends when all of it has landed.

    Raises BusyError when a load that does not share is under way, or one of another selection.
    """
    with _sharer(settings, wanted, warehouse) as sharer, measured(sharer.context):
        sharer.run()
    return sharer.context.summary


@contextmanager
def _sharer(settings: LoadSettings, wanted: TimeRange, warehouse: Warehouse) -> Iterator["_Sharer"]:
    with (
        share_lock(warehouse, wait=settings.wait) as connection,
        warehouse.acting_as(LOADER_ROLE).connect(autocommit=True) as beside,
        hold_slot(warehouse) as mine,
        ExitStack() as leases,
    ):
        pace = SharedPace(beside, settings.api_url)
        lander = Lander(mine, application_of(connection))
        context = make_context(settings, wanted, warehouse, connection, lander=lander, pace=pace)
        yield _Sharer(context, beside, pace, leases)


class _Sharer:
    """One loader, from its start to its end."""

    def __init__(
        self, context: LoadContext, beside: Connection, pace: SharedPace, stack: ExitStack
    ) -> None:
        self.context = context
        self._connection = context.connection
        self._beside = beside
        self._pace = pace
        self._stack = stack
        """Leases are renewed until it is closed."""
        self._has_joined = False
        self._leases: Leases | None = None
        self._is_settled = False

    def run(self) -> None:
        """Do a share of the work; what the others did stands in the summary, too."""
        self._work_or_lead()
        if self._leases:
            self.context.summary.others = self._leases.others()

    def _work_or_lead(self) -> None:
        while not try_to_lead(self._connection):
            if self._is_over_for_us():
                return
            time.sleep(SECONDS_BETWEEN_LOOKS)
        self._lead()

    def _is_over_for_us(self) -> bool:
        """Work on what others have planned, where they have; returns whether nothing is left."""
        crawl = sharing.read_crawl(self._connection)
        if crawl is None or not crawl.is_under_way:
            # one that we did not join is the last one, and the next one begins
            return self._has_joined
        if not crawl.is_led:
            # who leads is about to decide what becomes of it
            return False
        sharing.require_the_same(crawl, self.context.settings)
        self._has_joined = True
        # noted before the listing is done, so that whoever leads next knows of us
        self._leases_of(crawl.crawl_id)
        if crawl.state == sharing.OPEN:
            if not self._is_settled:
                settle_pending(self.context)
                self._is_settled = True
            self._work(crawl.crawl_id)
        return self.context.summary.is_over

    def _lead(self) -> None:
        crawl = sharing.read_crawl(self._connection)
        is_alone = count_holders(self._connection) == 1
        if self._has_joined and (crawl is None or not crawl.is_under_way):
            return
        if crawl and crawl.is_under_way and (self._has_joined or crawl.has_others):
            sharing.require_the_same(crawl, self.context.settings)
            if crawl.is_planned:
                self._take_over(crawl.crawl_id, is_alone)
                return
        # what nobody works on any more is planned anew: what landed of it is covered
        self._begin(is_alone)

    def _take_over(self, crawl_id: int, is_alone: bool) -> None:
        """Finish what another one planned and did not see the end of."""
        self.context.log.say(f"leading shared load {crawl_id}, as its leader has gone")
        sharing.take_over(self._connection, crawl_id)
        settle(self.context, is_alone=is_alone)
        self._pace.set_rate(self.context.settings.rate)
        sharing.open_again(self._connection, crawl_id)
        self._finish(crawl_id)

    def _begin(self, is_alone: bool) -> None:
        crawl_id = sharing.begin(self._connection, self.context.settings)
        self.context.log.say(f"leading shared load {crawl_id}")
        self._pace.set_rate(self.context.settings.rate)
        settle(self.context, is_alone=is_alone)
        requests = list_and_plan(self.context)
        sharing.plan(self._connection, crawl_id, requests)
        self._finish(crawl_id)

    def _finish(self, crawl_id: int) -> None:
        """Work until nothing is left, of our own or of the others."""
        is_waiting = False
        while True:
            self._work(crawl_id)
            left = sharing.count_left(self._connection, crawl_id)
            if not left or self.context.summary.is_over:
                break
            if not is_waiting:
                self.context.log.say(f"waiting for {count(left, 'request')} of other loaders")
                is_waiting = True
            time.sleep(SECONDS_BETWEEN_LOOKS)
        # by the leader alone, so never by two at once
        coverage.count_finished_loads(self._connection)
        if not left:
            sharing.end(self._connection, crawl_id)

    def _work(self, crawl_id: int) -> None:
        """Fetch and land, a package after the other, until there is nothing to claim."""
        settings, summary = self.context.settings, self.context.summary
        leases = self._leases_of(crawl_id)
        while not summary.is_over and leases.has_more():
            answered: list[CandleRequest] = []
            windows, found = summary.windows, summary.candles
            package = leases.package(settings.requests_per_package, settings.seconds_per_package)
            candles.land_package(self.context, package, _Quiet(), answered.append)
            leases.landed(answered, summary.windows - windows, summary.candles - found)
            left = sharing.count_left(self._connection, crawl_id)
            self.context.log.say(f"{count(left, 'request')} left to all loaders", left=left)

    def _leases_of(self, crawl_id: int) -> Leases:
        if self._leases is None or self._leases.crawl_id != crawl_id:
            self._leases = Leases(self._connection, self._beside, crawl_id, self.context.settings)
            self._stack.enter_context(self._leases.renewed())
            self.context.log.say(f"loader {self._leases.loader_id} of shared load {crawl_id}")
        return self._leases


class _Quiet:
    """How much one loader has done says little here: what is left to all is told instead."""

    def advance(self, candles: int) -> None:
        pass
