"""What a person sees in a browser, and what a page does when nothing comes any more."""

from __future__ import annotations

from pathlib import Path

import pytest

from shared.contracts.values import format_timestamp
from shared.streams import TRADE_INTENT, WATCH_KEY
from tests.cli.asking import reason
from tests.cli.small_ring import SYMBOL, SmallRing, a_small_ring, at_r
from tests.dashboard.browser import Page
from tests.dashboard.conftest import price
from tests.dashboard.site import a_dashboard
from tests.ring.live import a_server

TAB, ENTER, LEFT = ("Tab", 9), ("Enter", 13), ("ArrowLeft", 37)
#: What a stranger writes who wants a script of his own to run here.
HOSTILE = '"><img src=x onerror="window.struck=1"><script>window.struck=1</script>'


def test_a_position_is_shown_with_its_r_its_stop_and_its_rungs(
    ring: SmallRing, site: str, page: Page
) -> None:
    price(ring, "1")
    page.open(f"{site}/")
    card = page.until_reads("+1.00 R", ".card")
    for words in (SYMBOL, "▲ LONG 10×", "12.0736", "1.83", "25 % at 2 R", "50 % at 4 R", "next"):
        assert words in card, words
    # Each drawing says the same in words.
    track = page.ask("document.querySelector('.track').ariaLabel")
    assert track.startswith("R is +1.00; stop at −1.05 R; 25 % at 2 R next, 50 % at 4 R ahead")


def test_a_fill_shows_without_a_reload(ring: SmallRing, site: str, page: Page) -> None:
    page.open(f"{site}/")
    page.until_reads("next", ".card .rungs")
    page.ask("window.sameDocument = true; document.querySelector('.card').sameCard = true; 0")
    price(ring, "2")
    page.until_reads("taken", ".card .rungs")
    page.until_reads("PARTIAL_25: SELL 0.46", "#events")
    assert page.ask("window.sameDocument && document.querySelector('.card').sameCard")


def test_what_has_the_focus_keeps_it_when_news_comes(
    ring: SmallRing, site: str, page: Page
) -> None:
    page.open(f"{site}/")
    page.until_reads(SYMBOL, ".card")
    page.ask("document.querySelector('.card a').focus()")
    top = "document.querySelector('#events').getBoundingClientRect().top"
    before = page.ask(top)
    price(ring, "0.5")
    page.until_reads("+0.50 R", ".card")
    assert page.ask("document.activeElement.textContent") == SYMBOL
    assert page.ask(top) == before


def test_a_page_whose_redis_is_away_says_so_and_is_live_again_when_it_is_back(
    page: Page, tmp_path: Path
) -> None:
    with (
        a_server(tmp_path, appendfsync="no") as server,
        a_small_ring(server.url) as ring,
        a_dashboard(server.url, tmp_path) as site,
    ):
        ring.tick(at_r(1))
        ring.settle()
        page.open(f"{site}/")
        page.until_reads(SYMBOL, ".card")
        server.stop()
        page.until_reads("no news for", "#pulse")
        page.until_reads("Redis cannot be read: ", "#pulse")
        page.look(390, 844, phone=True)
        assert page.ask("document.documentElement.scrollWidth") == 390
        assert page.ask("document.body.classList.contains('late')")
        assert page.ask("document.title").startswith("✖ no news")
        # Whoever comes now is told, too, and does not take the last frame for a new one.
        page.open(f"{site}/")
        page.until(lambda: page.text(".card"), "the last frame")
        assert page.ask("document.body.classList.contains('late')")
        page.until_reads("Redis cannot be read: ", "#pulse")
        server.restart()
        page.until_reads("live", "#pulse")
        assert not page.ask("document.body.classList.contains('late')")
        page.open("about:blank")


def test_a_page_whose_dashboard_has_ended_never_looks_alive(
    ring: SmallRing, page: Page, tmp_path: Path
) -> None:
    with a_dashboard(ring.url, tmp_path) as site:
        page.open(f"{site}/symbol/{SYMBOL}")
        page.until_reads("live", "#pulse")
    page.until_reads("no news for", "#pulse")
    page.until_reads("the dashboard does not answer", "#pulse")
    seconds = "parseInt(document.querySelector('#pulse .figure').textContent.slice(4))"
    page.until(lambda: (page.ask(seconds) or 0) >= 4, "it counts the seconds")
    # The browser says that it could not connect, which is so.
    page.complaints = [one for one in page.complaints if "ERR_" not in one]


def test_what_strangers_write_is_text_and_stays_text(
    ring: SmallRing, site: str, page: Page
) -> None:
    ring.tick("150", symbol="SOLUSDT")
    ring.put(ring.entry(reason=HOSTILE[:60], model="<b>bold</b>"))
    ring.raw(TRADE_INTENT.key, [HOSTILE, HOSTILE, "symbol", "SOLUSDT"])
    ring.settle()
    ring.tick("150", symbol="SOLUSDT")
    ring.settle()
    page.open(f"{site}/")
    page.until_reads("unreadable", "#events")
    page.open(f"{site}/symbol/SOLUSDT")
    page.until_reads(HOSTILE[:60], "#story")
    page.until_reads("<b>bold</b>", "#story")
    page.until_reads("dead letter", "#findings")
    assert page.ask("window.struck") is None
    assert page.ask("document.querySelectorAll('img, main script').length") == 0
    bold = "[...document.querySelectorAll('b')].filter((b) => b.textContent === 'bold').length"
    assert page.ask(bold) == 0


def test_nothing_is_asked_of_any_other_machine(site: str, page: Page) -> None:
    for path in ("/", f"/symbol/{SYMBOL}"):
        page.open(f"{site}{path}")
        page.until_reads("live", "#pulse")
    page.until_reads("why", "#why")
    assert len(page.requested) > 10
    assert [url for url in page.requested if not url.startswith(f"{site}/")] == []


def test_the_page_of_a_symbol_gives_the_reason_that_the_command_gives(
    ring: SmallRing, site: str, page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", ring.url)
    price(ring, "1")
    page.open(f"{site}/symbol/{SYMBOL}")
    page.until_reads("PARTIAL_25 is due at 2.00 R", ".finding.first")
    _, verdict, text = reason(SYMBOL)
    assert page.text(".finding.first p") == text
    assert page.text(".finding.first .verdict").lower() == verdict


@pytest.mark.parametrize("symbol", ["LAKEUSDT"], indirect=True)
def test_the_chart_has_the_entry_the_stop_the_rungs_and_the_fills(
    ring: SmallRing, symbol: str, site: str, page: Page
) -> None:
    for age_s, r in ((30, "0.5"), (20, "1"), (10, "2"), (0, "2.4")):
        price(ring, r, age_s=age_s)
    page.open(f"{site}/symbol/{symbol}")
    page.until(lambda: page.ask("document.querySelector('#chart canvas') !== null"), "a chart")
    page.until_reads("stop", "#legend")
    page.until_reads("+2.40 R", "#readout")
    # What is drawn has its colour.
    seen = page.ask(
        "(() => { const c = document.querySelector('#chart canvas');"
        "const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;"
        "const seen = new Set(); for (let i = 0; i < d.length; i += 4)"
        "seen.add([d[i], d[i+1], d[i+2]].join()); return [...seen]; })()"
    )
    price_, stop, rung = "122,184,255", "240,160,75", "76,195,201"
    assert {price_, stop, rung} <= set(seen)


@pytest.mark.parametrize("symbol", ["MOUNTUSDT"], indirect=True)
def test_everything_can_be_reached_by_the_keyboard(
    ring: SmallRing, symbol: str, site: str, page: Page
) -> None:
    for age_s, r in ((20, "0.25"), (10, "0.5"), (0, "0.75")):
        price(ring, r, age_s=age_s)
    page.open(f"{site}/")
    page.until_reads(symbol, ".card")
    page.press(*TAB)
    assert page.ask("document.activeElement.className") == "skip"
    for _ in range(10):
        page.press(*TAB)
        if page.ask("document.activeElement.textContent") == symbol:
            break
    page.press(*ENTER, text="\r")
    page.until_reads("+0.75 R", "#readout")
    for _ in range(10):
        page.press(*TAB)
        if page.ask("document.activeElement.id") == "chart":
            break
    page.press(*LEFT)
    page.until_reads("+0.50 R", "#readout")


def test_nothing_is_wider_than_a_phone(ring: SmallRing, site: str, page: Page) -> None:
    page.look(390, 844, phone=True)
    for path in ("/", f"/symbol/{SYMBOL}"):
        page.open(f"{site}{path}")
        page.until_reads("12.0736" if path == "/" else "rungs", "main")
        wide = "[...document.querySelectorAll('main *')].filter((e) => e.getBoundingClientRect()"
        wide += ".right > 391 && !e.closest('.scroll')).map((e) => e.className)"
        assert page.ask(wide) == []
        assert page.ask("document.documentElement.scrollWidth") == 390


def test_alarms_stand_before_everything_else(ring: SmallRing, site: str, page: Page) -> None:
    since = "2026-01-01T00:00:00.000Z"
    text = f"{since} {SYMBOL} has been above 2 R for 61 s and <25 %> was not taken."
    ring.client.hset(WATCH_KEY, f"rung_not_taken.{SYMBOL}", text)
    ring.client.hset(WATCH_KEY, "seen_at", format_timestamp(ring.now()))
    page.open(f"{site}/")
    first = page.until_reads("a rung is due and was not taken", "#notices .notice.fail")
    assert "<25 %> was not taken" in first
    above = "document.querySelector('#notices').compareDocumentPosition"
    above += "(document.querySelector('#positions')) & Node.DOCUMENT_POSITION_FOLLOWING"
    assert page.ask(above)
    page.until(lambda: page.ask("document.title").startswith("("), "the title counts what fails")
