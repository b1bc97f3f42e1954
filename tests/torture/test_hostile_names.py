"""Names of experiments, languages and measures that try to become part of a report."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest

from fairseq_xling.evaluation.demo_figures import layer_figure, loss_figure, translation_figure
from fairseq_xling.evaluation.report import Page
from fairseq_xling.formats.results import Result, signature

HOSTILE = (
    "<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "</pre></svg></figure><script>x</script>",
    "<a href='javascript:x'>y</a>", "&lt;script&gt;", "]]><script>", "$\\frac{1}{0}$", "--><script>", "\u202eא<b>",
)  # fmt: skip


class Tags(HTMLParser):
    """Tags, attributes and text of a page."""

    def __init__(self):
        super().__init__()
        self.tags, self.attributes, self.text = set(), [], ""

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.attributes += [(name, value or "") for name, value in attributes]

    def handle_data(self, data):
        self.text += data


def result(experiment, task, metric):
    return Result(experiment, "a-b", "lab", 1, task, metric, 1, 0.5, 0.1, 9, signature(data="toy"))


@pytest.mark.parametrize("name", HOSTILE)
def test_a_report_shows_hostile_names_as_text(name):
    page = Page(name)
    page.heading(name)
    page.text(name)
    page.preformatted(name)
    lines = [{"phase": "train_inner", "update": i, f"nats_{name}": 1.0} for i in range(3)]
    page.figure(name, loss_figure({name: lines}))
    numbers = [result(prefix + name, name, name) for prefix in ("", "random:")]
    page.figure(name, layer_figure(numbers, name, name, [name], "random:"))
    page.figure(name, translation_figure([result(name, "word_translation", "precision@1")], [name], "random:"))
    found = Tags()
    found.feed(page.render())
    assert not found.tags & {"script", "img", "a", "b", "iframe", "object", "foreignobject"}
    for attribute, value in found.attributes:
        assert not attribute.startswith("on")
        assert attribute not in ("href", "src", "xlink:href") or value.startswith("#"), value
    assert found.text.count(name.replace("\u202e", "")) >= 3 or name in found.text
    assert "default-src 'none'" in page.render()
