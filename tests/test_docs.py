"""Every block of Python in the documentation runs."""

import doctest
import re
import textwrap

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
    assert found


@pytest.fixture
def names(tmp_path, monkeypatch):
    """What the reader of a docstring has at hand."""
    import keras
    import numpy as np
    from sklearn.ensemble import RandomForestClassifier

    import ktcomponent
    from ktcomponent.oracles import RandomSearchOracle

    monkeypatch.chdir(tmp_path)
    x = np.linspace(-1, 1, 32, dtype="float32")[:, None]
    public = {
        name: getattr(ktcomponent, name) for name in ("Objective", "SklearnTuner", "Tuner", "HyperParameters")
    }
    image = {"HyperImageAugment": ktcomponent.applications.HyperImageAugment}
    data = {"x": x, "y": x**2, "x_val": x, "y_val": x**2, "X": x, "keras": keras}
    oracle = {"RandomSearchOracle": RandomSearchOracle, "RandomForestClassifier": RandomForestClassifier}
    return {**public, **image, **data, **oracle, "hp": ktcomponent.HyperParameters()}


def examples():
    for module in sorted(ROOT.glob("ktcomponent/**/*.py")):
        name = ".".join(module.relative_to(ROOT).with_suffix("").parts)
        for text in re.findall(r"^    Example:\n\n((?:        .*\n|\n)+)", module.read_text(), re.MULTILINE):
            yield pytest.param(textwrap.dedent(text), id=name)


@pytest.mark.slow
@pytest.mark.parametrize("code", list(examples()))
def test_the_examples_of_docstrings_run(code, names):
    if code.startswith(">>>"):
        found = doctest.DocTestParser().get_doctest(code, names, "example", None, 0)
        assert doctest.DocTestRunner().run(found).failed == 0
    else:
        if "SklearnTuner" in code:
            names["y"] = (names["x"][:, 0] > 0).astype(int)
        exec(code, names)  # noqa: S102 - the project's own documentation


def test_no_example_is_overlooked():
    assert len(list(examples())) == sum(
        path.read_text().count("    Example:\n") for path in ROOT.glob("ktcomponent/**/*.py")
    )


def test_links_between_documents_lead_somewhere():
    for document in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/**/*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text()):
            assert (document.parent / target).exists(), f"{document.name}: {target}"
