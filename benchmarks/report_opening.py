"""How large the report of a run is, and how long headless Chromium takes to open it.

    python benchmarks/report_opening.py runs/demo

The bars of the project are 10 MB and 2 s for 256 candidates, without any request. The time runs
from the navigation until every part of the page stands, the crystal painted; beside it stands the
time that the page's own thread was busy, which other work on the machine does not lengthen. Needs
the extra `dev` and a Chromium.
"""

import json
import shutil
import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import sync_playwright

from smoacs.report import report_html

OPENINGS = 5


def measure(run: Path) -> dict[str, object]:
    """Write the report to a temporary file and open it a few times, each in a new context."""
    begin = time.perf_counter()
    text = report_html(run)
    built = time.perf_counter() - begin
    seconds = []
    busy = []
    requests: list[str] = []
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        file = Path(folder) / "report.html"
        file.write_text(text, encoding="utf-8")
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"))
        for _ in range(OPENINGS):
            context = browser.new_context(viewport={"width": 1440, "height": 900})
            page = context.new_page()
            page.on("request", lambda request: requests.append(request.url))
            devtools = context.new_cdp_session(page)
            devtools.send("Performance.enable", {"timeDomain": "threadTicks"})
            page.goto(file.as_uri())
            page.wait_for_selector("html[data-ready]", state="attached")
            painted = "new Promise(requestAnimationFrame).then(() => performance.now() / 1000)"
            seconds.append(round(page.evaluate(painted), 3))
            metrics = devtools.send("Performance.getMetrics")["metrics"]
            busy += [round(m["value"], 3) for m in metrics if m["name"] == "TaskDuration"]
            context.close()
        browser.close()
    return {
        "megabytes": round(len(text.encode()) / 1e6, 3),
        "seconds_to_build": round(built, 2),
        "seconds_to_open": seconds,
        "of_them_busy": busy,
        "requests_beside_the_file": len([url for url in requests if not url.startswith("file:")]),
    }


if __name__ == "__main__":
    print(json.dumps({argument: measure(Path(argument)) for argument in sys.argv[1:]}, indent=2))
