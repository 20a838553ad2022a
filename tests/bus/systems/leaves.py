"""An independent reading of CommerceML: every place that holds something, however the product reads it."""

from collections import Counter
from pathlib import Path

from lxml import etree

from bus.systems import commerceml_shape as shape


def leaves(path: Path) -> Counter[str]:
    """Every element and attribute below the root that has nothing below it, by an independent reading."""
    found: Counter[str] = Counter()

    def walk(element: etree._Element, where: str) -> None:
        name = etree.QName(element).localname
        here = f"{where}/{name}".lstrip("/")
        if name == "ЗначениеРеквизита":
            said = {etree.QName(one).localname: (one.text or "").strip() for one in element}
            found[f"{where}[{shape.requisite(said['Наименование'])}]"] += 1
            return
        found.update(f"{here}/@{key}" for key in element.attrib)
        if len(element) == 0 and not (element.attrib and not (element.text or "").strip()):
            found[here] += 1
        for child in element:
            walk(child, here)

    for section in etree.parse(path).getroot():
        walk(section, "")
    return found
