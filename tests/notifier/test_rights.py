"""notifier as it is installed: with its own Redis user, which may do what it does and no more."""

from __future__ import annotations

from pathlib import Path

from shared.streams import MODE_KEY
from tests.deploy.redis_users import TESTER, a_guarded_server
from tests.deploy.test_redis_as_installed import refused
from tests.ring.live import call

from .desk import Desk, say
from .phone import a_phone


def test_it_tells_remembers_and_shows_itself_with_the_rights_of_its_own_user(
    tmp_path: Path,
) -> None:
    with (
        a_guarded_server(tmp_path) as guarded,
        guarded.client(TESTER) as tester,
        a_phone() as phone,
    ):
        call(tester, "ACL", "LOG", "RESET")
        desk = Desk(guarded.url("notifier"), tester, (phone,))
        try:
            say(tester, "apply.result.filled")
            tester.set(MODE_KEY, "HALT")
            desk.until_told("bought 0.023", "The mode is HALT")
            desk.until_idle()
            desk.restart()
            say(tester, "apply.plan.skip_entry")
            desk.until_told("open_positions_cap")
            assert len(phone.lines) == 3
            assert refused(tester) == set()
        finally:
            desk.end()
