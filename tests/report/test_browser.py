"""The page in a browser: headless Chromium, from the file, without a network."""

import shutil

import ase.io
import numpy as np
import pytest
from pymatgen.core import Structure
from pymatgen.io.cif import CifParser

from smoacs.report import report_html

playwright = pytest.importorskip(
    "playwright.sync_api", reason="playwright is not installed (extra dev)"
)

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ROWS = "#table tbody tr[data-row]"


@pytest.fixture(scope="module")
def browser():
    path = next(filter(None, map(shutil.which, NAMES)), None)
    with playwright.sync_playwright() as driver:
        if path is None and not shutil.which(driver.chromium.executable_path):
            pytest.skip("no Chromium is installed (Debian: apt-get install chromium)")
        browser = driver.chromium.launch(executable_path=path, chromium_sandbox=False)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def open_report(browser, tmp_path_factory):
    """Open the report of a run; at the end nothing may have been requested or complained about."""
    requests, complaints, contexts, own = [], [], [], set()

    def open_run(run, **options):
        file = tmp_path_factory.mktemp("page") / "report.html"
        file.write_text(report_html(run), encoding="utf-8")
        own.add(file.as_uri())
        context = browser.new_context(
            viewport={"width": 1440, "height": 900}, reduced_motion="reduce", **options
        )
        contexts.append(context)
        context.set_offline(True)
        page = context.new_page()
        page.on("request", lambda request: requests.append(request.url))
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: complaints.append(dialog.message))
        page.goto(file.as_uri())
        page.wait_for_selector("html[data-ready]", state="attached", timeout=20_000)
        return page

    yield open_run
    for context in contexts:
        context.close()
    assert {url for url in requests if not url.startswith(("data:", "blob:"))} == own
    assert complaints == []


@pytest.fixture(scope="module")
def opened(open_report, run):
    """One page for all tests that leave it as it was, but for filters and the selection."""
    return open_report(run)


@pytest.fixture
def page(opened):
    opened.locator("#reset").click()
    opened.locator(ROWS).first.click()
    return opened


def column(page, key):
    """Texts of a column of the table, from the top."""
    place = page.eval_on_selector_all(
        "#table th", "(cells, key) => cells.findIndex((c) => c.dataset.key === key)", key
    )
    return page.eval_on_selector_all(
        ROWS, "(rows, k) => rows.map((row) => row.children[k].textContent)", place
    )


def numbers(texts):
    return [float(text.split(" ±")[0].replace("−", "-")) for text in texts if text != "–"]


def inked(page):
    """Share of the crystal's canvas that is painted, once it stands still."""
    return page.evaluate(
        """() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => {
          const canvas = document.getElementById("crystal");
          const { width, height } = canvas;
          const copy = Object.assign(document.createElement("canvas"), { width, height });
          const context = copy.getContext("2d", { willReadFrequently: true });
          context.drawImage(canvas, 0, 0);
          const pixels = context.getImageData(0, 0, width, height).data;
          let painted = 0;
          for (let i = 3; i < pixels.length; i += 4) painted += pixels[i] > 0;
          done(painted / (width * height));
        })))"""
    )


def picture(page):
    inked(page)
    return page.evaluate("document.getElementById('crystal').toDataURL()")


def test_everything_is_there(page, evil):
    assert evil in page.title()
    assert page.locator(ROWS).count() == 40
    assert "2.3 ≤ band gap ≤ 2.7 eV" in page.locator("#asked").inner_text()
    assert "12,345" in page.locator("#facts").inner_text()
    assert "10 miss only this" in page.locator("#success").inner_text()
    assert page.locator("#pareto svg .wanted").count() == 2
    assert page.locator("#matrix svg svg").count() >= 3
    assert page.locator("#movement svg .median").count() >= 2
    assert page.locator("#periodic figure").count() == 3


def test_the_table_sorts_both_ways_and_back(page):
    before = column(page, "id")
    head = page.locator("#table th[data-key=band_gap]")
    head.locator("button").click()
    assert head.get_attribute("aria-sort") == "ascending"
    values = column(page, "band_gap")
    assert numbers(values) == sorted(numbers(values))
    assert values[-1] == "–"
    head.locator("button").click()
    assert head.get_attribute("aria-sort") == "descending"
    values = column(page, "band_gap")
    assert numbers(values) == sorted(numbers(values), reverse=True)
    assert values[-1] == "–"
    head.locator("button").click()
    assert column(page, "id") == before


def test_the_table_filters_by_words_ranges_and_success(page):
    page.locator("#search").fill("kmgf3")
    assert set(column(page, "formula")) == {"KMgF3"}
    assert page.locator("#count").inner_text() == "13 of 40 shown"
    page.locator("#search").fill("A=Cs")
    assert set(column(page, "formula")) == {"CsSnBrI2"}
    page.locator("#search").fill("B=Cs")
    assert page.locator("#table .none").count() == 1
    page.locator("#reset").click()
    page.get_by_label("band gap: lowest", exact=True).fill("2.4")
    page.get_by_label("band gap: highest", exact=True).fill("2.6")
    found = numbers(column(page, "band_gap"))
    assert 0 < len(found) < 40
    assert all(2.4 <= value <= 2.6 for value in found)
    page.locator("#reset").click()
    assert page.locator(ROWS).count() == 40
    page.locator("#only-success").check()
    assert set(column(page, "success")) == {"yes"}
    assert page.locator("#pareto .points.faint").get_attribute("d") != ""


def test_an_element_of_the_periodic_table_finds_its_candidates(page):
    page.locator("#periodic figure").nth(1).get_by_role("button", name="Sn:").click()
    assert page.locator("#search").input_value() == "B=Sn"
    assert set(column(page, "formula")) == {"CsSnBrI2"}


def test_a_selected_row_shows_its_crystal_and_all_that_is_known(page, evil):
    first = page.locator("#details").inner_text()
    assert "DFT band gap" in first
    assert "3.250 eV" in first
    assert evil in first
    assert "± 0.100 eV" in first
    assert "Sr2+ Ti4+ O2−" in " ".join(first.split())
    assert inked(page) > 0.05
    before = picture(page)
    page.locator(ROWS).nth(2).click()
    assert "CsSnBrI2" in page.locator("#details-title").inner_text().replace("\n", "")
    assert page.locator(ROWS).nth(2).get_attribute("aria-selected") == "true"
    assert inked(page) > 0.05
    assert picture(page) != before


def test_the_crystal_turns_and_zooms_by_mouse_and_keys(page):
    pictures = [picture(page)]
    box = page.locator("#crystal").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 80, y + 30, steps=4)
    page.mouse.up()
    pictures.append(picture(page))
    page.locator("#crystal").press("ArrowLeft")
    pictures.append(picture(page))
    page.locator("#crystal").press("+")
    pictures.append(picture(page))
    page.get_by_label("polyhedra").uncheck()
    pictures.append(picture(page))
    page.get_by_label("bonds").uncheck()
    pictures.append(picture(page))
    page.get_by_label("2×2×2").check()
    pictures.append(picture(page))
    assert len(set(pictures)) == len(pictures)


def test_rows_are_reached_by_keys(page):
    page.locator(ROWS).first.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    assert page.locator(ROWS).nth(2).get_attribute("aria-selected") == "true"
    assert "0003" in page.locator("#details-title").inner_text()


def test_a_point_of_the_pareto_plot_selects(page):
    dots = page.locator("#pareto .points.met").get_attribute("d")
    x, y = map(float, dots[1:].split("h0")[-2].lstrip("M").split())
    svg = page.locator("#pareto svg")
    scale = svg.bounding_box()["width"] / 620
    svg.click(position={"x": x * scale, "y": y * scale})
    assert page.locator("#details .badge").inner_text() == "success"
    ring = page.locator("#pareto .selected")
    assert [float(ring.get_attribute(a)) for a in ("cx", "cy")] == pytest.approx([x, y], abs=0.1)


def test_a_candidate_without_a_crystal_says_so(page):
    page.locator(ROWS).last.click()
    assert not page.locator("#crystal").is_visible()
    assert "no crystal to draw" in page.locator("#details").inner_text()


def downloaded(page, button, folder):
    with page.expect_download() as waiting:
        page.locator(button).click()
    path = folder / waiting.value.suggested_filename
    waiting.value.save_as(path)
    return path


def assert_same(found, wanted):
    np.testing.assert_allclose(found.lattice.parameters, wanted.lattice.parameters, atol=1e-5)
    shift = found.frac_coords - wanted.frac_coords
    np.testing.assert_allclose(shift - shift.round(), 0, atol=1e-6)


def test_downloads_are_the_crystal(page, run, tmp_path):
    check_downloads(page, run, tmp_path)


@pytest.mark.slow
def test_downloads_are_the_crystal_of_135_atoms(open_report, large_run, tmp_path):
    check_downloads(open_report(large_run), large_run, tmp_path)


def check_downloads(page, run, tmp_path):
    row = 2
    wanted = extxyz(run, row)
    page.locator(ROWS).nth(row).click()
    path = downloaded(page, "#cif", tmp_path)
    assert path.name == "0003_CsSnBrI2.cif"
    parser = CifParser(path)
    (found,) = parser.parse_structures(primitive=False)
    ordered = wanted.get_sorted_structure()  # as pymatgen's parser leaves it
    assert found.species == ordered.species  # oxidation states and all
    assert_same(found, ordered)
    path = downloaded(page, "#poscar", tmp_path)
    assert path.name == "0003_CsSnBrI2.vasp"
    found = Structure.from_str(path.read_text(), fmt="poscar")
    groups = [s for kind in ("Cs", "Sn", "Br", "I") for s in wanted if s.specie.symbol == kind]
    wanted = Structure.from_sites(groups).remove_oxidation_states()
    assert found.species == wanted.species
    assert_same(found, wanted)
    np.testing.assert_allclose(found.lattice.matrix, wanted.lattice.matrix, atol=1e-7)


def extxyz(run, row):
    """A crystal of a run, read without the report's code."""
    atoms = ase.io.read(run / "structures.extxyz", index=row)
    structure = Structure(
        atoms.cell.array, atoms.get_chemical_symbols(), atoms.get_scaled_positions(wrap=False)
    )
    structure.add_oxidation_state_by_site(atoms.arrays["oxidation_states"].tolist())
    return structure


def test_the_shown_table_can_be_taken_away(page, tmp_path):
    page.locator("#search").fill("KMgF3")
    lines = downloaded(page, "#csv", tmp_path).read_text().splitlines()
    assert lines[0].startswith("id,formula,success,band_gap")
    assert len(lines) == 14


def test_it_works_in_the_dark_and_on_a_small_screen(open_report, run):
    page = open_report(run, color_scheme="dark")
    page.set_viewport_size({"width": 420, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 420
    assert inked(page) > 0.05
