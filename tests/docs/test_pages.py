"""The site has every page, and nothing on it comes from another host."""

import re

from omegaconf import OmegaConf

from tests.docs.pages import PAGES, ROOT


def leaves(node: object) -> list[str]:
    """The strings of nested lists and dicts."""
    if isinstance(node, str):
        return [node]
    children = node.values() if isinstance(node, dict) else node if isinstance(node, list) else []
    return [leaf for child in children for leaf in leaves(child)]


def site() -> dict:
    return OmegaConf.to_container(OmegaConf.load(ROOT / "mkdocs.yml"))  # type: ignore[return-value]


def test_every_page_stands_in_the_navigation() -> None:
    pages = {str(page.relative_to(ROOT / "docs")) for page in PAGES if page.is_relative_to(ROOT / "docs")}
    assert len(pages) > 20
    assert set(leaves(site()["nav"])) == pages


def test_the_site_takes_no_fonts_from_other_hosts() -> None:
    assert site()["theme"]["font"] is False
    assert not {"extra_javascript", "extra_css"} & site().keys()


def test_no_page_shows_a_picture_from_another_host() -> None:
    sources = [src for page in PAGES for src in re.findall(r"!\[[^]]*\]\(([^)]+)\)|src=\"([^\"]+)\"", page.read_text())]
    pictures = ["".join(found) for found in sources]
    assert len(pictures) > 8
    assert [picture for picture in pictures if picture.startswith("http")] == []


def test_every_link_between_pages_and_files_leads_somewhere() -> None:
    links = [
        (page, target)
        for page in PAGES
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text())
        if not target.startswith("http")
    ]
    assert len(links) > 50
    assert [(page.name, target) for page, target in links if not (page.parent / target).exists()] == []
