"""An audit as JUnit XML, which CI servers read."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from xml.etree import ElementTree as xml

from tftctl.audit.findings import Case
from tftctl.core.errors import UsageError


def write_junit(path: Path, name: str, cases: Iterable[Case], *, strict: bool) -> None:
    """One testcase per case (class name, name). FAIL is a failure, NOT PROVEN is skipped unless `strict`.

    Raises UsageError when the file cannot be written.
    """
    suite = xml.Element("testsuite", name=f"tftctl audit {name}")
    counts = {"tests": 0, "failures": 0, "skipped": 0}
    for (group, check), findings in cases:
        case = xml.SubElement(suite, "testcase", classname=group, name=check)
        counts["tests"] += 1
        failed = [f for f in findings if f.verdict == "FAIL" or (strict and f.verdict == "NOT PROVEN")]
        unproven = [f for f in findings if f.verdict == "NOT PROVEN"]
        if failed or unproven:
            tag = "failure" if failed else "skipped"
            counts["failures" if failed else "skipped"] += 1
            xml.SubElement(case, tag, message="; ".join(f.detail for f in failed or unproven))
    suite.attrib.update({name: str(count) for name, count in counts.items()})
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        xml.ElementTree(suite).write(path, encoding="utf-8", xml_declaration=True)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}", "name another: --junit FILE") from None
