"""A person uses the board in a real browser: signs in, acts, sees the outcome without a reload, and no name runs."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By

from migrator.control.status import collect
from migrator.db.connect import connect
from tests.fixtures.postgres import Machines, fresh_name
from tests.fixtures.waiting import eventually
from tests.integration.serve.served import (
    HOSTILE,
    STATES,
    TOKEN,
    Served,
    cutover,
    finished,
    incident,
    nothing_installed,
    serving,
    tenants,
)

PROGRAMS = (shutil.which("chromium") or shutil.which("chromium-browser"), shutil.which("chromedriver"))
pytestmark = [
    pytest.mark.once,
    pytest.mark.pg,
    pytest.mark.skipif(None in PROGRAMS, reason="needs chromium and chromedriver (Debian: chromium-driver)"),
]
Connection = psycopg.Connection[Any]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    program, driver = PROGRAMS
    assert program and driver
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for argument in ("--headless=new", "--disable-gpu", "--disable-dev-shm-usage", "--no-sandbox"):
        options.add_argument(argument)
    options.add_argument(f"--user-data-dir={tmp_path_factory.mktemp('chromium')}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.ChromeService(driver, env={**os.environ, "HOME": str(tmp_path_factory.mktemp("home"))})
    found = webdriver.Chrome(options=options, service=service)
    try:
        yield found
    finally:
        found.quit()


@pytest.fixture(scope="module")
def home(machines: Machines) -> Iterator[tuple[str, Served]]:
    name = fresh_name("board")
    dsn = machines.new_classic(name)
    with serving(dsn, MIGRATOR_BOARD_TOKEN=TOKEN) as served:
        yield dsn, served
    machines.drop(classic=name)


@pytest.fixture
def classic(home: tuple[str, Served]) -> Iterator[Connection]:
    with connect(home[0], "test") as conn:
        nothing_installed(conn)
        yield conn


def open_at(browser: webdriver.Chrome, url: str, says: str) -> None:
    """Open the board, and wait until it says *says*, by itself: there is no second load."""
    browser.get(url)
    sees(browser, says)


def sees(browser: webdriver.Chrome, text: str) -> None:
    """Wait until the page says *text*. Asked in one step, since a page may be replaced between two."""
    said = "return document.body ? document.body.innerText : ''"
    eventually(lambda: text in browser.execute_script(said), f"the page says {text!r}", every_s=0.1)


PRESS = """
const wanted = ["main a, main button", "a, button"].flatMap((where) => [...document.querySelectorAll(where)]);
const found = wanted.find((one) => one.innerText.includes(arguments[0]));
if (!found) return false;
found.focus();
const reached = document.activeElement === found;
found.click();
return reached;
"""


def press(browser: webdriver.Chrome, label: str) -> None:
    """Press the link or button of that label, which a keyboard reaches; one of the page before one of the bar."""
    assert browser.execute_script(PRESS, label), f"there is no {label!r} on {browser.current_url}"


def fill(browser: webdriver.Chrome, **fields: str) -> None:
    for name, value in fields.items():
        field = browser.find_element(By.NAME, name)
        field.clear()
        field.send_keys(value)


def complaints(browser: webdriver.Chrome) -> list[str]:
    """What the browser wrote to its console: refused scripts and styles, errors of ours."""
    return [entry["message"] for entry in browser.get_log("browser")]  # type: ignore[no-untyped-call]  # selenium leaves it untyped


def test_a_person_rolls_back_and_everybody_sees_it(
    browser: webdriver.Chrome, classic: Connection, home: tuple[str, Served]
) -> None:
    """From the board to the sign-in and back; the board of another window changes by itself."""
    cutover(classic)
    url = home[1].url
    open_at(browser, f"{url}/", "Cutover runs")
    watching = browser.current_window_handle
    browser.switch_to.new_window("tab")
    open_at(browser, f"{url}/", "Roll back")
    press(browser, "Roll back")
    sees(browser, "Decisions are recorded under your name")
    fill(browser, name="Ada Lovelace", token=TOKEN)
    press(browser, "Sign in")
    sees(browser, "Whose reads?")
    fill(browser, reason="p99 tripled")
    press(browser, "Show what it would do")
    sees(browser, "30 tenants move")
    assert collect(classic).switch == "limitless"
    press(browser, "Roll back")
    sees(browser, "reads of 30 tenants moved")
    browser.close()
    browser.switch_to.window(watching)
    sees(browser, "rolled back by Ada Lovelace (p99 tripled)")

    assert collect(classic).switch_by == "Ada Lovelace"
    assert complaints(browser) == []


def test_a_tenant_is_found_held_and_released(
    browser: webdriver.Chrome, classic: Connection, home: tuple[str, Served]
) -> None:
    cutover(classic)
    url = home[1].url
    browser.get(f"{url}/sign-in")
    fill(browser, name="Grace", token=TOKEN)
    press(browser, "Sign in")
    sees(browser, "Cutover runs")
    fill(browser, q="0003")
    press(browser, "Search")
    sees(browser, "tenant-0003")
    press(browser, "Hold")
    sees(browser, "Goes into the decision log")
    fill(browser, reason="their release", until="2099-12-24")
    press(browser, "Show what it would do")
    sees(browser, "Keep on classic until 2099-12-24 00:00 UTC: tenant tenant-0003; its reads come back")
    press(browser, "Hold a tenant")
    sees(browser, "1 tenant is held now")
    press(browser, "To the board")
    sees(browser, "Held tenants")
    press(browser, "Release")
    sees(browser, "Goes into the decision log")
    fill(browser, reason="it is out")
    press(browser, "Show what it would do")
    sees(browser, "Release tenant tenant-0003: it waits for a wave")
    press(browser, "Release a tenant")
    sees(browser, "Released: tenant-0003")
    press(browser, "Sign out")
    sees(browser, "Sign in")

    assert collect(classic).held == ()
    assert complaints(browser) == []


def test_names_do_nothing_but_stand_there(
    browser: webdriver.Chrome, classic: Connection, home: tuple[str, Served]
) -> None:
    """In every page and in what comes live; the title and the number of scripts stay."""
    cutover(classic)
    url = home[1].url
    open_at(browser, f"{url}/", "Cutover runs")
    tenants(classic, list(HOSTILE), 3)
    for name in HOSTILE:
        classic.execute(
            "UPDATE migrator.tenant SET state = 'quarantined', reason = %s WHERE tenant_id = %s", (f"no: {name}", name)
        )
        classic.execute(
            "INSERT INTO migrator.tenant_hold (tenant_id, reason, held_by) VALUES (%s, %s, %s)", (name, name, name)
        )
        classic.execute(
            "INSERT INTO migrator.decision (who, kind, subject, reason) VALUES (%s, %s, %s, %s)", (name,) * 4
        )
        classic.execute(
            "INSERT INTO migrator.incident (kind, reason, reported_by) VALUES ('reported', %s, %s)", (name, name)
        )
    sees(browser, "<script>document.title='owned'</script>")
    for path in ("/", "/tenants", "/tenants?show=quarantined", "/log"):
        if path != "/":
            browser.get(url + path)
        sees(browser, "a\\x0ab")
        assert browser.title != "owned", "a name is text in the title too, and no script"
        assert len(browser.find_elements(By.TAG_NAME, "script")) == 1
        assert browser.find_elements(By.CSS_SELECTOR, "main img") == []
    assert complaints(browser) == []


@pytest.mark.parametrize("width", [400, 1600])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_state_fits_the_screen_and_can_be_read(
    browser: webdriver.Chrome, classic: Connection, home: tuple[str, Served], width: int, scheme: str
) -> None:
    """Nothing is wider than the screen, and texts stand out from what is behind them (4.5 to 1, as WCAG asks)."""
    incident(classic)
    browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    )
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    url = home[1].url
    open_at(browser, f"{url}/", "rolled back by Grace")
    for path in ("/", "/tenants", "/log", "/sign-in"):
        if path != "/":
            browser.get(url + path)
        assert browser.execute_script("return document.documentElement.scrollWidth") <= width, path
        assert browser.execute_script(FAINT) == [], path


FAINT = """
const channel = (v) => { v /= 255; return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; };
const parse = (text) => (text.match(/[0-9.]+/g) || []).map(Number);
const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
const behind = (node) => {
  for (let at = node; at; at = at.parentElement) {
    const found = parse(getComputedStyle(at).backgroundColor);
    if (found.length === 3 || found[3] > 0) return found;
  }
  return [255, 255, 255];
};
const faint = [];
for (const node of document.querySelectorAll("body *:not(svg):not(svg *)")) {
  const own = [...node.childNodes].some((c) => c.nodeType === 3 && c.data.trim());
  if (!own || !node.getClientRects().length) continue;
  const one = light(parse(getComputedStyle(node).color)), other = light(behind(node));
  const ratio = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
  if (ratio < 4.5) faint.push(`${node.tagName}.${node.className}: ${ratio} ${node.textContent.slice(0, 40)}`);
}
return faint;
"""


def test_light_and_dark_can_be_chosen_and_stay(
    browser: webdriver.Chrome, classic: Connection, home: tuple[str, Served]
) -> None:
    finished(classic)
    browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": "light"}]}
    )
    open_at(browser, f"{home[1].url}/", "Finished")
    paper = "return getComputedStyle(document.body).backgroundColor"
    light = browser.execute_script(paper)
    browser.find_element(By.ID, "theme").click()
    dark = browser.execute_script(paper)
    browser.refresh()
    kept = browser.execute_script(paper)
    browser.find_element(By.ID, "theme").click()

    assert light != dark and kept == dark
    assert browser.execute_script(paper) == light


def test_without_scripts_the_page_is_whole(
    browser: webdriver.Chrome, classic: Connection, home: tuple[str, Served]
) -> None:
    """It has every section, and asks to be loaded again."""
    STATES["gate"](classic)
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:

        def look() -> bool:
            browser.get(f"{home[1].url}/")
            return "The gate wave-3 waits for an approval" in browser.find_element(By.TAG_NAME, "main").text

        eventually(look, every_s=0.2)
        text = browser.find_element(By.TAG_NAME, "main").text
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})

    for heading in ("What waits", "Next step", "Phases", "Over time", "Tenants", "Health", "Incidents", "Decision log"):
        assert heading in text
