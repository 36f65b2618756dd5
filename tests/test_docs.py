"""Every block of Python in the documentation runs."""

import re

import pytest

from tests.conftest import ROOT

GUIDES = sorted((ROOT / "docs").glob("*.md"))


def blocks(guide):
    """(line, code) of each block."""
    text = guide.read_text()
    for match in re.finditer(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        line = text.count("\n", 0, match.start(1)) + 1
        yield line, "\n" * (line - 1) + match[1]


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("guide", GUIDES, ids=lambda path: path.name)
def test_the_blocks_of_a_guide_run_in_order(guide, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "guide"}
    found = list(blocks(guide))
    for _, code in found:
        exec(compile(code, str(guide), "exec"), names)  # noqa: S102 - the project's own documentation
    assert len(found) > 10


def test_links_between_documents_lead_somewhere():
    for document in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/**/*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text()):
            assert (document.parent / target).exists(), f"{document.name}: {target}"
